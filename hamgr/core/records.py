"""What a node has on the way to its disk, what it does when the disk fails, and how it learns after a wipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hamgr.core.accepting import counts
from hamgr.core.effects import Effect, FenceRecord, InitialisedRecord, Kind, Persist, Record, StateRecord, VoteRecord
from hamgr.core.election import UNKNOWN_VOTE, newest
from hamgr.core.electorate import ARBITER
from hamgr.core.events import FenceOutcome
from hamgr.core.messages import LearnReply

if TYPE_CHECKING:
    from hamgr.core.node import Node


class Records:
    """The records of one node. failure: why the disk can't be written; "" while it can."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.serial = 0
        self.pending: dict[int, Record] = {}
        self.behind: dict[int, list[int]] = {}
        """Record -> the records of the same step that are dropped when it can't be written."""
        self.failure = ""
        self.retry_at = float("inf")
        self.learned: dict[str, LearnReply] = {}
        self.learning = 0
        """The serial of the record that will make this node a voter."""

    def persist(self, record: Record) -> None:
        node = self._node
        self.serial += 1
        self.pending[self.serial] = record
        node.out.append(Persist(self.serial, record))

    def persisted(self, now: float, serial: int) -> None:
        node = self._node
        record = self.pending.pop(serial, None)
        self.behind.pop(serial, None)
        if self.failure:
            self.failure = ""
            self.retry_at = float("inf")
            node.tell(Kind.DISK_OK, f"the state directory of {node.name} can be written again", node.name)
            node.report_due = True
        match record:
            case VoteRecord(epoch, candidate):
                claim = node.election.claim
                if claim is not None and claim.epoch == epoch and candidate == node.name:
                    claim.own = True
            case StateRecord(state):
                node.stored = newest(node.stored, state)
                node.member.leave_alone(node.stored.maintenance, node.prompt)
                node.beat_soon = True
            case InitialisedRecord() if serial == self.learning:
                self.learning = 0
                node.election.initialised = True
                node.tell(Kind.STARTED, f"{node.name} has learned epoch {node.election.epoch} and votes", node.name)
                node.beat_soon = True
            case _:
                pass
        node.dirty = True

    def failed(self, now: float, serial: int, reason: str) -> None:
        node = self._node
        for dropped in [serial, *self.behind.pop(serial, [])]:
            self.behind.pop(dropped, None)
            node.delivery.unwritten(dropped)
            self._unwritten(now, dropped, reason)
        if not self.failure:
            text = f"the state directory of {node.name} can't be written ({reason}): it neither votes nor runs groups"
            node.tell(Kind.DISK_FAILED, text, node.name)
        self.failure = reason
        self.retry_at = now + node.spec.timing.deadtime
        node.election.claim = None
        if node.coordinator is not None:
            node.lose_coordinator(now)
        node.report_due = True

    def _unwritten(self, now: float, serial: int, reason: str) -> None:
        node = self._node
        record = self.pending.pop(serial, None)
        if isinstance(record, FenceRecord) and not record.outcome and node.coordinator is not None:
            # The barrier kept the agent from starting.
            node.coordinator.fencing.finished(
                now, record.fence, record.node, FenceOutcome.FAILED, f"the intent could not be recorded: {reason}"
            )
        if serial == self.learning:
            self.learning = 0

    def note_barriers(self, out: list[Effect]) -> None:
        """When a record can't be written, the host drops what stands behind it, further records included."""
        serials = [effect.serial for effect in out if isinstance(effect, Persist)]
        for index, serial in enumerate(serials):
            self.behind[serial] = serials[index + 1 :]

    def learn(self, now: float) -> None:
        """A new or wiped node asks all others, and votes after a majority of them has told the epoch."""
        node = self._node
        if node.election.initialised or self.learning:
            return
        # A candidate that still hears our last life may yet count the vote which that one gave and we forgot.
        if now < node.started_at + node.membership.mutual_time:
            return
        told = {*self.learned}
        state = node.stored
        epoch = node.election.epoch
        for reply in self.learned.values():
            state = newest(state, reply.state)
            epoch = max(epoch, reply.epoch, reply.state.stamp.epoch)
        said = node.arbitration.said
        if said is not None and counts(newest(state, said.state), said.store):
            state = newest(state, said.state)
        answer = node.arbitration.answer_for(state)
        if answer is not None and answer.voter and node.arbitration.connected and answer.stored <= state.stamp:
            told.add(ARBITER)
            epoch = max(epoch, answer.epoch, answer.vote_epoch)
        # By the newest voters that anybody tells of: those who did not, with our own former self, were no quorum.
        if node.spec.electorates(state.electorates).would_miss(told):
            return
        node.election.observe(epoch)
        node.election.voted_for = node.election.voted_for or UNKNOWN_VOTE
        if state.stamp > node.stored.stamp:
            node.persist(StateRecord(state))
        node.persist(InitialisedRecord(epoch))
        self.learning = self.serial
