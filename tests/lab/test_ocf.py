"""Debian's OCF agents in a real cluster, unchanged and without Pacemaker, asked by a client all through failovers."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from clusters import FAST, insist, kinds, runs, watched
from servers import needs

from hamgr.lab.lab import Lab
from hamgr.lab.plan import VIP

AGENTS = Path("/usr/lib/ocf/resource.d/heartbeat")

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.skipif(not AGENTS.is_dir(), reason="needs Debian's agents (resource-agents)"),
]

PAGE = f"http://{VIP}/"

BOOT = """
# What agents keep there must go with a boot, and each machine has its own.
mkdir -p /run/resource-agents
mount -t tmpfs tmpfs /run/resource-agents
mkdir -p @HERE@/web
cat >@HERE@/nginx.conf <<END
user root root;
pid /run/resource-agents/nginx.pid;
error_log @HERE@/web/error.log;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path @HERE@/web/body; proxy_temp_path @HERE@/web/proxy; fastcgi_temp_path @HERE@/web/fastcgi;
  uwsgi_temp_path @HERE@/web/uwsgi; scgi_temp_path @HERE@/web/scgi;
  server { listen 0.0.0.0:80; location / { return 200 "$(hostname)\\n"; } }
}
END
"""

WEB = f"""
[group.web]
nodes = ["a", "b"]
[[group.web.resource]]
kind = "ocf"
name = "ip"
agent = "ocf:heartbeat:IPaddr2"
parameters = {{ ip = "{VIP}", cidr_netmask = 24, nic = "eth0" }}
monitor_interval = "1s"
[[group.web.resource]]
kind = "ocf"
name = "nginx"
agent = "ocf:heartbeat:nginx"
check_level = 10
monitor_interval = "1s"
[group.web.resource.parameters]
configfile = "@HERE@/nginx.conf"
httpd = "/usr/sbin/nginx"
port = 80
status10url = "{PAGE}"
status10regex = "[ab]"
[[group.web.resource]]
kind = "ocf"
name = "dummy"
agent = "ocf:heartbeat:Dummy"
monitor_interval = "1s"
"""

STATEFUL = f"""
[group.db]
nodes = ["a", "b"]
auto_failback = false
[[group.db.resource]]
kind = "ocf"
name = "state"
agent = "ocf:heartbeat:Stateful"
promotable = true
monitor_interval = "300ms"
[[group.db.resource]]
kind = "vip"
address = "{VIP}/24"
interface = "eth0"
"""


def test_an_address_and_nginx_move_by_their_agents(lab) -> None:
    needs(("nginx", "nginx-light"), ("curl", "curl"))
    cluster: Lab = lab(**FAST, groups=WEB, boot=BOOT)
    cluster.wait(runs(cluster, web="a"), 30, "web to run on a")
    with watched(cluster, PAGE) as prober:
        prober.wait_for_page("a")
        cluster.node("a").power_off()
        prober.wait_for_page("b", 30)
        cluster.node("a").power_on()
        prober.wait_for_page("a", 40)
        insist(cluster, "b", "standby", "a")
        prober.wait_for_page("b", 30)
        insist(cluster, "b", "online", "a")
        prober.wait_for_page("a", 30)
        cluster.wait(runs(cluster, web="a"), 30, "web to run on a")
        started = kinds(cluster, "a").count("group-started")
        cluster.node("a").exec(["pkill", "-9", "nginx"])
        cluster.wait(lambda: kinds(cluster, "a").count("group-started") > started, 30, "nginx to be started again")
        prober.wait_for_page("a", 30)
        cluster.node("a").exec(["pkill", "-9", "nginx"])
        prober.wait_for_page("b", 30)
    told = [event.text for event in cluster.events("a") if event.kind == "group-failed"]
    assert any("nginx: ocf:heartbeat:nginx monitor: not running (7)" in text for text in told), told


def roles(cluster: Lab) -> dict[str, str]:
    """The state of Stateful on each node that is on."""
    read = ["cat", "/run/resource-agents/Stateful-db.state.state"]
    on = [node for node in ("a", "b") if cluster.node(node).is_on()]
    return {node: cluster.node(node).exec(read, check=False).stdout.strip() for node in on}


def become(cluster: Lab, timeout: float = 20, **wanted: str) -> None:
    cluster.wait(lambda: roles(cluster) == wanted, timeout, f"{wanted}")


def test_stateful_is_started_on_both_nodes_and_promoted_on_one(lab) -> None:
    cluster: Lab = lab(**FAST, groups=STATEFUL, boot=BOOT)
    with watched(cluster) as prober:
        become(cluster, 30, a="master", b="slave")
        prober.wait_for_answer("a")
        cluster.node("a").power_off()
        prober.wait_for_answer("b")
        become(cluster, b="master")
        cluster.node("a").power_on()
        become(cluster, 30, a="slave", b="master")
        insist(cluster, "a", "standby", "b")
        prober.wait_for_answer("a")
        become(cluster, a="master", b="slave")


def test_in_maintenance_nothing_promotable_is_touched_while_hamgrd_is_restarted(lab) -> None:
    cluster: Lab = lab(**FAST, groups=STATEFUL, boot=BOOT)
    state = "/run/resource-agents/Stateful-db.state.state"
    become(cluster, 30, a="master", b="slave")
    with watched(cluster) as prober:
        insist(cluster, "a", "maintenance", "on")
        cluster.node("b").exec(["rm", state])
        for node in "ab":
            cluster.node(node).kill_daemon(signal.SIGTERM)
            gone = lambda node=node: not cluster.layout.daemon_pid(node).exists()  # noqa: E731
            cluster.wait(gone, 10, f"{node}'s hamgrd to end")
            cluster.node(node).start_daemon()
            cluster.wait(lambda node=node: cluster.status(node)["quorate"], 20, f"{node} to be back")
        assert roles(cluster) == {"a": "master", "b": ""}
        insist(cluster, "a", "maintenance", "off")
        become(cluster, a="master", b="slave")
        prober.wait_for_answer("a")
    assert "group-stopping" not in kinds(cluster, "a")
