"""Runs an agent's program to its end, whatever the program does: one that hangs, floods, or leaves children behind.

Its output comes through a pipe that is read while it runs, so that the program never waits and memory stays small; a
file would grow with it, on a disk that may be full or in memory that may end. Children that still hold the pipe when
the program has ended keep nobody waiting. They must not be hurt either: a closed pipe would kill a service by SIGPIPE
when it next says something, hours later. So the pipe is then handed to a `cat` that throws away what comes, lives as
long as they do, and does not depend on this daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from hamgr.resources.processes import Process, of_group, still_there
from hamgr.resources.resource import ResourceError
from hamgr.spawn import NOT_EXECUTABLE, by_shell, our_turn, why_not_loaded

ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C", "LC_ALL": "C"}
)
"""Plain, and the same whoever started the daemon."""

TAIL = 4096
"""Bytes of a program's output that are kept for the explanation."""

SHOWN = 200
"""Characters of the output's end that an explanation shows."""

KILL_WAIT = 1.0
"""Seconds to wait for the end of a program that was killed: one that hangs in the kernel may not end for hours."""

CHUNK = 65536
"""Bytes that a pipe holds (pipe(7)). As many at once are a flood."""

FLOOD_CHUNK = 4 * CHUNK
"""Bytes that the pipe of a flood holds, so that it need be read less often."""

FLOOD_PAUSE = 0.001
"""Seconds between two reads of a flood: gigabytes get a small part of the loop's time, and the others their turn."""

LAST_READS = 16
"""Full reads after the program's end, at most: a child may be writing for ever."""

NOT_EMPTY = f'[ -s "$0" ] || [ ! -e "$0" ] || {{ echo "$0: is empty" >&2; exit {NOT_EXECUTABLE}; }}'

NOTE = """mark=$1 life=$2; shift 2
read -r stat </proc/self/stat && printf '%s\\n%s\\n' "$life" "$stat" 1<>"$mark" ||
  { echo "$mark can't be written: is the disk full?" >&2; exit 1; }"""

SINK = "exec 3<&0; exec >/dev/null 2>&1; cat <&3 3<&- &"


left_holding: ContextVar[list[str] | None] = ContextVar("left_holding", default=None)
"""Who wants to know which programs left children that hold their output puts a list here."""

UNKILLED_WAIT = 3.0
"""Seconds to wait for the end of what an earlier operation left in the kernel, before that is the answer."""


class CantRun(ResourceError):
    """The program was never started: missing, not executable, and the like; the text says which."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended. code: negative for a signal. output: the end of what it said, in one line.

    stdout: its standard output from the beginning, as far as `run` was asked to keep it; it is then not in `output`.
    """

    code: int
    output: str
    stdout: bytes = b""

    def __str__(self) -> str:
        """As the end of a sentence: `ended with 7: no such database`."""
        return f"{self.how}{self.said}"

    @property
    def how(self) -> str:
        """`ended with 7`, or `was killed by SIGKILL`."""
        if self.code >= 0:
            return f"ended with {self.code}"
        try:
            return f"was killed by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"was killed by signal {-self.code}"

    @property
    def said(self) -> str:
        """`: no such database`, or ""."""
        return f": {self.output[-SHOWN:]}" if self.output else ""


class Unkilled:
    """What was killed and did not end: it hangs in the kernel, and what it began may yet be done, a mount for example.

    As long as there is any, nobody knows what state its resource will have.
    """

    def __init__(self) -> None:
        self._processes: list[Process] = []

    async def note(self, group: int) -> None:
        self._processes += await asyncio.to_thread(of_group, group)

    @property
    def reason(self) -> str:
        """Which processes there are now; "" if there are none."""
        self._processes = [process for process in self._processes if still_there(process)]
        named = ", ".join(map(str, self._processes))
        return f"{named} of an earlier operation was killed, but hangs in the kernel: see its disk" if named else ""

    async def gone(self) -> None:
        """Raises ResourceError if they do not end soon."""
        until = asyncio.get_running_loop().time() + UNKILLED_WAIT
        while reason := self.reason:
            if asyncio.get_running_loop().time() >= until:
                raise ResourceError(reason)
            await asyncio.sleep(UNKILLED_WAIT / 20)


