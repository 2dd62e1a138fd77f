"""With many votes of the arbiter one node of three is enough, and the arbiter is needed for it."""

from __future__ import annotations

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

[quorum]
algorithm = "lms"
"""


def test_the_last_of_three_nodes_goes_on_with_the_arbiter_and_stops_without_it(lab: Callable[..., Lab]) -> None:
    cluster = lab(**FAST, nodes=3, groups=GROUPS)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        for node in "ab":
            cluster.node(node).power_off()
        prober.wait_for_answer("c", timeout=15)
        status = cluster.status("c")
        assert (status["votes"], status["all_votes"], status["majority"]) == (3, 5, 3)
        assert status["arbiter"]["why"] == "c is the only claimant"
        cluster.arbiter.kill_daemon()
        cluster.wait(lambda: cluster.owners() == [], 10, "c to stop without the arbiter")
        status = cluster.status("c")
        assert not status["quorate"]
        assert any(warning.startswith("the arbiter does not answer") for warning in status["warnings"])
