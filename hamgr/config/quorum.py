"""How votes are counted: `votes` of [node.NAME], and [quorum]."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hamgr.config.table import Table
from hamgr.core.cluster import Algorithm
from hamgr.core.electorate import LOWEST

DEFAULT_WINDOW = 10.0
"""Seconds, as votequorum(5) has it."""

MOST_VOTES = 255
"""Of one node."""


def read_votes(nodes: Mapping[str, Table]) -> dict[str, int]:
    found = {name: table.number("votes", 1, 0, MOST_VOTES) for name, table in nodes.items()}
    if nodes and not any(found.values()):
        mistakes = next(iter(nodes.values())).mistakes
        mistakes.note("node", "votes = 0 for every node", "a vote for one node at least")
    return found


def read_algorithm(quorum: Table, has_arbiter: bool) -> Algorithm:
    found = Algorithm(quorum.choice("algorithm", Algorithm.FFSPLIT.value, [one.value for one in Algorithm]))
    if "algorithm" in quorum.values and not has_arbiter:
        quorum.wrong("algorithm", "nothing without [arbiter], whose vote it is about")
    return found


def read_ties(quorum: Table, nodes: Collection[str], has_arbiter: bool) -> tuple[str, float | None]:
    """The node with which half of the votes are a quorum, and after how many seconds a lost node has no vote."""
    tie = quorum.choice("auto_tie_breaker", "", (LOWEST, *nodes))
    if tie and has_arbiter:
        quorum.wrong("auto_tie_breaker", "nothing with [arbiter], which decides between two halves")
    standing = quorum.flag("last_man_standing", False)
    window = quorum.duration("last_man_standing_window", DEFAULT_WINDOW, 0.0)
    if "last_man_standing_window" in quorum.values and not standing:
        quorum.wrong("last_man_standing_window", "nothing without last_man_standing = true")
    return tie, window if standing else None
