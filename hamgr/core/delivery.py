"""Sequence numbers, gaps and retransmit-requests: control messages over links that lose, double and overtake.

Between two lives of two nodes every control message has a number, from 1; heartbeats say the newest one that was given.
A message is the present state of its *slot* (`hamgr.core.messages.slot`): it makes all earlier ones of that slot void.
So a message is handled once, however many links brought it, and never after a later one of its slot; what is missing
is asked for, and only what still says something is sent again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hamgr.core.effects import Effect, Persist, Send
from hamgr.core.messages import Body, Order, Report, ViewUpdate, VoteReply, slot

MAX_SLOTS = 64
"""Messages that are kept for one peer, to be sent again: the newest of each slot."""

MAX_MISSING = 256
"""Missing numbers of one peer that are remembered; of more, the newest."""

MAX_ASKED = 32
"""Numbers in one request."""

WINDOW = 512
"""Numbers back from the newest that are told apart; older ones were handled or are void."""

STATE = (ViewUpdate, Order, Report, VoteReply)
"""What a peer is sent that asks for more than is kept: together it says all that this node wants of it, or is to it."""


@dataclass(slots=True)
class _Sent:
    number: int
    body: Body
    barrier: int = 0
    """The record that must be on disk before the message may leave; 0 for none."""


@dataclass(slots=True)
class _Outbox:
    """What we said to one life of a peer. announced: the newest number that may have left. floor: up to here messages
    were thrown away that no later one made void."""

    life: int
    last: int = 0
    announced: int = 0
    floor: int = 0
    newest: dict[str, _Sent] = field(default_factory=dict)


@dataclass(slots=True)
class _Inbox:
    """What one life of a peer said to us. seen: bit n is `top - n`. missing: number -> when it was missed."""

    life: int
    top: int = 0
    seen: int = 0
    missing: dict[int, float] = field(default_factory=dict)
    asked_at: float = float("-inf")
    handled: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Again:
    """The answer to a retransmit-request. resync: no message up to this number comes again (0: say nothing)."""

    messages: tuple[tuple[int, Body], ...] = ()
    resync: int = 0


class Delivery:
    """Both directions with every peer. keepalive: seconds."""

    def __init__(self, keepalive: float) -> None:
        self._keepalive = keepalive
        self._out: dict[str, _Outbox] = {}
        self._in: dict[str, _Inbox] = {}
        self.asked = 0

    # -- what we send -------------------------------------------------------------------------------------------

    def number(self, peer: str, life: int, body: Body) -> int:
        """The number of a new message to this life of the peer."""
        box = self._outbox(peer, life)
        box.last += 1
        name = slot(body)
        box.newest.pop(name, None)
        box.newest[name] = _Sent(box.last, body)
        if len(box.newest) > MAX_SLOTS:
            oldest = next(iter(box.newest))
            box.floor = max(box.floor, box.newest.pop(oldest).number)
        return box.last

    def announced(self, peer: str, life: int) -> int:
        """What a heartbeat to this life of the peer says: the newest number that it should have got."""
        box = self._out.get(peer)
        return box.announced if box is not None and box.life == life else 0

    def end_of_step(self, effects: list[Effect]) -> None:
        """Learn what a step lets go. What stands behind a record must not be sent again before that is on disk."""
        barrier = 0
        for effect in effects:
            if isinstance(effect, Persist):
                barrier = effect.serial
            elif isinstance(effect, Send) and effect.number:
                box = self._out[effect.to]
                sent = box.newest.get(slot(effect.body))
                if barrier and sent is not None and sent.number == effect.number:
                    sent.barrier = barrier
                elif not barrier:
                    box.announced = max(box.announced, effect.number)

    def persisted(self, serial: int) -> None:
        """The messages behind this record have left."""
        for box in self._out.values():
            for sent in box.newest.values():
                if sent.barrier == serial:
                    sent.barrier = 0
                    box.announced = max(box.announced, sent.number)

    def unwritten(self, serial: int) -> None:
        """The messages behind this record were dropped, and never will be sent."""
        for box in self._out.values():
            for name in [name for name, sent in box.newest.items() if sent.barrier == serial]:
                del box.newest[name]

    def again(self, peer: str, life: int, missing: tuple[int, ...]) -> Again:
        """What a retransmit-request of this life of the peer is answered with."""
        box = self._out.get(peer)
        if box is None or box.life != life:
            return Again()
        wanted = {number for number in missing if 0 < number <= box.announced}
        kept = {sent.number: sent for sent in box.newest.values()}
        held = {number for number in wanted if number in kept and kept[number].barrier}
        found = {number: kept[number].body for number in wanted - held if number in kept}
        void = wanted - held - set(found)
        if any(number <= box.floor for number in void):
            state = [sent for sent in kept.values() if isinstance(sent.body, STATE) and not sent.barrier]
            found |= {sent.number: sent.body for sent in state}
        # Told only up to what is on its way: a request for that may come again, if it is lost once more.
        limit = min([*found, *held], default=box.announced + 1)
        return Again(tuple(sorted(found.items())), max((number for number in void if number < limit), default=0))

    def _outbox(self, peer: str, life: int) -> _Outbox:
        box = self._out.get(peer)
        if box is None or box.life != life:
            box = self._out[peer] = _Outbox(life)
        return box

    # -- what we get --------------------------------------------------------------------------------------------

    def take(self, now: float, peer: str, life: int, number: int, body: Body) -> bool:
        """Note a message; False if it is not to be handled: it was, or a later one of its slot was."""
        box = self._inbox(peer, life)
        if number > box.top:
            self._missed(now, box, number - 1)
            box.seen = (box.seen << (number - box.top) | 1) & ((1 << WINDOW) - 1)
            box.top = number
        else:
            age = box.top - number
            if age >= WINDOW or box.seen >> age & 1:
                return False
            box.seen |= 1 << age
            box.missing.pop(number, None)
        name = slot(body)
        if number < box.handled.get(name, 0):
            return False
        box.handled.pop(name, None)
        box.handled[name] = number
        if len(box.handled) > MAX_SLOTS:
            del box.handled[next(iter(box.handled))]
        return True

    def heard_of(self, now: float, peer: str, life: int, number: int) -> None:
        """A heartbeat says that messages up to this number were sent."""
        box = self._inbox(peer, life)
        if number > box.top:
            self._missed(now, box, number)
            box.seen = (box.seen << (number - box.top)) & ((1 << WINDOW) - 1)
            box.top = number

    def _missed(self, now: float, box: _Inbox, upto: int) -> None:
        for number in range(max(box.top, upto - MAX_MISSING) + 1, upto + 1):
            box.missing[number] = now
        while len(box.missing) > MAX_MISSING:
            del box.missing[next(iter(box.missing))]

    def resync(self, peer: str, life: int, upto: int) -> None:
        """The peer says that nothing up to this number comes again."""
        box = self._inbox(peer, life)
        box.missing = {number: since for number, since in box.missing.items() if number > upto}

    def _inbox(self, peer: str, life: int) -> _Inbox:
        box = self._in.get(peer)
        if box is None or box.life != life:
            box = self._in[peer] = _Inbox(life)
        return box

    def _due_at(self, box: _Inbox) -> float:
        """Half a keepalive after the first was missed, since links overtake one another; then once a keepalive."""
        if not box.missing:
            return float("inf")
        return max(min(box.missing.values()) + self._keepalive / 2, box.asked_at + self._keepalive)

    def due(self, now: float, peer: str, life: int) -> tuple[int, ...]:
        """The numbers to ask this life of the peer for now."""
        box = self._in.get(peer)
        if box is None or box.life != life or now < self._due_at(box):
            return ()
        box.asked_at = now
        self.asked += 1
        return tuple(sorted(box.missing)[:MAX_ASKED])

    def deadlines(self, lives: dict[str, int]) -> Iterator[float]:
        """The times at which `due` may have something. lives: the peers that are heard, with their lives."""
        for peer, life in lives.items():
            box = self._in.get(peer)
            if box is not None and box.life == life and box.missing:
                yield self._due_at(box)
