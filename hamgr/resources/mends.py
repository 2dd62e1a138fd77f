"""How often something is put back that someone takes away, before that is given up."""

from __future__ import annotations

from collections import deque

MOST_MENDS = 5
MEND_WINDOW = 60.0
"""What is taken away more often than that many times in that many seconds is not put back again."""


class Mends:
    """Of one thing. Times are seconds of any clock that only goes forward."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MOST_MENDS)

    def too_many(self, now: float) -> str:
        """Count one more, and say how often it was when that is too often; "" when it may be put back."""
        if len(self._times) == MOST_MENDS and now - self._times[0] < MEND_WINDOW:
            return f"{MOST_MENDS + 1} times within {now - self._times[0]:.0f} s"
        self._times.append(now)
        return ""
