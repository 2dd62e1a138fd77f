"""The record of a run: a hash over everything that happened, and the last lines of it for a human."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable

from hamgr.core.effects import Announce

LAST = 40
"""Lines that a failure report shows."""


class Trace:
    """`note` is for what a reader wants to see, `digest` for what only has to be the same in a second run."""

    def __init__(self, show: Callable[[str], None] | None = None) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._show = show
        self.last: deque[str] = deque(maxlen=LAST)
        self.counts: Counter[str] = Counter()
        self.announced: list[tuple[float, str, Announce]] = []

    def note(self, now: float, who: str, text: str) -> None:
        line = f"{now:10.4f}s {who:8} {text}"
        self._hash.update(line.encode())
        self.last.append(line)
        if self._show is not None:
            self._show(line)

    def digest(self, now: float, who: str, what: str) -> None:
        self._hash.update(f"{now!r}{who}{what}".encode())

    def announce(self, now: float, wall: float, who: str, announce: Announce) -> None:
        """wall: the time of day that the daemon's log would show."""
        self.digest(wall, who, announce.kind.value)
        self.announced.append((now, who, announce))
        self.counts[announce.kind.value] += 1
        self.note(now, who, f"{announce.kind.value}: {announce.text}")

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
