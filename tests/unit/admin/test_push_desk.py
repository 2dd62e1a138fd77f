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


ARBITER = """[arbiter]
address = "127.0.0.9"
"""


class Side:
    """One node: its desk, with a core and a disk that remember."""

    def __init__(
        self, directory: Path, name: str, net: dict[str, Side], lost: Callable[[], bool], more: str = ""
    ) -> None:
        self.name = name
        self.net = net
        self.lost = lost
        self.runs: set[str] = set()
        self.states = {"a": "online", "b": "online", name: "self"}
        self.written: list[Record] = []
        self.told: list[Event] = []
        self.asked: list[tuple[Verb, str, str]] = []
        self.parts = 0
        self.missed_one = ""
        self.said: list[str] = []
        self.now = 0.0
        file = directory / name / "hamgr.toml"
        file.parent.mkdir()
        file.write_text(TEXT.format(dir=directory) + more)
        config = parse(file.read_bytes(), file, RESOURCE_KINDS)
        self.desk = PushDesk(config, name, self, self, self, self.said.append, lambda: self.now)

    def status(self) -> Status:
        nodes = tuple(NodeStatus(name, self.states[name], LIVES[name], False) for name in "ab")
        arbiter = ArbiterStatus(False, False, None, False)
        return Status(
            "t", self.name, LIVES[self.name], "follower", 1, "a", True, 2, 2, 1.0, False, arbiter, nodes, (), ()
        )  # fmt: skip

    def post(self, event: Event) -> None:
        self.told.append(event)

    def missed(self) -> str:
        return self.missed_one

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


@pytest.fixture
def with_arbiter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Side, Side]:
    """Two nodes with an arbiter; the second has an older file."""
    monkeypatch.setattr(desk_of, "REPEAT", 0.02)
    (tmp_path / "key").touch(0o600)
    executable(tmp_path / "web")
    net: dict[str, Side] = {}
    for name, more in (("a", ARBITER + "# newer\n"), ("b", ARBITER)):
        net[name] = Side(tmp_path, name, net, lambda: False, more)
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


async def test_a_node_that_may_be_running_something_is_named_and_nothing_is_sent_to_it(
    two: tuple[Side, Side], tmp_path: Path
) -> None:
    two[0].states["b"] = "dead"
    staged = await two[0].desk.stage(text_of(tmp_path, "# new\n"), check_only=False)
    assert "it is dead, and may be running something: start hamgrd there" in staged.verdicts[1].problems[0]
    assert "hamgr fence ack b" in staged.verdicts[1].problems[0]
    assert two[0].parts == 0


@pytest.mark.parametrize("state", ["fenced", "left", "acknowledged"])
async def test_a_node_that_is_surely_off_gets_it_later_unless_it_is_a_quorum_alone(
    with_arbiter: tuple[Side, Side], tmp_path: Path, state: str
) -> None:
    a, _ = with_arbiter
    a.states["b"] = state
    staged = await a.desk.stage(text_of(tmp_path, ARBITER + "# new\n"), check_only=False)
    assert (staged.verdicts[1].problems, staged.verdicts[1].notes) == (
        (),
        (f"it is {state}: it is brought there when it is back",),
    )


async def test_of_two_nodes_alone_both_must_be_there(two: tuple[Side, Side], tmp_path: Path) -> None:
    two[0].states["b"] = "fenced"
    staged = await two[0].desk.stage(text_of(tmp_path, "# new\n"), check_only=False)
    assert "each is a quorum by its own file" in staged.verdicts[1].problems[0]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # what both desks do is in tasks of their own
            await asyncio.sleep(0.01)


async def test_what_a_node_missed_is_brought_and_kept_whatever_it_changes(
    with_arbiter: tuple[Side, Side], tmp_path: Path
) -> None:
    a, b = with_arbiter
    text = text_of(tmp_path, ARBITER + "# newer\n")
    digest = parse(text, tmp_path / "x", RESOURCE_KINDS).digest
    b.missed_one = digest
    a.desk.bring("b", LIVES["b"], digest)
    a.desk.bring("b", LIVES["b"], digest)
    await until(lambda: b.told == [ConfigStaged(digest, ())])
    assert b.written == [StagedRecord(digest, (), text)]
    assert (a.said, a.written, a.told) == ([], [], [])


async def test_a_node_that_can_not_take_what_it_missed_is_told_of_once(
    with_arbiter: tuple[Side, Side], tmp_path: Path
) -> None:
    a, b = with_arbiter
    digest = parse(text_of(tmp_path, ARBITER + "# newer\n"), tmp_path / "x", RESOURCE_KINDS).digest
    b.missed_one = digest
    (tmp_path / "web").unlink()
    a.desk.bring("b", LIVES["b"], digest)
    await until(lambda: a.said != [])
    assert a.said[0].startswith(f"b missed configuration {digest}, and does not take it: ")
    assert "group.web.resource" in a.said[0]
    sent = a.parts
    a.desk.bring("b", LIVES["b"], digest)
    await asyncio.sleep(0.05)
    assert a.parts == sent, "not again at once"
    a.now += desk_of.AGAIN
    executable(tmp_path / "web")
    a.desk.bring("b", LIVES["b"], digest)
    await until(lambda: b.told == [ConfigStaged(digest, ())])
    assert len(a.said) == 1


async def test_a_file_that_was_changed_by_hand_is_brought_nowhere(
    with_arbiter: tuple[Side, Side], tmp_path: Path
) -> None:
    a, b = with_arbiter
    a.desk.bring("b", LIVES["b"], "00" * 8)
    await until(lambda: a.said != [])
    assert "was changed by hand: push it, or put back what hamgrd runs" in a.said[0]
    assert (a.parts, b.written) == (0, [])


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
