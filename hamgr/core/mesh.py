"""Which nodes all hear each other, as one node knows it: not every partition is a clean cut.

Two nodes are *linked* when each hears the other; who hears whom is in the heartbeats. So a node knows all links between
those that it hears itself, and with that every fully connected set that it belongs to.

A link that was broken counts as whole again only when it has worked for two deadtimes (one heartbeat in a deadtime is
enough to look like that for one), so that one which flaps stays broken. What is known has *settled* when nothing more
broke for a while: one cut is noticed later by one end than by the other, and it takes a heartbeat to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from hamgr.core.cluster import Timing
from hamgr.core.membership import Membership

Pair = frozenset[str]

SETTLE = 4
"""Keepalives (but a deadtime at most): a node that is not heard knows it up to two later than who does not hear it, and
tells it with its next heartbeat, or the one after."""

HEALED = 2
"""Deadtimes for which a link that was broken must work."""

PATIENCE = 3
"""Deadtimes after which it counts as settled, though it breaks on and on."""


def cliques(links: Mapping[str, frozenset[str]]) -> Iterator[frozenset[str]]:
    """All fully connected sets that can't grow (Bron and Kerbosch, with a pivot). links: each node with those that it
    is linked to."""

    def grow(chosen: frozenset[str], may: frozenset[str], seen: frozenset[str]) -> Iterator[frozenset[str]]:
        if not may and not seen:
            yield chosen
            return
        pivot = max(sorted(may | seen), key=lambda node: len(links[node] & may))
        for node in sorted(may - links[pivot]):
            yield from grow(chosen | {node}, may & links[node], seen & links[node])
            may, seen = may - {node}, seen | {node}

    if links:
        yield from grow(frozenset(), frozenset(links), frozenset())


@dataclass(slots=True)
class _Link:
    """born: since when both ends are heard in these lives. whole_since: None while it does not work.

    broken_since: it worked once and does not, or not for long enough again; or it never did for a deadtime. None while
    it is not broken."""

    born: float
    whole_since: float | None = None
    ever: bool = False
    broken_since: float | None = None


class Mesh:
    """The links between the nodes that one node hears, itself included. Times are seconds of its clock."""

    def __init__(self, me: str, names: Iterable[str], timing: Timing) -> None:
        self._me = me
        self._names = tuple(names)
        self._deadtime = timing.deadtime
        self._settle = min(SETTLE * timing.keepalive, timing.deadtime)
        self.small = len(self._names) < 3
        """Of two nodes no third one knows anything."""
        self._said: dict[str, tuple[int, tuple[str, ...], tuple[str, ...]]] = {}
        self._links: dict[Pair, _Link] = {}
        self._doubtful: set[Pair] = set()
        """Links that were broken when one of their ends was lost."""
        self.due = float("inf")
        """The next time at which something may be found that no heartbeat tells; infinite if there is none."""
        self.stale = True
        """Some heartbeat says something else than before, or somebody came or went."""
        self._changed_at = float("-inf")
        self._began = float("-inf")
        self.unheard: dict[str, tuple[str, ...]] = {}
        """Nodes that we don't hear, with those of whom we hear that they do."""
        self.best: frozenset[str] = frozenset({me})
        """The largest fully connected set with this node in it."""
        self.yielded: frozenset[str] = frozenset()
        """The set for whose sake we last gave up to be coordinator: that is done once."""

    # -- what comes in ------------------------------------------------------------------------------------------

    def update(self, now: float, membership: Membership, weight: Callable[[Collection[str]], int]) -> bool:
        """Take in what the heartbeats say now; True if that, or the passing of time, is news. weight: the votes of some
        nodes."""
        if self.small or not (self.stale or now >= self.due):
            return False
        self.stale = False
        said = {
            peer.name: (peer.incarnation, peer.heartbeat.hears, peer.heartbeat.mesh)
            for peer in membership.peers.values()
            if peer.heard and peer.heartbeat is not None
        }
        news = said != self._said
        if news:
            anew = {name for name, (life, _, _) in said.items() if self._said.get(name, (0,))[0] not in (0, life)}
            self._drop(now, {pair for pair in self._links if pair & anew})
            self._said = said
            self._take(now)
            self.best = max(
                (found for found in cliques(self._raw()) if self._me in found),
                key=lambda found: (weight(found), len(found), [name in found for name in self._names]),
            )
        news = news or now >= self.due
        if news:
            self._expire(now)
            self.due = self._due_at(now)
        return news

    def _take(self, now: float) -> None:
        present = (self._me, *self._said)
        works = {
            frozenset((one, other)): one == self._me or self._say_to_hear(one, other)
            for index, one in enumerate(present)
            for other in present[index + 1 :]
        }
        hearing = {
            name: tuple(one for one, (_, hears, _) in self._said.items() if name in hears)
            for name in self._names
            if name not in present
        }
        self.unheard = {name: some for name, some in hearing.items() if some}
        works.update({frozenset((self._me, name)): False for name in self.unheard})
        self._drop(now, self._links.keys() - works.keys())
        for pair, whole in works.items():
            link = self._links.get(pair)
            if link is None:
                link = self._links[pair] = _Link(now, broken_since=now if pair in self._doubtful else None)
            if whole:
                link.ever = True
                if link.whole_since is None:
                    link.whole_since = now
            else:
                link.whole_since = None
                if link.ever:
                    self._break(now, link)

    def _say_to_hear(self, one: str, other: str) -> bool:
        """They say to hear each other. (Who does not say whom it hears is of an earlier version.)"""
        ones, others = self._said[one][1], self._said[other][1]
        return (other in ones or not ones) and (one in others or not others)

    def _drop(self, now: float, pairs: Iterable[Pair]) -> None:
        """An end of these is gone. A link that was surely broken is not taken for a good one in its next life."""
        for pair in pairs:
            link = self._links.pop(pair)
            if link.broken_since is not None and now >= link.broken_since + self._settle:
                self._doubtful.add(pair)

    def _break(self, at: float, link: _Link) -> None:
        if link.broken_since is None:
            link.broken_since = at
            if at >= self._settles_at():
                self._began = at
            self._changed_at = max(self._changed_at, at)

    def _settles_at(self) -> float:
        return min(self._changed_at + self._settle, self._began + PATIENCE * self._deadtime)

    def _expire(self, now: float) -> None:
        """What the passing of time has changed."""
        for pair, link in self._links.items():
            if link.whole_since is None and now >= link.born + self._deadtime:
                self._break(link.born, link)
            elif link.whole_since is not None and now >= link.whole_since + HEALED * self._deadtime:
                link.broken_since = None
                self._doubtful.discard(pair)

    def paused(self, duration: float) -> None:
        """Time in which nothing was heard settles nothing."""
        self.due += duration
        self._changed_at += duration
        self._began += duration
        for link in self._links.values():
            link.born += duration
            if link.broken_since is not None:
                link.broken_since += duration
            if link.whole_since is not None:
                link.whole_since += duration

    # -- what is known ------------------------------------------------------------------------------------------

    def _raw(self) -> dict[str, frozenset[str]]:
        """Who is linked to whom at this moment."""
        present = (self._me, *self._said)
        return {
            one: frozenset(
                other
                for other in present
                if other != one and self._links[frozenset((one, other))].whole_since is not None
            )
            for one in present
        }

    def whole(self, one: str, other: str) -> bool:
        """They hear each other, and have done so for long enough if ever it was otherwise."""
        link = self._links.get(frozenset((one, other)))
        return link is None or (link.whole_since is not None and link.broken_since is None)

    def cut(self, one: str, other: str) -> bool:
        """They don't hear each other, and that is no news."""
        link = self._links.get(frozenset((one, other)))
        return link is not None and link.broken_since is not None and link.whole_since is None

    def settled_at(self) -> float:
        """When what is known now has settled, if nothing changes until then."""
        unknown = [
            link.born + self._deadtime
            for link in self._links.values()
            if link.whole_since is None and link.broken_since is None
        ]
        return max([self._settles_at(), *unknown])

    def elsewhere(self) -> list[frozenset[str]]:
        """The fully connected sets without us to which those whom we hear belong, as they say."""
        return [frozenset(found) for _, _, found in self._said.values() if found and self._me not in found]

    def _due_at(self, now: float) -> float:
        times = [self._settles_at()]
        for link in self._links.values():
            if link.whole_since is None and link.broken_since is None:
                times.append(link.born + self._deadtime)
            elif link.broken_since is not None and link.whole_since is not None:
                times.append(link.whole_since + HEALED * self._deadtime)
        return min((time for time in times if time > now), default=float("inf"))
