"""The record of a run: a hash over everything that happened, and the last lines of it for a human."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable

from hamgr.core.effects import Announce, Kind

LAST = 40
"""Lines that a failure report shows."""

UNTOLD = frozenset({Kind.STARTED, Kind.LINK_UP, Kind.VOTE_ASKED, Kind.GROUP_STARTING, Kind.GROUP_STOPPING})
"""Announcements that the story leaves out: their ends are in it."""


class Trace:
    """`note` is for what a reader wants to see, `digest` for what only has to be the same in a second run."""

    def __init__(self, show: Callable[[str], None] | None = None) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._show = show
        self.last: deque[str] = deque(maxlen=LAST)
        self.counts: Counter[str] = Counter()
        self.story: list[tuple[float, str, str]] = []
        """What a scenario's expected log consists of: time, who, what."""

    def note(self, now: float, who: str, text: str) -> None:
        line = f"{now:10.4f}s {who:8} {text}"
        self._hash.update(line.encode())
        self.last.append(line)
        if self._show is not None:
            self._show(line)

    def tell(self, now: float, who: str, text: str) -> None:
        """Note something that belongs to the story too."""
        self.story.append((now, who, text))
        self.note(now, who, text)

    def digest(self, now: float, who: str, what: str) -> None:
        self._hash.update(f"{now!r}{who}{what}".encode())

    def announce(self, now: float, wall: float, who: str, announce: Announce) -> None:
        """wall: the time of day that the daemon's log would show."""
        self.digest(wall, who, announce.kind.value)
        if announce.kind not in UNTOLD:
            words = (announce.kind.value, announce.node, announce.group, announce.link)
            self.story.append((now, who, " ".join(word for word in words if word)))
        self.counts[announce.kind.value] += 1
        self.note(now, who, f"{announce.kind.value}: {announce.text}")

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
