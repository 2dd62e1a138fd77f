"""Web servers on the shared address, asked over HTTP all through what happens to them."""

from __future__ import annotations

import pytest
from clusters import FAST, insist, kinds, one_owner_at_a_time, runs, watched
from servers import HAPROXY, HAPROXY_CONFIG, WEB, needs, web

from hamgr.lab.answers import HTTP_VIEW
from hamgr.lab.lab import Lab
from hamgr.lab.plan import VIP, VIP_OF_B
from hamgr.lab.watch import Prober

pytestmark = [pytest.mark.lab, pytest.mark.root]

NGINX = ("nginx", "nginx-light")

PAGE = f"http://{VIP}/"

PROXY_IN_FRONT_OF_TWO = f"""
[group.web1]
nodes = ["a", "b"]
[[group.web1.resource]]
kind = "lsb"
name = "nginx"
script = "@LAB@/web1"
monitor_interval = "500ms"

[group.web2]
nodes = ["b", "a"]
apart_from = ["web1"]
[[group.web2.resource]]
kind = "lsb"
name = "nginx"
script = "@LAB@/web2"
monitor_interval = "500ms"

[group.balancer]
nodes = ["a", "b"]
[[group.balancer.resource]]
kind = "vip"
address = "{VIP}/24"
interface = "eth0"
[[group.balancer.resource]]
kind = "lsb"
name = "haproxy"
script = "@LAB@/haproxy"
monitor_interval = "200ms"
[[group.balancer.resource]]
kind = "tcp"
address = "{VIP}"
port = 80
monitor_interval = "200ms"
"""

BALANCED = {"web": WEB, "web1": web("web1"), "web2": web("web2"), "haproxy": HAPROXY, "haproxy.cfg": HAPROXY_CONFIG}

ADDRESS_OF_HAPROXY = """
[group.{group}]
nodes = [{nodes}]
auto_failback = false
restarts = 0
[[group.{group}.resource]]
kind = "http"
url = "http://127.0.0.1:8404/health"
start_timeout = "3s"
monitor_interval = "200ms"
[[group.{group}.resource]]
kind = "vip"
address = "{address}/24"
"""

EACH_THE_RESERVE = """
[group.{group}]
nodes = [{nodes}]
[[group.{group}.resource]]
kind = "vip"
address = "{address}/24"
interface = "eth0"
[[group.{group}.resource]]
kind = "lsb"
name = "nginx"
script = "@LAB@/nginx-{group}"
monitor_interval = "200ms"
"""


def errors(prober: Prober) -> list[str]:
    return [answer.node for answer in prober.answers() if answer.kind == "http-error"]


def served_by(prober: Prober) -> set[str]:
    return {answer.node for answer in prober.answers() if answer.kind == HTTP_VIEW}


def test_pages_come_from_the_other_node_after_a_power_off_a_standby_and_a_service_that_dies_twice(lab) -> None:
    needs(NGINX)
    cluster: Lab = lab(**FAST, service=True)
    cluster.wait(runs(cluster, web="a"), 20, "web to run on a")
    with watched(cluster, PAGE) as prober:
        prober.wait_for_page("a")
        cluster.node("a").power_off()
        prober.wait_for_page("b")
        cluster.node("a").power_on()
        prober.wait_for_page("a", 30)
        insist(cluster, "b", "standby", "a")
        prober.wait_for_page("b")
        insist(cluster, "b", "online", "a")
        prober.wait_for_page("a")
        cluster.wait(runs(cluster, web="a"), 20, "web to run on a")
        started = kinds(cluster, "a").count("group-started")
        cluster.node("a").exec(["pkill", "-9", "nginx"])
        cluster.wait(lambda: kinds(cluster, "a").count("group-started") > started, 20, "nginx to be started again")
        prober.wait_for_page("a")
        cluster.node("a").exec(["pkill", "-9", "nginx"])
        prober.wait_for_page("b")
    assert errors(prober) == []


@pytest.fixture
def balanced(lab) -> Lab:
    """haproxy with the address on a, in front of a web server on each node."""
    needs(NGINX, ("haproxy", "haproxy"))
    cluster: Lab = lab(**FAST, groups=PROXY_IN_FRONT_OF_TWO, scripts=BALANCED)
    cluster.wait(runs(cluster, web1="a", web2="b", balancer="a"), 20, "all three groups to run")
    return cluster


