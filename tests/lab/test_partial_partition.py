"""Real nodes of which two don't hear each other, and both hear the third: one of the two is put out, once."""

from __future__ import annotations

from typing import Any

import pytest
from clusters import kinds, watched

from hamgr.lab.plan import Fencing

pytestmark = pytest.mark.lab


def test_two_of_three_nodes_lose_each_other_and_one_is_fenced_once_and_stays_outside(lab: Any) -> None:
    # On a busy machine the three boot one long after the other; none is to be fenced for that.
    cluster = lab(nodes=3, initdead="30s", arbiter=False, links=("ha",), fencing=Fencing.IPMI)
    cluster.wait_for_owner("a", 30)
    cluster.wait(lambda: len(_members(cluster)) == 3, 30, "all three to be members")
    leader = str(cluster.status("a")["coordinator"])
    stays, goes = (name for name in "abc" if name != leader)  # a runs the group; b has the higher rank
    with watched(cluster) as prober:
        cluster.separate(stays, goes)
        cluster.wait(lambda: not cluster.node(goes).is_on(), 20, f"{goes} to be fenced")
        assert cluster.node(stays).is_on()
        cluster.node(goes).power_on()
        cluster.wait(lambda: kinds(cluster, leader).count("node-outside") == 2, 30, f"{goes} to be back, and outside")
        assert _unfit(cluster, leader, goes) == f"{goes} and {stays} don't hear each other"
        cluster.heal()
        cluster.wait(lambda: _unfit(cluster, leader, goes) == "", 20, f"{goes} to be let in")
        assert kinds(cluster, leader).count("fence-asked") == 1
        assert cluster.owners() == ["a"]
    assert {answer.node for answer in prober.answers()} == {"a"}, "nothing moved"


def _members(cluster: Any) -> list[str]:
    return [node["name"] for node in cluster.status("a")["nodes"] if node["state"] in ("self", "online")]


def _unfit(cluster: Any, asked: str, name: str) -> str:
    return next(str(node["unfit"]) for node in cluster.status(asked)["nodes"] if node["name"] == name)
