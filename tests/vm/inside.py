"""The first program in a virtual machine: runs commands that come as lines of JSON over its second serial line.

In: id, command, stdin, timeout. Out: boot (once, when it is up); then id, code (null: killed at the time-out),
stdout, stderr. A command runs beside the others, in a session of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import termios
import threading
import time
import tty
from pathlib import Path
from typing import Any

LINE = "/dev/ttyS1"
MOUNTS = (
    ("tmpfs", "/run", "mode=755"),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("devpts", "/dev/pts", "mode=620,ptmxmode=666"),
    ("cgroup2", "/sys/fs/cgroup", ""),
    ("configfs", "/sys/kernel/config", ""),
)
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "TERM": "dumb"}


class Line:
    """The serial line, without a terminal's habits."""

    def __init__(self) -> None:
        descriptor = os.open(LINE, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        tty.setraw(descriptor, termios.TCSANOW)
        self._reader = os.fdopen(os.dup(descriptor), "rb", buffering=0)
        self._writer = os.fdopen(descriptor, "wb", buffering=0)
        self._lock = threading.Lock()

    def say(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        with self._lock:
            while data:
                data = data[self._writer.write(data) :]

    def read(self) -> dict[str, Any]:
        while True:
            # What a former life of the machine was still to be told may lie there, in part.
            with contextlib.suppress(ValueError, TypeError):
                message: dict[str, Any] = json.loads(self._reader.readline())
                if "command" in message:
                    return message


def perform(line: Line, number: int, command: list[str], stdin: str, timeout: float) -> None:
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            env=ENVIRONMENT, cwd="/", text=True, errors="replace",
        )  # fmt: skip
    except OSError as error:
        line.say({"id": number, "code": 127, "stdout": "", "stderr": f"{command[0]}: {error.strerror}"})
        return
    try:
        stdout, stderr = process.communicate(stdin, timeout)
        code: int | None = process.returncode
    except subprocess.TimeoutExpired as expired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = ((said or b"").decode(errors="replace") for said in (expired.stdout, expired.stderr))
        code = None
    line.say({"id": number, "code": code, "stdout": stdout, "stderr": stderr})


def mount() -> None:
    for kind, place, options in MOUNTS:
        with contextlib.suppress(OSError):
            os.makedirs(place, exist_ok=True)
        arguments = ["-o", options] if options else []
        subprocess.run(["mount", "-t", kind, *arguments, kind, place], env=ENVIRONMENT, check=False)


def bury_orphans() -> None:
    """What the first process is for; the commands are another's children."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(1)


def settle() -> None:
    mount()
    Path("/run/lock").mkdir()
    for name, place in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{place}", f"/dev/{name}")
    words = dict(word.split("=", 1) for word in Path("/proc/cmdline").read_text().split() if "=" in word)
    Path("/proc/sys/kernel/hostname").write_text(words["hamgr.name"])
    # modprobe looks there; the tree is this machine's own, in memory.
    modules = Path("/lib/modules", os.uname().release)
    modules.parent.mkdir(exist_ok=True)
    modules.symlink_to(words["hamgr.modules"])
    subprocess.run(["ip", "link", "set", "lo", "up"], env=ENVIRONMENT, check=False)


def main() -> None:
    if os.fork():
        bury_orphans()
    settle()
    line = Line()
    line.say({"boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip()})
    while True:
        request = line.read()
        arguments = (line, request["id"], request["command"], request["stdin"], request["timeout"])
        threading.Thread(target=perform, args=arguments, daemon=True).start()


if __name__ == "__main__":
    main()
