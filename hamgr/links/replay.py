"""Remembers which frames of a sender's lives were taken, so that none is taken twice."""

from __future__ import annotations

from dataclasses import dataclass, field

WINDOW = 1024
"""Packets by which one may come late on its link and still be taken (RFC 4303, 3.4.3)."""

LIVES = 16
"""Lives of one sender, on one link, whose windows are kept: several arbiter processes are lives of one sender."""

RETIRED = 1024
"""Lives of one sender, on one link, that are remembered as over."""


@dataclass(slots=True)
class Window:
    """Which of the newest sequence numbers of one life were seen: bit n of `seen` is `newest - n`.

    current: a frame of this life named our own life, so it was sealed since we started.
    """

    newest: int = 0
    seen: int = 0
    current: bool = False

    def take(self, sequence: int) -> bool:
        """Note this number; False if it was seen before, or is too old to tell."""
        if sequence > self.newest:
            self.seen = (self.seen << min(sequence - self.newest, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self.newest = sequence
            return True
        age = self.newest - sequence
        if age >= WINDOW or self.seen >> age & 1:
            return False
        self.seen |= 1 << age
        return True


@dataclass(slots=True)
class Lives:
    """The windows of a sender's lives on one link, the one that was heard last at the end.

    When a new life needs room, a life that never named ours gives way first. It may be a recording from before our
    start, and recordings must never push out the peer that lives. It is forgotten, so its frames may pass again; they
    are heartbeats without an echo of ours, from which the core believes nothing. A life that did name ours gives way
    only to later ones, and is refused from then on.
    """

    windows: dict[int, Window] = field(default_factory=dict)
    retired: dict[int, None] = field(default_factory=dict)

    def take(self, incarnation: int, sequence: int, names_ours: bool) -> bool:
        window = self.windows.get(incarnation)
        if window is None:
            if incarnation in self.retired:
                return False
            self._make_room()
            window = Window()
        if not window.take(sequence):
            return False
        window.current = window.current or names_ours
        self.windows.pop(incarnation, None)
        self.windows[incarnation] = window
        return True

    def _make_room(self) -> None:
        if len(self.windows) < LIVES:
            return
        forgettable = (life for life, window in self.windows.items() if not window.current)
        life = next(forgettable, next(iter(self.windows)))
        if self.windows.pop(life).current:
            self.retired[life] = None
            if len(self.retired) > RETIRED:
                del self.retired[next(iter(self.retired))]
