"""A node that was away gets its share again, by installed commands, from a node that decides nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest
from clusters import FAST, insist, runs

from hamgr.lab.lab import Lab

pytestmark = pytest.mark.lab

GROUPS = "\n".join(
    f"""
[group.g{number}]
placement = "spread"
[[group.g{number}.resource]]
kind = "vip"
address = "10.77.1.10{number}/24"
interface = "eth0"
"""
    for number in range(1, 5)
)


def test_a_node_that_was_away_gets_its_share_again_when_somebody_asks_on_any_node(lab: Callable[..., Lab]) -> None:
    cluster = lab(**FAST, nodes=3, groups=GROUPS, arbiter=False)

    def hamgr(node: str, *words: str) -> subprocess.CompletedProcess[str]:
        return cluster.node(node).exec(["hamgr", "--config", str(cluster.layout.config), *words], check=False)

    cluster.wait(lambda: len(members(cluster)) == 3, 30, "all three to be members")
    for node in "bc":
        insist(cluster, "a", "standby", node)
    cluster.wait(runs(cluster, g1="a", g2="a", g3="a", g4="a"), 20, "a to have all groups")
    for node in "bc":
        insist(cluster, "a", "online", node)
    leader = str(cluster.status("a")["coordinator"])
    asked = next(name for name in "abc" if name != leader)
    dry = hamgr(asked, "rebalance", "--dry-run")
    assert dry.stdout == "g1: a -> b: a has 4 groups, b 0\ng2: a -> c: a has 3 groups, c 0\n", dry.stderr
    assert json.loads(hamgr(asked, "rebalance", "--dry-run", "--json", "g3").stdout)["moves"] == [
        {"group": "g3", "source": "a", "target": "b", "along": [], "halted": [], "why": "a has 4 groups, b 0"}
    ]
    assert hamgr(asked, "rebalance", "g9").stderr == "hamgr rebalance: no group g9; there are: g1, g2, g3, g4\n"
    assert hamgr(asked, "rebalance").returncode == 2, "without a terminal it wants --yes"
    assert runs(cluster, g1="a", g2="a", g3="a", g4="a")()

    done = hamgr(asked, "rebalance", "--yes")
    assert (done.returncode, done.stdout) == (0, "g1 runs on b\ng2 runs on c\n"), done.stderr
    assert runs(cluster, g1="b", g2="c", g3="a", g4="a")()
    assert hamgr(asked, "rebalance", "--yes").stdout.startswith("there is nothing to move")

    told = {hamgr(node, "explain", "g1").stdout for node in "abc"}
    assert len(told) == 1, "every node says what the coordinator says"
    assert told.pop().startswith("g1  started on b\n  b: it is there, and stays\n")


def members(cluster: Lab) -> list[str]:
    return [node["name"] for node in cluster.status("a")["nodes"] if node["state"] in ("self", "online")]
