"""Which of several sides of a partition gets the arbiter's vote: what counts first, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

from hamgr.core.electorate import Electorate
from hamgr.core.messages import ArbiterReport


@dataclass(frozen=True, slots=True)
class Side:
    """A claimant with the nodes that it hears (`nodes`, itself among them), as far as the arbiter knows them.

    health, load: of those together whose reports the arbiter has had within the deadtime. rank: of the claimant.
    """

    claimant: str
    nodes: tuple[str, ...]
    votes: int
    health: int
    load: int
    has_tie_breaker: bool
    first: int
    rank: int

    @property
    def facts(self) -> str:
        """For the log."""
        votes = "" if self.votes == len(self.nodes) else f" with {self.votes} votes"
        return f"alive {len(self.nodes)}{votes}, health {self.health}, load {self.load}"


def side_of(claimant: str, reports: Mapping[str, ArbiterReport], electorate: Electorate) -> Side:
    """reports: the fresh ones of all nodes that the arbiter hears, the claimant's among them. electorate: who votes."""
    claim = reports[claimant]
    nodes = tuple(name for name in claim.nodes if name in claim.alive or name == claimant)
    known = [reports[name] for name in nodes if name in reports]
    return Side(
        claimant,
        nodes,
        electorate.count(nodes),
        sum(report.health for report in known),
        sum(report.load for report in known),
        claim.tie_breaker in nodes,
        min(claim.nodes.index(name) for name in nodes),
        claim.nodes.index(claimant),
    )


def larger_unheard(
    claimant: str, reports: Mapping[str, ArbiterReport], asking: Container[str], electorate: Electorate
) -> bool:
    """Are there nodes that the claimant does not hear, and of whose side nobody asks yet, though it is the larger one?
    With one vote of the arbiter that is none that it could make a quorum; with many it may be."""
    mine = side_of(claimant, reports, electorate)
    for name, report in reports.items():
        # They may take the claimant for one of theirs, until they see that it does not hear them.
        others = [node for node in report.alive if node != claimant]
        speechless = report.initialised and not any(node in asking for node in others)
        if name not in mine.nodes and speechless:
            larger = (electorate.count(others), len(others)) > (mine.votes, len(mine.nodes))
            if larger:
                return True
    return False


_PRECEDENCE: Sequence[tuple[str, Callable[[Side], int]]] = (
    ("has more votes", lambda side: side.votes),
    ("hears more nodes", lambda side: len(side.nodes)),
    ("has the higher health", lambda side: side.health),
    ("runs more", lambda side: side.load),
)
"""What decides, the first that differs. More is better."""


def best(sides: Sequence[Side]) -> tuple[Side, str]:
    """The side that gets the vote, and why, in a sentence."""
    order = sorted(sides, key=_key)
    winner = order[0]
    if len(order) == 1:
        return winner, f"{winner.claimant} is the only claimant"
    return winner, _why(winner, order[1])


def _key(side: Side) -> tuple[int, ...]:
    return (*(-value(side) for _, value in _PRECEDENCE), not side.has_tie_breaker, side.first, side.rank)


def _why(winner: Side, loser: Side) -> str:
    one, other = winner.claimant, loser.claimant
    for what, value in _PRECEDENCE:
        if value(winner) != value(loser):
            return f"{one} {what} than {other} ({value(winner)}, {value(loser)})"
    if winner.has_tie_breaker and not loser.has_tie_breaker:
        return f"{one} is the tie-breaker" if len(winner.nodes) == 1 else f"{one} has the tie-breaker on its side"
    return f"{one} is ranked before {other}" if len(winner.nodes) == 1 else f"{one}'s side has the higher rank"
