"""Levels of fence devices of several kinds: when one does not work, the next is tried, and a human is the last."""

from __future__ import annotations

import pytest
from clusters import FAST, kinds, watched
from servers import needs

from hamgr.lab.lab import Lab
from hamgr.lab.plan import bmc_address

pytestmark = [pytest.mark.lab, pytest.mark.root]

IPMI = """
[fence.bmc-{node}]
node = "{node}"
agent = "{agent}"
attempts = 1
options = {{ ip = "{address}", username = "hamgr", password = "@PASSWORD@", lanplus = {lanplus}, cipher = 3, \
login_timeout = 1, power_wait = 0 }}
"""

HUMAN = """
[fence.human-{node}]
node = "{node}"
agent = "fence_hamgr_manual"
level = 2
attempts = 1
options = {{ check = "rack 3, unit 12" }}
"""

STONITH = """
[fence.glue-{node}]
node = "{node}"
agent = "fence_hamgr_stonith"
options = {{ plugin = "null", parameters = "hostlist={node}" }}
"""

PASSWORD_FILE = 'password_file = "@LAB@/bmc.password"'


def tables(table: str, **values: str) -> str:
    values = {"lanplus": "true", "agent": "fence_hamgr_ipmi"} | values
    text = "".join(table.format(node=node, address=bmc_address(node), **values) for node in "ab")
    return text.replace('password = "@PASSWORD@"', PASSWORD_FILE)


def ack(cluster: Lab, node: str, by: str) -> None:
    socket = str(cluster.layout.here / "admin.sock")
    cluster.node(by).exec(["hamgr", "--socket", socket, "fence", "ack", node, "--yes"])


def test_behind_a_bmc_that_hangs_a_human_is_asked_and_answers(lab) -> None:
    cluster: Lab = lab(**FAST, fences=tables(IPMI) + tables(HUMAN))
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.bmc("a").hang()
        cluster.node("a").power_off()

        def asked() -> bool:
            waits = " ".join(cluster.status("b")["groups"][0]["waits"])
            return "waits for a human: switch a off and make sure of it: rack 3, unit 12" in waits

        cluster.wait(asked, 20, "the human to be asked")
        assert cluster.owners() == []
        ack(cluster, "a", by="b")
        prober.wait_for_answer("b")


def test_a_dead_machine_is_fenced_over_ipmi_1_5(lab) -> None:
    cluster: Lab = lab(**FAST, fences=tables(IPMI, lanplus="false"))
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").power_off()
        prober.wait_for_answer("b")
        assert "fence-confirmed" in kinds(cluster, "b")


def test_a_living_machine_is_fenced_by_fence_ipmilan(lab) -> None:
    needs(("fence_ipmilan", "fence-agents"), ("ipmitool", "ipmitool"))
    text = tables(IPMI, agent="fence_ipmilan").replace(PASSWORD_FILE, 'password_script = "@LAB@/password"')
    cluster: Lab = lab(**FAST, fences=text, scripts={"password": "#!/bin/sh\ncat @LAB@/bmc.password\n"})
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").kill_daemon()
        prober.wait_for_answer("b")
    assert not cluster.node("a").is_on()


def test_a_stonith_plugin_of_cluster_glue_is_used_through_hamgr(lab) -> None:
    """The null plug-in: nothing dies of it, so the test switches off what it fences."""
    needs(("stonith", "cluster-glue"))
    cluster: Lab = lab(**FAST, fences=tables(STONITH))
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").power_off()
        prober.wait_for_answer("b")
    confirmed = next(event for event in cluster.events("b") if event.kind == "fence-confirmed")
    assert "no status action to read back" in confirmed.text
