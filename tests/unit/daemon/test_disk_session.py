"""Sessions with an arbiter that is a disk: real processes on real loop devices, races, kills, and a disk that hangs."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from arbiter.explaining import kept, shown
from hamgr.core.messages import ArbiterAnswer, ArbiterReport, ClusterState, Stamp
from hamgr.disk.device import Device
from hamgr.disk.making import make
from hamgr.diskarbiter import DiskSession

NODES = ("a", "b")
RACES = int(os.environ.get("HAMGR_RACES", "15"))
DEADTIME = 0.4
PATIENCE = 30.0


class Node:
    """One node's session, and what it was told."""

    def __init__(self, name: str, device: str, state_dir: Path) -> None:
        self.name = name
        self.told = asyncio.Event()
        self.answer = ArbiterAnswer(0, False, 0)
        self.lost: list[str] = []
        self.votes: dict[int, str] = {}
        self.more: dict[str, object] = {}
        self.claim = 0
        self.session = DiskSession(
            device, "office", name, random.getrandbits(63) | 1, state_dir, 0.5, self._answered, self._lost
        )
        self._task: asyncio.Task[None] | None = None

    def _answered(self, answer: ArbiterAnswer, _where: str) -> None:
        self.answer = answer
        self.told.set()
        if answer.voted_for:
            assert self.votes.setdefault(answer.vote_epoch, answer.voted_for) == answer.voted_for

    def _lost(self, reason: str) -> None:
        self.lost.append(reason)
        self.told.set()

    def knows_or_asks_on(self, epoch: int) -> bool:
        """Who is refused claims a later epoch, as a node does."""
        if any(voted >= epoch for voted in self.votes):
            return True
        if self.answer.refused and self.answer.epoch >= self.claim:
            self.claim = self.answer.epoch + 1
        return False

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Until this holds, asked whenever the node is told something."""
        async with asyncio.timeout(PATIENCE):
            while not predicate():
                self.told.clear()
                await self.told.wait()

    def report(self) -> None:
        facts: dict[str, object] = {
            "sent_us": round(asyncio.get_running_loop().time() * 1e6),
            "epoch": max(1, self.answer.epoch),
            "nodes": NODES,
            "alive": (self.name,),
            "claim": self.claim,
            "deadtime": DEADTIME,
            "settle": 0.02,
        }
        self.session.send(ArbiterReport(**{**facts, **self.more}))  # type: ignore[arg-type]

    async def _go_on(self) -> None:
        while True:
            self.report()
            await asyncio.sleep(0.02)

    async def start(self) -> None:
        await self.session.start()
        self._task = asyncio.create_task(self._go_on())

    async def close(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await self.session.close()


@asynccontextmanager
async def pair(ends: tuple[str, str], tmp_path: Path) -> AsyncIterator[tuple[Node, Node]]:
    with Device(ends[0]) as device:
        make(device, "office", NODES, 2000, force=False)
    nodes = []
    for name, end in zip(NODES, ends, strict=True):
        (tmp_path / name).mkdir()
        nodes.append(Node(name, end, tmp_path / name))
    try:
        for node in nodes:
            await node.start()
        for node in nodes:
            await node.until(lambda node=node: node.answer.voter)  # type: ignore[misc]
        yield nodes[0], nodes[1]
    finally:
        for node in nodes:
            await node.close()


def children() -> list[int]:
    """The processes that the sessions started."""
    own = os.getpid()
    return [int(pid) for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split()]


async def test_of_two_nodes_that_ask_at_once_exactly_one_gets_the_vote_again_and_again(
    two_ends: tuple[str, str], tmp_path: Path
) -> None:
    rng = random.Random(1)
    winners = set()
    async with pair(two_ends, tmp_path) as nodes:
        for _ in range(RACES):
            epoch = max(node.answer.epoch for node in nodes) + 1
            for node in nodes:
                node.claim = epoch
                node.more["load"] = rng.randint(0, 3)
            for node in nodes:
                await node.until(lambda epoch=epoch, node=node: epoch in node.votes)  # type: ignore[misc]
            assert nodes[0].votes[epoch] == nodes[1].votes[epoch]
            winners.add(nodes[0].votes[epoch])
            for node in nodes:
                node.claim = 0
    assert winners == {"a", "b"} or RACES < 10


async def test_no_epoch_has_two_votes_when_the_processes_are_killed_in_the_middle(
    two_ends: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hamgr.diskarbiter.RESTART", 0.02)
    rng = random.Random(2)
    async with pair(two_ends, tmp_path) as nodes:
        for _ in range(RACES):
            epoch = max(node.answer.epoch for node in nodes) + 1
            for node in nodes:
                node.claim = epoch
            await asyncio.sleep(rng.random() * 0.02)
            for pid in children():
                if rng.random() < 0.7:
                    os.kill(pid, signal.SIGKILL)
            for node in nodes:
                await node.until(lambda epoch=epoch, node=node: node.knows_or_asks_on(epoch))  # type: ignore[misc]
            for node in nodes:
                node.claim = 0
    both = {*nodes[0].votes.items(), *nodes[1].votes.items()}
    assert len(both) == len({epoch for epoch, _ in both})


async def test_each_node_keeps_why_it_voted_or_left_the_vote_to_the_other(
    two_ends: tuple[str, str], tmp_path: Path
) -> None:
    async with pair(two_ends, tmp_path) as (a, b):
        epoch = max(a.answer.epoch, b.answer.epoch) + 1
        a.more["load"] = 3
        for node in (a, b):
            node.more["settle"] = 5.0  # it ends when both have asked
            node.claim = epoch
        for node in (a, b):
            await node.until(lambda node=node: epoch in node.votes)  # type: ignore[misc]
        b.claim = epoch - 1
        await b.until(lambda: "is over" in b.answer.refused)
    vote = next(one for one in kept(tmp_path / "a", "office") if one.rule == "voted")
    assert vote.text == f"a gets the vote of epoch {epoch}: a runs more than b (3, 0)"
    assert [side["claimant"] for side in vote.knew["sides"]] == ["a", "b"]
    assert {node["node"] for node in vote.knew["nodes"]} == {"a", "b"}
    assert "    side of a: a: votes 1, health 0, load 3" in shown(vote)
    of_b = {one.rule: one.text for one in kept(tmp_path / "b", "office")}
    assert "voted" not in of_b
    assert f"b does not get the vote of epoch {epoch - 1}: epoch {epoch - 1} is over" in of_b["over"]
    assert f"epoch {epoch}" in of_b.get("prefers", of_b["over"])


async def test_a_cluster_state_goes_over_the_disk_to_whom_is_elected(two_ends: tuple[str, str], tmp_path: Path) -> None:
    state = ClusterState(Stamp(1, 7), "a", pins=tuple((f"group{n}", "b") for n in range(400)))
    async with pair(two_ends, tmp_path) as (a, b):
        a.more["state"] = state
        await a.until(lambda: a.answer.stored == state.stamp)
        await b.until(lambda: b.answer.stored == state.stamp)
        await a.close()
        await a.start()
        a.more.clear()
        b.claim = b.answer.epoch + 1
        await b.until(lambda: b.answer.voted_for == "b")
        assert b.answer.state == state


async def test_a_disk_without_the_arbiters_part_is_no_answer_and_says_what_to_do(
    two_ends: tuple[str, str], tmp_path: Path
) -> None:
    node = Node("a", two_ends[0], tmp_path)
    await node.start()
    wanted = f"{two_ends[0]} has no hamgr header: `hamgr disk init {two_ends[0]}` once, on one node"
    await node.until(lambda: wanted in node.lost)
    await node.close()
    assert not node.answer.voter


async def test_a_process_that_hangs_is_told_of_and_does_not_hold_up_the_end(
    two_ends: tuple[str, str], tmp_path: Path
) -> None:
    async with pair(two_ends, tmp_path) as (a, b):
        for pid in children():
            os.kill(pid, signal.SIGSTOP)
        await a.until(lambda: any("has not answered for 0.5 s" in reason for reason in a.lost))
        began = asyncio.get_running_loop().time()
        await a.close()
        await b.close()
        assert asyncio.get_running_loop().time() - began < 5.0
        await a.start()
        await b.start()


async def test_a_silent_node_writes_nothing_any_more(two_ends: tuple[str, str], tmp_path: Path) -> None:
    async with pair(two_ends, tmp_path) as (a, b):
        a.session.mute()
        b.claim = b.answer.epoch + 1
        await b.until(lambda: b.answer.voted_for == "b")
