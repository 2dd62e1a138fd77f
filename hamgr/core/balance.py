"""Which groups to move so that the nodes are as even as they can be: a function of what runs where.

Nothing is moved merely to balance unless somebody asks, so this says what there is to ask for. Each move makes things
better by itself: whoever stops after any of them has gained. Only spread groups are moved; whoever runs together with
one goes along. What a node has to do is what `hamgr.core.capacity` calls its lightness.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from hamgr.core.capacity import Lightness, bundles
from hamgr.core.cluster import ClusterSpec, GroupSpec, Placement


@dataclass(frozen=True, slots=True)
class Move:
    """why: what is better then, in a few words. along: the groups that go with it. halted: those that were started
    after them, and stop meanwhile."""

    group: str
    source: str
    target: str
    why: str
    along: tuple[str, ...] = ()
    halted: tuple[str, ...] = ()

    def __str__(self) -> str:
        along = f" (with {', '.join(self.along)})" if self.along else ""
        halted = (
            f"; {', '.join(self.halted)} stop{'s' if len(self.halted) == 1 else ''} meanwhile" if self.halted else ""
        )
        return f"{self.group}: {self.source} -> {self.target}{along}: {self.why}{halted}"


def moves(
    spec: ClusterSpec,
    placed: Mapping[str, str],
    able: Mapping[str, Collection[str]],
    scope: Collection[str],
) -> Iterator[Move]:
    """placed: group -> the node that it runs, or is to run, on. able: group -> the nodes that can run it, as far as
    other groups don't matter. scope: the groups that may be moved.

    First those that make room for a group that runs nowhere for want of it; else the one that makes the nodes more
    even; and so on. What is left of the moves is what would be said after those before are done.
    """
    plan = _Plan(spec, placed, able)
    movable = [group for group in spec.groups if group.name in scope and group.name in placed and is_movable(group)]
    while found := plan.make_room(movable) or plan.best(movable):
        yield from found


def is_movable(group: GroupSpec) -> bool:
    """A group that is placed by preference goes home by itself, or stays; one that follows another goes with that."""
    return group.enabled and group.placement is Placement.SPREAD and not group.together_with


class _Plan:
    """What runs where, after the moves that were found so far."""

    def __init__(self, spec: ClusterSpec, placed: Mapping[str, str], able: Mapping[str, Collection[str]]) -> None:
        self._spec = spec
        self._able = able
        self._groups = {group.name: group for group in spec.groups}
        self._capacity = {node.name: dict(node.capacity) for node in spec.nodes}
        order = spec.in_placing_order()
        self._following = [group for group in order if group.together_with]
        self._later = [group for group in order if group.after]
        self._distant = [group for group in order if group.apart_from]
        self._waiting = sorted(
            (group for group in order if group.enabled and group.needs and not group.together_with),
            key=lambda group: -group.priority,
        )
        self._together = bundles(spec)
        self._placed: dict[str, str] = {}
        self._there: dict[str, set[str]] = {node: set() for node in spec.names}
        self._used: dict[str, Counter[str]] = {node: Counter() for node in spec.names}
        for name, node in placed.items():
            self._put((name,), node)

    def _put(self, names: Collection[str], target: str) -> None:
        for name in names:
            needs = dict(self._groups[name].needs)
            if source := self._placed.get(name):
                self._there[source].discard(name)
                self._used[source].subtract(needs)
            self._placed[name] = target
            self._there[target].add(name)
            self._used[target].update(needs)

    def _with(self, group: GroupSpec) -> set[str]:
        """The group, and those that are placed and go where it goes."""
        found = {group.name}
        for other in self._following:
            if other.name in self._placed and found.intersection(other.together_with):
                found.add(other.name)
        return found

    def _move(self, group: str, source: str, target: str, why: str, going: set[str]) -> Move:
        halted: set[str] = set()
        for later in self._later:
            if later.name in self._placed and (going | halted).intersection(later.after):
                halted.add(later.name)
        return Move(group, source, target, why, tuple(sorted(going - {group})), tuple(sorted(halted - going)))

    def _open_to(self, group: GroupSpec) -> list[str]:
        """Where it may go: all that goes can run there, there is room, and nobody keeps away from anybody."""
        going, here = self._with(group), self._placed.get(group.name)
        away = {other for name in going for other in self._groups[name].apart_from}
        away |= {other.name for other in self._distant if going.intersection(other.apart_from)}
        closed = {self._placed[name] for name in away - going if name in self._placed}
        able = set.intersection(*(set(self._able.get(name, ())) for name in going)) - closed
        return [node for node in self._spec.names if node in able and node != here and self._has_room(group, node)]

    def _has_room(self, group: GroupSpec, node: str) -> bool:
        bundle, capacity = self._together[group.name], self._capacity[node]
        used = Counter(self._used[node])
        for name in bundle.names & self._there[node]:
            used.subtract(dict(self._groups[name].needs))
        return all(used[what] + much <= capacity.get(what, 0) for what, much in bundle.needs.items())

    def _burden(self, node: str, more: Collection[str] = (), less: Collection[str] = ()) -> Lightness:
        used = Counter(self._used[node])
        for name in more:
            used.update(dict(self._groups[name].needs))
        for name in less:
            used.subtract(dict(self._groups[name].needs))
        shares = [used[what] / much for what, much in self._capacity[node].items() if much]
        return max(shares, default=0.0), len(self._there[node]) + len(more) - len(less)

    # -- room for who has none ----------------------------------------------------------------------------------

    def make_room(self, movable: Collection[GroupSpec]) -> list[Move]:
        """For the most important group that waits for it and can be helped; it counts as placed then."""
        for group in self._waiting:
            if group.name in self._placed or self._open_to(group):
                continue
            ways = {node: self._clearing(group, node, movable) for node in self._able.get(group.name, ())}
            if helping := [node for node, way in ways.items() if way]:
                node = min(helping, key=lambda node: len(ways[node]))
                for move in ways[node]:
                    self._put((move.group, *move.along), move.target)
                self._put((group.name,), node)
                return ways[node]
        return []

    def _clearing(self, group: GroupSpec, node: str, movable: Collection[GroupSpec]) -> list[Move]:
        """What to move where, so that the group has room on this node; nothing if that does not help."""
        trial = _Plan(self._spec, self._placed, self._able)
        scarce = {what for what, _ in group.needs}
        there = [one for one in movable if one.name in self._there[node] and scarce.intersection(dict(one.needs))]
        found: list[Move] = []
        for one in sorted(there, key=lambda one: sum(much for what, much in one.needs if what in scarce), reverse=True):
            going = trial._with(one)
            if targets := trial._open_to(one):
                target = min(targets, key=lambda name: trial._burden(name, going))
                why = f"makes room for {group.name}, which runs nowhere"
                found.append(self._move(one.name, node, target, why, going))
                trial._put(going, target)
            if node in trial._open_to(group):
                return found
        return []

    # -- more even ----------------------------------------------------------------------------------------------

    def best(self, movable: Collection[GroupSpec]) -> list[Move]:
        """The move off the heaviest node that leaves the heavier of the two the lightest; none if none is better."""
        burdens = {node: self._burden(node) for node in self._spec.names}
        for source in sorted(burdens, key=lambda node: burdens[node], reverse=True):
            found: list[tuple[Lightness, Lightness, int, str, str]] = []
            for group in movable:
                if group.name not in self._there[source]:
                    continue
                going = self._with(group)
                left = self._burden(source, (), going)
                for target in self._open_to(group):
                    after = self._burden(target, going)
                    if after < burdens[source]:
                        found.append((max(left, after), min(left, after), len(found), group.name, target))
            if found:
                *_, name, target = min(found)
                why = _compared(source, burdens[source], target, burdens[target])
                going = self._with(self._groups[name])
                self._put(going, target)
                return [self._move(name, source, target, why, going)]
        return []


def _compared(source: str, heavy: Lightness, target: str, light: Lightness) -> str:
    if heavy[0] > light[0]:
        return f"{source} is {heavy[0]:.0%} full, {target} {light[0]:.0%}"
    return f"{source} has {heavy[1]} group{'' if heavy[1] == 1 else 's'}, {target} {light[1]}"
