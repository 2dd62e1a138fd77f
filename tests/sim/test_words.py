"""What nobody said is not done in the modes ask and manual: the simulator sees it when it is."""

from __future__ import annotations

import pytest

from hamgr.core.asking import Asking
from hamgr.core.cluster import ClusterSpec, GroupSpec, Mode, NodeSpec, Timing
from hamgr.core.fencing import Fencing, Plan, PlanState
from hamgr.sim.conditions import CALM
from hamgr.sim.faults import Fault
from hamgr.sim.invariants import Violation
from hamgr.sim.shape import LINKS
from hamgr.sim.world import World

TIMING = Timing(keepalive=1.0, warntime=2.0, deadtime=3.0, initdead=6.0, lease=6.5, settle=0.5)


def universe(mode: Mode, group_mode: Mode, *lines: str) -> World:
    """Three nodes; web runs on a at 10 s. Every invariant is checked on the way to 60 s."""
    nodes = (NodeSpec("a"), NodeSpec("b"), NodeSpec("c"))
    group = GroupSpec("web", start_timeout=4.0, stop_timeout=4.0, mode=group_mode)
    faults = [Fault(float(line.split()[0]), tuple(line.split()[1:])) for line in lines]
    world = World(ClusterSpec("words", nodes, (group,), TIMING, LINKS, mode=mode), CALM, 1)
    world.begin(faults, world.spec.names)
    world.engine.run_until(60.0)
    return world


def unasked_fencing(self: Fencing, now: float, node: str, incarnation: int, reason: str, delay: float = 0.0) -> Plan:
    return self.plans.setdefault(node, Plan(node, incarnation, reason, PlanState.DELAYED, now + delay))


@pytest.mark.parametrize("mode", [Mode.ASK, Mode.MANUAL])
def test_a_fencing_that_nobody_asked_for_is_caught(monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
    monkeypatch.setattr(Fencing, "want", unasked_fencing)
    with pytest.raises(Violation, match="b fences a, and no human said that it shall be"):
        universe(mode, Mode.AUTOMATIC, "10 power-off a")


def test_a_confirmation_of_before_is_none_for_what_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fencing, "want", unasked_fencing)
    with pytest.raises(Violation, match="no human said"):
        universe(Mode.ASK, Mode.AUTOMATIC, "9 confirm", "10 power-off a")


@pytest.mark.parametrize("mode", [Mode.ASK, Mode.MANUAL])
def test_a_group_that_moves_unasked_is_caught(monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
    monkeypatch.setattr(Asking, "may_go", lambda self, now, group, owner, pin, target, able, out: target)
    with pytest.raises(Violation, match="b starts web, which ran on a, and no human said that it may move"):
        universe(Mode.AUTOMATIC, mode, "10 power-off a")


@pytest.mark.parametrize("mode", [Mode.ASK, Mode.MANUAL])
def test_without_a_word_nothing_is_done(mode: Mode) -> None:
    world = universe(mode, mode, "10 power-off a")
    assert world.power.fenced == set()
    assert world.checker.owners("web") == []


@pytest.mark.parametrize("word", ["fence a", "confirm a", "confirm"])
def test_with_a_word_it_is_done(word: str) -> None:
    world = universe(Mode.ASK, Mode.AUTOMATIC, "10 power-off a", f"20 {word}")
    assert world.power.fenced == {"a"}
    assert world.checker.owners("web") == ["b"]
