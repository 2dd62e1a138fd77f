"""Slows a stream that says more than its share, by reading it later: what it sends then waits on its own side."""

from __future__ import annotations

BURST = 1.0
"""Seconds for which a stream may be ahead of its pace: a few reports at once are nothing."""


class Pace:
    """Of one stream (a leaky bucket, as ITU-T I.371 has it)."""

    def __init__(self) -> None:
        self._due = 0.0

    def wait(self, now: float, rate: float) -> float:
        """Count one message; seconds until the next may be read. rate: messages a second that are this stream's."""
        self._due = max(self._due, now) + 1.0 / rate
        return max(0.0, self._due - now - BURST)