async def run(
    command: Sequence[str],
    environment: Mapping[str, str] = ENVIRONMENT,
    *,
    whole: int = 0,
    unkilled: Unkilled | None = None,
    noted: Sequence[str] = (),
) -> Finished:
    """Run a program, its path or its name first, in a session of its own, without input. Raises CantRun.

    whole: keep the first bytes of its standard output, as many, apart from the rest of what it says.
    unkilled: of the resource, for a program that changes something: it starts when nothing of an earlier one is left.
    noted: the path of a mark and its first line: the process writes itself below that, before it becomes the program.
    A cancellation kills it with its whole process group before it goes on.
    """
    if unkilled is not None:
        await unkilled.gone()
    await our_turn()
    said = _Outlet(0, TAIL)
    told = _Outlet(whole, 0) if whole else said
    outlets = [said] if told is said else [said, told]
    try:
        # Not asyncio's: a cancellation while it spawns would kill the program, but not the program's children.
        process = subprocess.Popen(  # noqa: ASYNC220 - asyncio's own does the same, with a thread to wait
            _command_line(command, noted),
            stdin=subprocess.DEVNULL,
            stdout=told.writer,
            stderr=said.writer,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        for outlet in outlets:
            outlet.close()
        raise CantRun(f"{command[0]} can't be run: {error.strerror}") from error
    for outlet in outlets:
        outlet.drain()
    try:
        code = await _ended(process, unkilled)
    finally:
        left = [outlet for outlet in outlets if outlet.finish()]
        try:
            if left and (wanted := left_holding.get()) is not None:
                wanted.append(" ".join(command))
            for outlet in left:
                await _sink(outlet.reader)
        finally:
            for outlet in outlets:
                outlet.close()
    output = " ".join(said.last.decode(errors="replace").split())
    if why_not_loaded(command[0], code, output) and (
        reason := await asyncio.to_thread(why_not_run, command[0], environment.get("PATH"))
    ):
        raise CantRun(f"{command[0]} can't be run: {reason}")
    return Finished(code, output, told.first if whole else b"")


def _command_line(command: Sequence[str], noted: Sequence[str]) -> list[str]:
    """As `by_shell`. An empty file, which a full disk or a broken copy left, is no script: a shell would "run" it, and
    the status, 0, would say that its service runs.
    """
    shell, option, text, program, *words = by_shell(command)
    steps = [*([NOTE] if noted else []), *([NOT_EMPTY] if "/" in program else []), text]
    return [shell, option, "; ".join(steps), program, *noted, *words]


def why_not_run(program: str, searched: str | None = None) -> str:
    """What is wrong with the file of a program, for the one who must repair it; "" if nothing is. Reads the disk."""
    if "/" not in program:
        return "" if shutil.which(program, path=searched) else f"No such file or directory: it is not in {searched}"
    path = Path(program)
    try:
        status = path.stat()
        mode = status.st_mode
    except FileNotFoundError:
        if path.is_symlink():
            return f"No such file or directory: it is a link to {path.readlink()}, which is missing"
        return os.strerror(2)
    except OSError as error:
        return error.strerror or str(error)
    if stat.S_ISDIR(mode):
        return "Permission denied: it is a directory"
    if not stat.S_ISREG(mode):
        return "Permission denied: it is no regular file"
    if status.st_size == 0:
        return "it is empty"
    if not os.access(path, os.X_OK):
        if mode & 0o111 and os.statvfs(path).f_flag & os.ST_NOEXEC:
            return "Permission denied: its file system is mounted noexec"
        return f"Permission denied: it is not executable (chmod +x {program})"
    return _why_no_interpreter(path)


def _why_no_interpreter(path: Path) -> str:
    try:
        with path.open("rb") as file:
            line = file.readline(256)
    except OSError:
        return ""  # a program may be executable without being readable
    words = line[2:].decode(errors="replace").split() if line.startswith(b"#!") else []
    if words and not os.access(words[0], os.X_OK):
        return f"No such file or directory: its interpreter {words[0]!r}, in its first line, is missing"
    return ""


class _Outlet:
    """A pipe that is read as fast as it is filled; `first` and `last` are what is kept of it."""

    def __init__(self, first: int, last: int) -> None:
        """How many bytes of its beginning and of its end are kept."""
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.first = b""
        self.last = b""
        self._keep_first, self._keep_last = first, last
        self._resume: asyncio.TimerHandle | None = None
        self._at_end = False

    def drain(self) -> None:
        """Begin to read; the writing end is now the program's alone."""
        os.close(self.writer)
        self.writer = -1
        self._watch()

    def _watch(self) -> None:
        self._resume = None
        asyncio.get_running_loop().add_reader(self.reader, self._readable)

    def _readable(self) -> None:
        if self._read() >= CHUNK:
            self._unwatch()
            with contextlib.suppress(OSError):  # a user may have only so much of it
                fcntl.fcntl(self.reader, fcntl.F_SETPIPE_SZ, FLOOD_CHUNK)
            self._resume = asyncio.get_running_loop().call_later(FLOOD_PAUSE, self._watch)
        elif self._at_end:
            self._unwatch()

    def _read(self) -> int:
        """Take what is there, and keep what is wanted of it."""
        try:
            data = os.read(self.reader, FLOOD_CHUNK)
        except BlockingIOError:
            return 0
        self._at_end = not data
        if len(self.first) < self._keep_first:
            self.first += data[: self._keep_first - len(self.first)]
        if self._keep_last:
            self.last = (self.last + data)[-self._keep_last :]
        return len(data)

    def _unwatch(self) -> None:
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        asyncio.get_running_loop().remove_reader(self.reader)

    def finish(self) -> bool:
        """Take what is left in the pipe; whether somebody still holds its writing end."""
        self._unwatch()
        for _ in range(LAST_READS):
            if self._at_end or self._read() == 0:
                break
        return not self._at_end

    def close(self) -> None:
        for end in (self.reader, self.writer):
            if end >= 0:
                os.close(end)
        self.reader = self.writer = -1


async def _sink(reader: int) -> None:
    """Let a `cat` of its own read the pipe to its end. Its parent, a shell, ends at once: nobody need wait for it."""
    os.set_blocking(reader, True)  # cat would take "nothing now" for an error
    with contextlib.suppress(OSError):
        process = subprocess.Popen(  # noqa: ASYNC220
            ["/bin/sh", "-c", SINK], stdin=reader, env=ENVIRONMENT, cwd="/", start_new_session=True
        )
        async with asyncio.timeout(KILL_WAIT):
            await exit_of(process.pid)
        process.wait()


async def _ended(process: subprocess.Popen[bytes], unkilled: Unkilled | None) -> int:
    """The exit code of the leader of a process group. Who does not wait for the end leaves nothing of the group."""
    try:
        await exit_of(process.pid)
    except (asyncio.CancelledError, OSError):
        # Time is up, or a newer operation came: nothing of this one may go on.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(KILL_WAIT):
                await exit_of(process.pid)
        process.poll()
        if unkilled is not None:
            await unkilled.note(process.pid)
        raise
    return process.wait()


async def exit_of(pid: int) -> None:
    """Wait until the process has ended, without reaping it. Raises OSError if it can't be watched (pidfd_open(2))."""
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(pid)
    try:
        ended = asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
