"""What a node runs ends by itself when its hamgrd is dead, frozen or too late, and nobody can be fenced."""

from __future__ import annotations

import signal

import pytest
from clusters import FAST, insist, kinds, watched

from hamgr.lab.lab import Lab, Machine
from hamgr.lab.plan import Fencing

pytestmark = [pytest.mark.lab, pytest.mark.root]

LEASE, MARGIN = 1.5, 1.0
"""Seconds. The margin is a busy machine's: here it takes a few ms."""

BY_ITSELF = LEASE + MARGIN


def guard(node: Machine) -> int:
    """The guard's pid, as the node counts; 0 for none."""
    found = node.exec(["pgrep", "-x", "hamgr-guard"], check=False).stdout.split()
    return int(found[0]) if found else 0


def starts(cluster: Lab) -> int:
    """How often b has begun to start a group: also before a was there, where a machine boots slowly."""
    return kinds(cluster, "b").count("group-starting")


def without_fencing(lab, lease: str = FAST["lease"]) -> Lab:
    cluster: Lab = lab(**FAST | {"lease": lease})
    cluster.wait_for_owner("a")
    cluster.bmc("a").refuse()
    return cluster


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_address_of_a_node_without_a_working_hamgrd_is_gone_with_its_lease(lab, number: signal.Signals) -> None:
    cluster = without_fencing(lab)
    before = starts(cluster)
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").kill_daemon(number)
        cluster.wait(lambda: cluster.owners() == [], BY_ITSELF, "a's address to be gone")
        cluster.wait(lambda: "fence-failed" in kinds(cluster, "b"), 10, "the fencing of a to fail")
        assert cluster.owners() == []
        assert starts(cluster) == before, "nobody has confirmed that a is off"
        insist(cluster, "b", "fence", "ack", "a", "--yes")
        prober.wait_for_answer("b")
    assert cluster.node("a").is_on()


def test_a_guard_that_is_killed_or_frozen_is_replaced_and_guards_again(lab) -> None:
    cluster = without_fencing(lab)
    node = cluster.node("a")
    first = guard(node)
    node.exec(["kill", "-9", str(first)])
    cluster.wait(lambda: guard(node) not in (0, first), 10, "another guard")
    second = guard(node)
    node.exec(["kill", "-STOP", str(second)])
    cluster.wait(lambda: guard(node) not in (0, second), 10, "another guard in place of the frozen one")
    cluster.wait(lambda: cluster.status("a")["guard"]["pid"] == guard(node), 10, "`hamgr status` to name it")
    assert cluster.owners() == ["a"]
    node.kill_daemon()
    cluster.wait(lambda: cluster.owners() == [], BY_ITSELF, "a's address to be gone")


def test_a_hamgrd_that_comes_back_finds_its_guard_and_a_clean_end_ends_it(lab) -> None:
    cluster = without_fencing(lab, "4s")  # a busy machine takes its time to start a daemon
    node = cluster.node("a")
    first = guard(node)
    node.kill_daemon()
    node.start_daemon()
    cluster.wait(lambda: cluster.status("a")["groups"][0]["owner"] == "a", 10, "a to own the group again")
    assert guard(node) == first
    assert cluster.owners() == ["a"]
    node.kill_daemon(signal.SIGTERM)
    cluster.wait_for_owner("b")
    cluster.wait(lambda: guard(node) == 0, 10, "the guard to end")


def test_without_guard_and_hamgrd_nothing_starts_elsewhere_unconfirmed(lab) -> None:
    cluster = without_fencing(lab)
    before = starts(cluster)
    with watched(cluster):
        cluster.node("a").exec(["pkill", "-9", "hamgr"])
        cluster.wait(lambda: "fence-failed" in kinds(cluster, "b"), 10, "the fencing of a to fail")
        assert cluster.owners() == ["a"]
        assert starts(cluster) == before


