"""The classic two nodes of Heartbeat: each has an address of its own, and each is the other's reserve."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from clusters import FAST, watched

from hamgr.lab.lab import Lab
from hamgr.lab.plan import VIP, VIP_OF_B

pytestmark = [pytest.mark.lab, pytest.mark.root]


def owned(cluster: Lab, of_a: str, of_b: str) -> Callable[[], bool]:
    return lambda: (cluster.owners(VIP), cluster.owners(VIP_OF_B)) == ([of_a], [of_b])


def call(cluster: Lab, node: str, *command: str) -> str:
    program = ["env", f"HAMGR_SOCKET={cluster.layout.admin_socket(node)}", *command]
    return cluster.node(node).exec(program, check=False).stdout.strip()


def test_each_takes_over_for_the_other_and_gives_back(lab: Callable[..., Lab]) -> None:
    cluster = lab(**FAST, reserve=True)
    cluster.wait(owned(cluster, "a", "b"), 20, "each to own its address")
    with watched(cluster):
        for lost, left in (("b", "a"), ("a", "b")):
            cluster.node(lost).power_off()
            cluster.wait(owned(cluster, left, left), 20, f"{left} to own both addresses")
            cluster.node(lost).power_on()
            cluster.wait(owned(cluster, "a", "b"), 30, "each to have its own address again")


def test_heartbeats_commands_move_them(lab: Callable[..., Lab]) -> None:
    cluster = lab(**FAST, reserve=True, auto_failback=False)
    cluster.wait(owned(cluster, "a", "b"), 20, "each to own its address")
    assert call(cluster, "a", "cl_status", "hbstatus") == "Heartbeat is running on this machine."
    assert call(cluster, "a", "cl_status", "listnodes").split() == ["a", "b"]
    assert call(cluster, "a", "cl_status", "nodestatus", "b") == "active"
    assert call(cluster, "a", "cl_status", "hblinkstatus", "b", "ha") == "up"
    cluster.wait(lambda: call(cluster, "a", "cl_status", "rscstatus") == "local", 5, "a to hold its own group")
    with watched(cluster):
        call(cluster, "a", "hb_takeover")
        cluster.wait(owned(cluster, "a", "a"), 10, "a to own both")
        cluster.wait(lambda: call(cluster, "a", "cl_status", "rscstatus") == "all", 5, "a to hold all")
        assert call(cluster, "b", "cl_status", "rscstatus") == "none"
        call(cluster, "a", "hb_standby", "foreign")
        cluster.wait(owned(cluster, "a", "b"), 10, "mail to go home")
        call(cluster, "a", "hb_standby")
        cluster.wait(owned(cluster, "b", "b"), 10, "b to own both")
        call(cluster, "a", "hb_takeover", "local")
        cluster.wait(owned(cluster, "a", "b"), 10, "web to come home")
        cluster.node("b").power_off()
        cluster.wait(owned(cluster, "a", "a"), 20, "a to take over for b")
        cluster.wait(lambda: call(cluster, "a", "cl_status", "nodestatus", "b") == "dead", 5, "b to be told as dead")
