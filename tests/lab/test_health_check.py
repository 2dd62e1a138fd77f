"""A node's own health check counts when the arbiter chooses between two sides."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from clusters import FAST, watched

from hamgr.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

GROUPS = """
[group.web]
[[group.web.resource]]
kind = "vip"
address = "10.77.1.100/24"
interface = "eth0"

[health.storage]
command = ["/usr/bin/test", "!", "-e", "@HERE@/sick"]
interval = "100ms"
"""


def test_of_two_nodes_that_lose_each_other_the_one_wins_whose_check_succeeds(lab: Callable[..., Lab]) -> None:
    cluster = lab(**FAST, groups=GROUPS, cluster='health_delay = "10min"')
    cluster.wait_for_owner("a")

    def health(node: str) -> int:
        (own,) = (one["health"] for one in cluster.status(node)["nodes"] if one["name"] == node)
        return int(own)

    cluster.wait(lambda: (health("a"), health("b")) == (1, 1), 10, "both to be well")
    with watched(cluster) as prober:
        cluster.node("a").exec(["touch", str(cluster.layout.here / "sick")])
        cluster.wait(lambda: health("a") == 0, 10, "a's check to fail")
        # a runs the group and is the tie-breaker: without the check it would win.
        cluster.separate("a", "b")
        prober.wait_for_answer("b", timeout=15)
    (won,) = [event.text for event in cluster.events("b") if event.kind == "coordinator" and "arbiter" in event.text]
    assert won.endswith("(b has the higher health than a (1, 0))")
    asked = ["hamgr-arbiter", "explain", "lab", "--json", "--config", str(cluster.layout.arbiter_config)]
    told = map(json.loads, cluster.arbiter.exec(asked).stdout.splitlines())
    (vote,) = [one for one in told if (one["rule"], one["node"]) == ("voted", "b")]
    assert {side["claimant"]: side["health"] for side in vote["knew"]["sides"]} == {"a": 0, "b": 1}
