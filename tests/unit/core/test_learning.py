"""A node with a wiped state directory: when it asks, whom it believes, and in which epochs it votes then."""

from __future__ import annotations

from hamgr.core.cluster import ClusterSpec, LinkSpec, NodeSpec, Timing
from hamgr.core.durable import Durable
from hamgr.core.effects import AskArbiter, Effect, InitialisedRecord, Persist, Send
from hamgr.core.events import ArbiterAnswered, ArbiterLost, PacketReceived, Persisted, Tick
from hamgr.core.messages import (
    ArbiterAnswer,
    ArbiterReport,
    Body,
    ClusterState,
    Echo,
    Heartbeat,
    LearnReply,
    LearnRequest,
    Packet,
    Stamp,
)
from hamgr.core.node import Node

TIMING = Timing(keepalive=0.2, warntime=0.5, deadtime=1.0, initdead=3.0, lease=3.0)
SPEC = ClusterSpec("t", tuple(NodeSpec(name) for name in "abc"), (), TIMING, (LinkSpec("ha"),), arbiter=True)

FORGOTTEN = TIMING.deadtime + 2 * TIMING.keepalive
"""Seconds after the end of a life until nobody counts its votes any more."""


class Wiped:
    """Node a, which starts at 0 s with an empty disk, and what it does when b speaks to it."""

    def __init__(self) -> None:
        self.node = Node(SPEC, "a", 10, Durable(), 0.0)
        self.node.step(0.0, Tick())

    def hears(self, now: float, *bodies: Body, epoch: int = 4) -> list[Effect]:
        """b lives, and says this besides."""
        beat = Heartbeat(round(now * 1e6), epoch, "", echoes=(Echo("a", 10, round((now - 0.001) * 1e6)),))
        effects = [*self.node.step(now, Tick())]
        for body in (beat, *bodies):
            effects += self.node.step(now, PacketReceived("ha", Packet("b", 11, "a", 10, body)))
        return effects

    def lives_until(self, end: float) -> list[tuple[float, Effect]]:
        """b is heard all the time, up to then."""
        return [(tick / 10, effect) for tick in range(1, round(end * 10)) for effect in self.hears(tick / 10)]

    def learns(self, now: float, asked: float) -> bool:
        """The arbiter answers what it was asked then, and b tells what it knows."""
        answer = ArbiterAnswer(round(asked * 1e6), True, 4, "", 4, "c")
        effects = [*self.node.step(now, ArbiterAnswered(answer)), *self.hears(now, LearnReply(4))]
        for effect in effects:
            if isinstance(effect, Persist) and isinstance(effect.record, InitialisedRecord):
                self.node.step(now, Persisted(effect.serial))
        return self.node.election.initialised


def test_nobody_is_asked_while_a_claimant_may_count_a_vote_of_the_life_before() -> None:
    """What they say then may miss the epoch that is won by it in a moment."""
    asked = [
        at
        for at, effect in Wiped().lives_until(3.0)
        if isinstance(effect, Send) and isinstance(effect.body, LearnRequest)
    ]
    assert FORGOTTEN < asked[0] <= FORGOTTEN + 3 * TIMING.keepalive


def test_what_the_arbiter_was_asked_before_that_does_not_count() -> None:
    wiped = Wiped()
    wiped.lives_until(2.0)
    assert not wiped.learns(2.0, asked=FORGOTTEN - 0.1)
    assert wiped.learns(2.1, asked=2.05)


def test_it_votes_above_the_epochs_that_it_learned_alone() -> None:
    wiped = Wiped()
    wiped.lives_until(2.0)
    election = wiped.node.election
    election.not_before = 10.0
    assert wiped.learns(2.0, asked=1.9)
    assert (election.epoch, election.may_vote("b", 4)) == (4, "its vote of epoch 4 went to ?")
    assert election.may_vote("b", 5) == ""


def test_an_arbiter_that_was_away_is_brought_the_cluster_state_again() -> None:
    """It may be another record than the one that said to have it."""
    state = ClusterState(Stamp(4, 7), "b")
    node = Node(SPEC, "a", 10, Durable(initialised=True, epoch=4, state=state), 0.0)

    def reports(effects: list[Effect]) -> list[ArbiterReport]:
        return [effect.report for effect in effects if isinstance(effect, AskArbiter)]

    assert [report.state for report in reports(node.step(0.0, Tick()))] == [state]
    node.step(0.1, ArbiterAnswered(ArbiterAnswer(0, True, 4, "", 4, "c", state.stamp)))
    kept = reports(node.step(0.3, Tick()))
    assert [(report.state, report.stored) for report in kept] == [(ClusterState(), state.stamp)]
    node.step(0.4, ArbiterLost("the connection was refused"))
    assert [report.state for report in reports(node.step(0.7, Tick()))] == [state]
