"""How much room each node has for groups, while these are placed one by one.

A node's capacity and a group's needs are whole numbers of whatever is scarce: memory, cpu, licences. A node that has no
number for what a group needs has none of it. Groups are placed by priority, so when there is not room for all, the
lower ones are moved, or stay down; but nothing is moved while there is room for the higher one elsewhere.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from hamgr.core.cluster import ClusterSpec, GroupSpec

Amounts = tuple[tuple[str, int], ...]

Lightness = tuple[float, int]
"""Of a node, less is lighter: the largest share of a capacity that is taken, then the number of groups."""


def in_turn(groups: Iterable[GroupSpec], held: Mapping[str, str]) -> Iterator[GroupSpec]:
    """The groups by priority, each behind those that it looks at; of equal ones those first that a node has. groups: in
    placing order. held: group -> the node that has it."""
    waiting = list(groups)
    followers: dict[str, list[GroupSpec]] = {group.name: [] for group in waiting}
    open_leaders = {group.name: len(group.leaders & followers.keys()) for group in waiting}
    for group in waiting:
        for leader in group.leaders & followers.keys():
            followers[leader].append(group)
    urgency: dict[str, int] = {}
    for group in reversed(waiting):
        # Without those before it an important group does not run.
        behind = [other for other in followers[group.name] if group.name in (*other.together_with, *other.after)]
        urgency[group.name] = max([group.priority, *(urgency[other.name] for other in behind)])
    rank = {group.name: number for number, group in enumerate(waiting)}

    def turn(group: GroupSpec) -> tuple[int, bool, int]:
        return -urgency[group.name], group.name not in held, rank[group.name]

    by_rank = {rank[group.name]: group for group in waiting}
    ready = [turn(group) for group in waiting if not open_leaders[group.name]]
    heapq.heapify(ready)
    while ready:
        group = by_rank[heapq.heappop(ready)[2]]
        yield group
        for follower in followers[group.name]:
            open_leaders[follower.name] -= 1
            if not open_leaders[follower.name]:
                heapq.heappush(ready, turn(follower))


@dataclass(frozen=True, slots=True)
class Bundle:
    """A group with those that run together with it. needs: of all of them."""

    names: frozenset[str]
    needs: Counter[str]


def bundles(spec: ClusterSpec) -> dict[str, Bundle]:
    """Of each group."""
    found: dict[str, frozenset[str]] = {}
    for group in reversed(spec.in_placing_order()):
        behind = [found[other.name] for other in spec.groups if other.enabled and group.name in other.together_with]
        found[group.name] = frozenset({group.name}.union(*behind))
    needs = {group.name: dict(group.needs) for group in spec.groups}
    together = {}
    for name, names in found.items():
        total: Counter[str] = Counter()
        for one in names:
            total.update(needs[one])
        together[name] = Bundle(names, total)
    return together


class Room:
    """held: group -> the node that has it now, which counts for a group until it is placed. together: see `bundles`."""

    def __init__(self, spec: ClusterSpec, held: Mapping[str, str], together: Mapping[str, Bundle]) -> None:
        self._capacity = {node.name: dict(node.capacity) for node in spec.nodes}
        self._groups = {group.name: group for group in spec.groups}
        self._held = dict(held)
        self._placed: dict[str, list[str]] = {node: [] for node in spec.names}
        self._together = together

    def place(self, group: str, node: str) -> None:
        self._held.pop(group, None)
        if node:
            self._placed[node].append(group)

    def choices(self, group: GroupSpec) -> Iterator[frozenset[str]]:
        """The nodes on which it has room: as things are, with those that run together with it; then at the expense of
        groups that are placed later; then the same without those."""
        alone = Bundle(frozenset({group.name}), Counter(dict(group.needs)))
        for bundle in (self._together[group.name], alone):
            for present in (True, False):
                yield frozenset(node for node in self._capacity if self._fits(bundle, node, present))

    def _there(self, node: str, but: Collection[str], present: bool) -> list[str]:
        held = [name for name, where in self._held.items() if where == node and name not in but] if present else []
        return self._placed[node] + held

    def _used(self, names: Iterable[str]) -> Counter[str]:
        used: Counter[str] = Counter()
        for name in names:
            used.update(dict(self._groups[name].needs))
        return used

    def _fits(self, bundle: Bundle, node: str, present: bool) -> bool:
        """Whoever belongs to the bundle counts once, be it there already or not."""
        used, capacity = self._used(self._there(node, bundle.names, present)), self._capacity[node]
        return all(used[what] + amount <= capacity.get(what, 0) for what, amount in bundle.needs.items())

    def lightness(self, group: GroupSpec, node: str) -> Lightness:
        """Of a node with this group on it."""
        there = [*self._there(node, (group.name,), True), group.name]
        used = self._used(there)
        shares = [used[what] / capacity for what, capacity in self._capacity[node].items() if capacity]
        return max(shares, default=0.0), len(there)

    def lacks(self, group: GroupSpec, node: str, there: Iterable[str] | None = None) -> str:
        """Why it has no room on this node, in a few words; "" if it has. there: the groups that count (None: those
        that are placed there)."""
        beside = [name for name in (self._placed[node] if there is None else there) if name != group.name]
        used, capacity = self._used(beside), self._capacity[node]
        for what, amount in group.needs:
            left = capacity.get(what, 0) - used[what]
            if amount > left:
                company = f" beside {', '.join(sorted(beside))}" if used[what] else ""
                return f"it needs {what} {amount}, {node} has {max(0, left)} left{company}"
        return ""
