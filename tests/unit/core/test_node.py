"""Whole nodes, joined by a perfect network: what the parts decide together."""

from __future__ import annotations

from wholenodes import TIMING, Cluster

from hamgr.core.cluster import ClusterSpec, GroupSpec, LinkSpec, NodeSpec
from hamgr.core.durable import Durable
from hamgr.core.effects import (
    Effect,
    Fence,
    InitialisedRecord,
    Kind,
    Persist,
    Probe,
    StartGroup,
    StateRecord,
    StopGroup,
)
from hamgr.core.events import (
    FenceFinished,
    FenceOutcome,
    GroupUnready,
    OperatorAsked,
    PacketReceived,
    Persisted,
    PersistFailed,
    Tick,
    Verb,
)
from hamgr.core.messages import ClusterState, Echo, Heartbeat, LearnReply, Packet, Stamp
from hamgr.core.node import Node


def test_three_nodes_elect_the_first_and_start_each_group_where_it_is_preferred() -> None:
    cluster = Cluster(GroupSpec("web"), GroupSpec("db", nodes=("c", "b")))
    cluster.run(2.0)
    assert {node.election.following for node in cluster.nodes.values()} == {"a"}
    assert (cluster.owners("web"), cluster.owners("db")) == (["a"], ["c"])
    assert Kind.FENCE_ASKED not in cluster.kinds()


def test_a_report_that_overtook_the_news_of_who_reports_is_given_again_at_once() -> None:
    """c's heartbeats that name its coordinator are lost for a while: it is no member yet, and its report says nothing.
    It was repeated only after five keepalives."""

    def lost(packet: Packet) -> bool:
        body = packet.body
        return isinstance(body, Heartbeat) and packet.sender == "c" and packet.to == body.coordinator == "a"

    cluster = Cluster(GroupSpec("web", nodes=("c",)))
    cluster.withheld = lost
    cluster.run(0.5)
    assert cluster.nodes["c"].election.following == "a"
    cluster.withheld = lambda packet: False
    cluster.run(0.2 + 0.05)
    assert cluster.owners("web") == ["c"]


def test_a_change_of_the_coordinator_stops_nothing() -> None:
    cluster = Cluster(GroupSpec("web", nodes=("b", "c")))
    cluster.run(2.0)
    cluster.post("a", OperatorAsked(1, Verb.LEAVE))
    cluster.run(5.0)
    assert cluster.nodes["b"].role == "coordinator"
    assert cluster.owners("web") == ["b"]
    assert cluster.kinds("web").count(Kind.GROUP_STARTED) == 1
    assert Kind.GROUP_STOPPING not in cluster.kinds("web")


def test_a_dead_owner_is_fenced_before_its_group_starts_elsewhere() -> None:
    cluster = Cluster(GroupSpec("web"))
    cluster.run(2.0)
    cluster.power_off("a")
    cluster.run(3.0)
    assert cluster.owners("web") == ["b"]
    times = {announce.kind: time for time, _name, announce in cluster.told}
    assert times[Kind.FENCE_CONFIRMED] <= times[Kind.GROUP_STARTING]
    assert times[Kind.GROUP_STARTED] - 2.0 <= TIMING.deadtime + 0.02 + 0.005 + 0.1


def test_a_group_is_not_brought_to_a_node_that_is_not_ready_for_it() -> None:
    """A copy of its data there is still old: a start would only fail, after the group was stopped where it ran."""
    cluster = Cluster(GroupSpec("db", ("a", "b")))
    cluster.post("a", GroupUnready("db", "its data is old"))
    cluster.run(10)
    assert cluster.active == {"a": set(), "b": {"db"}, "c": set()}
    cluster.post("a", GroupUnready("db", ""))
    cluster.run(2)
    assert cluster.active == {"a": {"db"}, "b": set(), "c": set()}


def test_a_group_that_runs_is_not_taken_from_a_node_that_is_no_longer_ready_to_start_it() -> None:
    cluster = Cluster(GroupSpec("db", ("a", "b")))
    cluster.run(10)
    cluster.post("a", GroupUnready("db", "its data is old"))
    cluster.run(5)
    assert cluster.active["a"] == {"db"}


def test_a_group_that_runs_nowhere_waits_for_its_best_node_and_one_that_runs_does_not() -> None:
    """When all machines boot together, a few ms must not decide where the group runs."""
    cluster = Cluster(GroupSpec("db", ("a", "b")))
    cluster.post("a", GroupUnready("db", "it is not started yet", soon=True))
    cluster.run(10)
    assert cluster.owners("db") == ["a"]
    cluster.post("a", OperatorAsked(1, Verb.STANDBY, "a"))
    cluster.run(2)
    assert cluster.owners("db") == ["b"]
    cluster.post("a", OperatorAsked(2, Verb.ONLINE, "a"))
    cluster.run(5)
    assert cluster.owners("db") == ["b"]
    cluster.post("a", GroupUnready("db", ""))
    cluster.run(2)
    assert cluster.owners("db") == ["a"]


