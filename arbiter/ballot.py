"""The one vote of an epoch, on a disk that all nodes write to: the steps of Disk Paxos, as functions of values.

Gafni and Lamport, Disk Paxos (2003), with one disk and one instance an epoch. Each node writes its own slip alone; it
reads those of all others after each of its two writes. So of two nodes at least one sees the other's last word, and
once a node has found nobody ahead of it behind its second write, whoever comes later finds its value.
A node that finds a slip of a later epoch gives up: that is why slips of epochs that are over may be overwritten.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from hamgr.core.cluster import MAX_NODES


@dataclass(frozen=True, slots=True)
class Slip:
    """What one slot says of the vote of `epoch`. ballot: the highest one that its node has begun (0: none; the epoch is
    only known to be over). accepted: the last ballot whose value it took; that is a vote for the node `value`, for its
    incarnation `life`. decided: it is the epoch's vote for certain."""

    epoch: int = 0
    ballot: int = 0
    accepted: int = 0
    value: str = ""
    life: int = 0
    decided: bool = False


class Phase(enum.Enum):
    """What the slip that was written last says: that a ballot has begun, or a value in it."""

    BEGUN = 1
    CHOSEN = 2


@dataclass(frozen=True, slots=True)
class Decided:
    """The epoch's vote: `slip` says so, in our slot too once it is written there."""

    slip: Slip


@dataclass(frozen=True, slots=True)
class Beaten:
    """Somebody has begun a later ballot, or a later epoch."""

    epoch: int
    ballot: int


@dataclass(frozen=True, slots=True)
class Ballot:
    """An attempt of one node. `slip` is to be written; then `seen` is told what the others' slots say."""

    candidate: str
    life: int
    slip: Slip
    phase: Phase = Phase.BEGUN

    def seen(self, others: Iterable[Slip]) -> Step:
        """The next step, with the others' slips as they were read after ours was on the disk."""
        slip = self.slip
        ahead = max(((other.epoch, other.ballot) for other in others), default=(0, 0))
        if ahead > (slip.epoch, slip.ballot):
            return Beaten(*ahead)
        if self.phase is Phase.CHOSEN:
            return Decided(replace(slip, decided=True))
        votes = [other for other in (*others, slip) if other.epoch == slip.epoch and other.accepted]
        vote = max(votes, key=lambda found: found.accepted, default=None)
        value, life = (vote.value, vote.life) if vote is not None else (self.candidate, self.life)
        chosen = replace(slip, accepted=slip.ballot, value=value, life=life)
        return replace(self, slip=chosen, phase=Phase.CHOSEN)


Step: TypeAlias = Ballot | Decided | Beaten


def begin(own: Slip, slot: int, epoch: int, candidate: str, life: int, above: int = 0) -> Ballot:
    """The first step of an attempt in the epoch by the node whose slot now says `own`. above: a ballot of this epoch
    that is known to have begun."""
    assert own.epoch <= epoch, f"slot {slot} is at epoch {own.epoch}, and {epoch} is to be voted on"
    base = own if own.epoch == epoch else Slip(epoch)
    turn = max(base.ballot, above) // MAX_NODES + 1
    # Two slots never have the same ballot, nor one slot the same twice.
    return Ballot(candidate, life, replace(base, ballot=turn * MAX_NODES + slot))
