"""Which node tells of what several nodes see: the coordinator; but what it can't tell anymore, another one does.

A follower keeps such an event for a while. If it becomes coordinator meanwhile, or if there is no coordinator at the
end, it tells it: what the old coordinator saw and took into its grave. So an event may be told twice, and never not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from hamgr.admin.events import LoggedEvent
from hamgr.core.effects import Kind

SHARED = frozenset({Kind.NODE_SUSPECTED, Kind.NODE_DEAD, Kind.NODE_LEFT, Kind.NODE_UP, Kind.COORDINATOR})
"""What every node announces. A link is not among them: its two ends see it, and neither may be the coordinator."""

MOST_KEPT = 200


class Turns:
    """Of one node. coordinator: who is it now, "" for nobody. hold: seconds, more than a failover takes."""

    def __init__(self, me: str, coordinator: Callable[[], str], hold: float) -> None:
        self._me = me
        self._coordinator = coordinator
        self._hold = hold
        self._kept: deque[tuple[float, LoggedEvent]] = deque(maxlen=MOST_KEPT)

    def take(self, event: LoggedEvent, now: float) -> list[LoggedEvent]:
        """What is to be told now, after this one came."""
        shared = event.announce.kind in SHARED
        if shared:
            self._kept.append((now + self._hold, event))
        if self._coordinator() == self._me:
            return [*self._release(), *([] if shared else [event])]
        return [] if shared else [event]

    def due(self, now: float) -> list[LoggedEvent]:
        """What nobody else has told, now that the time of the oldest is over."""
        if self._coordinator() == self._me:
            return self._release()
        over = []
        while self._kept and self._kept[0][0] <= now:
            over.append(self._kept.popleft()[1])
        return over if self._coordinator() == "" else []

    @property
    def deadline(self) -> float:
        """When `due` is to be asked next; infinity for never."""
        return self._kept[0][0] if self._kept else float("inf")

    def _release(self) -> list[LoggedEvent]:
        kept = [event for _, event in self._kept]
        self._kept.clear()
        return kept
