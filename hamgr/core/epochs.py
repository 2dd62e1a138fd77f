"""Which epochs are whose: most are everybody's, and some belong to one node alone, for an operator's override.

So even who stands without a quorum meets nobody in an epoch: no epoch has two coordinators, whatever humans say.
"""

from __future__ import annotations

ROUND = 64
"""Epochs are counted in rounds of so many: the first ones of each round are everybody's, the last ones each belong to
one node, by its rank."""

EVERYBODYS = 48


def is_overriding(epoch: int) -> bool:
    """It is one that belongs to a node."""
    return epoch % ROUND >= EVERYBODYS


def next_of_everybody(epoch: int) -> int:
    """The first epoch after this one that anybody may stand in."""
    epoch += 1
    return epoch if not is_overriding(epoch) else epoch - epoch % ROUND + ROUND


def next_of(rank: int, epoch: int) -> int:
    """The first epoch after this one that belongs to the node of this rank."""
    found = epoch - epoch % ROUND + EVERYBODYS + rank
    return found if found > epoch else found + ROUND