def test_in_maintenance_the_guard_ends_nothing(lab) -> None:
    cluster = without_fencing(lab)
    insist(cluster, "b", "maintenance", "on")
    cluster.node("a").kill_daemon()
    cluster.wait(lambda: "node-dead" in kinds(cluster, "b"), 10, "b to miss a")
    cluster.wait(lambda: guard(cluster.node("a")) == 0, 10, "the guard to have nothing to do")
    assert cluster.owners() == ["a"]


# -- with a watchdog, and nothing to fence with --------------------------------------------------------------------

QUICK_STOP = """
[group.web]
[[group.web.resource]]
kind = "vip"
address = "10.77.1.100/24"
interface = "eth0"
stop_timeout = "500ms"
"""

WATCHED = FAST | {"fencing": Fencing.NONE, "watchdog": "500ms", "groups": QUICK_STOP}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_watchdog_frees_the_groups_of_a_node_that_nobody_can_fence(lab, number: signal.Signals) -> None:
    cluster: Lab = lab(**WATCHED)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        before = starts(cluster)
        cluster.node("a").kill_daemon(number)
        cluster.wait(lambda: not cluster.node("a").is_on(), BY_ITSELF + 0.5, "the watchdog to reset a")
        assert starts(cluster) == before
        prober.wait_for_answer("b")
    assert "fence-asked" not in kinds(cluster, "b")


def test_a_killed_guard_and_hamgrd_leave_a_watchdog_that_bites(lab) -> None:
    cluster: Lab = lab(**WATCHED)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        cluster.node("a").exec(["pkill", "-9", "hamgr"])
        cluster.wait(lambda: not cluster.node("a").is_on(), BY_ITSELF, "the watchdog to reset a")
        prober.wait_for_answer("b")


def test_a_cut_off_owner_stops_and_keeps_its_machine(lab) -> None:
    cluster: Lab = lab(**WATCHED)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        for network in ("lan", "ha", "mgmt"):
            cluster.cut("a", network)
        cluster.wait(lambda: cluster.owners() == [], BY_ITSELF, "a to stop its group")
        prober.wait_for_answer("b")
        assert cluster.node("a").is_on(), "it stopped in time: there was nothing to reset it for"
        cluster.heal()
        cluster.wait_for_owner("a")


def test_a_killed_guard_is_replaced_before_the_watchdog_bites_and_a_clean_end_disarms_it(lab) -> None:
    cluster: Lab = lab(**WATCHED)
    cluster.wait_for_owner("a")
    node = cluster.node("a")
    first = guard(node)
    node.exec(["kill", "-9", str(first)])
    cluster.wait(lambda: guard(node) not in (0, first), 10, "another guard")
    assert cluster.owners() == ["a"]
    node.kill_daemon(signal.SIGTERM)
    cluster.wait_for_owner("b")
    cluster.wait(lambda: guard(node) == 0, 10, "the guard to end")
    assert node.is_on()
    cluster.wait(lambda: not cluster.layout.daemon_pid("a").exists(), 10, "hamgrd to end")
    node.start_daemon()
    cluster.wait_for_owner("a")


def test_a_clean_end_in_maintenance_disarms_the_watchdog_and_leaves_the_group(lab) -> None:
    cluster: Lab = lab(**WATCHED)
    cluster.wait_for_owner("a")
    node = cluster.node("a")
    insist(cluster, "b", "maintenance", "on")
    node.kill_daemon(signal.SIGTERM)
    cluster.wait(lambda: not cluster.layout.daemon_pid("a").exists(), 10, "hamgrd to end")
    cluster.wait(lambda: guard(node) == 0, 10, "the guard to end")
    cluster.wait(lambda: "node-dead" in kinds(cluster, "b"), 10, "b to miss a")
    assert cluster.owners() == ["a"]
    node.start_daemon()
    insist(cluster, "b", "maintenance", "off")
    cluster.wait_for_owner("a")
    assert node.is_on()
    assert "group-stopped" not in kinds(cluster, "a")
