"""Two stores are two votes for one seat: what the nodes do about it, and what comes of it when they don't."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hamgr.core import arbitration
from hamgr.core.accepting import counts
from hamgr.core.cluster import ClusterSpec
from hamgr.core.events import Verb
from hamgr.core.messages import ArbiterAnswer, ClusterState
from hamgr.sim.conditions import CALM
from hamgr.sim.faults import Fault
from hamgr.sim.invariants import Violation
from hamgr.sim.run import plan
from hamgr.sim.scenario import play, read
from hamgr.sim.shape import Wanted
from hamgr.sim.world import World

SCENARIOS = Path(__file__).parents[1] / "scenarios"


def two_nodes() -> ClusterSpec:
    return read(SCENARIOS / "arbiter-of-another-store").spec


def world(*lines: tuple[float, str]) -> World:
    made = World(two_nodes(), CALM, 1)
    made.begin([Fault(at, tuple(line.split())) for at, line in lines], "ab")
    return made


def test_a_cluster_that_counts_any_store_gets_two_coordinators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arbitration, "counts", lambda state, store: True)
    failure = play(read(SCENARIOS / "arbiter-of-another-store")).failure
    assert "one-coordinator" in failure


def test_only_the_store_on_record_counts_and_none_while_it_is_replaced() -> None:
    state = ClusterState(arbiter="a1")
    assert counts(state, "a1")
    assert not counts(state, "57")
    assert not counts(state, "")
    assert counts(ClusterState(), "57")
    changing = replace(state, next_arbiter="a2")
    assert not counts(changing, "a1")
    assert not counts(changing, "a2")


def answers(made: World, at: str, within: float = 5.0) -> list[tuple[bool, str]]:
    """What an operator hears who says that the home store is the arbiter."""
    heard: list[tuple[bool, str]] = []
    assert made.arbitration is not None
    made.operators.ask(Verb.ACCEPT_ARBITER, at=at, config=made.arbitration.store, then=lambda *told: heard.append(told))
    made.engine.run_until(made.engine.now + within)
    return heard


def test_a_new_store_is_accepted_by_nodes_that_are_a_majority_alone() -> None:
    made = world((10, "arbiter-down"), (10.1, "arbiter-replaced"), (11, "arbiter-up"))
    made.engine.run_until(15)
    assert made.machines["a"].disk.durable.state.arbiter == "a1"
    assert answers(made, "b") == [(True, "a2 is the cluster's arbiter")]
    for machine in made.machines.values():
        state = machine.disk.durable.state
        assert (state.arbiter, state.next_arbiter) == ("a2", "")
    assert answers(made, "a") == [(True, "a2 is the cluster's arbiter already")]


def test_a_node_that_is_alone_can_not_accept_a_new_store() -> None:
    made = world((10, "arbiter-down"), (10.1, "arbiter-replaced"), (11, "arbiter-up"), (12, "cut a b"))
    made.engine.run_until(12.5)  # a is still the coordinator, by the votes of before
    ((done, text),) = answers(made, "a", within=20.0)
    assert not done
    assert "the coordinator was lost meanwhile" in text
    state = made.machines["a"].disk.durable.state
    assert (state.arbiter, state.next_arbiter) == ("a1", "a2")
    made.machines["a"].kill()
    made.machines["a"].start_daemon()
    made.engine.run_until(made.engine.now + 20)
    process = made.machines["a"].process
    assert process is not None
    assert process.node.arbitration.answer is None
    assert not process.node.election.following, "neither store counts for it"


def test_a_change_that_its_coordinator_did_not_end_is_ended_by_the_next_one() -> None:
    made = world((10, "arbiter-down"), (10.1, "arbiter-replaced"), (11, "arbiter-up"))
    made.engine.run_until(15)
    first = made.machines["a"].process
    assert first is not None
    assert first.node.coordinator is not None
    first.node.coordinator.next_arbiter = "a2"
    first.node.touch()

    def begun(name: str) -> bool:
        return made.machines[name].disk.durable.state.next_arbiter == "a2"

    while not begun("b"):
        made.engine.run_until(made.engine.now + 0.001)
    made.machines["a"].kill()
    assert begun("b")
    made.engine.run_until(made.engine.now + 3)
    second = made.machines["b"].process
    assert second is not None
    assert second.node.arbitration.answer is None, "neither counts"
    made.machines["a"].start_daemon()
    made.engine.run_until(made.engine.now + 30)
    for machine in made.machines.values():
        assert (machine.disk.durable.state.arbiter, machine.disk.durable.state.next_arbiter) == ("a2", "")


def test_seeds_lead_nodes_to_a_strange_store() -> None:
    words = {fault.words[0] for seed in range(1, 40) for fault in plan(seed, Wanted(arbiter=True)).faults}
    assert {"astray", "arbiter-replaced", "arbiter-accept"} <= words


def test_the_invariant_is_of_each_store() -> None:
    made = world()
    made.checker.arbiter_answers("a1", ArbiterAnswer(1, True, 5, vote_epoch=5, voted_for="a"))
    made.checker.arbiter_answers("57", ArbiterAnswer(1, True, 5, vote_epoch=5, voted_for="b"))
    with pytest.raises(Violation, match="before that it was a"):
        made.checker.arbiter_answers("a1", ArbiterAnswer(1, True, 5, vote_epoch=5, voted_for="b"))
