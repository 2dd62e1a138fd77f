"""A fence device that says off and switches nothing: hamgr can't know it in time, but it says so as soon as it does."""

from __future__ import annotations

import pytest
from clusters import FAST, kinds, runs

from hamgr.lab.lab import Lab
from hamgr.lab.plan import Fencing

pytestmark = [pytest.mark.lab, pytest.mark.root]


def test_the_arbiter_hears_that_a_fenced_node_still_runs_its_group_and_the_coordinator_tells_it(lab) -> None:
    cluster: Lab = lab(**FAST | {"lease": "5s"}, fencing=Fencing.NULL, reserve=True)
    cluster.wait(runs(cluster, web="a", mail="b"), 20, "each to run its group")
    cluster.separate("a", "b")
    cluster.cut("b", "ha")
    cluster.wait(lambda: "fence-confirmed" in kinds(cluster, "a"), 20, "a to win, and to believe the device of b")
    cluster.wait(lambda: "split-brain" in kinds(cluster, "a"), 10, "the arbiter to hear b after that")
    (told,) = [event for event in cluster.events("a") if event.kind == "split-brain"]
    assert told.text.startswith("b counts as off, but the arbiter hears from it that it runs groups")