def test_where_no_node_is_ready_the_status_says_why() -> None:
    cluster = Cluster(GroupSpec("db", ("a", "b")))
    for name in "ab":
        cluster.post(name, GroupUnready("db", "its data is old"))
    cluster.run(10)
    assert cluster.active == {"a": set(), "b": set(), "c": set()}
    coordinator = next(node.coordinator for node in cluster.nodes.values() if node.coordinator is not None)
    (why,) = coordinator.waits["db"]
    assert why == "no node can run db: a is not ready for it: its data is old; b is not ready for it: its data is old"


def test_an_operators_fence_that_fails_is_not_tried_on_a_living_node_later() -> None:
    cluster = Cluster(GroupSpec("web"))
    cluster.run(2.0)
    coordinator = cluster.nodes["a"]
    (fence,) = [e for e in coordinator.step(cluster.now, OperatorAsked(1, Verb.FENCE, "c")) if isinstance(e, Fence)]
    cluster.post("a", FenceFinished(fence.fence, "c", FenceOutcome.FAILED, "refused"))
    cluster.run(30.0)
    assert "c" not in cluster.off


def test_a_start_never_stands_behind_a_barrier_where_a_later_stop_could_overtake_it() -> None:
    cluster = Cluster(GroupSpec("web"), GroupSpec("db", nodes=("c",)))
    perform = cluster._perform
    steps: list[list[Effect]] = []
    cluster._perform = lambda name, effect: (steps[-1].append(effect), perform(name, effect))[1]  # type: ignore[method-assign]
    post = cluster.post
    cluster.post = lambda name, event: (steps.append([]), post(name, event))[1]  # type: ignore[method-assign]
    cluster.run(2.0)
    cluster.power_off("a")
    cluster.run(3.0)
    acts = (StartGroup, StopGroup, Probe)
    for effects in steps:
        barrier = next((i for i, effect in enumerate(effects) if isinstance(effect, Persist)), len(effects))
        assert not any(isinstance(effect, acts) for effect in effects[barrier:])
    assert any(isinstance(effect, StartGroup) for effects in steps for effect in effects)


def test_a_node_with_another_configuration_file_is_told_of_once_and_is_in_every_status() -> None:
    cluster = Cluster(configs={"a": "00000000000000aa", "b": "00000000000000aa", "c": "00000000000000cc"})
    cluster.run(3.0)
    told = [(name, said.node) for _time, name, said in cluster.told if "configuration file" in said.text]
    assert sorted(told) == [("a", "c"), ("b", "c"), ("c", "a"), ("c", "b")]
    warned = {
        name: [text for text in node.status(3.0).warnings if "configuration file" in text]
        for name, node in cluster.nodes.items()
    }
    assert {name: len(texts) for name, texts in warned.items()} == {"a": 1, "b": 1, "c": 2}
    assert warned["a"] == ["c runs another configuration file than a (compare them)"]


def test_a_configuration_that_is_no_file_is_compared_with_nothing() -> None:
    cluster = Cluster(configs={"a": "00000000000000aa"})
    cluster.run(3.0)
    assert not any("configuration file" in said.text for _time, _name, said in cluster.told)


def test_the_story_is_told_in_its_order() -> None:
    cluster = Cluster(GroupSpec("web"))
    cluster.run(2.0)
    cluster.power_off("a")
    cluster.run(3.0)
    story = [announce.kind for _time, name, announce in cluster.told if name == "b"]
    order = [Kind.NODE_SUSPECTED, Kind.NODE_DEAD, Kind.VOTE_ASKED, Kind.COORDINATOR]
    order += [Kind.FENCE_ASKED, Kind.FENCE_CONFIRMED, Kind.GROUP_STARTING, Kind.GROUP_STARTED]
    assert [kind for kind in story if kind in order][-len(order) :] == order


def test_a_node_learns_after_its_disk_was_full_in_the_middle_of_learning() -> None:
    """Both records of the step are lost when the first can't be written; both are written again later."""
    spec = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b")), (), TIMING, links=(LinkSpec("ha"),), two_node=True)
    node = Node(spec, "a", 10, Durable(), 0.0)
    state = ClusterState(Stamp(4, 1), "b")

    def hear(now: float) -> list[Effect]:
        echo = Echo("a", 10, round((now - 0.001) * 1e6))
        beat = Heartbeat(round(now * 1e6), 4, "b", echoes=(echo,))
        effects = node.step(now, PacketReceived("ha", Packet("b", 11, "a", 10, beat)))
        return effects + node.step(now, PacketReceived("ha", Packet("b", 11, "a", 10, LearnReply(4, state))))

    def written(effects: list[Effect]) -> list[Persist]:
        return [effect for effect in effects if isinstance(effect, Persist)]

    node.step(0.0, Tick())
    hear(0.1)
    assert written(hear(0.2)) == [], "the votes of an earlier life must be forgotten by everybody first"
    for tenth in range(3, 16):
        hear(tenth / 10)
    asked = written(hear(1.6))
    assert [type(persist.record) for persist in asked] == [StateRecord, InitialisedRecord]
    effects = node.step(1.61, PersistFailed(asked[0].serial, "no space left"))
    again = written(effects) or written(hear(1.7))
    assert [type(persist.record) for persist in again][-1] is InitialisedRecord
    for persist in again:
        node.step(1.8, Persisted(persist.serial))
    assert node.election.initialised
