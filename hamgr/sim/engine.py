"""Virtual time: a heap of actions, taken in the order of their times and, within one time, of their making."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Engine:
    """`now` is the universe's true time in seconds; no node ever sees it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.handled = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._made = 0

    def at(self, time: float, action: Callable[..., None], *args: Any) -> None:
        """Have `action(*args)` called at this time (at once if it is past)."""
        self._made += 1
        heapq.heappush(self._heap, (max(time, self.now), self._made, action, args))

    def after(self, delay: float, action: Callable[..., None], *args: Any) -> None:
        self.at(self.now + delay, action, *args)

    def run_until(self, end: float) -> None:
        """Take every action that is due by `end`; whatever one raises ends the run."""
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, action, args = heapq.heappop(heap)
            self.handled += 1
            action(*args)
        self.now = end


class Clock:
    """A machine's monotonic clock: seconds since some moment before its boot, running a little fast or slow."""

    def __init__(self, true_now: float, reading: float, rate: float) -> None:
        self._rate = rate
        self._offset = reading - rate * true_now
        self._least = reading

    def local(self, true: float) -> float:
        return max(self._least, self._offset + self._rate * true)

    def true(self, local: float) -> float:
        return (local - self._offset) / self._rate

    def stand_still(self, true_now: float, duration: float) -> None:
        """It does not count this time, as a virtual machine's that its hypervisor suspends."""
        self._least = self.local(true_now)
        self._offset -= self._rate * duration
