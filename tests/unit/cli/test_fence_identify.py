"""What `fence-test --identify` concludes from the readings of all devices, and when it refuses to begin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hamgr.cli.fences.identify import Proof, hindrance, judge
from hamgr.config.model import Config
from hamgr.config.toml import load
from hamgr.core.cluster import GroupState
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
[node.c]
address = { l = "127.0.0.3" }
[fence.bmc-a]
node = "a"
agent = "fence_x"
[fence.left-b]
node = "b"
agent = "fence_x"
[fence.right-b]
node = "b"
agent = "fence_x"
[group.web]
[[group.web.resource]]
kind = "lsb"
script = "/web"
"""
ON = {"bmc-a": "on", "left-b": "on", "right-b": "on"}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "hamgr.toml"
    file.write_text(CONFIG)
    return load(file)


def test_devices_that_go_off_with_their_node_are_proven(config: Config) -> None:
    proof = judge(config, "b", "left", ON, ON | {"left-b": "off", "right-b": "off"})
    assert proof == Proof(("left-b", "right-b"), ())


def test_a_device_of_another_node_that_goes_off_with_it_is_a_wrong_plug(config: Config) -> None:
    proof = judge(config, "b", "left", ON, ON | {"left-b": "off", "bmc-a": "off"})
    assert proof.proven == ("left-b",)
    assert proof.wrong == (
        "bmc-a is to switch a, and went off with b: WRONG PLUG",
        "right-b is to switch b, which is off now, and reads on: WRONG PLUG",
    )


def test_a_device_that_can_t_be_read_is_not_proven(config: Config) -> None:
    (wrong,) = judge(config, "b", "left", ON, ON | {"left-b": "off", "right-b": ""}).wrong
    assert "reads nothing that can be believed" in wrong


@pytest.mark.parametrize("state", ["fenced", "dead", "online"])
def test_a_node_that_did_not_leave_proves_nothing(config: Config, state: str) -> None:
    (wrong,) = judge(config, "b", state, ON, ON | {"left-b": "off", "right-b": "off"}).wrong
    assert wrong.startswith(f"b is {state}, and did not leave cleanly")


def test_a_node_that_runs_something_is_left_alone(config: Config) -> None:
    nodes = (NodeStatus("a", "self", 1, False), NodeStatus("b", "online", 2, True), NodeStatus("c", "dead", 3, False))
    web = GroupStatus("web", "a", GroupState.STARTED, states={"a": "started", "b": "stopped"})
    arbiter = ArbiterStatus(False, False, None, False)
    good = Status("c", "a", 1, "coordinator", 1, "a", True, 2, 2, 1.0, False, arbiter, nodes, (web,), ())
    assert hindrance(config, good, "b") == ""
    assert "say it on another node" in hindrance(config, good, "a")
    assert hindrance(config, good, "c") == "c has no fence device that switches it off"
    running = replace(web, owner="b", states={"b": "started"})
    assert hindrance(config, replace(good, groups=(running,)), "b") == "b runs web: hamgr standby b"
    active = (nodes[0], replace(nodes[1], standby=False), nodes[2])
    assert hindrance(config, replace(good, nodes=active), "b") == "b is not on standby: hamgr standby b"
    gone = (nodes[0], replace(nodes[1], state="left"), nodes[2])
    assert hindrance(config, replace(good, nodes=gone), "b") == "b is left; it must be online"
