"""Until when a node's guard lets it run what it runs, as the node itself says."""

from __future__ import annotations

import dataclasses

import pytest

from hamgr.core.cluster import ClusterSpec, GroupSpec, GroupState, LinkSpec, NodeSpec, QuorumLoss, Timing
from hamgr.core.durable import Durable
from hamgr.core.effects import Effect, FeedWatchdog, Send
from hamgr.core.events import GuardChanged, ResourceReported, Tick
from hamgr.core.messages import ClusterState, Heartbeat, Stamp
from hamgr.core.node import Node

FOREVER = float("inf")
LEASE, KEEPALIVE, STOP = 3.0, 0.2, 60.0
ALONE = ClusterSpec(
    "t",
    (NodeSpec("a"), NodeSpec("b")),
    (GroupSpec("web", stop_timeout=STOP),),
    Timing(keepalive=KEEPALIVE, warntime=0.5, deadtime=1.0, initdead=3.0, lease=LEASE),
    links=(LinkSpec("ha"),),
    arbiter=True,
)
"""A node of it that hears nobody has no quorum."""


NOTHING = ClusterState()


def a_of(spec: ClusterSpec, state: ClusterState = NOTHING) -> Node:
    return Node(spec, "a", 1, Durable(initialised=True, state=state), 100.0)


def fed(effects: list[Effect]) -> list[float]:
    return [effect.until for effect in effects if isinstance(effect, FeedWatchdog)]


def watched(spec: ClusterSpec) -> ClusterSpec:
    return dataclasses.replace(spec, nodes=(NodeSpec("a", watchdog_timeout=5.0), NodeSpec("b")))


def test_what_may_be_running_is_guarded_from_the_first_step() -> None:
    assert fed(a_of(ALONE).step(100.0, Tick())) == [100.0 + LEASE + KEEPALIVE]


def test_a_node_that_runs_nothing_needs_no_guard() -> None:
    node = a_of(ALONE)
    node.step(100.0, Tick())
    node.step(100.1, ResourceReported("web", GroupState.STOPPED, ""))
    assert fed(node.step(100.2, Tick())) == [FOREVER]


def test_a_node_that_gives_up_its_groups_gets_the_time_to_stop_them() -> None:
    node = a_of(ALONE)
    node.step(100.0, Tick())
    node.step(100.1, ResourceReported("web", GroupState.STARTED, ""))
    assert fed(node.step(100.0 + LEASE, Tick()))[-1] == 100.0 + LEASE + STOP
    assert fed(node.step(104.0, Tick())) == [100.0 + LEASE + STOP], "that time does not grow"


def test_the_lateness_that_is_forgiven_is_no_longer_than_the_stops_may_take() -> None:
    quick = dataclasses.replace(ALONE, groups=(GroupSpec("web", stop_timeout=0.05),))
    assert fed(a_of(quick).step(100.0, Tick())) == [100.0 + LEASE + 0.05]


def test_in_maintenance_nothing_is_ended() -> None:
    node = a_of(ALONE, ClusterState(Stamp(1, 1), "b", maintenance=True))
    assert fed(node.step(100.0, Tick())) == [FOREVER]


def test_where_groups_outlive_the_quorum_nothing_is_ended() -> None:
    node = a_of(dataclasses.replace(ALONE, on_quorum_loss=QuorumLoss.FREEZE))
    assert fed(node.step(100.0, Tick())) == [FOREVER]


@pytest.mark.parametrize("maintenance", [False, True])
def test_a_new_life_with_a_watchdog_gives_no_time_before_it_has_a_lease(maintenance: bool) -> None:
    """The others count from the last lease that they know of."""
    node = a_of(watched(ALONE), ClusterState(Stamp(1, 1), "b", maintenance=maintenance))
    assert fed(node.step(100.0, Tick())) == []
    assert fed(node.step(100.3, Tick())) == []


def test_a_shorter_time_is_said_at_once_and_before_anything_is_started() -> None:
    node = a_of(ALONE)
    node.step(100.0, Tick())
    node.step(100.1, ResourceReported("web", GroupState.STOPPED, ""))
    node.step(100.2, Tick())
    node.member.groups["web"].state = GroupState.STARTING  # as an order has it
    effects = node.step(100.25, Tick())
    assert effects[0] == FeedWatchdog(100.0 + LEASE + KEEPALIVE), "no heartbeat is due yet"


def test_a_node_whose_watchdog_nobody_feeds_is_unfit() -> None:
    node = a_of(watched(ALONE))
    node.step(100.0, GuardChanged("/dev/watchdog: Device or resource busy"))
    assert node.unfit == "/dev/watchdog: Device or resource busy"
    assert not node.leases.may_start(100.0)
    node.step(100.1, GuardChanged(""))
    assert node.unfit == ""


def test_a_node_without_a_watchdog_goes_on_without_a_guard() -> None:
    node = a_of(ALONE)
    node.step(100.0, GuardChanged("no memory"))
    assert node.unfit == ""


def said(effects: list[Effect]) -> list[int]:
    """What heartbeats to b said of the watchdog."""
    bodies = [effect.body for effect in effects if isinstance(effect, Send)]
    return [body.reset_ms for body in bodies if isinstance(body, Heartbeat)]


def test_a_node_says_within_what_time_its_watchdog_resets_it_once_that_is_armed() -> None:
    node = a_of(watched(ALONE))
    assert said(node.step(100.0, Tick())) == [0], "its guard was told nothing yet"
    node.step(100.1, ResourceReported("web", GroupState.STOPPED, ""))
    assert said(node.step(100.3, Tick())) == [1000 * (LEASE + STOP + 5.0)]
    node.step(100.4, GuardChanged("it is dead"))
    assert said(node.step(100.7, Tick())) == [1000 * (LEASE + STOP + 5.0)], "what was armed stays so"


def test_a_node_whose_watchdog_was_never_fed_says_that_none_resets_it() -> None:
    node = a_of(watched(ALONE))
    node.step(100.0, GuardChanged("/dev/watchdog: Device or resource busy"))
    node.step(100.1, ResourceReported("web", GroupState.STOPPED, ""))
    assert said(node.step(100.3, Tick())) == [0]


def test_a_node_without_a_watchdog_says_that_none_resets_it() -> None:
    node = a_of(ALONE)
    node.step(100.0, Tick())
    node.step(100.1, ResourceReported("web", GroupState.STOPPED, ""))
    assert said(node.step(100.3, Tick())) == [0]
