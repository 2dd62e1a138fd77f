"""What `fence-test --live` makes of the events and of the status that it sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hamgr.admin.events import LoggedEvent
from hamgr.cli.fences.live import Story, hindrance
from hamgr.config.model import Config
from hamgr.config.toml import load
from hamgr.core.cluster import GroupState
from hamgr.core.effects import Announce, Kind
from hamgr.core.status import ArbiterStatus, GroupStatus, NodeStatus, Status

CONFIG = """
[cluster]
name = "c"
key_file = "/k"
[link.l]
kind = "udp"
[node.a]
address = { l = "127.0.0.1" }
[node.b]
address = { l = "127.0.0.2" }
[fence.bmc-a]
node = "a"
agent = "fence_x"
[group.web]
nodes = NODES
[[group.web.resource]]
kind = "lsb"
script = "/web"
"""


def group(owner: str, state: GroupState = GroupState.STARTED, **states: str) -> GroupStatus:
    return GroupStatus("web", owner, state, states=states or ({owner: state.value} if owner else {}))


def status(web: GroupStatus, a: str = "online", life: int = 7) -> Status:
    nodes = (NodeStatus("a", a, life, False), NodeStatus("b", "self", 3, False))
    arbiter = ArbiterStatus(False, False, None, False)
    return Status("c", "b", 3, "coordinator", 1, "b", True, 2, 2, 1.0, False, arbiter, nodes, (web,), ())


def event(kind: Kind, node: str = "", group: str = "") -> LoggedEvent:
    return LoggedEvent(1, 0.0, 0.0, "b", Announce(kind, "text", node, group))


def test_two_owners_at_one_moment_are_told_once() -> None:
    story = Story("a", status(group("a")))
    for _ in range(2):
        list(story.saw(status(group("b", a="started", b="starting")), 0.1))
    assert story.wrong == ["group web had two owners: a and b"]


def test_a_start_before_the_confirmation_is_wrong_and_one_after_it_is_right() -> None:
    early, right = Story("a", status(group("a"))), Story("a", status(group("a")))
    early.heard(event(Kind.GROUP_STARTING, "b", "web"), 0.1)
    assert early.wrong == ["group web of a was started before a was confirmed off"]
    right.heard(event(Kind.FENCE_CONFIRMED, "a"), 0.1)
    right.heard(event(Kind.GROUP_STARTING, "b", "web"), 0.2)
    assert right.wrong == []


def test_a_change_of_the_owner_is_told() -> None:
    story = Story("a", status(group("a")))
    assert list(story.saw(status(group("a")), 0.1)) == []
    assert list(story.saw(status(group("", GroupState.STOPPED)), 0.2)) == []
    (row,) = story.saw(status(group("b")), 0.3)
    assert (row.after, row.text) == (0.3, "group web runs on b")


def test_recovered_is_what_ran_before_on_another_node_or_in_another_life() -> None:
    story = Story("a", status(group("a")))
    assert not story.recovered(status(group("a")))
    assert not story.recovered(status(group("b", GroupState.STARTING)))
    assert story.recovered(status(group("b")))
    assert story.recovered(status(group("a"), life=8))
    assert Story("a", status(group(""))).recovered(status(group("")))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "hamgr.toml"
    file.write_text(CONFIG.replace("NODES", '["a", "b"]'))
    return load(file)


def test_a_shot_at_a_bad_moment_is_refused(config: Config, tmp_path: Path) -> None:
    good = status(group("a"))
    assert hindrance(config, good, "a") == ""
    assert hindrance(config, good, "b") == "no node shoots itself: say it on another"
    assert hindrance(config, replace(good, node="a"), "b") == "b has no fence device"
    assert "in maintenance" in hindrance(config, replace(good, maintenance=True), "a")
    assert "without a quorum" in hindrance(config, replace(good, quorate=False), "a")
    assert "a is dead; it must be online" in hindrance(config, status(group("a"), a="dead"), "a")
    alone = tmp_path / "alone.toml"
    alone.write_text(CONFIG.replace("NODES", '["a"]'))
    assert hindrance(load(alone), good, "a") == "no other node may run web"
