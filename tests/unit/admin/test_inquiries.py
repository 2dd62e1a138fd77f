"""What the coordinator knows, asked at another node, over a network that loses packets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from hamgr.admin import inquiries
from hamgr.admin.inquiries import InquiryDesk
from hamgr.core.balance import Move
from hamgr.core.cluster import GroupState
from hamgr.core.messages import Body, Inquiry, InquiryTold, Packet
from hamgr.core.status import ArbiterStatus, Balance, GroupStatus, NodeStatus, Status
from hamgr.v1 import admin_pb2 as pb

NAMES = ("a", "b", "c")
LIVES = {"a": 7, "b": 8, "c": 9}


class Side:
    """One node and its desk; a is the coordinator, as far as everybody knows."""

    def __init__(self, name: str, net: Net) -> None:
        self.name = name
        self.net = net
        self.role = "coordinator" if name == "a" else "follower"
        self.coordinator = "a"
        self.groups: tuple[str, ...] = ("web",)
        self.desk = InquiryDesk(name, self.status, self, self.balance)

    def status(self) -> Status:
        states = {name: self.net.states.get(name, "online") for name in NAMES} | {self.name: "self"}
        nodes = tuple(NodeStatus(name, states[name], LIVES[name], False) for name in NAMES)
        arbiter = ArbiterStatus(True, True, None, True, why="a runs more" if self.role == "coordinator" else "")
        why = ("a: it is the first", "not b: it is on standby") if self.role == "coordinator" else ("not b: standby",)
        groups = tuple(
            GroupStatus(name, "a", GroupState.STARTED, "a", ("for c",), {"a": "started"}, "a", True, why)
            for name in self.groups
        )
        waits = ("1 of 3 nodes heard",)
        return Status(
            "t", self.name, 1, self.role, 5, self.coordinator, True, 2, 2, 1.0, False, arbiter, nodes, groups, (), waits
        )

    def balance(self, scope: tuple[str, ...]) -> Balance | None:
        if self.role != "coordinator":
            return None
        move = Move("web", "a", "b", "a has 2 groups, b 0", ("mail",))
        return Balance(iter([move]), (f"scope {scope}",), "db is starting")

    def send(self, to: str, to_incarnation: int, body: Body, number: int = 0) -> None:
        if self.net.loses():
            return
        assert to_incarnation == LIVES[to]
        self.net.sent.append(body)
        packet = Packet(self.name, LIVES[self.name], to, to_incarnation, body)
        asyncio.get_running_loop().call_soon(self.net.sides[to].desk.takes, packet)


class Net:
    def __init__(self, loses: Callable[[], bool] = lambda: False) -> None:
        self.loses = loses
        self.states: dict[str, str] = {}
        self.sent: list[Body] = []
        self.sides = {name: Side(name, self) for name in NAMES}

    async def plan(self, node: str, *groups: str) -> pb.RebalancePlan:
        async with asyncio.timeout(20):
            found = await self.sides[node].desk.plan(groups)
        for side in self.sides.values():
            await side.desk.close()
        return found

    async def explain(self, node: str = "b", group: str = "web") -> pb.ExplainReply:
        async with asyncio.timeout(20):
            found = await self.sides[node].desk.explain(group)
        for side in self.sides.values():
            await side.desk.close()
        return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiries, "REPEAT", 0.05)
    monkeypatch.setattr(inquiries, "PATIENCE", 0.5)


@pytest.mark.parametrize("node", NAMES)
async def test_every_node_says_what_the_coordinator_knows(node: str) -> None:
    found = await Net().explain(node)
    assert (found.by, found.epoch, found.arbiter, found.problem) == ("a", 5, "a runs more", "")
    assert list(found.group.why) == ["a: it is the first", "not b: it is on standby"]
    assert (found.group.owner, found.group.state, list(found.group.waits)) == ("a", "started", ["for c"])


async def test_packets_that_get_lost_are_sent_again() -> None:
    chance = random.Random(3)
    assert (await Net(lambda: chance.random() < 0.4).explain()).by == "a"


async def test_a_node_asks_whom_it_follows_by_then() -> None:
    net = Net()
    b = net.sides["b"]
    b.coordinator = "c"
    asyncio.get_running_loop().call_later(0.1, setattr, b, "coordinator", "a")
    assert (await net.explain()).by == "a"
    assert InquiryTold(1, problem="c is not the coordinator now") in net.sent


@pytest.mark.parametrize(
    ("coordinator", "state", "told"),
    [
        ("a", "dead", "a decides, and is dead; `hamgr status` says what is awaited"),
        ("", "online", "nobody decides now; `hamgr status` says what is awaited"),
        ("a", "online", "a decides, and has not answered b"),
    ],
)
async def test_without_an_answer_a_node_says_why_and_what_it_knows_itself(
    coordinator: str, state: str, told: str
) -> None:
    net = Net(lambda: True)
    net.sides["b"].coordinator = coordinator
    net.states["a"] = state
    found = await net.explain()
    assert (found.by, found.problem, found.arbiter) == ("b", told, "")
    assert list(found.group.why) == ["not b: standby"]
    assert "1 of 3 nodes heard" in found.group.waits


async def test_an_unknown_group_is_told_here_and_one_that_only_the_coordinator_does_not_know() -> None:
    net = Net()
    unknown = await net.explain("b", "wbe")
    assert not unknown.HasField("group")
    assert unknown.problem == "no group wbe; there are: web"
    net.sides["b"].groups = ("web", "new")
    found = await net.explain("b", "new")
    assert found.problem == "a runs another configuration: no group new; there are: web"


async def test_another_version_that_asks_for_something_else_is_told_so() -> None:
    net = Net()
    assert net.sides["a"].desk.takes(Packet("b", 8, "a", 7, Inquiry(1, "weather")))
    await asyncio.sleep(0.01)
    assert net.sent == [InquiryTold(1, problem="a runs another version of hamgr, and can't say that")]
    await net.sides["a"].desk.close()


@pytest.mark.parametrize("node", NAMES)
async def test_every_node_says_what_the_coordinator_would_move(node: str) -> None:
    found = await Net().plan(node, "web")
    (move,) = found.moves
    assert (move.group, move.source, move.target, list(move.along)) == ("web", "a", "b", ["mail"])
    assert (list(found.fixed), found.hindrance, found.problem) == (["scope ('web',)"], "db is starting", "")


async def test_there_is_no_plan_for_a_group_that_is_unknown_and_none_without_the_coordinator() -> None:
    assert (await Net().plan("b", "web", "wbe")).problem == "no group wbe; there are: web"
    assert (await Net(lambda: True).plan("b")).problem == "a decides, and has not answered b"
