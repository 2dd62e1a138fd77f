"""contrib/hamgrd.service as it is shipped, under a real systemd, with a group that has a script and a unit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from shipped import Shipped

pytestmark = pytest.mark.root

UNIT = "hamgrd"
CONFIG = """
[cluster]
name = "office"
key_file = "/etc/hamgr/cluster.key"
wait_for_all = false
agent_dirs = ["/usr/local/sbin"]
[timing]
keepalive = "200ms"
deadtime = "1s"
warntime = "500ms"
initdead = "2s"
lease = "LEASE"
[link.lo]
kind = "udp"
[node.a]
address = { lo = "127.0.0.1" }
[node.b]
address = { lo = "127.0.0.2" }
[fence.b]
node = "b"
agent = "fence_hamgr_null"
[group.web]
nodes = ["a", "b"]
[[group.web.resource]]
kind = "systemd"
unit = "below"
[[group.web.resource]]
kind = "lsb"
script = "/etc/init.d/above"
"""
SCRIPT = """#!/bin/sh
echo "$1" >> /run/above.log
case "$1" in
start) setsid sleep 10000 & echo $! > /run/above.pid ;;
stop) [ ! -e /run/above.pid ] || kill $(cat /run/above.pid); rm -f /run/above.pid ;;
status) [ -e /run/above.pid ] && kill -0 $(cat /run/above.pid) || exit 3 ;;
esac
"""


@pytest.fixture
def node(machine: Shipped) -> Iterator[Callable[[str], Shipped]]:
    """`node("10s")`: configured with this lease; the other node is never there."""

    def configured(lease: str) -> Shipped:
        machine.place("/etc/hamgr/hamgr.toml", CONFIG.replace("LEASE", lease))
        machine.place("/etc/init.d/above", SCRIPT, 0o755)
        machine.write("below.service", "[Service]\nExecStart=sleep 10000")
        machine.says("systemctl daemon-reload")
        machine.says("hamgr key new /etc/hamgr/cluster.key")
        machine.says("hamgr init")
        return machine

    yield configured
    machine.tries(f"systemctl stop {UNIT} below")
    machine.tries(f"systemctl reset-failed {UNIT}")
    machine.tries("/etc/init.d/above stop")
    machine.says("sh -c 'rm -rf /var/lib/hamgr /etc/hamgr/* /run/above.* /run/systemd/system/below.service.d'")
    machine.forget_journal()


def group(machine: Shipped) -> dict[str, Any]:
    asked = machine.tries("hamgr status --json")
    found: dict[str, Any] = json.loads(asked.stdout)["groups"][0] if asked.returncode == 0 else {}
    return found


def started(machine: Shipped) -> None:
    machine.until(lambda: group(machine).get("state") == "started", "the group to be started")


def calls(machine: Shipped) -> list[str]:
    """What the script was asked to do, but for its status."""
    return [word for word in machine.there("/run/above.log").read_text().split() if word != "status"]


def above(machine: Shipped) -> str:
    return machine.there("/run/above.pid").read_text()


def test_services_outlive_kill_9_and_the_next_daemon_goes_on_with_them(node: Callable[[str], Shipped]) -> None:
    machine = node("60s")
    machine.says(f"systemctl start {UNIT}")
    started(machine)
    assert machine.processes(UNIT) != []
    daemon, script, below = machine.pid(UNIT), above(machine), machine.pid("below")
    assert calls(machine) == ["start"]
    machine.says(f"systemctl kill --kill-who=main --signal=KILL {UNIT}")
    machine.until(lambda: machine.shown(UNIT, "NRestarts") == "1", "a restart")
    machine.until(lambda: machine.pid(UNIT) not in (0, daemon), "the next daemon")
    started(machine)
    assert (above(machine), machine.pid("below")) == (script, below)
    assert calls(machine) == ["start"]

    machine.says("hamgr key new /etc/hamgr/cluster.key")
    machine.says(f"systemctl reload {UNIT}")
    machine.until(lambda: "key file read again (asked by SIGHUP)" in machine.journal(UNIT), "the new key")

    # A stop moves the groups away first, in their order; the guard ends with it.
    machine.says(f"systemctl stop {UNIT}")
    assert calls(machine) == ["start", "stop"]
    assert machine.shown("below", "ActiveState") == "inactive"
    assert machine.shown(UNIT, "Result") == "success"
    assert machine.processes(UNIT) == []


def test_the_guard_outlives_it_and_ends_the_services_when_no_daemon_is_back_in_time(
    node: Callable[[str], Shipped],
) -> None:
    machine = node("1500ms")
    machine.place(f"/run/systemd/system/{UNIT}.service.d/late.conf", "[Service]\nRestartSec=1h\n")
    machine.says("systemctl daemon-reload")
    try:
        machine.says(f"systemctl start {UNIT}")
        started(machine)
        machine.says(f"systemctl kill --kill-who=main --signal=KILL {UNIT}")
        machine.until(lambda: calls(machine) == ["start", "stop"], "the guard to stop the script's service")
        machine.until(lambda: machine.shown("below", "ActiveState") != "active", "the guard to end the unit")
    finally:
        machine.says(f"rm -rf /run/systemd/system/{UNIT}.service.d")
        machine.says("systemctl daemon-reload")


def test_a_mistake_in_its_file_is_told_once_and_not_tried_again(node: Callable[[str], Shipped]) -> None:
    machine = node("2s")
    machine.place("/etc/hamgr/hamgr.toml", CONFIG.replace("LEASE", "yesterday"))
    machine.tries(f"systemctl start {UNIT}")
    machine.until(lambda: machine.shown(UNIT, "ActiveState") == "failed", "it to end")
    assert machine.shown(UNIT, "ExecMainStatus") == "2"
    assert machine.shown(UNIT, "NRestarts") == "0"
    assert machine.journal(UNIT).count('hamgr.toml: timing.lease: found "yesterday"') == 1


def test_a_shutdown_ends_the_groups_in_their_order_and_waits_for_it(node: Callable[[str], Shipped]) -> None:
    machine = node("60s")
    machine.write("all-stopped.target", "AllowIsolate=yes\nAfter=hamgrd.service")
    machine.says("systemctl daemon-reload")
    machine.says(f"systemctl start {UNIT}")
    started(machine)
    # As a shutdown does: one transaction that stops all that the new target does not want.
    machine.says("systemctl isolate all-stopped.target")
    machine.until(lambda: machine.shown(UNIT, "ActiveState") == "inactive", "it to end")
    assert machine.shown(UNIT, "Result") == "success"
    assert calls(machine) == ["start", "stop"]
    assert machine.shown("below", "ActiveState") == "inactive"
