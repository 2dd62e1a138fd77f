"""Farewells: how this node leaves cleanly, and what it knows of those who did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hamgr.core.effects import Exit, Kind
from hamgr.core.membership import Peer
from hamgr.core.messages import Farewell, FarewellAck

if TYPE_CHECKING:
    from hamgr.core.node import Node


class Leaving:
    """began: an operator wants this node to leave. until: when it goes although somebody did not acknowledge; None
    before it said farewell. restart: the daemon starts anew after it. heard: node -> the life that said farewell to
    us."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.began = False
        self.restart = False
        self.until: float | None = None
        self.heard: dict[str, int] = {}
        self._acknowledged: set[str] = set()
        self._told = False

    def begin(self, restart: bool = False) -> None:
        node = self._node
        self.began = True
        self.restart = restart
        node.report_due = True
        node.dirty = True
        node.beat_soon = True

    def go_on(self, now: float) -> None:
        """Give up what runs, then say farewell, then go."""
        node = self._node
        if node.stored.maintenance and self.until is None:
            if not self._may_disarm():
                return
            if self.restart:
                node.beats.send(now)  # the others learn what is on disk here, and need not wait for that
            node.urgent.append(Exit(f"maintenance: {node.name} ends and leaves its groups as they are", self.restart))
            node.condemned = "ended in maintenance"
            return
        if self.until is not None:
            if set(node.membership.alive()) <= self._acknowledged or now >= self.until:
                node.urgent.append(Exit("left cleanly", self.restart))
                node.condemned = "left"
            return
        if not node.election.following and not node.member.all_stopped:
            node.member.give_up(now, f"{node.name} leaves", node.prompt)
        if not node.member.all_stopped or not node.member.probed or self._groups_on_their_way():
            return
        self.until = now + node.spec.timing.deadtime
        for name in node.membership.alive():
            node.send(name, Farewell())
        if node.coordinator is not None:
            node.lose_coordinator(now)

    def _may_disarm(self) -> bool:
        """The end of this daemon disarms its watchdog. While groups run here, whoever is coordinator later must know of
        the maintenance, so as not to count on it."""
        node = self._node
        if not node.leases.watched or node.member.all_stopped or node.known_to_quorum():
            return True
        if not self._told:
            self._told = True
            text = (
                f"{node.name} does not end yet: its watchdog stays armed until a quorum has this maintenance on disk;"
                " without a quorum it resets the machine"
            )
            node.tell(Kind.WARNING, text, node.name)
        return False

    def _groups_on_their_way(self) -> bool:
        """A coordinator that leaves sees its groups started elsewhere first, where that is possible."""
        node = self._node
        coordinator = node.coordinator
        if coordinator is None or not node.voting.authority():
            return False
        return any(
            target not in ("", node.name) and coordinator.owner(group) != target
            for group, target in coordinator.targets.items()
        )

    def repeat(self) -> None:
        """Once a keepalive: say farewell again to those who have not acknowledged it."""
        if self.until is not None:
            for name in self._node.membership.alive():
                if name not in self._acknowledged:
                    self._node.send(name, Farewell())

    def acknowledged(self, name: str) -> None:
        self._acknowledged.add(name)

    def farewell_of(self, now: float, peer: Peer) -> None:
        """A peer says that nothing runs there, and nothing will in this life of it."""
        node = self._node
        incarnation = peer.incarnation
        node.send(peer.name, FarewellAck())
        node.membership.left(peer.name)
        self.heard[peer.name] = incarnation
        node.tell(Kind.NODE_LEFT, f"{peer.name} has left cleanly: nothing runs there", peer.name)
        if node.coordinator is not None:
            node.coordinator.farewell(peer.name, incarnation)
        if node.election.following == peer.name:
            node.lose_coordinator(now)
        node.dirty = True
