"""Every kind of heartbeat link alone carries a whole cluster; losing, breaking and mending links."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clusters import FAST, kinds, watched

from hamgr.lab.lab import Lab
from hamgr.lab.namespaces import enter_world, is_rootless

pytestmark = [pytest.mark.lab, pytest.mark.root]

SLOW_LINE = {"keepalive": "1s", "warntime": "3s", "deadtime": "5s", "lease": "12s", "initdead": "12s"}
"""For a serial line of 9600 baud."""


def link_report(lab: Lab, node: str) -> dict[str, Any]:
    socket = str(lab.layout.admin_socket(node))
    report: dict[str, Any] = json.loads(lab.node(node).exec(["hamgr", "--socket", socket, "links", "--json"]).stdout)
    return report


def peer_link(lab: Lab, node: str, peer: str, link: str) -> dict[str, Any]:
    return next(x for x in link_report(lab, node)["peers"] if (x["peer"], x["link"]) == (peer, link))


def own_link(lab: Lab, node: str, link: str) -> dict[str, Any]:
    return next(x for x in link_report(lab, node)["links"] if x["link"] == link)


def fails_over_and_back(cluster: Lab, timeout: float = 20.0) -> None:
    cluster.wait_for_owner("a", 2 * timeout)
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").power_off()
        prober.wait_for_answer("b", timeout)
        assert "fence-confirmed" in kinds(cluster, "b")
        cluster.node("a").power_on()
        prober.wait_for_answer("a", 2 * timeout)
        cluster.wait_for_owner("a")


@pytest.mark.parametrize("link", ["udp-lan", "udp6", "bcast", "mcast", "mcast6", "lan", "grpc6"])
def test_each_kind_of_link_alone_carries_a_whole_failover(lab: Callable[..., Lab], link: str) -> None:
    fails_over_and_back(lab(**FAST, links=(link,)))


def test_a_serial_line_of_9600_baud_alone_carries_a_whole_failover(lab: Callable[..., Lab]) -> None:
    fails_over_and_back(lab(**SLOW_LINE, links=("serial",), baud=9600), 40)


def test_a_link_that_loses_nearly_a_third_is_told_and_nobody_dies(lab: Callable[..., Lab]) -> None:
    cluster = lab(keepalive="50ms", warntime="400ms", deadtime="1s", links=("ha", "udp-lan"))
    cluster.wait_for_owner("a")
    for network in ("ha", "lan"):
        cluster.lose(network, 30)
    cluster.wait(lambda: (peer_link(cluster, "a", "b", "ha")["loss"] or 0) > 0.2, 20, "the loss of ha to be measured")
    cluster.wait(lambda: peer_link(cluster, "a", "b", "ha")["frames_in"] > 300, 60, "a to hear 300 heartbeats")
    assert 0.2 < peer_link(cluster, "a", "b", "ha")["loss"] < 0.4
    for node in "ab":
        assert "node-dead" not in kinds(cluster, node)
    cluster.heal()
    cluster.wait(lambda: peer_link(cluster, "a", "b", "ha")["loss"] == 0, 30, "the loss to be over")


def test_a_pulled_cable_is_told_at_once_and_put_back_it_is_used_again(lab: Callable[..., Lab]) -> None:
    cluster = lab(keepalive="500ms", warntime="2s", deadtime="5s", lease="15s", initdead="6s", links=("ha", "lan"))
    cluster.wait_for_owner("a")
    cluster.unplug("a", "ha")
    took = cluster.wait(lambda: not own_link(cluster, "a", "ha")["up"], 4, "a to see that eth1 has no carrier")
    assert took < 4, "long before the deadtime, 5 s"
    assert "eth1" in own_link(cluster, "a", "ha")["detail"]
    assert not peer_link(cluster, "a", "b", "ha")["up"]
    cluster.plug("a", "ha")
    cluster.wait(lambda: own_link(cluster, "a", "ha")["up"], 4, "a to see the carrier again")
    cluster.wait(lambda: peer_link(cluster, "a", "b", "ha")["up"], 10, "ha to be heard again")
    for node in "ab":
        assert "node-dead" not in kinds(cluster, node)


def test_an_address_that_is_taken_away_and_given_back_needs_no_restart(lab: Callable[..., Lab]) -> None:
    cluster = lab(**FAST, links=("ha", "lan"))
    cluster.wait_for_owner("a")
    cluster.node("a").exec(["ip", "address", "delete", "10.77.2.1/24", "dev", "eth1"])
    cluster.wait(lambda: not own_link(cluster, "a", "ha")["up"], 5, "a to see that its address is gone")
    cluster.node("a").exec(["ip", "address", "add", "10.77.2.1/24", "dev", "eth1"])
    cluster.wait(lambda: own_link(cluster, "a", "ha")["up"], 5, "a to have its address back")
    cluster.wait(lambda: peer_link(cluster, "b", "a", "ha")["up"], 5, "b to hear a over ha")
    assert "node-dead" not in kinds(cluster, "b")


def test_a_serial_line_survives_noise_and_a_cut(lab: Callable[..., Lab]) -> None:
    cluster = lab(**SLOW_LINE | {"deadtime": "6s", "lease": "14s"}, links=("serial", "ha"), baud=115200)
    cluster.wait_for_owner("a")
    cluster.wait(lambda: peer_link(cluster, "a", "b", "serial")["up"], 10, "the line to carry heartbeats")
    cluster.wire("noise 0.02")
    cluster.wait(lambda: (peer_link(cluster, "a", "b", "serial")["loss"] or 0) > 0, 30, "noise to eat a frame")
    cluster.wire("cut")
    cluster.wait(lambda: not peer_link(cluster, "a", "b", "serial")["up"], 20, "the line to be told as down")
    cluster.wire("heal")
    cluster.wait(lambda: peer_link(cluster, "a", "b", "serial")["up"], 10, "the line to work again")
    assert own_link(cluster, "a", "serial")["authentication_failures"] == 0, "noise is told from forgery"
    for node in "ab":
        assert "node-dead" not in kinds(cluster, node)


def hamgr(cluster: Lab, node: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["hamgr", "--config", str(cluster.layout.config), *words]
    return cluster.node(node).exec(command, check=False)


def test_streams_with_certificates_alone_carry_a_whole_failover(lab: Callable[..., Lab]) -> None:
    cluster = lab(**FAST, links=("lan",), tls=True)
    fails_over_and_back(cluster)
    assert "unauthenticated" not in cluster.node("a").log()


@pytest.mark.parametrize("method", ["chacha20-poly1305", "blake2s", "sha1"])
def test_each_way_of_sealing_carries_a_whole_failover(lab: Callable[..., Lab], method: str) -> None:
    fails_over_and_back(lab(**FAST, key_method=method))


def test_keys_are_changed_under_traffic_and_no_heartbeat_is_lost(lab: Callable[..., Lab]) -> None:
    """As docs/keys.md tells it; the lab's machines share the one file, so there is nothing to copy."""
    cluster = lab(**FAST)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        before = {node: kinds(cluster, node) for node in "ab"}
        lost = {node: sum(peer["lost"] for peer in link_report(cluster, node)["peers"]) for node in "ab"}
        assert hamgr(cluster, "a", "key", "new", "--method", "chacha20-poly1305").returncode == 0
        early = hamgr(cluster, "a", "key", "activate", "2")
        assert early.returncode == 1
        assert "b" in early.stderr
        assert hamgr(cluster, "b", "key", "reload").returncode == 0
        cluster.arbiter.kill_daemon(signal.SIGHUP)
        cluster.wait(lambda: hamgr(cluster, "a", "key", "activate", "2").returncode == 0, 10, "all to know key 2")
        cluster.wait(lambda: hamgr(cluster, "b", "key", "reload").returncode == 0, 10, "b to seal with key 2")
        cluster.arbiter.kill_daemon(signal.SIGHUP)
        cluster.wait(lambda: hamgr(cluster, "a", "key", "retire", "1").returncode == 0, 10, "nobody to use key 1")
        cluster.wait(lambda: hamgr(cluster, "b", "key", "reload").returncode == 0, 10, "b to forget key 1")
        cluster.arbiter.kill_daemon(signal.SIGHUP)
        for node, peer in (("a", "b"), ("b", "a")):
            frames = peer_link(cluster, node, peer, "ha")["frames_in"]
            cluster.wait(
                lambda n=node, p=peer, past=frames: peer_link(cluster, n, p, "ha")["frames_in"] > past + 5,
                10,
                "heartbeats under the new key",
            )
    assert {answer.node for answer in prober.answers()} == {"a"}
    assert {node: kinds(cluster, node) for node in "ab"} == before
    for node in "ab":
        report = link_report(cluster, node)
        assert sum(peer["lost"] for peer in report["peers"]) == lost[node]
        assert all(link["authentication_failures"] == 0 for link in report["links"])
        listed = json.loads(hamgr(cluster, node, "key", "list", "--json").stdout)
        assert [(key["number"], key["method"]) for key in listed["keys"]] == [(2, "chacha20-poly1305")]


