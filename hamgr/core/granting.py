"""Where one group shall run, and whether it may be let run there now: its part in the orders of the coordinator."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from hamgr.core.cluster import GroupSpec, GroupState, Placement
from hamgr.core.company import company, followers, is_started, still_run, to_be_stopped
from hamgr.core.effects import Announce, Effect, Kind
from hamgr.core.members import Grant
from hamgr.core.messages import Stamp
from hamgr.core.placement import Candidate, candidates_of, place
from hamgr.core.reasons import nobody

if TYPE_CHECKING:
    from hamgr.core.coordinator import Coordinator


class Granting:
    """scarce: some groups need room."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self.scarce = any(group.needs for group in coordinator.spec.groups)
        self._groups = {group.name: group for group in coordinator.spec.groups}
        self._followers = followers(coordinator.spec.groups)
        self._asked_release: set[tuple[str, str]] = set()

    def decide(
        self,
        group: GroupSpec,
        candidates: Mapping[str, Candidate],
        grants: Mapping[str, Grant],
        stored_by_quorum: Callable[[Stamp], bool],
        out: list[Effect],
    ) -> None:
        coordinator = self._coordinator
        name = group.name
        holders = [node for node, member in coordinator.members.items() if not member.stopped(name)]
        owner = self.has(name)
        pin = coordinator.pinned(name)
        target = self._place(group, candidates, owner, pin)
        if coordinator.rebalancing.under_way.get(name) == target:
            pin = target
        if group.asks and not group.together_with:
            fits = candidates_of(coordinator.spec, group)
            _, away = company(group, coordinator.targets)
            able = {
                node
                for node, found in candidates.items()
                if node in fits
                and found.fit
                and name not in found.barred
                and node not in away
                and not coordinator.room.lacks(group, node)
            }
            target = coordinator.asking.may_go(coordinator.ruling.now, group, owner, pin, target, able, out)
        coordinator.targets[name] = target
        first = to_be_stopped(group, self._groups, coordinator.members, coordinator.targets)
        needed = still_run(self._followers[name], coordinator.members)
        for node, grant in grants.items():
            member = coordinator.members[node]
            runs = node in holders and grant.holds(name)
            gave_up = member.renew and member.stopped(name)
            if node == target and not gave_up and not (first and runs):
                continue
            if runs and needed and not gave_up:
                continue  # what was started after it is stopped before it
            if runs and target and not (node == target and gave_up):
                self._ask_release(name, node, target, out)
            grant.run.discard(name)
            grant.keep.discard(name)
        if not target:
            questions = coordinator.asking.questions
            coordinator.waits[name] = (questions[name],) if name in questions else nobody(coordinator, group)
            return
        if first:
            coordinator.waits[name] = tuple(f"waits for {leader} to move" for leader in first)
            return
        member = coordinator.members[target]
        if name in grants[target].run:
            coordinator.waits[name] = ()
            return
        if target in holders and not member.number:
            # It runs there already, another coordinator let it: that may go on without asking the rule.
            grants[target].keep.add(name)
        if holders and holders != [target]:
            for node in holders:
                if node != target:
                    self._ask_release(name, node, target, out)
        if member.admitted == Stamp() or not stored_by_quorum(member.admitted):
            coordinator.waits[name] = (f"waits until a quorum has stored the view with {target}",)
            return
        if target in coordinator.circle.waiting and name not in grants[target].keep:
            coordinator.waits[name] = (f"waits for {target}: {coordinator.circle.waiting[target]}",)
            return
        leaders = [leader for leader in group.after if not is_started(leader, coordinator.members)]
        if leaders and name not in grants[target].keep:
            coordinator.waits[name] = tuple(f"waits for {leader} to be started" for leader in leaders)
            return
        occupied = grants[target].run | grants[target].keep | self._there(target)
        if group.needs and (lacks := coordinator.room.lacks(group, target, occupied)):
            coordinator.waits[name] = () if name in grants[target].keep else (f"waits for room: {lacks}",)
            return
        verdict = coordinator.ruling.verdict(name, target)
        if not verdict.allowed:
            coordinator.waits[name] = () if name in grants[target].keep else verdict.missing
            return
        if group.asks and not coordinator.asking.may_start(
            name, target, lambda at: self._stored_by_all(at, stored_by_quorum)
        ):
            coordinator.waits[name] = (f"waits until all members have stored that {name} runs on {target}",)
            return
        coordinator.waits[name] = ()
        for node, _clause in verdict.held:
            if (name, node) in self._asked_release:
                self._asked_release.discard((name, node))
                text = f"{node} has released {name} for {target}"
                out.append(Announce(Kind.IP_REQUEST_RESP, text, node, name))
        grants[target].keep.discard(name)
        grants[target].run.add(name)

    def _stored_by_all(self, stamp: Stamp, stored_by_quorum: Callable[[Stamp], bool]) -> bool:
        """By every member, and a quorum. (In a two_node cluster each node is one alone.)"""
        return stored_by_quorum(stamp) and all(
            stored >= stamp for _name, _reset, stored in self._coordinator.said_of_disks()
        )

    def has(self, name: str) -> str:
        """The member that has the group, in whatever state; one that runs it before others."""
        coordinator = self._coordinator
        holders = [node for node, member in coordinator.members.items() if not member.stopped(name)]
        started = (node for node in holders if coordinator.members[node].state(name) is GroupState.STARTED)
        return next(started, holders[0] if holders else "")

    def _place(self, group: GroupSpec, candidates: Mapping[str, Candidate], owner: str, pin: str) -> str:
        """On which node it shall run, "" for none; elsewhere than where it is only if there is room."""
        coordinator = self._coordinator
        name = group.name
        near, away = company(group, coordinator.targets)
        goes_home = group.auto_failback and name not in coordinator.failback_closed
        spread = group.placement is Placement.SPREAD
        lightness = {node: coordinator.room.lightness(group, node) for node in candidates} if spread else None
        last = coordinator.targets.get(name, "")

        def placed(has_it: str, roomy: Collection[str] | None) -> str:
            return place(
                coordinator.spec,
                group,
                candidates,
                has_it,
                pin,
                coordinator.health is not None,
                near,
                away,
                goes_home,
                roomy,
                lightness,
                last,
            )

        if moving := coordinator.rebalancing.under_way.get(name):
            # As if it were there already, if that is as good a place as it was when the move was asked for.
            if placed(moving, next(coordinator.room.choices(group))) == moving:
                return moving
            del coordinator.rebalancing.under_way[name]
        for roomy in coordinator.room.choices(group) if self.scarce else (None,):
            if target := placed(owner, roomy):
                return target
        return ""

    def _there(self, node: str) -> set[str]:
        """The groups that take up room there now, be it only until they have stopped."""
        coordinator = self._coordinator
        member = coordinator.members[node]
        return {
            group.name for group in coordinator.spec.groups if not coordinator.ruling.stopped(node, member, group.name)
        }

    def _ask_release(self, group: str, node: str, target: str, out: list[Effect]) -> None:
        runs = self._coordinator.members[node].state(group) not in (GroupState.UNKNOWN, GroupState.STOPPED)
        if runs and (group, node) not in self._asked_release:
            self._asked_release.add((group, node))
            out.append(Announce(Kind.IP_REQUEST, f"{node} is asked to release {group} for {target}", node, group))
