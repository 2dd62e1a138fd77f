"""Until when this node may keep its groups, and what it does when nobody vouches for it anymore."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hamgr.core.cluster import QuorumLoss
from hamgr.core.effects import Kind
from hamgr.core.electorate import NEVER
from hamgr.core.quorum import FOREVER, coordinator_lease_basis, member_lease_basis

LATENESS = 0.1
"""Seconds (or a keepalive, if that is more) beyond its lease for which a node that lives has not given up yet."""

if TYPE_CHECKING:
    from hamgr.core.node import Node


class Leases:
    """The lease of one node. until: seconds of its clock."""

    def __init__(self, node: Node, now: float) -> None:
        self._node = node
        # A life without a watchdog may adopt what runs and has one lease to find its quorum; with one, the time in
        # which the machine is surely reset is counted by others, so nothing is held before a lease is.
        self.watched = node.spec.node(node.name).watchdog_timeout is not None
        self.until = now if self.watched else now + node.spec.timing.lease
        self.quorum_lost = False
        self._ever_quorate = False
        self._armed = False

    @property
    def reset_ms(self) -> int:
        """What others may count on (`Heartbeat.reset_ms`)."""
        timeout = self._node.spec.node(self._node.name).watchdog_timeout
        if timeout is None or not self._armed:
            return 0
        return math.ceil(1000 * (self._node.spec.timing.lease + self._stops + timeout))

    @property
    def _stops(self) -> float:
        return sum(group.stop_timeout for group in self._node.spec.groups)

    def fed(self) -> None:
        """The guard is told until when groups may run. From then on the watchdog is armed as long as this life lasts:
        only a clean end of it disarms it, and a guard that is lost later leaves it armed."""
        if self.watched and not self._node.unguarded:
            self._armed = True

    def may_start(self, now: float) -> bool:
        node = self._node
        return now < self.until and not node.unfit and not node.leaving.began

    def renew(self, now: float) -> None:
        """Count the lease from the last proof of support; without one in time, give up what runs."""
        node = self._node
        basis = self._basis(now)
        self.until = max(self.until, basis + node.spec.timing.lease)
        if now < self.until:
            if self.quorum_lost and basis > NEVER:
                self.quorum_lost = False
            self._ever_quorate = self._ever_quorate or basis > NEVER
            return
        if self.quorum_lost:
            return
        self.quorum_lost = True
        what = "groups stay as they are" if node.spec.on_quorum_loss is QuorumLoss.FREEZE else "groups are stopped"
        if self._ever_quorate or not node.member.all_stopped:
            text = f"{node.name} has no quorum: no majority heard it for {node.spec.timing.lease:g} s; {what}"
            node.tell(Kind.QUORUM_LOST, text, node.name)
        if node.coordinator is not None:
            node.lose_coordinator(now)
        node.member.void_orders()
        self._give_up(now)

    def _basis(self, now: float) -> float:
        node = self._node
        election = node.election
        if node.coordinator is not None:
            peers = node.membership.peers.values()
            return coordinator_lease_basis(
                node.electorates,
                node.name,
                election.epoch,
                now,
                peers,
                node.arbitration.answer,
                node.override.lent,
            )
        if election.following:
            return member_lease_basis(node.membership.peers[election.following], election.epoch)
        return NEVER

    def without_quorum(self, now: float) -> None:
        """What a probe finds running after the lease ended is stopped as well."""
        if self.quorum_lost and not self._node.member.all_stopped:
            self._give_up(now)

    def _give_up(self, now: float) -> None:
        node = self._node
        if node.spec.on_quorum_loss is QuorumLoss.STOP:
            node.member.give_up(now, "the quorum is lost", node.prompt)

    def guarded_until(self, now: float) -> float | None:
        """Until when groups may run here, and for as long as their stops may take after that; None: as was said last.

        In maintenance, and where groups outlive the quorum, nothing ends them; only a watchdog is stricter, since the
        others count on it.
        """
        node = self._node
        freezes = node.spec.on_quorum_loss is QuorumLoss.FREEZE
        if node.member.all_stopped or (not self.watched and (node.member.hands_off or freezes)):
            return FOREVER
        stop = self._stops
        if now < self.until:
            # Never later than what `hamgr.core.watchdogs` counts.
            return self.until + min(stop, max(LATENESS, node.spec.timing.keepalive))
        return self.until + stop if self._ever_quorate or not self.watched else None
