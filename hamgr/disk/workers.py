"""Starts a process that has a shared disk open, and lets go of it: a disk that hangs must not hang hamgrd."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Sequence

from hamgr.spawn import by_shell

GOODBYE = 0.5
"""Seconds that a worker may take to end; one that waits for a dead disk ends when the kernel lets it."""


def connection(buffer: int) -> tuple[socket.socket, socket.socket]:
    """Our end, which never blocks, and the worker's. buffer: bytes that wait in each direction."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    for end in (ours, its):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    return ours, its


async def start(module: str, its: socket.socket, words: Sequence[str]) -> asyncio.subprocess.Process:
    """`python -m MODULE SOCKET WORDS`. The socket stays open here; the worker ends when our end is closed."""
    return await asyncio.create_subprocess_exec(
        *by_shell([sys.executable, "-m", module, str(its.fileno()), *words]),
        stdin=asyncio.subprocess.DEVNULL,
        pass_fds=[its.fileno()],
        start_new_session=True,
    )


async def end(process: asyncio.subprocess.Process) -> None:
    """Its socket is closed, so it ends after what it is doing. Not waited for for ever: with a dead disk it can't even
    be killed."""
    for last in (False, True):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GOODBYE)
            return
        if not last:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
