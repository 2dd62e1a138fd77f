"""Real nodes of which two don't hear each other, and both hear the third: one of the two is put out, once."""

from __future__ import annotations

from typing import Any

import pytest
from clusters import FAST, kinds, watched

from hamgr.lab.plan import Fencing

pytestmark = pytest.mark.lab


def test_two_of_three_nodes_lose_each_other_and_one_is_fenced_once_and_stays_outside(lab: Any) -> None:
    cluster = lab(**FAST, nodes=3, arbiter=False, links=("ha",), fencing=Fencing.IPMI)
    cluster.wait_for_owner("a", 30)
    cluster.wait(lambda: len(_members(cluster)) == 3, 20, "all three to be members")
    with watched(cluster) as prober:
        cluster.separate("b", "c")
        cluster.wait(lambda: not cluster.node("c").is_on(), 20, "c to be fenced")
        assert cluster.node("b").is_on(), "b has the higher rank"
        cluster.node("c").power_on()
        cluster.wait(lambda: kinds(cluster, "a").count("node-outside") == 2, 30, "c to be back, and outside")
        c = next(node for node in cluster.status("a")["nodes"] if node["name"] == "c")
        assert "c and b don't hear each other" in c["unfit"]
        cluster.heal()
        cluster.wait(lambda: _unfit(cluster, "c") == "", 20, "c to be let in")
        assert kinds(cluster, "a").count("fence-asked") == 1
        assert cluster.owners() == ["a"]
    assert {answer.node for answer in prober.answers()} == {"a"}, "nothing moved"


def _members(cluster: Any) -> list[str]:
    return [node["name"] for node in cluster.status("a")["nodes"] if node["state"] in ("self", "online")]


def _unfit(cluster: Any, name: str) -> str:
    return next(str(node["unfit"]) for node in cluster.status("a")["nodes"] if node["name"] == name)
