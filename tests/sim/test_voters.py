"""Voters who come and go, pushes that are missed or inherited: what is done wrongly there, the simulator notices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hamgr.core.catchup import CatchUp
from hamgr.core.coordinator import Coordinator
from hamgr.core.electorate import Electorates
from hamgr.core.messages import ConfigStamp
from hamgr.core.pushing import Pushing
from hamgr.core.voters import Voters
from hamgr.sim.run import plan, run
from hamgr.sim.scenario import play, read
from hamgr.sim.shape import Wanted

SEEDS = range(1, 60)
SCENARIOS = Path(__file__).parent.parent / "scenarios"


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


def of_old(electorates: Electorates, voters: set[str]) -> bool:
    return electorates.current.is_quorum(voters)


def of_new(electorates: Electorates, voters: set[str]) -> bool:
    return (electorates.coming or electorates.current).is_quorum(voters)


@pytest.mark.parametrize("counted", [of_old, of_new])
def test_a_quorum_of_one_electorate_alone_is_noticed_while_voters_change(
    monkeypatch: pytest.MonkeyPatch, counted: object
) -> None:
    monkeypatch.setattr(Electorates, "is_quorum", counted)
    monkeypatch.setattr(Electorates, "is_agreed", counted)
    (noticed,) = broken(SEEDS)
    assert noticed in ("voters", "fence-quorum", "quorums-meet")


def test_voters_that_no_quorum_of_the_old_ones_has_on_disk_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = Voters.settle

    def hasty(self: Voters, now: float, coordinator: Coordinator) -> None:
        coming = coordinator.electorates.coming
        if coming and coming.is_quorum(self._node.who_stored(coordinator.state.stamp)):
            self._go_over(coordinator, coming, "from now on they vote")
        else:
            settle(self, now, coordinator)

    monkeypatch.setattr(Voters, "settle", hasty)
    assert broken(SEEDS) == {"voters"}


def goes_back(reign: Coordinator) -> None:
    reign.electorates = Electorates(reign.electorates.current)


def goes_over(reign: Coordinator) -> None:
    reign.electorates = Electorates(reign.electorates.coming or reign.electorates.current)


def inherits(monkeypatch: pytest.MonkeyPatch, wrongly: Callable[[Coordinator], None]) -> None:
    init = Coordinator.__init__

    def wrong(self: Coordinator, *facts: Any) -> None:
        init(self, *facts)
        wrongly(self)

    monkeypatch.setattr(Coordinator, "__init__", wrong)


@pytest.mark.parametrize("wrongly", [goes_back, goes_over])
def test_a_coordinator_that_does_not_carry_a_change_of_voters_on_is_noticed(
    monkeypatch: pytest.MonkeyPatch, wrongly: Callable[[Coordinator], None]
) -> None:
    inherits(monkeypatch, wrongly)
    assert broken(SEEDS) == {"voters"}


# -- pushes -----------------------------------------------------------------------------------------------------


def failure(scenario: str) -> str:
    return play(read(SCENARIOS / scenario)).failure


def forgets(reign: Coordinator) -> None:
    reign.proposed = ConfigStamp()


def test_a_coordinator_that_forgets_a_push_it_inherited_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    inherits(monkeypatch, forgets)
    assert "are both committed as configuration 1" in failure("push-committed-by-one-alone")


def with_the_same_version(pushing: Pushing, coordinator: Coordinator, why: str) -> None:
    coordinator.proposed = ConfigStamp(coordinator.proposed.version, pushing._before(coordinator))
    pushing._node.touch()


def without_a_version(pushing: Pushing, coordinator: Coordinator, why: str) -> None:
    coordinator.proposed = ConfigStamp()
    pushing._node.touch()


@pytest.mark.parametrize(
    ("wrongly", "noticed"),
    [(with_the_same_version, "configuration: "), (without_a_version, "does not run the configuration that was")],
)
def test_a_push_that_is_withdrawn_as_if_nobody_had_committed_it_is_noticed(
    monkeypatch: pytest.MonkeyPatch, wrongly: object, noticed: str
) -> None:
    monkeypatch.setattr(Pushing, "_withdraw", wrongly)
    assert noticed in failure("push-withdrawn-though-committed")


def test_a_node_that_missed_another_one_and_leads_all_the_same_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CatchUp, "may_lead", lambda *_facts: True)
    monkeypatch.setattr(CatchUp, "outdone", lambda _self: False)
    monkeypatch.setattr(CatchUp, "refusal", lambda *_facts: "")
    assert "one-owner: b starts web while it is active on e" in failure("node-added-missed-by-the-first")


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
