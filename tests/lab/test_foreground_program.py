"""A program without a script: its end is noticed at once, and a new hamgrd finds it again."""

from __future__ import annotations

import pytest
from clusters import FAST, insist, kinds, runs, watched

from hamgr.lab.lab import Lab
from hamgr.lab.plan import VIP

pytestmark = [pytest.mark.lab, pytest.mark.root]

GROUP = f"""
[group.web]
nodes = ["a", "b"]
[[group.web.resource]]
kind = "vip"
address = "{VIP}/24"
interface = "eth0"
[[group.web.resource]]
kind = "process"
command = ["sh", "-c", "echo $$ >@HERE@/pid; exec sleep 98765"]
monitor_interval = "1h"
"""


def pid(cluster: Lab, node: str) -> str:
    return (cluster.layout.disk(node) / "pid").read_text().strip()


def lives(cluster: Lab, node: str) -> bool:
    return cluster.node(node).exec(["kill", "-0", pid(cluster, node)], check=False).returncode == 0


def test_it_goes_on_without_hamgrd_and_its_end_is_noticed_by_the_next(lab) -> None:
    cluster: Lab = lab(**FAST, groups=GROUP)
    cluster.wait(runs(cluster, web="a"), 20, "web to run on a")
    first = pid(cluster, "a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        insist(cluster, "a", "maintenance", "on")
        cluster.node("a").kill_daemon()
        assert lives(cluster, "a")
        cluster.node("a").start_daemon()
        insist(cluster, "a", "maintenance", "off")
        cluster.wait(runs(cluster, web="a"), 20, "web to be found again on a")
        assert pid(cluster, "a") == first
        cluster.node("a").exec(["kill", "-9", first])
        cluster.wait(lambda: pid(cluster, "a") != first and lives(cluster, "a"), 10, "it to be started again")
        cluster.wait(runs(cluster, web="a"), 10, "web to run on a again")
    assert "group-failed: web failed on a: process: sh -c" in cluster.node("a").log()
    with watched(cluster) as prober:
        cluster.node("a").exec(["kill", "-9", pid(cluster, "a")])  # once too often
        prober.wait_for_answer("b")
        cluster.wait(runs(cluster, web="b"), 10, "web to run on b")
    assert "fence-asked" not in kinds(cluster, "b")