def test_a_node_that_loses_the_gateway_gives_its_group_to_one_that_sees_it(lab: Callable[..., Lab]) -> None:
    cluster = lab(**FAST, pings=True, links=("ha",))
    cluster.wait_for_owner("a")
    cluster.wait(lambda: link_report(cluster, "a")["health"] == 1, 10, "a to see the gateway")
    cluster.cut("a", "lan")
    cluster.wait(lambda: cluster.owners() == ["b"], 20, "web to move to b")
    assert link_report(cluster, "a")["health"] == 0
    assert "health" in kinds(cluster, "a")
    for node in "ab":
        assert "node-dead" not in kinds(cluster, node)
    cluster.heal()
    cluster.wait_for_owner("a")


ATTACK_SECONDS = float(os.environ.get("HAMGR_ATTACK_SECONDS", "10"))


def test_an_attacker_on_the_wire_without_the_key_changes_nothing(lab: Callable[..., Lab]) -> None:
    """Replays, reflections, changed, cut and foreign frames, each to whom they were for or to the other."""
    cluster = lab(keepalive="200ms", warntime="1s", deadtime="2s", lease="6s", initdead="3s", links=("ha", "lan"))
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        began = time.monotonic()
        command = [sys.executable, str(Path(__file__).parent / "attacker.py")]
        command += [str(ATTACK_SECONDS), "694", "a-ha", "b-ha"]
        attack = subprocess.run(
            enter_world(cluster.world_pid, command, is_rootless()),
            env=cluster.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        count = json.loads(attack.stdout)
    assert count["heard"] > 10 * ATTACK_SECONDS / 2, "the attacker was on the wire"
    assert count["sent"] > 100 * ATTACK_SECONDS / 2, "and spoke"
    # How punctual a daemon is says something of the machine that it runs on, and nothing of the attack.
    told = [event for node in "ab" for event in cluster.events(node) if event.time > began]
    assert [event for event in told if event.kind not in ("late", "paused")] == []
    assert {answer.node for answer in prober.answers()} == {"a"}
    for node in "ab":
        refused = own_link(cluster, node, "ha")["rejected"]
        for reason in ("replayed", "unauthenticated", "malformed", "reflected"):
            assert refused.get(reason, 0) > 0, f"{node} was tried with {reason}"
        assert peer_link(cluster, node, "b" if node == "a" else "a", "ha")["up"]
        assert cluster.node(node).log().count("dropped") < 10 * (2 + ATTACK_SECONDS / 10), "the log is rate-limited"
