"""Ends processes in hamgrd's place: sessions, control groups of systemd units, and services by their own stop commands.

All of it may hang on a dead disk, so the guard does it in a process of its own, after the addresses are gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from hamgr.guard.orders import RUN, SESSION, UNIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from hamgr.guard.orders import Order

CGROUPS = "/sys/fs/cgroup"
DEPTH = 4
"""Of slices below one another in which a unit is looked for."""

KILL_WAIT = 1.0
"""Seconds for what was killed to be gone."""

PAUSE = 0.02


def end(orders: Sequence[Order]) -> list[str]:
    """Carry out all but the addresses, one after the other; returns what was done, for people.

    Processes that can be killed are killed first: a stop command may take its whole time.
    """
    done = []
    for kind, what, *_ in orders:
        if kind == SESSION:
            killed = kill_session(what)
        elif kind == UNIT:
            killed = kill_unit(what)
        else:
            continue
        if killed:
            done.append(killed)
    done += [run(order) for order in orders if order[0] == RUN]
    return done


# -- processes --------------------------------------------------------------------------------------------------


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the state on (proc(5)); empty if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _of_session(leader: int) -> Iterator[int]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields and fields[0] not in b"ZX" and int(fields[3]) == leader:
                yield int(entry)


def kill_session(mark: str) -> str:
    """The mark: the life of the machine, and the leader's line of /proc/PID/stat."""
    try:
        with open(mark, errors="replace") as file:
            life, line = file.readline(), file.readline()
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
    except OSError:
        return ""
    head, _, rest = line.rpartition(")")
    pid, fields = head.partition(" (")[0], rest.split()
    if not life.startswith(boot) or not pid.isdigit() or len(fields) < 20:
        return ""
    leader, now = int(pid), _stat(int(pid))
    if now and now[19] != fields[19].encode():
        return ""  # the number is another's by now
    return _killed(f"the session of {line.partition(')')[0]})", lambda: _of_session(leader))


def _killed(what: str, members: Callable[[], Iterable[int]]) -> str:
    until = time.monotonic() + KILL_WAIT
    count = 0
    while pids := list(members()):
        count = count or len(pids)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > until:
            return f"{what} was killed, and process {pids[0]} hangs in the kernel"
        time.sleep(PAUSE)
    return f"{what} is killed ({count})" if count else ""


def _cgroup(unit: str) -> str:
    for directory, below, _files in os.walk(CGROUPS):
        if unit in below:
            return f"{directory}/{unit}"
        if directory.count("/") - CGROUPS.count("/") >= DEPTH:
            below.clear()
        below[:] = [name for name in below if name.endswith(".slice") or name in ("systemd", "unified")]
    return ""


def _of_cgroup(directory: str) -> Iterator[int]:
    for here, _below, files in os.walk(directory):
        if "cgroup.procs" in files:
            try:
                with open(f"{here}/cgroup.procs") as file:
                    yield from map(int, file.read().split())
            except OSError:
                continue


def kill_unit(unit: str) -> str:
    directory = _cgroup(unit)
    return _killed(f"unit {unit}", lambda: _of_cgroup(directory)) if directory else ""


# -- commands ---------------------------------------------------------------------------------------------------


def run(order: Order) -> str:
    """Run it in a session of its own, which is killed when its time is up."""
    _kind, seconds, settings, *rest = order
    environment = dict(one.split("=", 1) for one in rest[: int(settings)])
    command = rest[int(settings) :]
    shown = " ".join(command)
    pid = os.fork()
    if pid == 0:
        _become(command, environment)
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return f"{shown} ended with {os.waitstatus_to_exitcode(status)}"
        time.sleep(PAUSE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return f"{shown} did not end within {seconds} s"


def _become(command: list[str], environment: dict[str, str]) -> None:
    try:
        os.setsid()
        nothing = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        os.execvpe(command[0], command, environment)
    finally:
        os._exit(127)
