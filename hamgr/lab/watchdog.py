"""A stand-in for a machine's watchdog: a pipe on its disk; a machine that does not write to it in time loses its power.

As a real one with the magic close: the first byte arms it, `V` alone disarms it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

_CHUNK = 4096
_DISARM = b"V"


class StandInWatchdog:
    """timeout: seconds. bite: called in the loop when the machine was not heard for so long."""

    def __init__(self, path: Path, timeout: float, bite: Callable[[], None]) -> None:
        self._timeout = timeout
        self._bite = bite
        self._timer: asyncio.TimerHandle | None = None
        os.mkfifo(path, 0o600)
        # Open at both ends, so that a feeder that ended is no end.
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def fileno(self) -> int:
        """Readable when the machine has written; then call `serve`."""
        return self._pipe

    def serve(self) -> None:
        fed = self._read()
        if not fed:
            return
        if self._timer is not None:
            self._timer.cancel()
        armed = fed[-1:] != _DISARM
        self._timer = asyncio.get_running_loop().call_later(self._timeout, self._due) if armed else None

    def _due(self) -> None:
        self._timer = None
        fed = self._read()
        if fed:
            # We were late ourselves, as when another machine was just being booted.
            self._timer = asyncio.get_running_loop().call_later(self._timeout, self._due)
        else:
            self._bite()

    def _read(self) -> bytes:
        try:
            return os.read(self._pipe, _CHUNK)
        except BlockingIOError:
            return b""
