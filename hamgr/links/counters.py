"""Counts what the links drop, and says it in the log at a bounded rate."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hamgr.links.codec import RejectReason

log = logging.getLogger(__name__)

LOG_INTERVAL = 10.0
"""Seconds between two log lines about dropped frames of the same link and reason."""


@dataclass(slots=True)
class LinkCount:
    """What one link dropped since the start."""

    send_failures: int = 0
    rejected: dict[RejectReason, int] = field(default_factory=dict)


class Counters:
    """One `LinkCount` a link. Links and reasons are few, whatever arrives, so memory is bounded."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.links: dict[str, LinkCount] = {}
        self._clock = clock
        self._said: dict[tuple[str, RejectReason], tuple[float, int]] = {}

    def of(self, link: str) -> LinkCount:
        return self.links.setdefault(link, LinkCount())

    def rejected(self, link: str, reason: RejectReason, source: str) -> None:
        count = self.of(link).rejected
        count[reason] = count.get(reason, 0) + 1
        now = self._clock()
        said_at, said = self._said.get((link, reason), (float("-inf"), 0))
        if now - said_at < LOG_INTERVAL:
            return
        self._said[(link, reason)] = (now, count[reason])
        log.warning(
            "link %s: dropped %d frame(s), the last from %s: %s", link, count[reason] - said, source, reason.value
        )
