"""Room for groups: who goes first, what fits where, and why not."""

from __future__ import annotations

import pytest
from wholenodes import Cluster

from hamgr.core.capacity import Room, bundles, in_turn
from hamgr.core.cluster import ClusterSpec, GroupSpec, LinkSpec, NodeSpec, Placement
from hamgr.core.events import OperatorAsked, Verb
from hamgr.sim.conditions import CALM
from hamgr.sim.faults import Fault
from hamgr.sim.invariants import Violation
from hamgr.sim.shape import BRISK
from hamgr.sim.world import World


def needs(name: str, memory: int, priority: int = 1, **more: object) -> GroupSpec:
    return GroupSpec(name, needs=(("memory", memory),), priority=priority, **more)  # type: ignore[arg-type]


def cluster(*groups: GroupSpec, **memory: int) -> ClusterSpec:
    nodes = tuple(NodeSpec(name, capacity=(("memory", amount),)) for name, amount in memory.items())
    return ClusterSpec("t", nodes, groups, BRISK, (LinkSpec("link1"),))


def turns(*groups: GroupSpec, held: tuple[str, ...] = ()) -> list[str]:
    spec = ClusterSpec("t", (NodeSpec("a"),), groups)
    return [group.name for group in in_turn(spec.in_placing_order(), dict.fromkeys(held, "a"))]


def test_the_important_go_first_and_of_equal_ones_those_that_run() -> None:
    assert turns(needs("low", 1), needs("high", 1, 5), needs("old", 1), held=("old",)) == ["high", "old", "low"]


def test_a_group_is_as_important_as_what_can_not_run_without_it() -> None:
    web = needs("web", 1, 9, together_with=("db",))
    assert turns(needs("mail", 1, 5), needs("db", 1, 1), web) == ["db", "web", "mail"]


def test_a_group_that_only_keeps_away_from_another_makes_that_no_more_important() -> None:
    away = needs("away", 1, 9, apart_from=("db",))
    assert turns(needs("mail", 1, 5), needs("db", 1, 1), away) == ["mail", "db", "away"]


def room(spec: ClusterSpec, **held: str) -> Room:
    return Room(spec, held, bundles(spec))


def test_first_what_is_free_then_what_less_important_groups_have() -> None:
    spec = cluster(needs("web", 3), needs("mail", 2), a=4, b=4)
    choices = room(spec, mail="a").choices(spec.group("web"))
    assert next(choices) == {"b"}
    assert next(choices) == {"a", "b"}


def test_a_node_without_a_number_has_none_of_it() -> None:
    spec = cluster(needs("web", 1), a=1)
    other = ClusterSpec("t", (*spec.nodes, NodeSpec("b")), spec.groups)
    assert next(room(other).choices(other.group("web"))) == {"a"}


def test_room_is_looked_for_with_what_runs_together_with_it() -> None:
    spec = cluster(needs("db", 2), needs("web", 2, together_with=("db",)), a=3, b=4)
    choices = list(room(spec).choices(spec.group("db")))
    assert choices[0] == {"b"}
    assert choices[2] == {"a", "b"}, "without it, if there is no other way"


def test_what_is_placed_counts_and_what_lacks_is_said() -> None:
    spec = cluster(needs("web", 3), needs("mail", 2), a=4, b=1)
    found = room(spec)
    found.place("mail", "a")
    web = spec.group("web")
    assert found.lacks(web, "a") == "it needs memory 3, a has 2 left beside mail"
    assert found.lacks(web, "b") == "it needs memory 3, b has 1 left"
    assert found.lacks(web, "a", ()) == ""


def test_the_lighter_node_has_the_smaller_share_taken_and_then_the_fewer_groups() -> None:
    spec = cluster(needs("web", 2), needs("mail", 2), GroupSpec("tiny"), a=4, b=10)
    found = room(spec, mail="b")
    web = spec.group("web")
    assert found.lightness(web, "a") == (0.5, 1)
    assert found.lightness(web, "b") == (0.4, 2)
    found.place("tiny", "a")
    assert found.lightness(web, "a") == (0.5, 2)


