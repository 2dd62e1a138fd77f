"""What happens to an address in a real cluster: strangers, administrators, cables and cards."""

from __future__ import annotations

import pytest
from clusters import FAST, watched

from hamgr.lab.lab import Lab
from hamgr.lab.plan import VIP

pytestmark = [pytest.mark.lab, pytest.mark.root]

VIP6 = "fd77:1::100"
GROUP6 = f"""
[group.web]
nodes = ["a", "b"]
[[group.web.resource]]
kind = "vip"
address = "{VIP6}"
"""


def told(lab: Lab, reporter: str, kind: str) -> list[str]:
    return [event.text for event in lab.events(reporter) if event.kind == kind]


def hamgr(lab: Lab, node: str, *words: str) -> None:
    lab.node(node).exec(["hamgr", "--config", str(lab.layout.config), *words])


def test_a_stranger_that_takes_the_address_is_told_of_by_name(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    cluster.client.exec(["ip", "address", "add", f"{VIP}/24", "dev", "eth0"])
    cluster.wait(lambda: bool(told(cluster, "a", "address-conflict")), 20, "a to hear of it")
    (text,) = told(cluster, "a", "address-conflict")
    assert text.startswith(f"another machine has {VIP} on eth0: ")
    assert cluster.owners() == ["a"]


def test_nothing_starts_beside_a_stranger_until_it_has_gone(lab) -> None:
    cluster: Lab = lab(**FAST, daemons=True, powered=())
    cluster.client.exec(["ip", "address", "add", f"{VIP}/24", "dev", "eth0"])
    for name in ("a", "b"):
        cluster.node(name).power_on()
    cluster.wait(lambda: bool(told(cluster, "a", "address-conflict")), 30, "a to be refused")
    cluster.wait(lambda: bool(told(cluster, "b", "address-conflict")), 30, "b to be refused")
    assert cluster.owners() == []
    cluster.client.exec(["ip", "address", "delete", f"{VIP}/24", "dev", "eth0"])
    for name in ("a", "b"):
        hamgr(cluster, name, "cleanup", "web")
    cluster.wait(lambda: len(cluster.owners()) == 1, 20, "one of them to own it")


def test_an_address_that_an_administrator_removes_is_back_at_once(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").exec(["ip", "address", "delete", f"{VIP}/24", "dev", "eth0"])
        cluster.wait(lambda: bool(told(cluster, "a", "warning")), 10, "a to tell of it")
        prober.wait_for_answer("a")
    assert told(cluster, "a", "warning") == [f"someone removed {VIP}/24 from eth0; hamgr put it back"]
    assert "group-failed" not in [event.kind for event in cluster.events("a")]
    assert cluster.owners() == ["a"]


def test_in_maintenance_an_address_that_is_removed_stays_away(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    hamgr(cluster, "a", "maintenance", "on")
    cluster.node("a").exec(["ip", "address", "delete", f"{VIP}/24", "dev", "eth0"])
    cluster.wait(lambda: bool(told(cluster, "a", "group-failed")), 10, "a to tell of it")
    assert "it is left as it is (maintenance)" in told(cluster, "a", "group-failed")[0]
    assert cluster.owners() == []
    hamgr(cluster, "a", "maintenance", "off")
    cluster.wait_for_owner("a")


@pytest.mark.parametrize("how", ["the interface goes down", "the cable is pulled"])
def test_the_group_moves_when_its_interface_is_dead_and_comes_back(lab, how: str) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        if how == "the cable is pulled":
            cluster.unplug("a", "lan")
        else:
            cluster.node("a").exec(["ip", "link", "set", "eth0", "down"])
        prober.wait_for_answer("b")
        what = "has no carrier" if how == "the cable is pulled" else "is down"
        assert told(cluster, "a", "health")[-1] == f"the health of a is -1: interface eth0 {what}"
        assert any(f"interface eth0 {what}" in warning for warning in cluster.status("a")["warnings"])
        cluster.wait(lambda: cluster.owners() == ["b"], 10, "b to own it alone")
        if how == "the cable is pulled":
            cluster.plug("a", "lan")
        else:
            cluster.node("a").exec(["ip", "link", "set", "eth0", "up"])
        prober.wait_for_answer("a")
    assert "fence-asked" not in [event.kind for event in cluster.events("b")]


def test_the_group_stays_when_the_interfaces_of_all_nodes_are_dead(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    for name in ("b", "a"):
        cluster.unplug(name, "lan")
    cluster.wait(lambda: bool(told(cluster, "a", "health") and told(cluster, "b", "health")), 10, "both to see it")
    with watched(cluster) as prober:
        cluster.plug("a", "lan")
        prober.wait_for_answer("a")
        cluster.plug("b", "lan")
        cluster.wait(lambda: "nothing hinders" in told(cluster, "b", "health")[-1], 10, "b to be well again")
    assert cluster.owners() == ["a"]
    assert told(cluster, "a", "group-stopping") == []


def test_the_group_moves_when_its_interface_is_gone(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").exec(["ip", "link", "delete", "eth0"])
        prober.wait_for_answer("b")
    failed = told(cluster, "a", "group-failed")
    assert failed[0].startswith("web failed on a: vip: interface eth0 is gone; restarting it here")
    assert "interface eth0 does not exist; it moves" in failed[1]
    assert cluster.node("a").is_on()


def test_an_ipv6_address_without_interface_and_prefix_moves_to_the_survivor(lab) -> None:
    cluster: Lab = lab(**FAST, groups=GROUP6)
    cluster.wait(lambda: cluster.owners(VIP6) == ["a"], 20, f"a to own {VIP6}")
    with cluster.watch_vip(VIP6) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").power_off()
        prober.wait_for_answer("b")
        cluster.node("a").power_on()
        prober.wait_for_answer("a")
    assert cluster.owners(VIP6) == ["a"]


ROUTES = f"""
[route.peer]
to = {{ a = "10.88.0.2", b = "10.88.0.1" }}
interface = "eth1"
[group.web]
nodes = ["a", "b"]
[[group.web.resource]]
kind = "vip"
address = "{VIP}"
source = true
[[group.web.resource]]
kind = "route"
to = "10.99.0.0/24"
via = "10.77.1.50"
"""


def way(lab: Lab, node: str, to: str) -> str:
    return lab.node(node).exec(["ip", "route", "get", to], check=False).stdout.partition("\n")[0]


def test_source_addresses_and_routes_move_with_their_group_and_each_node_keeps_its_own(lab) -> None:
    cluster: Lab = lab(**FAST, groups=ROUTES)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.wait(lambda: "via 10.77.1.50" in way(cluster, "a", "10.99.0.9"), 10, "the route to be on a")
        assert f"src {VIP}" in way(cluster, "a", "10.77.1.50")
        assert f"src {VIP}" not in way(cluster, "b", "10.77.1.50")
        assert "via 10.77.1.50" not in way(cluster, "b", "10.99.0.9")
        assert "dev eth1" in way(cluster, "a", "10.88.0.2")
        assert "dev eth1" in way(cluster, "b", "10.88.0.1")
        cluster.node("a").power_off()
        prober.wait_for_answer("b")
        cluster.wait(lambda: "via 10.77.1.50" in way(cluster, "b", "10.99.0.9"), 10, "the route to be on b")
        assert f"src {VIP}" in way(cluster, "b", "10.77.1.50")
        cluster.node("b").exec(["ip", "route", "delete", "10.88.0.1"])
        cluster.wait(lambda: "dev eth1" in way(cluster, "b", "10.88.0.1"), 10, "b's own route to be back")
    assert told(cluster, "b", "warning") == ["route peer: someone removed 10.88.0.1/32 dev eth1; hamgr put it back"]
