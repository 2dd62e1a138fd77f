"""Voters who come and go: without the vote of the old and of the new ones, the simulator notices."""

from __future__ import annotations

from pathlib import Path

import pytest

from hamgr.core.coordinator import Coordinator
from hamgr.core.electorate import Electorates
from hamgr.core.voters import Voters
from hamgr.sim.run import plan, run
from hamgr.sim.scenario import play, read
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


CUT_OFF = """10s cut a b
cut a c
40s {word} b
60s expect web {owner}
"""


@pytest.mark.parametrize(("word", "owner"), [("override", "a"), ("override-blindly", "a")])
def test_where_there_is_a_quorum_no_operator_overrides_it(tmp_path: Path, word: str, owner: str) -> None:
    cluster = 'nodes = ["a", "b", "c"]\non_quorum_loss = "freeze"\n[fence_levels]\na = 0\n'
    (tmp_path / "cluster.toml").write_text(cluster)
    (tmp_path / "timeline.txt").write_text(CUT_OFF.format(word=word, owner=owner))
    assert play(read(tmp_path)).failure == ""


def test_an_operator_who_does_not_look_breaks_safety_and_it_is_laid_to_him(tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text('nodes = ["a", "b"]\narbiter = true\non_quorum_loss = "freeze"\n')
    lost = "10s cut a b\narbiter-down\n30s override b\n40s expect web a\noverride-blindly b\n50s expect web a\n"
    (tmp_path / "timeline.txt").write_text(lost)
    assert "blind-operator: b starts web while it is active on a" in play(read(tmp_path)).failure
