"""A configuration on its way to another node: over links that lose, and what each node says of it."""

from __future__ import annotations

import asyncio
import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from hamgr.admin import push as desk_of
from hamgr.admin.parcel import MAX_TEXT, PART, Incoming, TooLong, pack
from hamgr.admin.push import PushDesk
from hamgr.config.toml import parse
from hamgr.core.effects import Record, StagedRecord
from hamgr.core.events import ConfigStaged, Event, Verb
from hamgr.core.messages import Body, ConfigPart, Packet
from hamgr.core.status import ArbiterStatus, NodeStatus, Status
from hamgr.resources.kinds import RESOURCE_KINDS

TEXT = """
[cluster]
name = "t"
key_file = "{dir}/key"
state_dir = "{dir}/state"
[link.one]
kind = "udp"
[node.a]
address = {{ one = "127.0.0.1" }}
[node.b]
address = {{ one = "127.0.0.2" }}
[group.web]
[[group.web.resource]]
kind = "lsb"
script = "{dir}/web"
"""
LIVES = {"a": 7, "b": 8}


class Side:
    """One node: its desk, with a core and a disk that remember."""

    def __init__(self, directory: Path, name: str, net: dict[str, Side], lost: Callable[[], bool]) -> None:
        self.name = name
        self.net = net
        self.lost = lost
        self.runs: set[str] = set()
        self.states = {"a": "online", "b": "online", name: "self"}
        self.written: list[Record] = []
        self.told: list[Event] = []
        self.asked: list[tuple[Verb, str, str]] = []
        self.parts = 0
        file = directory / name / "hamgr.toml"
        file.parent.mkdir()
        file.write_text(TEXT.format(dir=directory))
        self.desk = PushDesk(parse(file.read_bytes(), file, RESOURCE_KINDS), name, self, self, self)

    def status(self) -> Status:
        nodes = tuple(NodeStatus(name, self.states[name], LIVES[name], False) for name in "ab")
        arbiter = ArbiterStatus(False, False, None, False)
        return Status(
            "t", self.name, LIVES[self.name], "follower", 1, "a", True, 2, 2, 1.0, False, arbiter, nodes, (), ()
        )  # fmt: skip

    def post(self, event: Event) -> None:
        self.told.append(event)

    def active(self, group: str) -> bool:
        return group in self.runs

    async def ask(self, verb: Verb, node: str, group: str, operator: str, config: str = "") -> tuple[bool, str]:
        self.asked.append((verb, node, config))
        return True, operator

    def write(self, record: Record, done: Callable[[str], None]) -> None:
        self.written.append(record)
        asyncio.get_running_loop().call_soon(done, "")

    def send(self, to: str, to_incarnation: int, body: Body, number: int = 0) -> None:
        assert to_incarnation == LIVES[to]
        self.parts += isinstance(body, ConfigPart)
        if not self.lost():
            packet = Packet(self.name, LIVES[self.name], to, to_incarnation, body)
            asyncio.get_running_loop().call_soon(self.net[to].desk.takes, packet)


def executable(script: Path) -> None:
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Side, Side]:
    """Two nodes between which a third of all packets is lost."""
    monkeypatch.setattr(desk_of, "REPEAT", 0.02)
    (tmp_path / "key").touch(0o600)
    executable(tmp_path / "web")
    chance = random.Random(4)
    net: dict[str, Side] = {}
    for name in "ab":
        net[name] = Side(tmp_path, name, net, lambda: chance.random() < 0.33)
    return net["a"], net["b"]


def text_of(tmp_path: Path, more: str = "") -> bytes:
    return (TEXT.format(dir=tmp_path) + more).encode()


def noise(size: int) -> str:
    """Comments that don't compress."""
    return "".join(f"# {os.urandom(30).hex()}\n" for _ in range(size // 32))


async def test_every_part_arrives_and_both_nodes_keep_the_same_text(two: tuple[Side, Side], tmp_path: Path) -> None:
    a, b = two
    text = text_of(tmp_path, noise(5000))
    staged = await a.desk.stage(text, check_only=False)
    assert [(verdict.node, verdict.problems) for verdict in staged.verdicts] == [("a", ()), ("b", ())]
    for side in two:
        assert side.written == [StagedRecord(staged.digest, (), text)]
        assert side.told == [ConfigStaged(staged.digest, ())]
    assert a.parts > 20
    await a.desk.switch(staged.digest, "eve")
    assert a.asked == [(Verb.PUSH, "", staged.digest)]
    assert (await b.desk.switch(staged.digest, "eve"))[0] is False, "only where it was staged"


async def test_with_check_only_nobody_keeps_anything(two: tuple[Side, Side], tmp_path: Path) -> None:
    staged = await two[0].desk.stage(text_of(tmp_path, "# new\n"), check_only=True)
    assert not any(verdict.problems for verdict in staged.verdicts)
    assert [side.written for side in two] == [[], []]


async def test_a_node_where_a_changed_group_runs_says_so(two: tuple[Side, Side], tmp_path: Path) -> None:
    two[1].runs.add("web")
    executable(tmp_path / "other")
    staged = await two[0].desk.stage(text_of(tmp_path).replace(b"/web", b"/other"), check_only=False)
    problems = {verdict.node: verdict.problems for verdict in staged.verdicts}
    assert problems["a"] == ()
    assert "while it runs on b, allowed it stopped everywhere: push it with enabled = false first" in problems["b"][0]
    assert two[0].told == [ConfigStaged(staged.digest, ("web",))]


async def test_what_is_no_configuration_goes_nowhere(two: tuple[Side, Side]) -> None:
    staged = await two[0].desk.stage(b"nonsense", check_only=False)
    assert staged.digest == ""
    assert [verdict.node for verdict in staged.verdicts] == ["a"]
    assert two[0].parts == 0


async def test_a_node_that_is_not_there_is_named_and_nothing_is_sent_to_it(
    two: tuple[Side, Side], tmp_path: Path
) -> None:
    two[0].states["b"] = "dead"
    staged = await two[0].desk.stage(text_of(tmp_path, "# new\n"), check_only=False)
    assert "would miss this" in staged.verdicts[1].problems[0]
    assert two[0].parts == 0


async def test_a_missing_script_is_that_nodes_problem(two: tuple[Side, Side], tmp_path: Path) -> None:
    staged = await two[0].desk.stage(text_of(tmp_path).replace(b"/web", b"/none"), check_only=True)
    assert all("script" in verdict.problems[0] for verdict in staged.verdicts)


def test_a_text_that_is_too_long_is_refused_before_it_is_sent_and_a_bomb_when_it_is_opened() -> None:
    with pytest.raises(TooLong):
        pack(1, os.urandom(100_000), False)
    with pytest.raises(TooLong):
        pack(1, b"\0" * (MAX_TEXT + 1), False)
    bomb = zlib.compress(b"\0" * (8 * MAX_TEXT), 9)
    incoming = Incoming(1, -(-len(bomb) // PART), False)
    for index in range(incoming.count):
        incoming.take(ConfigPart(1, index, incoming.count, bomb[index * PART : (index + 1) * PART]))
    assert incoming.complete
    with pytest.raises(ValueError, match="longer than"):
        incoming.text()
