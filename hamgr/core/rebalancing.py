"""`hamgr rebalance` at the coordinator: which moves there are, and the one that is under way.

A move is no pin: an operator who wants the nodes to be even does not say that the group shall stay there whatever
comes. It is known to this coordinator alone; if that is lost in the middle, the group is placed as after any loss, and
what was moved before stays. One move at a time, and only while nothing else is on its way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from hamgr.core.balance import Move, is_movable, moves
from hamgr.core.cluster import GroupSpec, GroupState
from hamgr.core.effects import Announce, Effect, Kind
from hamgr.core.placement import Candidate, candidates_of

if TYPE_CHECKING:
    from hamgr.core.coordinator import Coordinator


class Rebalancing:
    """under_way: group -> where it is being moved to."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self.under_way: dict[str, str] = {}
        self.candidates: Mapping[str, Candidate] = {}
        """The members, as they were when the groups were placed last."""

    def settle(self) -> None:
        """Forget what has arrived."""
        members = self._coordinator.members
        for group, node in list(self.under_way.items()):
            member = members.get(node)
            if member is None or member.state(group) is GroupState.STARTED:
                del self.under_way[group]

    def moves(self, scope: Collection[str]) -> Iterator[Move]:
        """scope: the groups that an operator named; none for all but those that he wants where they are."""
        coordinator = self._coordinator
        pinned = [group.name for group in coordinator.spec.groups if coordinator.pinned(group.name)]
        wanted = scope or [group.name for group in coordinator.spec.groups if group.name not in pinned]
        placed = {group: node for group, node in coordinator.targets.items() if node in coordinator.members}
        able = {group.name: self._able(group) for group in coordinator.spec.groups}
        return moves(coordinator.spec, placed, able, wanted)

    def _able(self, group: GroupSpec) -> list[str]:
        """Who can run it; of a spread group, those of the best health: elsewhere it would not stay."""
        able = [
            name
            for name in candidates_of(self._coordinator.spec, group)
            if name in self._coordinator.members
            and name in self.candidates
            and self.candidates[name].fit
            and group.name not in self.candidates[name].barred
            and name not in self._coordinator.circle.waiting
        ]
        best = max((self.candidates[name].health for name in able), default=0)
        return [name for name in able if not is_movable(group) or self.candidates[name].health == best]

    def fixed(self, scope: Collection[str]) -> Iterator[str]:
        """Why groups are not moved though they are named, or by all rights would be: in sentences."""
        coordinator = self._coordinator
        for group in coordinator.spec.groups:
            wanted = coordinator.pinned(group.name)
            if group.name not in scope and wanted and is_movable(group) and not scope:
                yield f"{group.name} stays: an operator wants it on {wanted} (hamgr rebalance {group.name})"
            elif group.name in scope and group.together_with:
                yield f"{group.name} goes where {' and '.join(group.together_with)} goes: name that"
            elif group.name in scope and not is_movable(group):
                yield f"{group.name} stays: its placement is not spread (hamgr takeover {group.name} --node NODE)"

    def hindrance(self) -> str:
        """Why nothing is moved now; "" if it may be."""
        coordinator = self._coordinator
        if coordinator.maintenance:
            return "in maintenance nothing is moved: hamgr maintenance off"
        for name, member in coordinator.members.items():
            if member.report is None or not member.report.probed:
                return f"{name} has not reported yet"
        if coordinator.health_settles:
            return "the health of the nodes has changed just now"
        if unsure := coordinator.ruling.unsure():
            return "; ".join(unsure)
        for group in coordinator.spec.groups:
            target = coordinator.targets.get(group.name, "")
            there = coordinator.members.get(target)
            if target and (there is None or there.state(group.name) is not GroupState.STARTED):
                return f"{group.name} is to run on {target}, and is not started there yet"
            for name, member in coordinator.members.items():
                if name != target and member.state(group.name) is not GroupState.STOPPED:
                    return f"{group.name} is {member.state(group.name).value} on {name}"
        return ""

    def move(self, scope: Collection[str], group: str, node: str, out: list[Effect]) -> tuple[bool, str]:
        """Begin with the next move, which must be that of this group to this node ("": whatever it is)."""
        if hindrance := self.hindrance():
            return False, f"nothing is moved while other things are: {hindrance}"
        found = next(self.moves(scope), None)
        if found is None:
            return (not group), "there is nothing to move"
        if group and (found.group, found.target) != (group, node):
            return False, f"meanwhile another move comes first ({found}): look again"
        self._coordinator.unpin(found.group)
        self.under_way[found.group] = found.target
        out.append(Announce(Kind.REBALANCE, f"rebalancing: {found}", found.target, found.group))
        return True, f"{found.group} moves from {found.source} to {found.target}"
