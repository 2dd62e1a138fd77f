"""Which node tells of what all see: told by one while all is well, and never lost when that one dies."""

from __future__ import annotations

from alerted import event

from hamgr.alerts.turns import Turns
from hamgr.core.effects import Kind

DEAD = event(Kind.NODE_DEAD)
FAILED = event(Kind.FENCE_FAILED)


class Cluster:
    def __init__(self, coordinator: str) -> None:
        self.coordinator = coordinator
        self.turns = Turns("a", lambda: self.coordinator, 10.0)


def test_the_coordinator_tells_at_once() -> None:
    cluster = Cluster("a")
    assert cluster.turns.take(DEAD, 0.0) == [DEAD]
    assert cluster.turns.deadline == float("inf")


def test_a_follower_leaves_it_to_the_coordinator() -> None:
    cluster = Cluster("c")
    assert cluster.turns.take(DEAD, 0.0) == []
    assert cluster.turns.due(9.9) == []
    assert cluster.turns.deadline == 10.0
    assert cluster.turns.due(10.0) == []
    assert cluster.turns.deadline == float("inf")


def test_what_only_one_node_announces_is_told_by_it_whoever_it_is() -> None:
    assert Cluster("c").turns.take(FAILED, 0.0) == [FAILED]


def test_who_becomes_coordinator_tells_what_the_dead_one_may_not_have_told() -> None:
    cluster = Cluster("c")
    cluster.turns.take(DEAD, 0.0)
    cluster.coordinator = "a"
    elected = event(Kind.COORDINATOR, "a is coordinator", 2, "a")
    assert cluster.turns.take(elected, 3.0) == [DEAD, elected]


def test_without_any_coordinator_everybody_tells() -> None:
    cluster = Cluster("c")
    cluster.turns.take(DEAD, 0.0)
    cluster.coordinator = ""
    assert cluster.turns.due(10.0) == [DEAD]
