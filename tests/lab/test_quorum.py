"""Who is a quorum, with real daemons: an operator who decides in place of lost voters, and voters that become fewer."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from clusters import FAST, insist, kinds, watched

from hamgr.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

STANDING = """
[quorum]
last_man_standing = true
last_man_standing_window = "300ms"
auto_tie_breaker = "lowest"

[group.web]
nodes = ["a", "b", "c"]
[[group.web.resource]]
kind = "vip"
address = "10.77.1.100/24"
interface = "eth0"
"""


def hamgr(cluster: Lab, node: str, *words: str) -> subprocess.CompletedProcess[str]:
    return cluster.node(node).exec(["hamgr", "--config", str(cluster.layout.config), *words], check=False)


def quorum(cluster: Lab, node: str) -> dict[str, Any]:
    return json.loads(hamgr(cluster, node, "quorum", "--json").stdout)


def fenced(cluster: Lab, node: str) -> list[str]:
    """Whom anybody fenced, as this node knows."""
    history = json.loads(hamgr(cluster, node, "fence", "history", "--json").stdout)["fences"]
    return sorted(fence["node"] for fence in history if fence["outcome"] == "confirmed")


MOVES = ("coordinator", "vote-asked", "fence-asked", "group-stopping", "group-starting", "quorum-lost")


def test_while_the_arbiter_is_lost_the_nodes_go_on_and_warn_and_nothing_moves_when_it_is_back(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    cluster.wait(lambda: cluster.status("a")["nodes"][1]["state"] == "online", 20, "both to be members")
    before = {node: [kind for kind in kinds(cluster, node) if kind in MOVES] for node in "ab"}
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.arbiter.power_off()
        for node in "ab":
            cluster.wait(
                lambda node=node: not cluster.status(node)["arbiter"]["connected"], 10, "the arbiter to be missed"
            )
            assert hamgr(cluster, node, "status").stdout.startswith("lab: the arbiter does not answer\n")
            assert cluster.status(node)["quorate"]
        cluster.arbiter.power_on()
        for node in "ab":
            cluster.wait(lambda node=node: cluster.status(node)["arbiter"]["connected"], 20, "the arbiter to be back")
    assert {node: [kind for kind in kinds(cluster, node) if kind in MOVES] for node in "ab"} == before
    assert {answer.node for answer in prober.answers()} == {"a"}


def test_an_operator_decides_when_the_arbiter_and_the_owner_are_lost_together(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        refused = hamgr(cluster, "b", "quorum", "override", "--yes")
        assert (refused.returncode, "b is a part of a quorum" in refused.stderr) == (1, True)
        cluster.arbiter.power_off()
        cluster.node("a").power_off()
        cluster.wait(lambda: not cluster.status("b")["quorate"], 10, "b to lose its quorum")
        assert any("hamgr quorum override" in wait for wait in cluster.status("b")["waits"])
        asked = hamgr(cluster, "b", "quorum", "override")
        assert asked.returncode == 2, "without a terminal it needs --yes"
        assert "[ ] a: powered off or unplugged, seen with your own eyes (dead here)" in asked.stderr
        insist(cluster, "b", "quorum", "override", "--yes")
        prober.wait_for_answer("b")
        assert "in place of a, the arbiter" in cluster.status("b")["override"]
        assert hamgr(cluster, "b", "status").stdout.startswith("lab: OVERRIDE: b goes on without a quorum")
        cluster.arbiter.power_on()
        cluster.wait(lambda: cluster.status("b")["override"] == "", 20, "the override to end")
        cluster.wait(lambda: cluster.status("b")["quorate"], 10, "b to have its quorum again")
    assert cluster.owners() == ["b"]
    (fence,) = json.loads(hamgr(cluster, "b", "fence", "history", "a", "--json").stdout)["fences"][:1]
    assert fence["outcome"] == "acknowledged", "his word is on record"


def test_nodes_that_are_surely_off_lose_their_votes_and_the_last_one_goes_on(lab) -> None:
    cluster: Lab = lab(**FAST, nodes=3, arbiter=False, groups=STANDING)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("c").power_off()
        without_c = {"a": 1, "b": 1, "c": 0}
        cluster.wait(lambda: quorum(cluster, "a")["voters"] == without_c, 10, "c to lose its vote")
        cluster.node("b").power_off()
        cluster.wait(lambda: fenced(cluster, "a") == ["b", "c"], 10, "b to be fenced")
        assert cluster.status("a")["quorate"], "half of the votes, with the tie-breaker"
        cluster.node("c").power_on()
        cluster.wait(lambda: quorum(cluster, "a")["voters"]["c"] == 1, 20, "c to get its vote back")
    assert cluster.owners() == ["a"]
    assert [outage for outage in prober.outages() if outage.end is None] == []