# -- in a cluster -------------------------------------------------------------------------------------------------


def spread(*names: str) -> Cluster:
    found = Cluster(*(GroupSpec(name, placement=Placement.SPREAD) for name in names))
    found.run(3.0)
    return found


def owners(found: Cluster, *names: str) -> str:
    return " ".join(",".join(found.owners(name)) for name in names)


def test_spread_groups_go_one_to_each_and_stay_when_a_node_comes_back() -> None:
    found = spread("g1", "g2", "g3")
    assert owners(found, "g1", "g2", "g3") == "a b c"
    found.power_off("b")
    found.run(5.0)
    assert owners(found, "g1", "g2", "g3") == "a a c"
    found.power_on("b")
    found.run(5.0)
    assert owners(found, "g1", "g2", "g3") == "a a c", "nothing is moved only to balance"
    found.post("a", OperatorAsked(1, Verb.TAKEOVER, "b", "g2"))
    found.run(2.0)
    assert owners(found, "g1", "g2", "g3") == "a b c"


def test_why_a_group_is_where_it_is_can_be_asked_of_the_coordinator() -> None:
    found = spread("g1", "g2")
    coordinator = found.nodes["a"]
    assert coordinator.coordinator is not None
    (g1, g2) = coordinator.status(found.now).groups
    assert g1.why == (
        "a: it is there, and stays",
        "not b: nothing is moved only to balance (hamgr rebalance)",
        "not c: nothing is moved only to balance (hamgr rebalance)",
    )
    found.post("a", OperatorAsked(1, Verb.STANDBY, "c"))
    found.post("a", OperatorAsked(2, Verb.TAKEOVER, "a", "g2"))
    found.run(2.0)
    (g1, g2) = coordinator.status(found.now).groups
    assert g2.why == (
        "a: an operator wants it there",
        "not b: an operator wants it on a",
        "not c: c is on standby (hamgr online c)",
    )
    assert found.nodes["b"].status(found.now).groups[0].why == ()


@pytest.mark.parametrize("order", ["web", "mail"])
def test_more_than_a_node_has_is_never_started_there_and_the_simulator_would_see_it(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = [
        needs("web", 3, 5, nodes=("a", "b"), start_timeout=4.0, stop_timeout=4.0),
        needs("mail", 3, nodes=("b", "a"), start_timeout=4.0, stop_timeout=4.0),
    ]
    spec = cluster(*sorted(groups, key=lambda group: group.name != order), a=4, b=4, c=0)

    def lose_a() -> World:
        world = World(spec, CALM, 1)
        world.begin([Fault(10.0, ("power-off", "a"))], spec.names)
        world.engine.run_until(40.0)
        return world

    world = lose_a()
    assert (world.checker.owners("web"), world.checker.owners("mail")) == (["b"], [])
    process = world.machines["b"].process
    assert process is not None
    status = process.node.status(0.0) if process.node.coordinator else world.machines["c"].process.node.status(0.0)  # type: ignore[union-attr]
    waits = next(group.waits for group in status.groups if group.name == "mail")
    assert waits == ("no node can run mail: it needs memory 3, b has 1 left beside web; a is not in the view",)

    monkeypatch.setattr(Room, "_fits", lambda *any: True)
    monkeypatch.setattr(Room, "lacks", lambda *any: "")
    with pytest.raises(Violation, match="use memory 6 of 4"):
        lose_a()


def test_what_runs_together_counts_once_on_the_node_where_it_is() -> None:
    spec = cluster(needs("db", 2), needs("web", 3, together_with=("db",)), a=5, b=5)
    found = room(spec, db="a", web="a")
    assert next(found.choices(spec.group("db"))) == {"a", "b"}
    assert bundles(spec)["db"].needs == {"memory": 5}
    diamond = cluster(
        needs("db", 1), needs("cache", 1, together_with=("db",)), needs("web", 1, together_with=("db", "cache")), a=3
    )
    assert bundles(diamond)["db"].needs == {"memory": 3}
