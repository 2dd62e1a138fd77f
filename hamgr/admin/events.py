"""The newest events of a daemon, kept for watchers; a slow watcher loses events and never blocks the daemon."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from hamgr.core.effects import Announce, Kind

KEPT = 1000
"""Events that the log keeps, and that wait for one slow watcher at most."""


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """number: counts the daemon's events from 1. time: wall clock, seconds since 1970. monotonic: seconds.
    reporter: the node whose daemon says it."""

    number: int
    time: float
    monotonic: float
    reporter: str
    announce: Announce


class EventLog:
    """Used from the daemon's event loop only."""

    def __init__(self, reporter: str) -> None:
        self._reporter = reporter
        self._events: deque[LoggedEvent] = deque(maxlen=KEPT)
        self._watchers: set[Subscription] = set()
        self._number = 0

    def append(self, announce: Announce, wall: float, monotonic: float) -> LoggedEvent:
        self._number += 1
        event = LoggedEvent(self._number, wall, monotonic, self._reporter, announce)
        self._events.append(event)
        for watcher in self._watchers:
            watcher._put(event)
        return event

    def past(self, count: int) -> tuple[LoggedEvent, ...]:
        """The newest `count` events, the oldest of them first."""
        return tuple(self._events)[max(0, len(self._events) - count) :]

    def subscribe(self, past: int = 0) -> Subscription:
        """The newest `past` events and then all that come; close it when done."""
        watcher = Subscription(self, self.past(past))
        self._watchers.add(watcher)
        return watcher

    def _forget(self, watcher: Subscription) -> None:
        self._watchers.discard(watcher)


class Subscription:
    """One watcher's events, as an async iterator without an end."""

    def __init__(self, log: EventLog, past: tuple[LoggedEvent, ...]) -> None:
        self._log = log
        self._waiting: deque[LoggedEvent] = deque(past)
        self._dropped = 0
        self._arrived = asyncio.Event()

    def _put(self, event: LoggedEvent) -> None:
        if len(self._waiting) >= KEPT:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(event)
        self._arrived.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> LoggedEvent:
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        if self._dropped:
            count, self._dropped = self._dropped, 0
            return _note_of_loss(count, self._waiting[0])
        return self._waiting.popleft()

    def rest(self) -> tuple[LoggedEvent, ...]:
        """What has come and was not taken yet."""
        rest = tuple(self._waiting)
        self._waiting.clear()
        return rest

    def close(self) -> None:
        self._log._forget(self)


def _note_of_loss(count: int, following: LoggedEvent) -> LoggedEvent:
    text = f"this watcher was too slow: {count} events before number {following.number} were dropped"
    note = Announce(Kind.WARNING, text, facts={"dropped": str(count)})
    return LoggedEvent(following.number - 1, following.time, following.monotonic, following.reporter, note)