def test_a_web_server_behind_haproxy_dies_and_no_client_gets_an_error(balanced: Lab) -> None:
    with watched(balanced, PAGE) as prober:
        prober.wait_for_page("a")
        prober.wait_for_page("b")
        balanced.node("b").exec(["pkill", "-9", "nginx"])
        balanced.wait(lambda: kinds(balanced, "b").count("group-started") == 2, 20, "web2 to be started again")
        prober.wait_for_page("b")
        prober.wait_for_page("a")
    assert errors(prober) == []
    assert balanced.owners() == ["a"]
    assert kinds(balanced, "a").count("group-started") == 2, "web1 and the balancer, once each"


def test_haproxy_dies_and_is_started_again_then_moved_while_the_web_servers_stay(balanced: Lab) -> None:
    with watched(balanced, PAGE) as prober:
        prober.wait_for_page()
        balanced.node("a").exec(["pkill", "-9", "haproxy"])
        balanced.wait(lambda: kinds(balanced, "a").count("group-started") == 3, 20, "haproxy to be started again")
        prober.wait_for_page()
        assert balanced.owners() == ["a"]
        balanced.node("a").exec(["pkill", "-9", "haproxy"])
        balanced.wait_for_owner("b")
        prober.wait_for_page("a")
        prober.wait_for_page("b")
    balanced.wait(runs(balanced, web1="a", web2="b", balancer="b"), 20, "the balancer alone to have moved")


def test_the_node_with_haproxy_loses_its_power_and_the_other_serves_alone(balanced: Lab) -> None:
    with watched(balanced, PAGE) as prober:
        prober.wait_for_page("a")
        balanced.node("a").power_off()
        prober.wait_for_page("b")
        balanced.wait_for_owner("b")
        balanced.node("a").power_on()
        prober.wait_for_page("a", 30)
        balanced.wait(runs(balanced, web1="a", web2="b", balancer="a"), 30, "all three groups to be at home again")
    assert served_by(prober) == {"a", "b"}


def test_with_haproxy_on_both_nodes_only_addresses_move(lab) -> None:
    """As docs/recipes.md has it: haproxy is started at the boot, and an address leaves it when it does not answer."""
    needs(NGINX, ("haproxy", "haproxy"))
    groups = ADDRESS_OF_HAPROXY.format(group="front1", address=VIP, nodes='"a", "b"')
    groups += ADDRESS_OF_HAPROXY.format(group="front2", address=VIP_OF_B, nodes='"b", "a"')
    boot = "@LAB@/web start\n@LAB@/haproxy start"
    cluster: Lab = lab(**FAST, groups=groups, scripts=BALANCED, boot=boot)
    cluster.wait(runs(cluster, front1="a", front2="b"), 20, "each node to have an address")
    with watched(cluster, PAGE) as prober, cluster.watch_vip(VIP_OF_B, url=f"http://{VIP_OF_B}/") as other:
        for site in (prober, other):
            site.wait_for_page()
        cluster.node("a").exec(["pkill", "-9", "haproxy"])
        cluster.wait(runs(cluster, front1="b", front2="b"), 20, "the address to leave a's haproxy")
        prober.wait_for_page("a")
        cluster.node("a").exec([str(cluster.layout.directory / "haproxy"), "start"])
        insist(cluster, "a", "cleanup", "front1")
        insist(cluster, "a", "takeover", "front1", "--node", "a")
        cluster.wait(runs(cluster, front1="a", front2="b"), 20, "the address to come back")
        cluster.node("b").power_off()
        cluster.wait(runs(cluster, front1="a", front2="a"), 20, "a to have both")
        for site in (prober, other):
            site.wait_for_page("a")
    one_owner_at_a_time(other)


def test_each_node_serves_its_own_site_and_the_others_when_that_is_off(lab) -> None:
    needs(NGINX)
    sites = {"mine": (VIP, '"a", "b"'), "yours": (VIP_OF_B, '"b", "a"')}
    groups = "".join(
        EACH_THE_RESERVE.format(group=name, address=sites[name][0], nodes=sites[name][1]) for name in sites
    )
    scripts = {f"nginx-{name}": web(name, listen=f"{address}:80") for name, (address, _) in sites.items()}
    cluster: Lab = lab(**FAST, groups=groups, scripts=scripts)
    cluster.wait(runs(cluster, mine="a", yours="b"), 20, "each node to run its own site")
    with watched(cluster, PAGE) as mine, cluster.watch_vip(VIP_OF_B, url=f"http://{VIP_OF_B}/") as yours:
        for lost, left in (("a", "b"), ("b", "a")):
            mine.wait_for_page("a", 30)
            yours.wait_for_page("b", 30)
            cluster.node(lost).power_off()
            for site in (mine, yours):
                site.wait_for_page(left)
            cluster.node(lost).power_on()
        mine.wait_for_page("a", 30)
        yours.wait_for_page("b", 30)
    one_owner_at_a_time(yours)
