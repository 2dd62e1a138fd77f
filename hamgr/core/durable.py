"""What a node remembers over a restart: the fold of all records that it ever had on disk.

Votes and cluster states only grow: a record that comes to disk after a later one changes nothing.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from hamgr.core.effects import FenceRecord, InitialisedRecord, Record, StandbyRecord, StateRecord, VoteRecord
from hamgr.core.election import UNKNOWN_VOTE
from hamgr.core.messages import ClusterState


@dataclass(frozen=True, slots=True)
class Durable:
    """initialised False: a new or wiped state directory; the node votes only after it has learned the epoch.

    fences: fencings whose intent is on disk without a result: their outcome is unknown.
    """

    initialised: bool = False
    epoch: int = 0
    voted_for: str = ""
    standby: bool = False
    state: ClusterState = ClusterState()
    fences: tuple[FenceRecord, ...] = ()

    def apply(self, record: Record) -> Durable:
        match record:
            case VoteRecord(epoch, candidate):
                if epoch <= self.epoch and self.voted_for:
                    return self
                return dataclasses.replace(self, epoch=epoch, voted_for=candidate)
            case StateRecord(state):
                if state.stamp <= self.state.stamp:
                    return self
                return dataclasses.replace(self, state=state)
            case StandbyRecord(standby):
                return dataclasses.replace(self, standby=standby)
            case InitialisedRecord(epoch):
                if self.initialised:
                    return self
                vote = UNKNOWN_VOTE if epoch else ""
                return dataclasses.replace(self, initialised=True, epoch=epoch, voted_for=vote)
            case FenceRecord():
                others = tuple(fence for fence in self.fences if fence.fence != record.fence)
                return dataclasses.replace(self, fences=others if record.outcome else (*others, record))
