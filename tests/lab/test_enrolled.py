"""An arbiter on a machine of its own, whose cluster is known by certificates."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from clusters import FAST, watched

from hamgr.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.root]


def at_arbiter(cluster: Lab, *words: str) -> str:
    return cluster.arbiter.exec(["hamgr-arbiter", *words, "--config", str(cluster.layout.arbiter_config)]).stdout


def join(cluster: Lab, *nodes: str) -> None:
    token = at_arbiter(cluster, "enroll", "lab").split()[2]
    for node in nodes:
        cluster.node(node).exec(["hamgr", "--config", str(cluster.layout.config), "join", token, "--node", node])


def arbiter_of(cluster: Lab, node: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.status(node)["arbiter"]
    return found


def has_its_vote(cluster: Lab, *nodes: str) -> Callable[[], bool]:
    return lambda: all(arbiter_of(cluster, node)["connected"] and arbiter_of(cluster, node)["voter"] for node in nodes)


def test_a_cluster_joins_by_a_token_fails_over_by_the_vote_and_loses_it_when_it_is_revoked(
    lab: Callable[..., Lab],
) -> None:
    cluster = lab(**FAST, enrolled=True)
    cluster.wait_for_owner("a")  # two of three votes; hamgrd runs without an identity
    assert "arbiter.identity: No such file" in arbiter_of(cluster, "a")["detail"]
    join(cluster, "a", "b")
    cluster.wait(has_its_vote(cluster, "a", "b"), 20, "both nodes to have the arbiter's vote")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").power_off()
        prober.wait_for_answer("b", 20)
    at_arbiter(cluster, "revoke", "lab")
    cluster.wait(lambda: "was revoked" in arbiter_of(cluster, "b")["detail"], 5, "b to know why")
    status = cluster.node("b").exec(["hamgr", "--config", str(cluster.layout.config), "status"], check=False).stdout
    assert "the arbiter does not answer" in status
    assert "was revoked" in status
    cluster.wait(lambda: cluster.owners() == [], 20, "b to stop, without a quorum")
    join(cluster, "b")
    cluster.wait_for_owner("b")
    shown = json.loads(at_arbiter(cluster, "show", "lab", "--json"))
    assert shown["voted_for"] == "b"
    assert shown["joined"] == ["b"]
