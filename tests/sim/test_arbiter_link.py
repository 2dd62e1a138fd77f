"""The link to the arbiter alone may come and go as it likes: nothing moves by that."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from hamgr.cli.render import render
from hamgr.core.cluster import Algorithm, ClusterSpec, GroupSpec, NodeSpec, QuorumLoss
from hamgr.core.effects import Kind
from hamgr.core.status import Status
from hamgr.sim.conditions import CALM
from hamgr.sim.faults import Fault
from hamgr.sim.shape import BRISK, LINKS
from hamgr.sim.world import World

HOUR = 3600.0
MOVES = (Kind.COORDINATOR, Kind.VOTE_ASKED, Kind.FENCE_ASKED, Kind.GROUP_STARTED, Kind.GROUP_STOPPED, Kind.QUORUM_LOST)


def cluster(nodes: str, algorithm: Algorithm) -> ClusterSpec:
    groups = (GroupSpec("web", start_timeout=4.0, stop_timeout=4.0),)
    specs = tuple(NodeSpec(name) for name in nodes)
    return ClusterSpec("t", specs, groups, BRISK, LINKS, arbiter=True, algorithm=algorithm)


def flapping(nodes: str, seed: int) -> list[Fault]:
    """Each node's link to the arbiter goes and comes by itself, for moments and for minutes; the arbiter too."""
    rng, faults = random.Random(seed), []
    pairs = [((f"cut {node} arbiter"), f"heal {node} arbiter") for node in nodes]
    for lost, back in [*pairs, ("arbiter-down", "arbiter-up")]:
        at = 20.0
        while at < HOUR:
            away = rng.choice((0.1, rng.uniform(0.5, 5.0), rng.uniform(5.0, 60.0)))
            faults += [Fault(at, tuple(lost.split())), Fault(at + away, tuple(back.split()))]
            at += away + rng.choice((0.1, rng.uniform(0.5, 5.0), rng.uniform(5.0, 60.0)))
    return sorted(faults, key=lambda fault: fault.at)


@pytest.mark.parametrize(("nodes", "algorithm"), [("ab", Algorithm.FFSPLIT), ("abc", Algorithm.LAST_MAN_STANDING)])
def test_for_an_hour_the_arbiters_link_flaps_and_nothing_moves(nodes: str, algorithm: Algorithm) -> None:
    world = World(cluster(nodes, algorithm), CALM, 7)
    world.begin(flapping(nodes, 7), nodes)
    world.engine.run_until(19.0)
    before = {kind: world.trace.counts[kind.value] for kind in MOVES}
    assert before[Kind.GROUP_STARTED] == 1
    world.engine.run_until(HOUR)
    assert world.trace.counts[Kind.ARBITER_LOST.value] > 50
    assert {kind: world.trace.counts[kind.value] for kind in MOVES} == before


def status_of(world: World, node: str) -> Status:
    machine = world.machines[node]
    assert machine.process is not None
    return machine.process.node.status(machine.local_now())


def test_the_status_warns_while_the_arbiter_is_lost() -> None:
    world = World(cluster("ab", Algorithm.FFSPLIT), CALM, 1)
    world.begin([Fault(10.0, ("arbiter-down",)), Fault(30.0, ("arbiter-up",))], "ab")
    world.engine.run_until(20.0)
    for node in "ab":
        found = status_of(world, node)
        assert found.quorate
        assert found.warnings == ("the arbiter does not answer: the connection was refused",)
        assert render(found).splitlines()[0] == "t: the arbiter does not answer"
    world.engine.run_until(35.0)
    assert status_of(world, "a").warnings == ()


@pytest.mark.parametrize("policy", QuorumLoss)
def test_when_arbiter_and_peer_are_lost_together_the_survivor_stops_or_freezes_and_says_so(policy: QuorumLoss) -> None:
    world = World(replace(cluster("ab", Algorithm.FFSPLIT), on_quorum_loss=policy), CALM, 1)
    world.begin([Fault(10.0, ("arbiter-down",)), Fault(10.0, ("power-off", "b"))], "ab")
    world.engine.run_until(30.0)
    assert world.checker.owners("web") == ([] if policy is QuorumLoss.STOP else ["a"])
    found = status_of(world, "a")
    frozen = 'without a quorum, web on a stays as it is (on_quorum_loss = "freeze")'
    assert (frozen in found.warnings) is (policy is QuorumLoss.FREEZE)
    assert not found.quorate
    assert found.waits == (
        "no coordinator: 1 of 2 nodes heard, the arbiter does not answer; 2 votes of 3 are needed",
        "or for a human: if b is off, seen with your own eyes: hamgr quorum override",
    )
    first = render(found).splitlines()[0]
    stopped = "group web is stopped; " if policy is QuorumLoss.STOP else ""
    assert first == f"t: NO QUORUM, nothing is started; {stopped}node b is dead; the arbiter does not answer"


def test_who_leads_by_the_arbiters_vote_can_say_why_it_got_it() -> None:
    world = World(cluster("ab", Algorithm.FFSPLIT), CALM, 1)
    world.begin([Fault(10.0, ("power-off", "a"))], "ab")
    world.engine.run_until(20.0)
    found = status_of(world, "b")
    assert (found.arbiter.why, found.votes, found.all_votes) == ("b is the only claimant", 2, 3)
    assert "its vote is with b: b is the only claimant" in render(found)
