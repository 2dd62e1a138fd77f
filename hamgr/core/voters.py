"""How the voters change while the cluster runs: one at a time, by a vote of the old and of the new ones.

The voters are in the cluster state. A change is written into it first (`Electorates.coming`); from then on a quorum of
the old voters decides that leaves no quorum of the new ones outside. When a quorum of both has that on disk, the new
voters are written as the only ones. Whoever is elected meanwhile learns of the change from one of its voters, and ends
it: if too few of the new ones answer, by going back. It can't go back where a quorum of the old voters might miss one
of the new ones (a tie-breaker, other weights): such a quorum may have been at work alone, and both are needed.

A node that is added votes from the moment when it is in the view and knows the epoch; one that a push removes, no more
before the push is committed. With `last_man_standing`, neither does a node that is surely off, until it is back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hamgr.core.coordinator import Coordinator
from hamgr.core.effects import Kind
from hamgr.core.electorate import ARBITER, Electorate, Electorates
from hamgr.core.messages import Standing

if TYPE_CHECKING:
    from hamgr.core.node import Node

SURELY_OFF = (Standing.FENCED.value, Standing.ACKNOWLEDGED.value)

FEWEST = 2
"""Nodes that keep their votes, if the arbiter or a tie-breaker decides between them; without, two are no better than
three."""


class Voters:
    """The changes of the voters that this node makes as coordinator."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._off_since: dict[str, float] = {}

    def settle(self, now: float, coordinator: Coordinator) -> None:
        """Begin a change, or end the one that is under way, as soon as it may be done."""
        node = self._node
        if node.spec.two_node:
            return
        self._watch(now, coordinator)
        present = coordinator.electorates
        if coordinator.state.electorates != present or not node.stored_by_quorum(coordinator.state.stamp):
            return
        deciding = node.voting.deciding_voters()
        if present.coming and not present.coming.is_quorum(deciding):
            if present.may_be_given_up:
                text = f"the change of the voters is given up, as too few of the new ones are there: {present.current}"
                self._go_over(coordinator, present.current, text)
            return
        if present.coming:
            if present.is_agreed(node.who_stored(coordinator.state.stamp)):
                self._go_over(coordinator, present.coming, f"from now on vote: {present.coming}")
            return
        if coordinator.own_outdated:
            return  # its file does not say who shall vote
        coming = self._next(coordinator, present.current)
        if coming != present.current and coming.is_quorum(self._behind(coordinator) & deciding):
            coordinator.electorates = Electorates(present.current, coming)
            node.touch()

    def _watch(self, now: float, coordinator: Coordinator) -> None:
        """Since when the nodes are surely off that are."""
        off = [
            peer.name
            for peer in self._node.membership.peers.values()
            if not peer.heard and coordinator.ruling.standing(peer) in SURELY_OFF
        ]
        self._off_since = {name: self._off_since.get(name, now) for name in off}

    def _behind(self, coordinator: Coordinator) -> set[str]:
        """Who has stored the newest cluster state, and answers."""
        found = self._node.who_stored(coordinator.state.stamp)
        return found if self._node.arbitration.connected else found - {ARBITER}

    def _go_over(self, coordinator: Coordinator, electorate: Electorate, text: str) -> None:
        coordinator.electorates = Electorates(electorate)
        self._node.tell(Kind.VOTERS, text, voters=" ".join(sorted(electorate.voters)))
        self._node.touch()

    def _next(self, coordinator: Coordinator, current: Electorate) -> Electorate:
        """What to change to: one voter more or less, or other votes for the same ones."""
        return next((coming for coming in self._changes(coordinator, current) if coming != current), current)

    def _changes(self, coordinator: Coordinator, current: Electorate) -> Iterator[Electorate]:
        """Who comes goes before who is off: the more votes there are, the more of them may fail."""
        spec = self._node.spec
        leaving = self._leaving(coordinator) | (current.voters - spec.voters)
        for name in sorted(current.voters & leaving):
            yield spec.electorate_of(current.voters - {name})
        for name in (*spec.names, ARBITER):
            if name not in current.voters | leaving and self._may_join(coordinator, name):
                yield spec.electorate_of(current.voters | {name})
        yield spec.electorate_of(current.voters)
        for name in self._off(current):
            fewer = spec.electorate_of(current.voters - {name})
            nodes = fewer.voters - {ARBITER}
            if len(nodes) >= (FEWEST if ARBITER in fewer.voters or fewer.tie else FEWEST + 1):
                yield fewer

    def _leaving(self, coordinator: Coordinator) -> set[str]:
        """Whom a push removes, from the first word of it until everybody runs the new file."""
        node = self._node
        leaving = {coordinator.proposed.removed, node.pushing.removes}
        if coordinator.config.digest != node.config:
            leaving.add(coordinator.config.removed)
        return leaving

    def _may_join(self, coordinator: Coordinator, name: str) -> bool:
        node = self._node
        if name == node.name:
            return True
        if name == ARBITER:
            answer = node.arbitration.answer
            return node.spec.arbiter and node.arbitration.connected and answer is not None and answer.voter
        beat = node.membership.peers[name].heartbeat
        return name in coordinator.members and beat is not None and beat.initialised

    def _off(self, current: Electorate) -> list[str]:
        """(last_man_standing) Those who have been off for long enough, the last in the file first."""
        window = self._node.spec.last_man_standing
        if window is None:
            return []
        names = [name for name in self._node.spec.names if name in current.voters]
        return [
            name
            for name in reversed(names)
            if name in self._off_since and self._node.now >= self._off_since[name] + window
        ]
