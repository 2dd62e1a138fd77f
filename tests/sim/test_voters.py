"""Voters who come and go: without the vote of the old and of the new ones, the simulator notices."""

from __future__ import annotations

import pytest

from hamgr.core.coordinator import Coordinator
from hamgr.core.electorate import Electorates
from hamgr.core.voters import Voters
from hamgr.sim.run import plan, run
from hamgr.sim.shape import Wanted

SEEDS = range(1, 20)


def broken(seeds: range) -> set[str]:
    """The invariants that break in these universes, until the first does."""
    for seed in seeds:
        failure = run(plan(seed, Wanted(voters=True))).failure
        if failure is not None:
            return {failure.name}
    return set()


def at_once(voters: Voters, now: float, coordinator: Coordinator) -> None:
    """The coordinator changes the voters by its own word."""
    voters._watch(now, coordinator)
    coming = voters._next(coordinator, coordinator.electorates.current)
    if not voters._node.spec.two_node and coming != coordinator.electorates.current:
        coordinator.electorates = Electorates(coming)
        voters._node.touch()


def test_voters_that_nobody_voted_for_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Voters, "settle", at_once)
    assert broken(SEEDS) == {"voters"}
