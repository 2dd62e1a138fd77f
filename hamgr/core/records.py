"""What a node has on the way to its disk, and what it does when the disk fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hamgr.core.effects import Effect, FenceRecord, InitialisedRecord, Kind, Persist, Record, StateRecord, VoteRecord
from hamgr.core.election import newest
from hamgr.core.events import FenceOutcome
from hamgr.core.membership import microseconds

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
                node.stored_us = microseconds(now)
                node.member.leave_alone(node.stored.maintenance, node.prompt)
                node.beat_soon = True
            case InitialisedRecord():
                node.learning.written(now, serial)
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
        node.learning.unwritten(serial)

    def note_barriers(self, out: list[Effect]) -> None:
        """When a record can't be written, the host drops what stands behind it, further records included."""
        serials = [effect.serial for effect in out if isinstance(effect, Persist)]
        for index, serial in enumerate(serials):
            self.behind[serial] = serials[index + 1 :]
