"""Who votes, with how many votes, and what makes a quorum of them: the one place where votes are counted.

Any two quorums of one electorate share a voter. While the voters are being changed, a quorum is what is one of the old
electorate and leaves none of the coming one outside: so a quorum of before and one of after never miss each other
(`hamgr.core.voters`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

ARBITER = "the arbiter"
"""What the arbiter is called among voters; no node has such a name."""

LOWEST = "lowest"
"""`auto_tie_breaker`: the first node, in the order of the file, of those that vote."""

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Electorate:
    """nodes: the votes of each node (0: it has no say). arbiter: the votes of the arbiter, 0 without one.
    alone: (two_node) each node is a quorum by itself. tie: the node with which half of the votes are a quorum; "" for
    none."""

    nodes: Mapping[str, int] = field(default_factory=dict)
    arbiter: int = 0
    alone: bool = False
    tie: str = ""

    def __bool__(self) -> bool:
        return bool(self.nodes)

    @property
    def voters(self) -> frozenset[str]:
        return frozenset((*self.nodes, ARBITER) if self.arbiter else self.nodes)

    def count(self, names: Collection[str], arbiter: bool = False) -> int:
        """The votes of these nodes, each once, and of the arbiter if it is with them (or among the names)."""
        found = sum(votes for node, votes in self.nodes.items() if node in names)
        return found + self.arbiter if arbiter or ARBITER in names else found

    def is_quorum(self, voters: Collection[str]) -> bool:
        count = self.count(voters)
        return count >= self.majority or (self.tie != "" and self.tie in voters and 2 * count == self.votes > 0)

    def could_decide(self, voters: Collection[str]) -> bool:
        """Could these have decided something, one of them being a voter that forgot it?"""
        return len(voters) > 1 if self.alone else self.is_quorum(voters)

    def only(self, voters: Collection[str]) -> Electorate:
        """Those of these."""
        if all(name in voters for name in self.voters):
            return self
        nodes = {node: votes for node, votes in self.nodes.items() if node in voters}
        tie = self.tie if self.tie in nodes else ""
        return Electorate(nodes, self.arbiter if ARBITER in voters else 0, self.alone, tie)

    def __str__(self) -> str:
        """`a, b, the arbiter: 2 of 3 votes are a quorum`."""
        every = {**self.nodes, ARBITER: self.arbiter} if self.arbiter else self.nodes
        names = ", ".join(name if votes == 1 else f"{name} ({votes})" for name, votes in every.items())
        tie = f", or half of them with {self.tie}" if self.tie else ""
        return f"{names}: {self.majority} of {self.votes} votes are a quorum{tie}"

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


@dataclass(frozen=True, slots=True)
class Electorates:
    """current: the voters (none: nothing is recorded). coming: those to come, while a change is under way."""

    current: Electorate = field(default_factory=Electorate)
    coming: Electorate = field(default_factory=Electorate)

    @property
    def sets(self) -> tuple[Electorate, ...]:
        return (self.current, self.coming) if self.coming else (self.current,)

    @property
    def voters(self) -> frozenset[str]:
        return self.current.voters | self.coming.voters

    def is_quorum(self, voters: Collection[str]) -> bool:
        if not self.coming or not self.may_be_given_up:
            return self.is_agreed(voters)
        outside = self.coming.voters - frozenset(voters)
        return self.current.is_quorum(voters) and not self.coming.is_quorum(outside)

    def is_agreed(self, voters: Collection[str]) -> bool:
        """A quorum of the old electorate, and of the coming one: that much it takes to go over to it."""
        return all(electorate.is_quorum(voters) for electorate in self.sets)

    @property
    def may_be_given_up(self) -> bool:
        """May a quorum give up the change that is under way, though somebody may have gone over already? If each quorum
        of the old electorate meets each one of the coming electorate, whoever decides by either knows."""
        plain = not (self.current.tie or self.coming.tie or self.current.alone or self.coming.alone)
        return plain and self.current.meets(self.coming)

    def would_miss(self, voters: Collection[str]) -> bool:
        """Could the others have decided something that none of these voters knows of?"""
        return any(electorate.could_decide(electorate.voters - frozenset(voters)) for electorate in self.sets)

    def since(self, times: Mapping[str, float]) -> float:
        """The latest time since which a quorum surely stands, when each voter does since its time; -inf for none."""
        found: list[str] = []
        for name in sorted(times, key=lambda voter: times[voter], reverse=True):
            found.append(name)
            if self.is_quorum(found):
                return times[name]
        return NEVER

    def only(self, voters: Collection[str]) -> Electorates:
        return Electorates(self.current.only(voters), self.coming.only(voters))


def _more_than_half(votes: int) -> int:
    return votes // 2 + 1
