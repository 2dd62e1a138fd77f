"""Every order in which two or three nodes can vote on one disk: writes take a time, nodes crash, writes come late.

The world of the model: a slot has what it says for certain and, while its node writes, what it may say already. A
read of a slot in that time finds either. A node that dies in a write leaves it to happen later, or never; it does not
begin again before that is settled. A node reads one slot after another.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pytest

from arbiter.ballot import Ballot, Beaten, Decided, Phase, Slip, Step, begin
from hamgr.core.cluster import MAX_NODES

NAMES = "abc"

Seen = Callable[[Ballot, Sequence[Slip]], Step]


class Voter(NamedTuple):
    """A node. seen: the others' slots that it has read behind its write. attempts, crashes: that are left to it."""

    attempts: int
    crashes: int
    epochs: tuple[int, ...] = (1,)
    ballot: Ballot | None = None
    writing: bool = False
    seen: tuple[Slip, ...] = ()
    above: int = 0


class World(NamedTuple):
    """slots: what each says for certain. late: what it may say already, or will. votes: (epoch, node), ever."""

    voters: tuple[Voter, ...]
    slots: tuple[Slip, ...]
    late: tuple[Slip | None, ...]
    votes: frozenset[tuple[int, str]] = frozenset()


def new_world(attempts: Sequence[int], crashes: Sequence[int], epochs: tuple[int, ...] = (1,)) -> World:
    count = len(attempts)
    voters = tuple(Voter(*pair, epochs) for pair in zip(attempts, crashes, strict=True))
    return World(voters, (Slip(),) * count, (None,) * count)


def _put(values: tuple, number: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*values[:number], value, *values[number + 1 :])


def _next_worlds(world: World, seen: Seen) -> Iterator[World]:
    """Whatever can happen next: one step of one node, or of the disk."""
    for number, voter in enumerate(world.voters):

        def voter_is(voter: Voter, world: World = world, number: int = number) -> World:
            return world._replace(voters=_put(world.voters, number, voter))

        own, late = world.slots[number], world.late[number]
        if voter.ballot is None:
            if late is not None:
                # It died in this write, which happens after all, or never will.
                yield world._replace(late=_put(world.late, number, None))
                yield world._replace(late=_put(world.late, number, None), slots=_put(world.slots, number, late))
                continue
            for epoch in voter.epochs if voter.attempts else ():
                if epoch >= own.epoch:
                    ballot = begin(own, number, epoch, NAMES[number], 1, voter.above)
                    after = voter_is(voter._replace(attempts=voter.attempts - 1, ballot=ballot, writing=True))
                    yield after._replace(late=_put(world.late, number, ballot.slip))
            continue
        if voter.crashes:
            yield voter_is(voter._replace(crashes=voter.crashes - 1, ballot=None, writing=False, seen=(), above=0))
        if voter.writing:
            assert late is not None
            after = voter_is(voter._replace(writing=False, seen=()))
            yield after._replace(slots=_put(world.slots, number, late), late=_put(world.late, number, None))
            continue
        others = [other for other in range(len(world.voters)) if other != number]
        if len(voter.seen) < len(others):
            other = others[len(voter.seen)]
            maybe = world.late[other] if world.voters[other].writing else None
            for found in {world.slots[other], world.slots[other] if maybe is None else maybe}:
                yield voter_is(voter._replace(seen=(*voter.seen, found)))
            continue
        step = seen(voter.ballot, voter.seen)
        if isinstance(step, Ballot):
            after = voter_is(voter._replace(ballot=step, writing=True, seen=()))
            yield after._replace(late=_put(world.late, number, step.slip))
            continue
        above = step.ballot if isinstance(step, Beaten) and step.epoch == voter.ballot.slip.epoch else 0
        after = voter_is(voter._replace(ballot=None, seen=(), above=above))
        if isinstance(step, Decided):
            after = after._replace(votes=world.votes | {(step.slip.epoch, step.slip.value)})
        yield after


