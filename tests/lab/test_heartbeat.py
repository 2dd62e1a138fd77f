"""A Heartbeat cluster changes to hamgr: from its files as they are, and from the TOML that `hamgr import` makes."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from clusters import FAST, watched

from hamgr.lab.lab import Lab
from hamgr.lab.plan import VIP, VIP_OF_B, client_address

pytestmark = [pytest.mark.lab, pytest.mark.root]

WEB, MAIL = "ip-10-77-1-100", "ip-10-77-1-101"

STEADY = {"keepalive": "100ms", "warntime": "500ms", "deadtime": "1500ms", "lease": "4s", "initdead": "5s"}
"""A loaded machine must not add a transition that was not asked for."""

SERVICE = """#!/bin/sh
# As those in /etc/ha.d/resource.d: arguments, then the action; status tells in words.
for action; do :; done
echo "$*" >>@HERE@/calls
case "$action" in
  start) touch @HERE@/runs-$1 ;;
  stop) rm -f @HERE@/runs-$1 ;;
  status) if [ -e @HERE@/runs-$1 ]; then echo running; else echo stopped; exit 3; fi ;;
esac
"""


def owned(cluster: Lab, of_a: str, of_b: str) -> Callable[[], bool]:
    return lambda: (cluster.owners(VIP), cluster.owners(VIP_OF_B)) == ([of_a], [of_b])


KINDS = ("group-starting", "group-started", "group-stopping", "group-stopped", "fence-confirmed", "node-left")

Transitions = dict[str, list[str]]
"""Group or node -> what was announced of it, in order. Independent groups have no order among themselves."""


def transitions(cluster: Lab, reporter: str, since: int = 0) -> Transitions:
    found: Transitions = {}
    for event in cluster.events(reporter)[since:]:
        if event.kind in KINDS:
            found.setdefault(event.group or event.node, []).append(event.kind)
    return found


def classic(cluster: Lab) -> list[Transitions]:
    """Node one owns an address, node two the other, each the other's reserve: each is lost and comes back, without
    power first, then by a clean stop. What the survivor and the returned one announced, step by step."""
    cluster.wait(owned(cluster, "a", "b"), 25, "each to own its address")
    steps = []
    with watched(cluster):
        for lost, left in (("b", "a"), ("a", "b")):
            seen = len(cluster.events(left))
            cluster.node(lost).power_off()
            cluster.wait(owned(cluster, left, left), 20, f"{left} to own both addresses")
            cluster.node(lost).power_on()
            cluster.wait(owned(cluster, "a", "b"), 30, "each to have its own address again")
            steps += [transitions(cluster, left, seen), transitions(cluster, lost)]
        for stopped, left in (("b", "a"), ("a", "b")):
            seen = len(cluster.events(left))
            cluster.node(stopped).kill_daemon(signal.SIGTERM)
            cluster.wait(owned(cluster, left, left), 20, f"{left} to own both addresses")
            cluster.wait(lambda name=stopped: not cluster.layout.daemon_pid(name).exists(), 10, "it to end")
            cluster.node(stopped).start_daemon()
            cluster.wait(owned(cluster, "a", "b"), 30, "each to have its own address again")
            steps += [transitions(cluster, left, seen), transitions(cluster, stopped)]
    return steps


def test_the_classic_two_nodes_do_the_same_from_haresources_and_from_toml(lab: Callable[..., Lab]) -> None:
    found = []
    for imported in (False, True):
        cluster = lab(**STEADY, reserve=True, ha_dir=True, imported=imported)
        found.append(classic(cluster))
        cluster.down()
    from_files, from_toml = found
    assert from_files == from_toml
    b_lost, b_back = from_files[:2]
    assert b_lost["b"] == ["fence-confirmed"]
    assert b_lost[MAIL] == ["group-starting", "group-started", "group-stopping", "group-stopped"]
    assert b_back[MAIL][-2:] == ["group-starting", "group-started"]
    assert all("fence-confirmed" not in step.get(node, ()) for step in from_files[4:] for node in "ab")


def test_scripts_of_resource_d_run_in_their_order(lab: Callable[..., Lab]) -> None:
    scripts = {"ha.d/resource.d/One": SERVICE, "ha.d/resource.d/Two": SERVICE}
    cluster = lab(**FAST, ha_dir=True, groups=f"a {VIP}/24/eth0 One::one::x Two::two\n", scripts=scripts)
    cluster.wait_for_owner("a")
    calls = cluster.layout.disk("a") / "calls"
    cluster.wait(lambda: "two start" in calls.read_text(), 10, "both scripts to be started")
    cluster.node("a").exec(["env", f"HAMGR_SOCKET={cluster.layout.here}/admin.sock", "hb_standby"])
    cluster.wait_for_owner("b")
    done = [line for line in calls.read_text().splitlines() if not line.endswith("status")]
    assert done[-4:] == ["one x start", "two start", "two stop", "one x stop"]


def test_files_that_each_name_the_peer_alone_make_one_cluster(lab: Callable[..., Lab]) -> None:
    """As many have them: node a's ha.cf has b's address, and b's has a's."""
    boot = """
        [ -d "$HERE/own" ] || cp -a "$LAB/ha.d" "$HERE/own"
        [ $NODE = a ] && own=1 || own=2
        sed -i "/^ucast .*[.]$own$/d" "$HERE/own/ha.cf"
        mount --bind "$HERE/own" "$LAB/ha.d"
    """
    cluster = lab(**FAST, ha_dir=True, boot=boot)
    cluster.wait_for_owner("a")
    assert cluster.node("a").exec(["grep", "-c", "^ucast", f"{cluster.layout.ha_dir}/ha.cf"]).stdout == "2\n"
    nodes = cluster.status("a")["nodes"]
    assert [(link["link"], link["up"]) for node in nodes for link in node["links"]] == [("eth0", True), ("eth1", True)]
    assert len({node["config"] for node in nodes}) == 1, "different files that mean the same are no difference"
    cluster.node("a").power_off()
    cluster.wait_for_owner("b")


def test_keys_change_under_traffic_by_hand_as_ever(lab: Callable[..., Lab]) -> None:
    """authkeys(5): the new key on all nodes first, then `auth`, then the old one goes."""
    cluster = lab(**STEADY, ha_dir=True)
    cluster.wait_for_owner("a")
    file = cluster.layout.ha_dir / "authkeys"
    machines = (cluster.node("a"), cluster.node("b"), cluster.arbiter)
    old = file.read_text().splitlines()[1]
    for text, summary in (
        (f"auth 1\n{old}\n2 sha1 another-long-secret\n", "key 1 (hmac-sha256) seals; 2 also opens"),
        (f"auth 2\n{old}\n2 sha1 another-long-secret\n", "key 2 (hmac-sha256) seals; 1 also opens"),
        ("auth 2\n2 sha1 another-long-secret\n", "key 2 (hmac-sha256) seals"),
    ):
        file.write_text(text)
        for machine in machines:
            seen = machine.log().count(summary)
            machine.kill_daemon(signal.SIGHUP)
            cluster.wait(
                lambda one=machine, said=summary, had=seen: one.log().count(said) > had,
                10,
                f"{machine.name} to read it",
            )
        listed = cluster.node("a").exec(["hamgr", "--ha-dir", str(cluster.layout.ha_dir), "key", "list"]).stdout
        assert f"{file}: {summary}\n" in listed
    assert "node-suspected" not in [event.kind for event in (*cluster.events("a"), *cluster.events("b"))]
    assert cluster.owners() == ["a"]


def test_a_bare_address_finds_its_interface_and_is_the_source_of_connections(lab: Callable[..., Lab]) -> None:
    cluster = lab(**STEADY, ha_dir=True, groups=f"a {VIP} IPsrcaddr::{VIP}\n")
    cluster.wait_for_owner("a")
    assert f"inet {VIP}/24 " in cluster.node("a").exec(["ip", "address", "show", "dev", "eth0"]).stdout
    cluster.wait(lambda: f"src {VIP}" in speaks(cluster, "a"), 10, "a to speak from the address")
    cluster.node("a").power_off()
    cluster.wait_for_owner("b")
    cluster.wait(lambda: f"src {VIP}" in speaks(cluster, "b"), 10, "b to speak from the address")


def speaks(cluster: Lab, node: str) -> str:
    """Which way a node goes to the client, and from which address."""
    return cluster.node(node).exec(["ip", "route", "get", client_address()]).stdout


def test_each_medium_of_ha_cf_carries_the_cluster(lab: Callable[..., Lab]) -> None:
    cluster = lab(**STEADY, ha_dir=True, links=("lan", "bcast", "mcast", "mcast6"), pings=True)
    cluster.wait_for_owner("a")
    cluster.wait(lambda: all(up for _, up in links(cluster, "a")), 10, "all links to work")
    assert [name for name, _ in links(cluster, "a")] == ["eth0", "eth1", "eth1-2", "eth0-2"]
    said = cluster.node("a").exec(
        ["env", f"HAMGR_SOCKET={cluster.layout.here}/admin.sock", "cl_status", "listnodes", "-v"]
    )
    assert "b\tactive\t(nodetype: normal)\n\teth0\tup\n" in said.stdout
    assert "10-77-1-50\tping\t(nodetype: ping)\n" in said.stdout


def test_three_nodes_are_told_apart_by_etc_hosts(lab: Callable[..., Lab]) -> None:
    cluster = lab(**STEADY, ha_dir=True, nodes=3)
    cluster.wait_for_owner("a")
    for node in "abc":
        cluster.wait(lambda one=node: len(cluster.status(one)["nodes"]) == 3, 10, "all to be there")
        cluster.wait(lambda one=node: all(up for _, up in links(cluster, one)), 10, "all links to work")
        assert len(links(cluster, node)) == 4
    cluster.node("a").power_off()
    cluster.wait_for_owner("b")


def links(cluster: Lab, node: str) -> list[tuple[str, bool]]:
    """Every link of a node to every other, and whether it works."""
    return [(link["link"], link["up"]) for other in cluster.status(node)["nodes"] for link in other["links"]]
