"""How many votes each node has: `votes` of [node.NAME]."""

from __future__ import annotations

from collections.abc import Mapping

from hamgr.config.table import Table

MOST_VOTES = 255
"""Of one node."""


def read_votes(nodes: Mapping[str, Table]) -> dict[str, int]:
    found = {name: table.number("votes", 1, 0, MOST_VOTES) for name, table in nodes.items()}
    if nodes and not any(found.values()):
        mistakes = next(iter(nodes.values())).mistakes
        mistakes.note("node", "votes = 0 for every node", "a vote for one node at least")
    return found
