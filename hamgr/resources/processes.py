"""Which processes there are on this machine, and what they hold: read from /proc, which no hung disk can hold up."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hamgr.resources.mounts import Mount, parse

PROC = "/proc"


@dataclass(frozen=True, slots=True)
class Process:
    """started: in clock ticks since the boot; with the pid it names a process for ever."""

    pid: int
    name: str
    state: str
    group: int
    session: int
    started: int

    @property
    def alive(self) -> bool:
        """A zombie holds nothing and does nothing any more."""
        return self.state not in "ZX"

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def find(pid: int) -> Process | None:
    """The process of this number, dead or alive."""
    try:
        with open(f"{PROC}/{pid}/stat", "rb") as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return parse_stat(stat)


def parse_stat(stat: bytes) -> Process:
    """What /proc/PID/stat says. Raises ValueError or IndexError if it is cut."""
    # The name stands in brackets, and may itself have some in it (proc(5)).
    head, _, rest = stat.rpartition(b")")
    pid, _, name = head.partition(b" (")
    fields = rest.split()
    return Process(
        int(pid), name.decode(errors="replace"), fields[0].decode(), int(fields[2]), int(fields[3]), int(fields[19])
    )


def all_alive() -> Iterator[Process]:
    for entry in os.listdir(PROC):
        if entry.isdigit() and (process := find(int(entry))) is not None and process.alive:
            yield process


def of_group(group: int) -> list[Process]:
    """Who is left of a process group."""
    return [process for process in all_alive() if process.group == group]


def of_session(leader: Process) -> list[Process]:
    """Who is left of the session that a process began; nobody, if its number is another's by now."""
    now = find(leader.pid)
    if now is not None and now.started != leader.started:
        return []
    return [process for process in all_alive() if process.session == leader.pid]


def still_there(process: Process) -> bool:
    now = find(process.pid)
    return now is not None and now.alive and now.started == process.started


def send(process: Process, number: signal.Signals) -> None:
    """A signal for this process and no other: its number may be another's by now."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        if still_there(process):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)


def users_of(mount: Mount) -> list[Process]:
    """Who keeps a file system busy: by a working or root directory, an open file, a program or a mapped one.

    Only links are read, and no file of the file system is touched. Threads of the kernel have none.
    """
    namespace = os.readlink(f"{PROC}/self/ns/mnt")
    return [process for process in all_alive() if _uses(process, mount, namespace)]


def _uses(process: Process, mount: Mount, namespace: str) -> bool:
    here = f"{PROC}/{process.pid}"
    try:
        foreign = os.readlink(f"{here}/ns/mnt") != namespace
        # A service with a namespace of its own (as PrivateTmp= makes it) has a copy of the mount, which is as busy.
        mounts = parse(Path(here, "mountinfo").read_text(errors="surrogateescape")) if foreign else [mount]
    except OSError:
        return False
    directories = [one.directory for one in mounts if one.device == mount.device]
    if not directories:
        return False
    links = [f"{here}/cwd", f"{here}/root", f"{here}/exe"]
    with contextlib.suppress(OSError):
        links += [f"{here}/fd/{number}" for number in os.listdir(f"{here}/fd")]
    for link in links:
        with contextlib.suppress(OSError):
            path = os.readlink(link)
            if any(_is_below(path, directory) for directory in directories):
                return True
    # The list of mappings waits for a process that itself waits for a disk.
    return process.state != "D" and _maps(here, mount.device)


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _maps(here: str, device: tuple[int, int]) -> bool:
    """Each line: addresses, rights, offset, major:minor in hexadecimal, inode, path (proc(5))."""
    with contextlib.suppress(OSError), open(f"{here}/maps", "rb") as file:
        for line in file:
            major, _, minor = line.split(maxsplit=4)[3].partition(b":")
            if (int(major, 16), int(minor, 16)) == device:
                return True
    return False
