"""What a node remembers over a restart: the fold of all records that it ever had on disk.

Votes and cluster states only grow: a record that comes to disk after a later one changes nothing.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from hamgr.core.effects import (
    AppliedRecord,
    FenceRecord,
    HistoryRecord,
    InitialisedRecord,
    Record,
    StagedRecord,
    StandbyRecord,
    StateRecord,
    VoteRecord,
)
from hamgr.core.election import UNKNOWN_VOTE
from hamgr.core.messages import ClusterState, ConfigStamp

STAGED = 8
"""Configurations that are kept to be switched to; of more, the newest, and what is proposed or committed."""


@dataclass(frozen=True, slots=True)
class Durable:
    """initialised False: a new or wiped state directory; the node votes only after it has learned the epoch.

    fences: fencings whose intent is on disk without a result: their outcome is unknown. staged: configurations, the
    newest last (without their texts). applied: the version of the last pushed one that is in the file.
    """

    initialised: bool = False
    epoch: int = 0
    voted_for: str = ""
    standby: bool = False
    state: ClusterState = ClusterState()
    fences: tuple[FenceRecord, ...] = ()
    staged: tuple[StagedRecord, ...] = ()
    applied: int = 0

    @property
    def pending(self) -> ConfigStamp | None:
        """A committed configuration that is not in the file yet, and whose text is here; None when there is none."""
        config = self.state.config
        known = any(staged.digest == config.digest for staged in self.staged)
        return config if config.version > self.applied and known else None

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
            case StagedRecord(digest, idle):
                older = [staged for staged in self.staged if staged.digest != digest]
                needed = (self.state.proposed.digest, self.state.config.digest)
                spare = [staged for staged in older if staged.digest not in needed]
                for staged in spare[: max(0, len(older) + 1 - STAGED)]:
                    older.remove(staged)
                return dataclasses.replace(self, staged=(*older, StagedRecord(digest, idle)))
            case AppliedRecord(version):
                return dataclasses.replace(self, applied=max(self.applied, version))
            case HistoryRecord():
                return self
            case FenceRecord():
                others = tuple(fence for fence in self.fences if fence.fence != record.fence)
                return dataclasses.replace(self, fences=others if record.outcome else (*others, record))
