"""Votes on their way: what is on no disk yet, and what a candidate that did not run has from before."""

from __future__ import annotations

from hamgr.core.cluster import ClusterSpec, LinkSpec, NodeSpec, Timing
from hamgr.core.durable import Durable
from hamgr.core.effects import Effect, Persist, Send, VoteRecord
from hamgr.core.events import PacketReceived, Paused, Persisted, Tick
from hamgr.core.messages import Body, Echo, Heartbeat, Packet, VoteReply, VoteRequest
from hamgr.core.node import Node

TIMING = Timing(keepalive=0.2, warntime=0.5, deadtime=1.0, initdead=3.0, lease=3.0)
SPEC = ClusterSpec("t", tuple(NodeSpec(name) for name in "abcde"), (), TIMING, (LinkSpec("ha"),))
LIVES = {"b": 11, "c": 12}


def one_of_five() -> Node:
    node = Node(SPEC, "a", 10, Durable(initialised=True, epoch=4), 0.0)
    node.step(0.0, Tick())
    return node


def says(node: Node, now: float, name: str, body: Body) -> list[Effect]:
    return node.step(now, PacketReceived("ha", Packet(name, LIVES[name], "a", 10, body)))


def hears(node: Node, now: float) -> list[Effect]:
    """b and c live."""
    echo = Echo("a", 10, round((now - 0.001) * 1e6))
    return [
        effect for name in LIVES for effect in says(node, now, name, Heartbeat(round(now * 1e6), 4, "", echoes=(echo,)))
    ]


def replies(effects: list[Effect]) -> list[VoteReply]:
    return [effect.body for effect in effects if isinstance(effect, Send) and isinstance(effect.body, VoteReply)]


def test_who_asks_again_hears_of_no_vote_that_is_not_on_disk_yet() -> None:
    node = one_of_five()
    hears(node, 0.1)
    hears(node, 0.2)
    first = says(node, 0.3, "b", VoteRequest(5))
    (vote,) = [effect for effect in first if isinstance(effect, Persist)]
    assert replies(first[first.index(vote) :]) == replies(first) != [], "the record is a barrier"
    assert replies(says(node, 0.31, "b", VoteRequest(5))) == []
    node.step(0.32, Persisted(vote.serial))
    assert [reply.granted for reply in replies(says(node, 0.33, "b", VoteRequest(5)))] == [True]


def candidate_with_the_vote_of_b() -> Node:
    node = one_of_five()
    for tick in range(1, 15):
        for effect in [*node.step(tick / 10, Tick()), *hears(node, tick / 10)]:
            if isinstance(effect, Persist) and isinstance(effect.record, VoteRecord):
                node.step(tick / 10, Persisted(effect.serial))
    assert node.election.claim is not None
    says(node, 1.4, "b", VoteReply(5, True, "a"))
    return node


def test_three_votes_of_five_make_a_coordinator() -> None:
    node = candidate_with_the_vote_of_b()
    says(node, 1.45, "c", VoteReply(5, True, "a"))
    assert node.coordinator is not None


def test_a_candidate_that_did_not_run_counts_no_vote_of_before() -> None:
    """b may have lost its disk meanwhile, and have voted for another in the same epoch; c's vote came late."""
    node = candidate_with_the_vote_of_b()
    node.step(60.0, Paused(58.6))
    says(node, 60.0, "c", VoteReply(5, True, "a"))
    assert node.coordinator is None
