"""How a node with a new or wiped state directory comes to vote again, in no epoch in which it may have voted before.

The votes that its last life gave are forgotten here. One of an epoch that was *won* by it is known to each of the
winner's other voters, for they voted in that epoch too. So it asks so many that every quorum it can have been part of
has one of them, and votes above the highest epoch that they know of.

One of an epoch that is *yet to be won* may be known to nobody who can be asked: its claimant is out of reach, and those
whose votes that one still needs give them after they have told us. But a claimant counts a vote only while it hears the
life that gave it, which is a `mutual_time` after the end of that life at most, and drops all when it was paused. So
nobody is asked before that time is over. Whatever is won by our old vote has been won by then, and those who are asked
know of it; what is not can be won by a new vote alone. For the same reason an answer of the arbiter counts
when it was asked after that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hamgr.core.accepting import counts
from hamgr.core.effects import InitialisedRecord, Kind, StateRecord
from hamgr.core.election import UNKNOWN_VOTE, newest
from hamgr.core.electorate import ARBITER
from hamgr.core.membership import microseconds
from hamgr.core.messages import ClusterState, LearnReply, LearnRequest

if TYPE_CHECKING:
    from hamgr.core.node import Node


class Learning:
    """What one node learns before it may vote."""

    def __init__(self, node: Node, now: float) -> None:
        self._node = node
        keepalive = node.spec.timing.keepalive
        self._asks_from = now + node.membership.mutual_time + keepalive
        """Seconds. A keepalive more than need be: clocks don't run alike."""
        self._told: dict[str, LearnReply] = {}
        self._writes = 0
        """The serial of the record that will make this node a voter; 0 for none."""

    def ask(self, now: float) -> None:
        """Once a keepalive."""
        node = self._node
        if not node.election.initialised and now >= self._asks_from:
            for name in node.membership.alive():
                node.send(name, LearnRequest())

    def told(self, now: float, name: str, reply: LearnReply) -> None:
        if not self._node.election.initialised and now >= self._asks_from:
            self._told[name] = reply

    def settle(self, now: float) -> None:
        """Vote from now on, if enough have told what they know."""
        node = self._node
        if node.election.initialised or self._writes or now < self._asks_from:
            return
        told = {*self._told}
        state = node.stored
        epoch = node.election.epoch
        for reply in self._told.values():
            state = newest(state, reply.state)
            epoch = max(epoch, reply.epoch, reply.state.stamp.epoch)
        state = self._of_arbiter(state)
        answer = node.arbitration.answer_for(state)
        asked_since = answer is not None and answer.echo_us >= microseconds(self._asks_from)
        if answer is not None and asked_since and answer.voter and answer.stored <= state.stamp:
            told.add(ARBITER)
            epoch = max(epoch, answer.epoch, answer.vote_epoch)
        # By the newest voters that anybody tells of: those who did not, with our own former self, were no quorum.
        if node.catchup.electorates(state, state.electorates).would_miss(told):
            return
        node.election.observe(epoch)
        node.election.voted_for = node.election.voted_for or UNKNOWN_VOTE
        if state.stamp > node.stored.stamp:
            node.persist(StateRecord(state))
        node.persist(InitialisedRecord(epoch))
        self._writes = node.records.serial

    def _of_arbiter(self, state: ClusterState) -> ClusterState:
        """The newest cluster state, if the arbiter's counts for who knows it."""
        said = self._node.arbitration.said
        if said is not None and counts(newest(state, said.state), said.store):
            return newest(state, said.state)
        return state

    def written(self, now: float, serial: int) -> None:
        """A record that makes a node a voter is on disk."""
        node = self._node
        if serial != self._writes:
            return
        self._writes = 0
        node.election.initialised = True
        node.tell(Kind.STARTED, f"{node.name} has learned epoch {node.election.epoch} and votes", node.name)
        node.beat_soon = True

    def unwritten(self, serial: int) -> None:
        """It could not be written: it is tried anew."""
        if serial == self._writes:
            self._writes = 0
