"""How to get into namespaces: the command lines of unshare(1) and nsenter(1), and the tools they need."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

_PACKAGES = {
    "ip": "iproute2",
    "nft": "nftables",
    "ipmi_sim": "openipmi",
    "nginx": "nginx-light",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "mkfs.ext4": "e2fsprogs",
    "etcd": "etcd-server",
}
_CAP_SYS_ADMIN = 21
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LabError(Exception):
    """The lab can't do what was asked; the text says what, why and what to do."""


def search_path(python: str) -> str:
    """PATH for everything in the lab: our own programs first, then the system's, with sbin."""
    return f"{Path(python).parent}:{_SYSTEM_PATH}"


def missing_tools(tools: Iterable[str], path: str) -> list[tuple[str, str]]:
    """The tools that are not on `path`, each with the Debian package that brings it."""
    return [(tool, _PACKAGES[tool]) for tool in tools if shutil.which(tool, path=path) is None]


def require_tools(tools: Iterable[str], path: str) -> None:
    """Raises LabError with one line that names every missing tool and its Debian package."""
    missing = missing_tools(tools, path)
    if missing:
        what = ", ".join(tool for tool, _ in missing)
        packages = " ".join(sorted({package for _, package in missing}))
        raise LabError(f"the lab needs {what}: on Debian or Ubuntu run `apt-get install {packages}`")


def lab_environment(python: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the lab's processes: the caller's, with the lab's PATH and unbuffered output. Daemons start
    from bytecode, as installed ones do; to compile all of it at each start takes longer than a short lease."""
    kept = {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PATH": search_path(python), "PYTHONUNBUFFERED": "1"}


def new_world(command: list[str], rootless: bool) -> list[str]:
    """Run the command as PID 1 of a namespace for processes, networks and mounts: the whole lab dies with it.

    Without root, in a user namespace of our own, where we are root (user_namespaces(7)).
    """
    user = ["--user", "--map-root-user"] if rootless else []
    return [
        "unshare",
        *user,
        "--fork",
        "--pid",
        "--net",
        "--mount",
        "--mount-proc",
        "--kill-child",
        "--",
        *command,
    ]


def new_machine(command: list[str]) -> list[str]:
    """Run the command as PID 1 of a machine, within the lab's world."""
    flags = ["--fork", "--pid", "--net", "--mount", "--uts", "--ipc", "--mount-proc", "--kill-child"]
    return ["unshare", *flags, "--", *command]


def enter_world(world: int, command: list[str], rootless: bool) -> list[str]:
    """Run the command in the world of which `world` is the first process."""
    user = ["--user", "--preserve-credentials"] if rootless else []
    return ["nsenter", "--target", str(world), *user, "--pid", "--net", "--mount", "--", *command]


def enter_machine(world: int, machine: int, command: list[str], rootless: bool) -> list[str]:
    """Run the command in a machine. world: a process id of ours; machine: a process id of that world."""
    inner = [
        "nsenter",
        "--target",
        str(machine),
        "--pid",
        "--net",
        "--mount",
        "--uts",
        "--ipc",
        "--",
        *command,
    ]
    return enter_world(world, inner, rootless)


def children(pid: int) -> list[int]:
    """The process ids of a process's children (proc_pid_children(5)); none when it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def only_child(pid: int) -> int | None:
    """The process id of the only child of a process; None while it has none."""
    return next(iter(children(pid)), None)


def wake_visitors(target: int) -> None:
    """Continue every stopped nsenter that entered the namespaces of this process.

    nsenter stops itself when its command is stopped; it must run to wait for a command that was killed, and
    before that a namespace does not end (pid_namespaces(7)).
    """
    entered = ["nsenter", "--target", str(target)]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.joinpath("cmdline").read_bytes().decode(errors="replace").split("\0")[:3] == entered:
                os.kill(int(process.name), signal.SIGCONT)


def is_rootless() -> bool:
    """Whether namespaces need a user namespace of our own: root in a container often lacks CAP_SYS_ADMIN too."""
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return effective is None or not int(effective[1], 16) >> _CAP_SYS_ADMIN & 1
