"""Counts votes for the invariants, by the definition of a quorum, and knows which voters may follow on which; with
nothing of the code that is checked."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from itertools import combinations

from hamgr.core.electorate import ARBITER, Electorate, Electorates


def is_quorum(electorates: Electorates, voters: Collection[str]) -> bool:
    """More than half of all votes, or half of them with the tie. While the voters change: of the old ones, and the rest
    is none of the coming ones; of both where two quorums of old and new might miss each other."""
    if not electorates.coming.nodes or not always_meet(electorates.current, electorates.coming):
        return is_agreed(electorates, voters)
    rest = [name for name in electorates.coming.voters if name not in voters]
    return _most(electorates.current, voters) and not _most(electorates.coming, rest)


def is_agreed(electorates: Electorates, voters: Collection[str]) -> bool:
    """Of the present electorate, and of the coming one."""
    return all(_most(one, voters) for one in (electorates.current, electorates.coming) if one.nodes)


def may_follow(decided: Electorates, later: Electorates) -> bool:
    """A quorum had the first on disk, so nobody goes behind it: the voters are the same, or those that were to come. A
    change is not given up where quorums might miss each other."""
    if not decided.coming.nodes:
        return later.current == decided.current
    given_up = later.current == decided.current and always_meet(decided.current, decided.coming)
    return later == decided or later.current == decided.coming or given_up


def always_meet(one: Electorate, other: Electorate) -> bool:
    """By trying all: no quorum of one leaves a quorum of the other one outside."""
    return _always_meet(_key(one), _key(other))


Key = tuple[frozenset[tuple[str, int]], int, bool, str]


def _key(one: Electorate) -> Key:
    return frozenset(one.nodes.items()), one.arbiter, one.alone, one.tie


@lru_cache(maxsize=4096)
def _always_meet(one: Key, other: Key) -> bool:
    electorates = [Electorate(dict(nodes), arbiter, alone, tie) for nodes, arbiter, alone, tie in (one, other)]
    first, second = electorates
    names = sorted(first.voters | second.voters)
    for size in range(len(names) + 1):
        for some in combinations(names, size):
            if _most(first, some) and _most(second, [name for name in names if name not in some]):
                return False
    return True


def _most(electorate: Electorate, voters: Collection[str]) -> bool:
    if electorate.alone:
        return any(name in electorate.nodes for name in voters)
    of_each = {**electorate.nodes, ARBITER: electorate.arbiter}
    behind = sum(votes for name, votes in of_each.items() if name in voters)
    others = sum(of_each.values()) - behind
    return behind > others or (behind == others > 0 and electorate.tie in voters)
