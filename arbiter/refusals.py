"""Counts whom the arbiter turned away and why, and says it in the log at a bounded rate."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger("hamgr-arbiter")

LOG_INTERVAL = 10.0
"""Seconds between two log lines about the same reason."""

MOST_REASONS = 256
"""Different reasons that are counted; what comes then is counted as "other": names in them are the sender's choice."""


class Refusals:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: dict[str, int] = {}
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}

    def note(self, where: str, reason: str, source: str = "") -> None:
        """where: at which door."""
        key = f"{where}: {reason}"
        if key not in self.counts and len(self.counts) >= MOST_REASONS:
            key = f"{where}: other"
        self.counts[key] = self.counts.get(key, 0) + 1
        now = self._clock()
        said_at, said = self._said.get(key, (float("-inf"), 0))
        if now - said_at < LOG_INTERVAL:
            return
        self._said[key] = (now, self.counts[key])
        last = f", the last from {source}" if source else ""
        log.warning("%s: refused %d time(s)%s: %s", where, self.counts[key] - said, last, reason)
