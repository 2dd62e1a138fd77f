"""Faults of the core that the simulator found, as the shortest stories that show them."""

from __future__ import annotations

import dataclasses

from hamgr.core.cluster import ClusterSpec, GroupSpec, NodeSpec, Timing
from hamgr.core.events import Verb
from hamgr.sim.conditions import CALM
from hamgr.sim.faults import Fault
from hamgr.sim.shape import LINKS
from hamgr.sim.world import World

TIMING = Timing(keepalive=1.0, warntime=2.0, deadtime=3.0, initdead=6.0, lease=6.5, settle=0.5)
TWO = ClusterSpec(
    "found",
    (NodeSpec("a"), NodeSpec("b")),
    (GroupSpec("web", start_timeout=4.0, stop_timeout=4.0),),
    TIMING,
    LINKS,
    two_node=True,
)


def universe(spec: ClusterSpec, until: float, *lines: str) -> World:
    """Run these lines (`10s kill a`) in calm weather; every invariant is checked on the way."""
    faults = []
    for line in lines:
        at, *words = line.split()
        faults.append(Fault(float(at.removesuffix("s")), tuple(words)))
    world = World(spec, CALM, 1)
    world.begin(faults, spec.names)
    world.engine.run_until(until)
    return world


def test_a_wiped_node_learns_after_its_disk_was_full_in_between() -> None:
    """The first of two records of one step failed; the second was dropped with it, and awaited for ever."""
    world = universe(
        TWO,
        60.0,
        "10s kill a",
        "10.1s wipe a",
        "10.2s cut a b",
        "10.3s start a",
        "11s disk-full a",
        "11.5s heal a b",
        "20s disk-ok a",
    )
    assert world.trace.counts["disk-failed"] == 1
    assert world.machines["a"].disk.durable.initialised
    assert len(world.checker.owners("web")) == 1


def test_a_watchdog_proves_nothing_where_each_node_is_a_quorum_alone() -> None:
    """Both go on as coordinators of their own, and feed their watchdogs; neither may start what the other runs."""
    nodes = (NodeSpec("a", 0, 3.0), NodeSpec("b", 0, 3.0))
    world = universe(dataclasses.replace(TWO, nodes=nodes), 120.0, "10s cut a b")
    assert world.checker.owners("web") == ["a"]


def test_a_watchdog_frees_the_groups_of_a_killed_daemon_where_there_is_a_majority() -> None:
    nodes = tuple(NodeSpec(name, 0, 3.0) for name in "abc")
    world = universe(dataclasses.replace(TWO, nodes=nodes, two_node=False), 60.0, "10s kill a")
    assert world.trace.counts["watchdog-reset"] == 1
    assert world.checker.owners("web") == ["b"]


def test_a_request_of_a_new_life_is_not_taken_for_one_of_the_life_before() -> None:
    """Each life numbers its requests from 1; the coordinator gave the answer to the former life's, and did nothing."""
    world = World(TWO, CALM, 1)
    world.begin([Fault(20.0, ("kill", "b")), Fault(20.5, ("start", "b"))], TWO.names)
    for at, to in ((15.0, "b"), (40.0, "a")):
        world.engine.run_until(at)
        world.operators.ask(Verb.TAKEOVER, to, "web", at="b")
        world.engine.run_until(at + 4.0)
        assert world.checker.owners("web") == [to]
    assert world.trace.counts["coordinator"] == 3, "a all the time: told by both, and by the second life of b"


def test_a_vote_counts_though_the_arbiter_was_wiped_right_after_it() -> None:
    """The checker held that against the winner, who fenced by a vote that it knew no more."""
    world = universe(
        dataclasses.replace(TWO, two_node=False, arbiter=True),
        15.0,
        "10s power-off a",
        "12.0032s arbiter-down",
        "12.0033s wipe arbiter",
    )
    assert world.power.fenced == {"a"}


def test_an_arbiter_votes_when_the_record_of_that_failed_and_yet_is_on_its_disk() -> None:
    """It went on by what it knew before, so that with a node wiped as well nobody could ever lead."""
    world = universe(
        dataclasses.replace(TWO, two_node=False, arbiter=True),
        60.0,
        "10s arbiter-down",
        "10.1s wipe arbiter",
        "10.2s arbiter-disk full",
        "10.3s arbiter-up",
        "15s kill a",
        "15.1s wipe a",
        "15.2s start a",
        "15.3s arbiter-disk ok",
    )
    assert world.arbitration is not None
    assert world.arbitration.voter
    assert world.machines["a"].disk.durable.initialised
    assert len(world.checker.owners("web")) == 1


def test_a_losing_half_asks_the_arbiter_by_one_of_its_nodes_and_takes_over_as_soon_as_it_may() -> None:
    """c and d took turns, in a new epoch every five seconds, all of them written to disk. Who asks on holds votes
    that are too old to lead with, and asks for them anew when the arbiter gives its own."""
    nodes = tuple(NodeSpec(name) for name in "abcd")
    halves = [f"10s cut {one} {other}" for one in "ab" for other in "cd"]
    lives = ["20s start c", "20s start d", "300s power-off a", "300s power-off b"]
    world = universe(dataclasses.replace(TWO, nodes=nodes, two_node=False, arbiter=True), 303.0, *halves, *lives)
    assert world.checker.owners("web") in (["c"], ["d"])
    assert world.trace.counts["vote-asked"] < 12
