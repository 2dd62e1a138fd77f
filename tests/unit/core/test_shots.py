"""How often nodes were fenced lately."""

from __future__ import annotations

from hamgr.core.cluster import ClusterSpec, NodeSpec
from hamgr.core.messages import Shot
from hamgr.core.shots import HOUR, KEPT, Shots


def spec(limit: int = 2, limit_all: int = 0) -> ClusterSpec:
    nodes = tuple(NodeSpec(name) for name in "abc")
    return ClusterSpec("t", nodes, fence_limit=limit, fence_limit_all=limit_all)


def test_at_the_limit_a_node_is_left_alone_until_the_oldest_of_them_is_an_hour_old() -> None:
    shots = Shots(spec(), (), 0.0)
    shots.note(10.0, "a")
    assert shots.held_back(11.0, "a") == (11.0, "")
    shots.note(50.0, "a")
    until, why = shots.held_back(60.0, "a")
    assert (until, why) == (10.0 + HOUR, "a was fenced 2 times within an hour (fence_limit)")
    assert shots.held_back(60.0, "b")[1] == "", "only that node"
    assert shots.held_back(until, "a")[1] == ""


def test_all_nodes_together_have_a_limit_too() -> None:
    shots = Shots(spec(0, 3), (), 0.0)
    for number, node in enumerate("abc"):
        shots.note(float(number), node)
    assert shots.held_back(5.0, "a") == (HOUR, "nodes were fenced 3 times within an hour (fence_limit_all)")


def test_without_a_limit_nobody_is_held_back() -> None:
    shots = Shots(spec(0), (), 0.0)
    for number in range(KEPT + 5):
        shots.note(float(number), "a")
    assert shots.held_back(200.0, "a")[1] == ""
    assert len(shots.stamped(200.0)) == KEPT


def test_the_next_coordinator_goes_on_with_the_count_by_its_own_clock() -> None:
    first = Shots(spec(), (), 1000.0)
    first.note(1000.0, "a")
    first.note(1300.0, "a")
    handed_on = first.stamped(1300.0)
    assert handed_on == (Shot("a", 300), Shot("a", 0))
    second = Shots(spec(), handed_on, 7.0)
    assert second.held_back(7.0, "a")[0] == 7.0 - 300 + HOUR


def test_the_state_changes_only_when_a_shot_comes_or_goes() -> None:
    shots = Shots(spec(), (), 0.0)
    shots.note(0.0, "a")
    stamped = shots.stamped(0.0)
    assert shots.stamped(1000.0) is stamped
    shots.note(1000.0, "b")
    assert shots.stamped(1000.0) == (Shot("a", 1000), Shot("b", 0))
    assert shots.stamped(HOUR) == (Shot("b", 2600),)
