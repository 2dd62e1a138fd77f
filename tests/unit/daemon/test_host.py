"""The host: effects in their order, the barrier in between, pauses told first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from hamgr.admin.events import EventLog
from hamgr.core.cluster import ClusterSpec, NodeSpec
from hamgr.core.effects import (
    Effect,
    Exit,
    FeedWatchdog,
    Persist,
    Record,
    Reply,
    SelfFence,
    Send,
    VoteRecord,
    WakeAt,
)
from hamgr.core.events import Event, GuardChanged, OperatorAsked, Paused, Persisted, PersistFailed, Tick, Verb
from hamgr.core.messages import FarewellAck
from hamgr.core.status import GuardStatus, Status
from hamgr.host import Host, World


class ScriptedNode:
    """Answers each event with what the test says; the real node's decisions are not the host's business."""

    spec = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b")))
    name = "a"

    def __init__(self, answer: Callable[[Event], list[Effect]]) -> None:
        self.events: list[Event] = []
        self._answer = answer

    def step(self, now: float, event: Event) -> list[Effect]:
        self.events.append(event)
        return self._answer(event)

    def status(self, now: float) -> Status:
        raise NotImplementedError


class Recorder:
    """Links and disk that note what they are asked; a write ends when the test says so."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.writes: list[tuple[Record, Callable[[str], None]]] = []

    def send(self, to: str, to_incarnation: int, body: object, number: int = 0) -> None:
        self.sent.append(to)

    def mute(self) -> None:
        self.sent.append("muted")

    def write(self, record: Record, done: Callable[[str], None]) -> None:
        self.writes.append((record, done))


def hosted(answer: Callable[[Event], list[Effect]], clock: Callable[[], float] = lambda: 0.0):
    node, world = ScriptedNode(answer), Recorder()
    host = Host(node, EventLog("a"), clock)  # type: ignore[arg-type]
    host.begin(World(world, None, SimpleNamespace(), {}, world))  # type: ignore[arg-type]
    return host, node, world


def send(to: str) -> Send:
    return Send(to, 1, FarewellAck())


async def test_what_stands_behind_a_barrier_waits_for_the_disk() -> None:
    vote = VoteRecord(1, "a")
    steps = {Tick(): [send("before"), Persist(1, vote), send("behind")], Persisted(1): [send("after")]}
    _host, node, world = hosted(lambda event: steps.get(event, []))
    assert world.sent == ["before"]
    ((record, done),) = world.writes
    assert record == vote
    done("")
    assert world.sent == ["before", "behind", "after"]
    assert node.events == [Tick(), Persisted(1)]


async def test_what_stands_behind_a_barrier_that_broke_is_not_done() -> None:
    steps = {Tick(): [Persist(1, VoteRecord(1, "a")), send("behind")]}
    _host, node, world = hosted(lambda event: steps.get(event, []))
    world.writes[0][1]("no space left")
    assert world.sent == []
    assert node.events[-1] == PersistFailed(1, "no space left")


async def test_other_steps_do_not_wait_for_a_barrier() -> None:
    asked = OperatorAsked(7, Verb.FENCE)
    steps = {Tick(): [Persist(1, VoteRecord(1, "a")), send("behind")], asked: [send("other")]}
    host, _node, world = hosted(lambda event: steps.get(event, []))
    host.post(asked)
    assert world.sent == ["other"]


async def test_a_loop_that_was_late_tells_the_pause_before_anything_else() -> None:
    now = [100.0]
    host, node, _world = hosted(lambda event: [WakeAt(now[0] + 0.5)], lambda: now[0])
    now[0] += 5.0
    host.post(Persisted(9))
    assert node.events == [Tick(), Paused(4.5), Persisted(9)]
    await host.close()


async def test_an_operator_gets_the_reply_to_his_own_request() -> None:
    def answer(event: Event) -> list[Effect]:
        return [Reply(event.request, False, "no quorum")] if isinstance(event, OperatorAsked) else []

    host, _node, _world = hosted(answer)
    assert await host.ask(Verb.STANDBY, "a", "", "somebody") == (False, "no quorum")


async def test_a_fault_of_the_core_ends_the_daemon() -> None:
    def answer(event: Event) -> list[Effect]:
        assert not isinstance(event, Persisted), "two coordinators"
        return []

    host, node, _world = hosted(answer)
    host.post(Persisted(1))
    assert host.broken
    assert host.ended.is_set()
    host.post(Tick())
    assert node.events == [Tick(), Persisted(1)], "a broken node decides nothing more"


async def test_the_tick_comes_at_the_time_that_the_node_asked_for() -> None:
    loop = asyncio.get_running_loop()
    ticked = asyncio.Event()
    times: list[float] = []

    def answer(event: Event) -> list[Effect]:
        times.append(loop.time())
        if len(times) == 2:
            ticked.set()
        return [WakeAt(times[0] + 0.05)] if len(times) == 1 else []

    host, _node, _world = hosted(answer, loop.time)
    await asyncio.wait_for(ticked.wait(), 30)
    assert times[1] - times[0] >= 0.05
    await host.close()


@pytest.mark.parametrize("late", [0.0, 0.4])
async def test_a_little_lateness_is_no_pause(late: float) -> None:
    now = [100.0]
    host, node, _world = hosted(lambda event: [WakeAt(now[0] + 0.5)], lambda: now[0])
    now[0] += 0.5 + late
    host.post(Tick())
    assert not any(isinstance(event, Paused) for event in node.events)
    await host.close()


class NotedGuard:
    """A guard that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def feed(self, until: float) -> None:
        self.told.append(until)

    def act(self, reason: str) -> None:
        self.told.append(reason)

    def release(self) -> None:
        self.told.append("released")

    def status(self) -> GuardStatus:
        return GuardStatus(4711)


async def test_the_guard_hears_until_when_the_node_may_go_on_and_when_it_must_end() -> None:
    steps: dict[Event, list[Effect]] = {
        Tick(): [FeedWatchdog(3.5)],
        Persisted(1): [SelfFence("web can't be stopped")],
        Persisted(2): [Exit("left cleanly")],
    }
    node, world, guard = ScriptedNode(lambda event: steps[event]), Recorder(), NotedGuard()
    host = Host(node, EventLog("a"), lambda: 0.0)  # type: ignore[arg-type]
    host.begin(World(world, None, SimpleNamespace(), {}, world, guard=guard))  # type: ignore[arg-type]
    host.post(Persisted(1))
    assert world.sent == ["muted"]
    host.post(Persisted(2))
    assert guard.told == [3.5, "web can't be stopped", "released"]
    assert host.ended.is_set()


async def test_a_guard_that_is_missing_is_told_to_people_and_to_the_node() -> None:
    host, node, _world = hosted(lambda event: [])
    host.guard_changed("no memory")
    host.guard_changed("")
    assert node.events[1:] == [GuardChanged("no memory"), GuardChanged("")]
    (record,) = host.events.past(10)
    assert "nothing guards what a runs: no memory" in str(record)
