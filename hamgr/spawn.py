"""How programs are started from the loop: by way of a shell, so that a program on a hung disk holds only itself up.

Until a new process has loaded its program, the thread that made it waits (vfork(2)). The shell is in memory already;
it is the new process, and not we, that then waits for the disk.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence

_turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()

NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""How the shell ends when the program can't be loaded (POSIX, Shell Command Language, 2.8.2)."""


def by_shell(command: Sequence[str]) -> list[str]:
    """The command line that becomes `command`: the same process, the same arguments."""
    return ["/bin/sh", "-c", 'exec "$0" "$@"', *command]


async def our_turn() -> None:
    """Wait until we may start a script: one at a time, with a turn of the loop between two.

    Each takes a few ms, and hundreds that start together must not hold the heartbeats up. Fence agents don't
    queue here.
    """
    lock = _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with lock:
        await asyncio.sleep(0)


def why_not_loaded(program: str, code: int | None, output: str) -> str:
    """Why a process of `by_shell` could not load its program; "" when it did."""
    if code not in (NOT_EXECUTABLE, NOT_FOUND) or not output.startswith(f"{program}: "):
        return ""
    return "No such file or directory" if code == NOT_FOUND else "Permission denied"
