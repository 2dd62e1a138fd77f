"""The history of fencings: every node comes to have all of it, over lossy links and restarts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hamgr.admin import history as history_of
from hamgr.admin.history import KEPT, FenceHistory
from hamgr.config.toml import parse
from hamgr.core.effects import ACKNOWLEDGED, FenceRecord, HistoryRecord, Record
from hamgr.core.messages import Body, Packet, PastFence
from hamgr.core.status import ArbiterStatus, NodeStatus, Status
from hamgr.resources.kinds import RESOURCE_KINDS

TEXT = """
[cluster]
name = "t"
key_file = "/key"
[link.ha]
kind = "udp"
[node.a]
address = { ha = "10.0.0.1" }
[node.b]
address = { ha = "10.0.0.2" }
[node.c]
address = { ha = "10.0.0.3" }
[fence.bmc-b]
node = "b"
agent = "fence_hamgr_ipmi"
[fence.bmc-b2]
node = "b"
agent = "fence_hamgr_ipmi"
"""
ASKED = FenceRecord(5, "b", 7, 0, 4, "b is dead", votes=("a", "c"))


def result(intent: FenceRecord, outcome: str = "confirmed", attempts: int = 3) -> FenceRecord:
    """As the core has it, when the plan is gone: it knows little more than the number."""
    return FenceRecord(intent.fence, intent.node, 0, 0, 9, "", outcome, "off, read back", attempts=attempts)


class Net:
    """Nodes whose packets come twice, late, out of order, or not at all."""

    def __init__(self, lost: float = 0.0) -> None:
        self.sides: dict[str, Side] = {}
        self.chance = random.Random(4)
        self.lost = lost
        self.packets = 0
        self.arrived = asyncio.Event()

    def send(self, packet: Packet) -> None:
        self.packets += 1
        for _link in range(3):
            if self.chance.random() >= self.lost and packet.to in self.sides:
                delay = self.chance.random() * 0.01
                asyncio.get_running_loop().call_later(delay, self._arrive, packet)

    def _arrive(self, packet: Packet) -> None:
        self.sides[packet.to].history.takes(packet)
        self.arrived.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self.arrived.clear()
                await self.arrived.wait()


class Side:
    def __init__(self, net: Net, name: str, life: int = 1, kept: tuple[PastFence, ...] = ()) -> None:
        self.net, self.name, self.life = net, name, life
        self.disk: list[PastFence] = list(kept)
        self.now = 1000.0
        config = parse(TEXT.encode(), Path("/hamgr.toml"), RESOURCE_KINDS)
        self.history = FenceHistory(config, name, self, self, self, kept, lambda: self.now)
        net.sides[name] = self

    def status(self) -> Status:
        nodes = tuple(NodeStatus(side.name, "online", side.life, False) for side in self.net.sides.values())
        nodes = tuple(node for node in nodes if node.name != self.name)
        arbiter = ArbiterStatus(False, False, None, False)
        return Status("t", self.name, self.life, "follower", 1, "a", True, 2, 2, 1.0, False, arbiter, nodes, (), ())

    def send(self, to: str, to_incarnation: int, body: Body, number: int = 0) -> None:
        self.net.send(Packet(self.name, self.life, to, to_incarnation, body))

    def write(self, record: Record, done: Callable[[str], None]) -> None:
        if isinstance(record, HistoryRecord):
            self.disk.extend(record.fences)
        done("")

    def fence(self, number: int = 5) -> None:
        intent = FenceRecord(number, "b", 7, 0, 4, "b is dead", votes=("a", "c"))
        self.history.note(intent)
        self.now += 2.5
        self.history.note(result(intent))


@asynccontextmanager
async def telling(*sides: Side) -> AsyncIterator[None]:
    for side in sides:
        side.history.start()
    try:
        yield
    finally:
        for side in sides:
            await side.history.close()


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_of, "REPEAT", 0.05)


def test_a_fencing_is_kept_with_who_why_epoch_votes_devices_attempts_times_and_result() -> None:
    side = Side(Net(), "a")
    side.fence()
    (fence,) = side.history.of("b")
    assert (fence.by, fence.node, fence.reason, fence.epoch, fence.votes) == ("a", "b", "b is dead", 4, ("a", "c"))
    assert (fence.devices, fence.level, fence.attempts) == (("bmc-b", "bmc-b2"), 1, 3)
    assert (fence.asked_at, fence.finished_at, fence.outcome) == (1000.0, 1002.5, "confirmed")
    assert side.disk == [fence]
    assert side.history.of("c") == []


def test_an_operators_word_is_kept_with_his_name() -> None:
    side = Side(Net(), "a")
    side.history.note(FenceRecord(6, "b", 7, 0, 4, "eve@b confirmed that b is off", ACKNOWLEDGED, operator="eve@b"))
    (fence,) = side.history.of()
    assert (fence.operator, fence.outcome, fence.level, fence.devices) == ("eve@b", "acknowledged", 0, ())


def test_a_fencing_that_the_last_life_began_has_an_unknown_result() -> None:
    side = Side(Net(), "a")
    side.history.recover([(ASKED, 900.0)])
    (fence,) = side.disk
    assert (fence.outcome, fence.asked_at, fence.votes) == ("unknown", 900.0, ("a", "c"))
    assert "before the result was known" in fence.detail


def test_a_clock_that_was_set_back_makes_no_fencing_older_than_the_last() -> None:
    side = Side(Net(), "a")
    side.fence()
    side.now = 10.0
    side.fence(6)
    first, second = sorted(side.disk, key=lambda fence: fence.number)
    assert first.asked_at > second.asked_at
    assert side.history.of() == [second, first]


async def test_all_nodes_come_to_have_the_same_history_though_most_packets_are_lost() -> None:
    net = Net(lost=0.7)
    sides = [Side(net, name) for name in "abc"]
    async with telling(*sides):
        for number in range(10):
            sides[number % 3].fence(number)
        await net.until(lambda: all(len(side.history.of()) == 10 for side in sides))
    assert sides[0].history.of() == sides[1].history.of() == sides[2].history.of()
    assert sorted(map(repr, sides[0].disk)) == sorted(map(repr, sides[1].disk)), "each once"


async def test_a_node_that_comes_back_with_an_empty_disk_gets_it_all_again() -> None:
    net = Net()
    a, b = Side(net, "a"), Side(net, "b")
    async with telling(a, b):
        a.fence(1)
        b.fence(2)
        await net.until(lambda: len(a.history.of()) == len(b.history.of()) == 2)
        reborn = Side(net, "b", life=2)
        async with telling(reborn):
            await net.until(lambda: len(reborn.history.of()) == 2)
        reborn.fence(1)
        assert len({(fence.by, fence.number) for fence in reborn.history.of()}) == 3, "and takes no number twice"


async def test_nodes_that_know_the_same_say_no_more_than_that_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    sides = [Side(net, name) for name in "abc"]
    async with telling(*sides):
        sides[0].fence()
        await net.until(lambda: all(len(side.history.of()) == 1 for side in sides))
        before = net.packets
        await asyncio.sleep(0.3)
    assert net.packets - before <= 8 * 6, "two to the others, from each of three, each 50 ms"


async def test_only_the_newest_are_kept_and_the_others_are_not_sent_for_ever() -> None:
    net = Net()
    a, b = Side(net, "a"), Side(net, "b")
    for number in range(KEPT + 5):
        a.fence(number)
    assert len(a.history.of()) == KEPT
    async with telling(a, b):
        await net.until(lambda: len(b.history.of()) == KEPT)
    assert a.history.of() == b.history.of()
