"""Policies of fencing with real daemons and BMCs."""

from __future__ import annotations

import json

import pytest
from clusters import FAST, kinds, watched

from hamgr.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.root]


def test_a_human_confirms_the_fencing_and_the_node_is_switched_on_again(lab) -> None:
    cluster: Lab = lab(**FAST, cluster='mode = "ask"\nfence_action = "reboot"')
    cluster.wait_for_owner("a")
    hamgr = ["hamgr", "--config", str(cluster.layout.config)]
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").kill_daemon()
        cluster.wait(lambda: kinds(cluster, "b").count("takeover-asked") == 2, 15, "both questions")
        assert "fence-asked" not in kinds(cluster, "b")
        cluster.node("b").exec([*hamgr, "confirm"])
        prober.wait_for_answer("b")
        cluster.wait(lambda: "power-on" in kinds(cluster, "b"), 15, "a to be switched on")
        cluster.wait(cluster.node("a").is_on, 15, "a to be on")
    told = cluster.node("b").exec([*hamgr, "fence", "history", "--json"])
    (fence,) = json.loads(told.stdout)["fences"]
    assert (fence["node"], fence["outcome"], "@" in fence["operator"]) == ("a", "confirmed", True)
