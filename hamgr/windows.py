"""The times of day at which groups may fail back: a move costs a moment of service, and some moments are better."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

LOOK = 20.0
"""Seconds between two looks at the clock."""

Window = tuple[int, int]
"""From and to, in minutes since midnight; from after to goes over midnight."""


def is_open(window: Window, minute: int) -> bool:
    """Does the window hold this minute of the day? Its last minute is outside."""
    begin, end = window
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def closed(windows: Mapping[str, Window], now: time.struct_time) -> frozenset[str]:
    """The groups whose window is closed at this local time."""
    minute = now.tm_hour * 60 + now.tm_min
    return frozenset(group for group, window in windows.items() if not is_open(window, minute))


class FailbackWindows:
    """Tells which groups stay where they are, at the start and when that changes."""

    def __init__(self, windows: Mapping[str, Window], changed: Callable[[frozenset[str]], None]) -> None:
        self._windows = dict(windows)
        self._changed = changed
        self._closed: frozenset[str] = frozenset()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._windows:
            self._look()

    def _look(self) -> None:
        now = closed(self._windows, time.localtime())
        if now != self._closed:
            self._closed = now
            self._changed(now)
        self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
