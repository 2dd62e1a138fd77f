"""What people are told while a machine dies: everything, and each thing by one node, also when the coordinator dies."""

from __future__ import annotations

from collections import Counter

import pytest
from clusters import FAST, kinds

from hamgr.lab.lab import Lab
from hamgr.lab.plan import VIP

pytestmark = [pytest.mark.lab, pytest.mark.root]

NOTE = '#!/bin/sh\necho "$HAMGR_REPORTER $HAMGR_EVENT $HAMGR_NODE" >>@LAB@/told\n'
GROUPS = f"""
[group.web]
nodes = ["a", "b", "c"]
[[group.web.resource]]
kind = "vip"
address = "{VIP}/24"
interface = "eth0"
[alert.good]
program = "@LAB@/note"
[alert.hanging]
program = "@LAB@/hang"
"""


def told(lab: Lab) -> list[tuple[str, str, str]]:
    file = lab.layout.directory / "told"
    return [tuple(line.split()) for line in file.read_text().splitlines()] if file.exists() else []


def test_the_death_of_the_coordinator_is_told_by_one_of_the_others(lab) -> None:
    scripts = {"note": NOTE, "hang": "#!/bin/sh\nexec sleep 600\n"}
    cluster: Lab = lab(**FAST, nodes=3, arbiter=False, groups=GROUPS, scripts=scripts)
    cluster.wait_for_owner("a")
    victim = cluster.status("b")["coordinator"]
    survivors = [node for node in "abc" if node != victim]
    before = len(told(cluster))
    cluster.node(victim).power_off()
    wanted = {("node-dead", victim), ("fence-asked", victim), ("fence-confirmed", victim)}
    cluster.wait(
        lambda: wanted <= {line[1:] for line in told(cluster)[before:]}, 15, "the death and the fencing to be told"
    )
    said = Counter(line[1:] for line in told(cluster)[before:])
    assert {what: said[what] for what in wanted} == dict.fromkeys(wanted, 1)
    assert all("node-dead" in kinds(cluster, node) for node in survivors)
    assert all(reporter in survivors for reporter, *_ in told(cluster)[before:])
