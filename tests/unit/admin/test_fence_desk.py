"""A test of all fence devices over a network that loses packets: who tries what, how often, and what comes back."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hamgr.admin import fences
from hamgr.admin.fences import FenceDesk, Tried
from hamgr.config.model import Config, FenceDeviceConfig
from hamgr.core.messages import Body, FenceTrialTold, Packet
from hamgr.core.status import ArbiterStatus, NodeStatus, Status
from hamgr.fencing.postcard import LARGEST, read, write
from hamgr.fencing.trial import CHECKS, Finding, Trial, Verdict

NAMES = ("a", "b", "c")
LIVES = {"a": 7, "b": 8, "c": 9}
DEVICES = tuple(FenceDeviceConfig(f"bmc-{node}", node, "fence_x", timeout=1.0) for node in NAMES)


def trial(device: FenceDeviceConfig, tester: str, wrong: str = "") -> Trial:
    findings = [Finding(check, Verdict.GOOD, f"{check} is good", 0.012) for check in CHECKS]
    if wrong:
        findings[3:] = [Finding("answers", Verdict.FAILED, wrong, 1.0)] + [
            Finding(check, Verdict.SKIPPED, "the device does not answer") for check in CHECKS[4:]
        ]
    return Trial(device.name, device.node, tester, 1, device.agent, "" if wrong else "on", tuple(findings))


class Side:
    """One node and its desk."""

    def __init__(self, name: str, net: Net) -> None:
        self.name = name
        self.net = net
        spec: Any = SimpleNamespace(name="t", names=NAMES)
        config = Config(Path("t.toml"), spec, Path("key"), (), DEVICES, ())
        self.desk = FenceDesk(config, name, self.status, self, self.attempt)

    def status(self) -> Status:
        states = {name: self.net.states.get(name, "online") for name in NAMES} | {self.name: "self"}
        nodes = tuple(NodeStatus(name, states[name], LIVES[name], False) for name in NAMES)
        arbiter = ArbiterStatus(False, False, None, False)
        return Status("t", self.name, 1, "follower", 1, "a", True, 2, 2, 1.0, False, arbiter, nodes, (), ())

    async def attempt(self, device: FenceDeviceConfig) -> Trial | None:
        self.net.attempts.append((self.name, device.name))
        self.net.sessions[device.name] = self.net.sessions.get(device.name, 0) + 1
        assert self.net.sessions[device.name] == 1, "two nodes at one BMC"
        await asyncio.sleep(0.005)
        self.net.sessions[device.name] -= 1
        if (self.name, device.name) in self.net.busy:
            return None
        return trial(device, self.name, self.net.wrong.get((self.name, device.name), ""))

    def send(self, to: str, to_incarnation: int, body: Body, number: int = 0) -> None:
        if self.net.loses():
            return
        assert to_incarnation == LIVES[to]
        packet = Packet(self.name, LIVES[self.name], to, to_incarnation, body)
        asyncio.get_running_loop().call_soon(self.net.sides[to].desk.takes, packet)


class Net:
    def __init__(self, loses: Callable[[], bool] = lambda: False) -> None:
        self.loses = loses
        self.states: dict[str, str] = {}
        self.busy: set[tuple[str, str]] = set()
        self.wrong: dict[tuple[str, str], str] = {}
        self.attempts: list[tuple[str, str]] = []
        self.sessions: dict[str, int] = {}
        self.sides = {name: Side(name, self) for name in NAMES}

    async def test(self, node: str = "a") -> dict[tuple[str, str], Tried]:
        async with asyncio.timeout(20):
            found = [tried async for tried in self.sides[node].desk.try_all()]
        for side in self.sides.values():
            await side.desk.close()
        assert len(found) == len({(one.tester, one.device) for one in found})
        return {(one.tester, one.device): one for one in found}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fences, "REPEAT", 0.03)
    monkeypatch.setattr(fences, "MARGIN", 0.1)
    monkeypatch.setattr(fences, "LONGEST_TRIAL", 0.5)


async def test_every_device_is_tried_from_every_node_that_would_use_it_and_by_one_at_a_time() -> None:
    net = Net()
    found = await net.test()
    others = {(tester, f"bmc-{node}") for tester in NAMES for node in NAMES if tester != node}
    assert set(found) == others | {("a", "bmc-a")}
    assert all(one.trial is not None and not one.trial.failed for one in found.values())
    far = found["c", "bmc-b"].trial
    assert far is not None
    assert (far.tester, far.victim, far.power, far.finding("time").text) == ("c", "b", "on", "time is good")
    assert len(net.attempts) == 7


async def test_packets_that_get_lost_are_asked_for_again_and_no_trial_is_done_twice() -> None:
    chance = random.Random(1)
    net = Net(lambda: chance.random() < 0.4)
    found = await net.test()
    assert all(one.trial is not None for one in found.values())
    assert len(net.attempts) == 7


async def test_what_is_wrong_elsewhere_is_told_here() -> None:
    net = Net()
    net.wrong["c", "bmc-b"] = "no route to host"
    found = await net.test()
    far = found["c", "bmc-b"].trial
    assert far is not None
    assert far.failed
    assert far.finding("answers").text == "no route to host"
    near = found["a", "bmc-b"].trial
    assert near is not None
    assert not near.failed


async def test_a_node_that_is_not_there_and_a_device_at_work_are_told() -> None:
    net = Net()
    net.states["c"] = "dead"
    net.busy.add(("b", "bmc-a"))
    found = await net.test()
    assert found["c", "bmc-a"].problem == "c is dead"
    assert found["b", "bmc-a"].problem == "it is at work just now"


async def test_a_node_that_never_answers_is_given_up() -> None:
    net = Net()
    net.sides["c"].desk.takes = lambda packet: True  # type: ignore[method-assign]
    found = await net.test()
    assert found["c", "bmc-a"].problem == "c has not answered"
    assert found["b", "bmc-a"].trial is not None


def test_the_longest_texts_fit_into_one_packet_of_a_serial_line() -> None:
    letters = "".join(chr(33 + (7 * n * n + n) % 90) for n in range(400))
    many = Trial("d", "b", "a", 1, "x", "", tuple(Finding(c, Verdict.FAILED, letters, 1.0) for c in CHECKS))
    one = trial(DEVICES[1], "a", "no answer from 10.77.9.22 within 2 s")
    for card in (write(many), write(one)):
        assert len(card) <= LARGEST
    assert read(write(many), DEVICES[1], "a").failed
    assert read(write(one), DEVICES[1], "a").finding("answers").text == "no answer from 10.77.9.22 within 2 s"


@pytest.mark.parametrize(
    "text", ["", "[]", "[0]", "[9,[]]", '[1,[["x",0,""]]]', "{}", "[" * 9000, '[0,[[0,"x",""]]]', "[1e999,[]]"]
)
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a result"):
        read(zlib.compress(text.encode()), DEVICES[1], "a")
    with pytest.raises(ValueError, match="not a result"):
        read(text.encode(), DEVICES[1], "a")


def test_an_answer_that_nobody_waits_for_is_dropped() -> None:
    side = Net().sides["a"]
    assert side.desk.takes(Packet("b", 8, "a", 7, FenceTrialTold(99, b"x")))
