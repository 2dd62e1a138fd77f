"""How votes are counted: `votes` of [node.NAME], and the algorithm of the arbiter's in [quorum]."""

from __future__ import annotations

from collections.abc import Mapping

from hamgr.config.table import Table
from hamgr.core.cluster import Algorithm

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
