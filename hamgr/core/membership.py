"""Who is alive, and on which links: the failure detector of one node.

A peer is alive while it is heard on any link within `deadtime` *and* echoes our own recent heartbeats; a peer that
talks but does not hear us is as lost as a silent one (an asymmetric partition looks the same from both sides).

A life of a peer's daemon (its incarnation) is believed only after it echoed a heartbeat that we sent after we first
heard of that life. Packets of earlier lives, kept and sent again by anybody, can't do that.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hamgr.core.cluster import Timing
from hamgr.core.messages import Echo, Heartbeat

MAX_CANDIDATES = 4
"""Unproven incarnations of one peer that are remembered at a time; the oldest gives way."""

MAX_RETIRED = 64
"""Past incarnations of one peer that are remembered, to refuse their packets."""

MICROSECOND = 1e-6


def microseconds(now: float) -> int:
    return int(now * 1_000_000)


class Liveness(enum.Enum):
    UNSEEN = "unseen"
    ALIVE = "alive"
    SUSPECT = "suspect"
    DEAD = "dead"
    LEFT = "left"


HEARD = frozenset({Liveness.ALIVE, Liveness.SUSPECT})


class Change(enum.Enum):
    """What a heartbeat or the passing of time changed; the node turns it into announcements and decisions."""

    UP = "up"
    RESTARTED = "restarted"
    SUSPECTED = "suspected"
    TRUSTED = "trusted"
    DEAD = "dead"
    LINK_UP = "link-up"
    LINK_DOWN = "link-down"
    CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class Changed:
    """silent_for: seconds since the peer (or the link) was heard."""

    change: Change
    node: str
    link: str = ""
    silent_for: float = 0.0
    deaf: bool = False
    cut_off: bool = False
    """SUSPECTED since no link of our own leads there now."""


@dataclass(slots=True)
class _Candidate:
    since_us: int
    newest_us: int


@dataclass(slots=True)
class Peer:
    """One other node. incarnation 0: never proven. Times are seconds of our own monotonic clock."""

    name: str
    incarnation: int = 0
    liveness: Liveness = Liveness.UNSEEN
    heartbeat: Heartbeat | None = None
    """Its newest heartbeat, while it is heard."""
    heard_at: float = 0.0
    mutual_at: float = 0.0
    echoed_us: int = 0
    """Our newest stamp that this incarnation echoed; what leases are counted from."""
    newest_us: int = 0
    """Its newest stamp, which we echo."""
    barrier_us: int = 0
    """After a confirmed fence: heartbeats count again only when they echo a later stamp of ours."""
    said_us: int = 0
    """When, by our clock, its heartbeats began to say of its epoch and its disk what they say now."""
    load: int = 0
    """What it last said to run, by priority; kept when it is lost."""
    link_heard: dict[str, float] = field(default_factory=dict)
    link_up: dict[str, bool] = field(default_factory=dict)
    candidates: dict[int, _Candidate] = field(default_factory=dict)
    retired: dict[int, None] = field(default_factory=dict)

    @property
    def heard(self) -> bool:
        return self.liveness is Liveness.ALIVE or self.liveness is Liveness.SUSPECT

    def says(self, now: float, beat: Heartbeat) -> None:
        """Its newest heartbeat."""
        before = self.heartbeat
        if before is None or (before.epoch, before.stored, before.initialised) != (
            beat.epoch,
            beat.stored,
            beat.initialised,
        ):
            self.said_us = microseconds(now)
        self.heartbeat = beat
        self.load = beat.load


class Membership:
    """The failure detector: `heartbeat` for what comes in, `expire` for the passing of time."""

    def __init__(self, me: str, incarnation: int, links: Mapping[str, tuple[str, ...]], timing: Timing) -> None:
        """links: each peer with the links that lead to it."""
        self.me = me
        self.incarnation = incarnation
        self.timing = timing
        self.peers = {name: Peer(name) for name in links}
        self.links = dict(links)
        self.due = float("-inf")
        """Before this time (seconds) `expire` finds nothing. Heartbeats only put it off, so it is looked for anew when
        it has come, and not with each heartbeat of many nodes."""
        self.own_down: dict[str, str] = {}
        """Own links that don't work, by what the host sees of them, and why."""
        # Both directions' losses add up in an echo, and it is up to one keepalive older than the heartbeat.
        self.mutual_time = timing.deadtime + 2 * timing.keepalive

    def alive(self) -> list[str]:
        """The other nodes that are heard and hear us, in configuration order."""
        return [peer.name for peer in self.peers.values() if peer.heard]

    def echoes(self) -> tuple[Echo, ...]:
        """What our next heartbeat says to have heard: of lost peers too, which else could not find us again, and of
        unproven incarnations, which prove themselves by it."""
        found = []
        for peer in self.peers.values():
            if peer.incarnation and peer.liveness is not Liveness.LEFT:
                found.append(Echo(peer.name, peer.incarnation, peer.newest_us))
            for incarnation, candidate in peer.candidates.items():
                found.append(Echo(peer.name, incarnation, candidate.newest_us))
        return tuple(found)

    def addressee(self, name: str) -> int:
        """The incarnation to put on a heartbeat to this peer (0 while none is proven)."""
        return self.peers[name].incarnation if self.peers[name].heard else 0

    def heartbeat(self, now: float, link: str, sender: str, incarnation: int, beat: Heartbeat) -> list[Changed]:
        peer = self.peers[sender]
        if incarnation in peer.retired:
            return []
        echoed = self._echo_of_me(beat, now)
        if incarnation != peer.incarnation:
            return self._unproven(now, link, peer, incarnation, beat, echoed)
        if peer.liveness is Liveness.LEFT or echoed < peer.barrier_us:
            return []
        changes: list[Changed] = []
        if beat.sent_us > peer.newest_us:
            peer.newest_us = beat.sent_us
            peer.says(now, beat)
            peer.heard_at = now
            if echoed > peer.echoed_us:
                peer.echoed_us = echoed
                peer.mutual_at = max(peer.mutual_at, echoed * MICROSECOND)
            if not peer.heard:
                if now >= peer.mutual_at + self.mutual_time:
                    return []
                peer.liveness = Liveness.ALIVE
                self.due = now
                changes.append(Changed(Change.UP, sender))
            elif peer.liveness is Liveness.SUSPECT:
                peer.liveness = Liveness.ALIVE
                self.due = now
                changes.append(Changed(Change.TRUSTED, sender))
        elif peer.newest_us - beat.sent_us > microseconds(self.timing.deadtime):
            return []
        if peer.heard:
            changes += self._link_heard(now, peer, link)
        return changes

    def is_copy(self, now: float, link: str, sender: str, incarnation: int, beat: Heartbeat) -> bool:
        """A heartbeat that another link brought already: noted for its link, and there is nothing more to it."""
        peer = self.peers.get(sender)
        if peer is None or incarnation != peer.incarnation or not peer.heard or not peer.link_up.get(link):
            return False
        if not 0 <= peer.newest_us - beat.sent_us <= microseconds(self.timing.deadtime):
            return False
        peer.link_heard[link] = now
        return True

    def _echo_of_me(self, beat: Heartbeat, now: float) -> int:
        newest = 0
        for echo in beat.echoes:
            if echo.node == self.me and echo.incarnation == self.incarnation:
                newest = max(newest, echo.sent_us)
        return newest if newest <= microseconds(now) else 0

    def _unproven(
        self, now: float, link: str, peer: Peer, incarnation: int, beat: Heartbeat, echoed: int
    ) -> list[Changed]:
        candidate = peer.candidates.get(incarnation)
        if candidate is None:
            while len(peer.candidates) >= MAX_CANDIDATES:
                del peer.candidates[next(iter(peer.candidates))]
            peer.candidates[incarnation] = _Candidate(since_us=microseconds(now), newest_us=beat.sent_us)
            return [Changed(Change.CANDIDATE, peer.name)]
        candidate.newest_us = max(candidate.newest_us, beat.sent_us)
        if echoed < candidate.since_us or echoed == 0:
            return []
        old = peer.incarnation
        was_heard = peer.heard
        if old and old != incarnation:
            peer.retired[old] = None
            while len(peer.retired) > MAX_RETIRED:
                del peer.retired[next(iter(peer.retired))]
        peer.incarnation = incarnation
        peer.liveness = Liveness.ALIVE
        peer.says(now, beat)
        peer.heard_at = now
        peer.mutual_at = echoed * MICROSECOND
        peer.echoed_us = echoed
        peer.newest_us = candidate.newest_us
        peer.barrier_us = 0
        peer.candidates.clear()
        self.due = now
        change = Change.RESTARTED if was_heard else Change.UP
        return [Changed(change, peer.name), *self._link_heard(now, peer, link)]

    def link_changed(self, link: str, up: bool, reason: str) -> list[Changed]:
        """Our own side of a link went or came, by the host's word: that is known before any silence.

        A peer that no link leads to anymore is suspected at once; dead it is after its deadtime and not before, since
        our own cable says nothing of it.
        """
        if up:
            self.own_down.pop(link, None)
            return []
        self.own_down[link] = reason
        changes = []
        for peer in self.peers.values():
            if link not in self.links[peer.name]:
                continue
            peer.link_up[link] = False
            if peer.liveness is Liveness.ALIVE and all(name in self.own_down for name in self.links[peer.name]):
                peer.liveness = Liveness.SUSPECT
                changes.append(Changed(Change.SUSPECTED, peer.name, cut_off=True))
        return changes

    def _link_heard(self, now: float, peer: Peer, link: str) -> list[Changed]:
        peer.link_heard[link] = now
        if peer.link_up.get(link) or link in self.own_down:
            return []
        peer.link_up[link] = True
        self.due = now
        return [Changed(Change.LINK_UP, peer.name, link)]

    def expire(self, now: float) -> list[Changed]:
        """What silence has done by now: links down, nodes suspected, nodes dead."""
        changes: list[Changed] = []
        if now < self.due:
            return changes
        for peer in self.peers.values():
            if not peer.heard:
                continue
            silent = now - peer.heard_at
            if now >= self._dead_at(peer):
                deaf = silent < self.timing.deadtime
                self._lose(peer, Liveness.DEAD)
                changes.append(Changed(Change.DEAD, peer.name, silent_for=silent, deaf=deaf))
                continue
            for link, up in peer.link_up.items():
                if up and now >= peer.link_heard[link] + self.timing.deadtime:
                    peer.link_up[link] = False
                    changes.append(Changed(Change.LINK_DOWN, peer.name, link, silent_for=now - peer.link_heard[link]))
            if peer.liveness is Liveness.ALIVE and now >= peer.heard_at + self.timing.warntime:
                peer.liveness = Liveness.SUSPECT
                changes.append(Changed(Change.SUSPECTED, peer.name, silent_for=silent))
        self.due = min(self.deadlines(), default=float("inf"))
        return changes

    def _dead_at(self, peer: Peer) -> float:
        return min(peer.heard_at + self.timing.deadtime, peer.mutual_at + self.mutual_time)

    def deadlines(self) -> Iterator[float]:
        """The times at which `expire` may find something new."""
        for peer in self.peers.values():
            if not peer.heard:
                continue
            yield self._dead_at(peer)
            if peer.liveness is Liveness.ALIVE:
                yield peer.heard_at + self.timing.warntime
            for link, up in peer.link_up.items():
                if up:
                    yield peer.link_heard[link] + self.timing.deadtime

    def paused(self, duration: float, now: float) -> None:
        """Time in which we did not listen is nobody's silence (but counts in full for leases)."""
        for peer in self.peers.values():
            peer.heard_at = min(now, peer.heard_at + duration)
            peer.mutual_at = min(now, peer.mutual_at + duration)
            for link in peer.link_heard:
                peer.link_heard[link] = min(now, peer.link_heard[link] + duration)

    def fenced(self, name: str, now: float) -> None:
        """The peer is off: what is still in the wires of its last life says nothing anymore."""
        peer = self.peers[name]
        self._lose(peer, Liveness.DEAD)
        peer.barrier_us = microseconds(now) + 1
        peer.candidates.clear()

    def left(self, name: str) -> None:
        """The peer said farewell; its incarnation will not speak again."""
        self._lose(self.peers[name], Liveness.LEFT)

    @staticmethod
    def _lose(peer: Peer, liveness: Liveness) -> None:
        peer.liveness = liveness
        peer.heartbeat = None
        for link in peer.link_up:
            peer.link_up[link] = False
