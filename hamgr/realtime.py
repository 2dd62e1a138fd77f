"""Real-time scheduling and locked memory for the daemon, so that a loaded machine does not make its heartbeats late."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
"""mlockall(2). On fault: locked is what is used, not every thread's whole stack."""


@dataclass(frozen=True, slots=True)
class RealTime:
    """What the daemon got. detail: in a sentence, with what is missing and why."""

    scheduled: bool = False
    locked: bool = False
    detail: str = "not asked for (realtime = false)"

    @property
    def complete(self) -> bool:
        return self.scheduled and self.locked


def enter(priority: int) -> RealTime:
    """Schedule every thread of this process by SCHED_RR and lock its memory; never raises.

    Every thread: one that were left behind could be held up by other programs while it has the interpreter's lock.
    Processes that are started from now on are ordinary ones (SCHED_RESET_ON_FORK, sched(7)).
    """
    missing = []
    scheduled = locked = False
    try:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
        scheduled = True
    except OSError as error:
        missing.append(f"SCHED_RR is refused ({error.strerror}): give hamgrd CAP_SYS_NICE")
    if (reason := _lock_memory()) == "":
        locked = True
    else:
        missing.append(f"memory can't be locked ({reason}): give hamgrd CAP_IPC_LOCK")
    got = [f"SCHED_RR priority {priority}"] * scheduled + ["memory locked"] * locked
    return RealTime(scheduled, locked, "; ".join([*got, *missing]))


def _lock_memory() -> str:
    """Keep this process in memory; returns why it can't be, or ""."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0:
        return ""
    return os.strerror(ctypes.get_errno())
