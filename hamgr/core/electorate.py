"""Who votes, with how many votes, and what makes a quorum of them: the one place where votes are counted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Electorate:
    """nodes: the votes of each node (0: it has no say). arbiter: the votes of the arbiter, 0 without one.
    alone: (two_node) each node is a quorum by itself."""

    nodes: Mapping[str, int]
    arbiter: int = 0
    alone: bool = False

    def count(self, names: Collection[str], arbiter: bool = False) -> int:
        """The votes of these nodes, each once, and of the arbiter if it is with them."""
        found = sum(votes for node, votes in self.nodes.items() if node in names)
        return found + self.arbiter if arbiter else found

    def of(self, node: str) -> int:
        return self.nodes.get(node, 0)

    @property
    def votes(self) -> int:
        """All of them."""
        return sum(self.nodes.values()) + self.arbiter

    @property
    def majority(self) -> int:
        """The votes that make a quorum: more than half of all; one is enough where each node is a quorum alone."""
        return 1 if self.alone else _more_than_half(self.votes)

    @property
    def to_learn(self) -> int:
        """The votes of those who must tell what they know before a voter with a new or wiped record votes: one of them
        belongs to every quorum that there can have been."""
        return self.votes - _more_than_half(self.votes) + 1

    def meets(self, other: Electorate) -> bool:
        """Has every quorum of this electorate a voter in common with every quorum of the other one?

        Each voter is given to one side or the other; most[n] are the votes that the other side can have at most, by its
        own count, while this one has n, by its own.
        """
        most = {0: 0}
        for own, theirs in self._beside(other):
            given: dict[int, int] = {}
            for mine, others in most.items():
                given[mine] = max(given.get(mine, 0), others + theirs)
                given[mine + own] = max(given.get(mine + own, 0), others)
            most = given
        least, enough = _more_than_half(self.votes), _more_than_half(other.votes)
        return not any(mine >= least and others >= enough for mine, others in most.items())

    def _beside(self, other: Electorate) -> list[tuple[int, int]]:
        names = {**self.nodes, **other.nodes}
        return [(self.of(name), other.of(name)) for name in names] + [(self.arbiter, other.arbiter)]

    def evenly_split(self) -> bool:
        """Can the nodes be split into two halves neither of which has more votes than the other?"""
        reachable = {0}
        for votes in self.nodes.values():
            reachable |= {some + votes for some in reachable}
        return sum(self.nodes.values()) in {2 * some for some in reachable}


def _more_than_half(votes: int) -> int:
    return votes // 2 + 1
