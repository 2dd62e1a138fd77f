"""How late the daemon's loop wakes up: a histogram of its own timers.

A heartbeat that leaves late because of us looks to the others like our death, so this is measured all the time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

STEPS = 8
"""Buckets from one power of two to the next: a percentile is told to about a tenth of its value."""

SMALLEST = 1e-5
"""Seconds. What is less late is not told apart; the kernel's own timer slack is five times as much (prctl(2))."""

BOUNDS = tuple(SMALLEST * 2 ** (step / STEPS) for step in range(21 * STEPS + 1))
"""Upper ends of the buckets, up to 21 seconds; what is later counts in one more."""


def percentile(counts: Sequence[int], share: float) -> float:
    """The bucket's end, in seconds, up to which this share (0 to 1) of all counts lies; infinite for the last."""
    wanted, found = share * sum(counts), 0
    for bound, count in zip(BOUNDS, counts, strict=False):
        found += count
        if found >= wanted:
            return bound
    return float("inf")


class Lateness:
    """Counts from the start of the daemon; `worst_since` tells of the time since it was last asked."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.max = 0.0
        self._recent_max = 0.0

    def note(self, seconds: float) -> None:
        late = max(0.0, seconds)
        self.counts[bisect_left(BOUNDS, late)] += 1
        self.max = max(self.max, late)
        self._recent_max = max(self._recent_max, late)

    @property
    def count(self) -> int:
        return sum(self.counts)

    def percentile(self, share: float) -> float:
        """Seconds that this share (0 to 1) of all timers was late at most; 0 before the first."""
        return min(percentile(self.counts, share), self.max)

    def take_recent_max(self) -> float:
        """The worst since the last call, in seconds."""
        worst, self._recent_max = self._recent_max, 0.0
        return worst
