"""What the coordinator of an epoch knows of each node, for the takeover rule (`hamgr.core.transition`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hamgr.core.cluster import GroupState
from hamgr.core.members import MemberRecord
from hamgr.core.membership import Membership, Peer
from hamgr.core.messages import Standing
from hamgr.core.transition import PeerFacts, Verdict, takeover_verdict

if TYPE_CHECKING:
    from hamgr.core.coordinator import Coordinator


class Ruling:
    """let_run: (node, its life, group) -> the number of the order by which it was let run there last: a report that is
    older says nothing of it. now: when the coordinator decides."""

    def __init__(self, coordinator: Coordinator, membership: Membership, me: str, incarnation: int, now: float) -> None:
        self._coordinator = coordinator
        self._membership = membership
        self._me = me
        self._incarnation = incarnation
        self.now = now
        self.let_run: dict[tuple[str, int, str], int] = {}

    def _facts(self, peer: Peer, group: str) -> PeerFacts:
        coordinator = self._coordinator
        member = coordinator.members.get(peer.name)
        entry = coordinator.roster[peer.name]
        plan = coordinator.fencing.plans.get(peer.name)
        node = coordinator.spec.node(peer.name)
        if plan is not None and node.fence_levels > 0:
            fencing = plan.describe(self.now)
        elif node.fence_levels == 0:
            fencing = f"it has no fence device; if you have made sure that it is off: hamgr fence ack {peer.name}"
        else:
            fencing = coordinator.circle.held.get(peer.name, "")
        if doubt := coordinator.watchdogs.doubt(peer):
            fencing = f"{fencing or 'it is not known to be off'}; {doubt}"
        return PeerFacts(
            node=peer.name,
            heard=peer.heard,
            in_view=member is not None,
            stopped=member is not None and self.stopped(peer.name, member, group),
            standing=entry.standing,
            roster_incarnation=entry.incarnation,
            heard_incarnation=peer.incarnation,
            watchdog_safe_at=coordinator.watchdogs.safe_at(peer),
            fencing=fencing,
        )

    def stopped(self, node: str, member: MemberRecord, group: str) -> bool:
        report = member.report
        if report is None or not report.probed or member.state(group) is not GroupState.STOPPED:
            return False
        held = group in member.run or group in member.keep
        return not held and report.number >= self.let_run.get((node, member.incarnation, group), 0)

    def verdict(self, group: str, taker: str) -> Verdict:
        facts = [self._facts(peer, group) for peer in self._membership.peers.values() if peer.name != taker]
        if taker != self._me:
            own = self._coordinator.members[self._me]
            facts.append(
                PeerFacts(
                    node=self._me,
                    heard=True,
                    in_view=True,
                    stopped=self.stopped(self._me, own, group),
                    standing=Standing.MEMBER,
                    roster_incarnation=self._incarnation,
                    heard_incarnation=self._incarnation,
                    watchdog_safe_at=None,
                )
            )
        return takeover_verdict(group, facts, self.now)

    def unsure(self) -> tuple[str, ...]:
        """Of the nodes that are not in the view: what is awaited until nothing runs there for certain."""
        lost = [
            self._facts(peer, "")
            for peer in self._membership.peers.values()
            if peer.name not in self._coordinator.members
        ]
        return takeover_verdict("", lost, self.now).missing

    def standing(self, peer: Peer) -> str | None:
        """The recorded standing that clears this node for every group, if one does."""
        facts = self._facts(peer, "")
        cleared = (Standing.FENCED, Standing.LEFT, Standing.ACKNOWLEDGED)
        return facts.standing.value if facts.standing in cleared and facts.silent_since_record else None