def two_votes_in_an_epoch(start: World, seen: Seen = Ballot.seen) -> World | None:
    """The first world that can be reached in which an epoch has two votes; None when there is none."""
    known = {start}
    waiting = [start]
    while waiting:
        for world in _next_worlds(waiting.pop(), seen):
            if world not in known:
                if len({epoch for epoch, _ in world.votes}) < len(world.votes):
                    return world
                known.add(world)
                waiting.append(world)
    assert any(world.votes for world in known), "nobody ever got a vote"
    return None


WORLDS = {
    "two nodes, two attempts each, a crash each": new_world((2, 2), (1, 1)),
    "two nodes, one of which insists": new_world((3, 1), (1, 0)),
    "two nodes, two epochs, a crash": new_world((2, 2), (1, 0), (1, 2)),
    "three nodes, one of which crashes": new_world((1, 1, 1), (1, 0, 0)),
}
MORE_WORLDS = {
    "two nodes, three attempts each, two crashes each": new_world((3, 3), (2, 2)),
    "two nodes, three epochs": new_world((3, 3), (0, 0), (1, 2, 3)),
    "three nodes, a crash each": new_world((1, 1, 1), (1, 1, 1)),
    "three nodes, one tries twice": new_world((2, 1, 1), (1, 0, 0)),
    "three nodes, two epochs": new_world((2, 1, 1), (0, 0, 0), (1, 2)),
}
"""Minutes: HAMGR_BALLOTS=all."""

if os.environ.get("HAMGR_BALLOTS") == "all":
    WORLDS |= MORE_WORLDS


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_an_epoch_has_one_vote_in_whatever_order_things_happen(world: World) -> None:
    assert two_votes_in_an_epoch(world) is None


def without_a_second_look(ballot: Ballot, others: Sequence[Slip]) -> Step:
    return Decided(ballot.slip) if ballot.phase is Phase.CHOSEN else ballot.seen(others)


def without_a_first_look(ballot: Ballot, others: Sequence[Slip]) -> Step:
    return ballot.seen(() if ballot.phase is Phase.BEGUN else others)


def with_its_own_value(ballot: Ballot, others: Sequence[Slip]) -> Step:
    step = ballot.seen(others)
    if isinstance(step, Ballot):
        return dataclasses.replace(step, slip=dataclasses.replace(step.slip, value=step.candidate))
    return step


def in_spite_of_later_epochs(ballot: Ballot, others: Sequence[Slip]) -> Step:
    return ballot.seen([other for other in others if other.epoch <= ballot.slip.epoch])


@pytest.mark.parametrize(
    ("careless", "world"),
    [
        (without_a_second_look, "two nodes, two attempts each, a crash each"),
        (without_a_first_look, "two nodes, two attempts each, a crash each"),
        (with_its_own_value, "two nodes, two attempts each, a crash each"),
        (in_spite_of_later_epochs, "two nodes, two epochs, a crash"),
    ],
)
def test_the_model_finds_two_votes_as_soon_as_a_step_is_careless(careless: Seen, world: str) -> None:
    assert two_votes_in_an_epoch(WORLDS[world], careless) is not None


def test_a_ballot_is_given_up_for_a_later_one_and_for_a_later_epoch() -> None:
    ballot = begin(Slip(), 0, 5, "a", 1)
    assert ballot.seen([Slip(5, ballot.slip.ballot + 1)]) == Beaten(5, ballot.slip.ballot + 1)
    assert ballot.seen([Slip(6)]) == Beaten(6, 0)


def test_what_was_voted_on_in_epochs_that_are_over_is_nobodys_vote_now() -> None:
    step = begin(Slip(4, 16, 16, "a", 1, True), 0, 5, "a", 2).seen([Slip(4, 17, 17, "b", 1)])
    assert isinstance(step, Ballot)
    assert (step.slip.value, step.slip.life) == ("a", 2)


def test_no_two_slots_and_no_two_attempts_have_the_same_ballot() -> None:
    ballots = set()
    for slot in range(MAX_NODES):
        own = Slip()
        for _ in range(3):
            own = begin(own, slot, 1, "a", 1).slip
            ballots.add(own.ballot)
    assert len(ballots) == 3 * MAX_NODES
