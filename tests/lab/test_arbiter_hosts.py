"""Three arbiter hosts over one real etcd: the one that is asked is lost, and members of etcd are cut off."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from clusters import FAST, kinds, watched
from etcds import NEEDS_ETCD

from hamgr.lab.lab import Lab
from hamgr.lab.plan import ARBITERS, ETCD_CLIENTS, arbiter_address

pytestmark = [pytest.mark.lab, pytest.mark.root, NEEDS_ETCD]

DEADTIME = 2.0
TIMES = {**FAST, "deadtime": "2s", "warntime": "500ms", "lease": "4s", "initdead": "10s"}
FRESH = 3.0
"""Keepalives after which an answer of the arbiter is an old one."""
MOVES = {"coordinator", "group-stopping", "group-starting", "fence-asked", "node-dead"}


def asks(cluster: Lab, node: str) -> str:
    """The arbiter host that counts for a node now; "" for none."""
    found = cluster.status(node)["arbiter"]
    if not found["connected"] or not found["voter"] or found["answered_ago"] > FRESH * 0.1:
        return ""
    return next(name for name in ARBITERS if found["address"].startswith(arbiter_address(name)))


def all_ask(cluster: Lab, hosts: Sequence[str] = ARBITERS) -> Callable[[], bool]:
    """Whether every node that is on asks one of these."""
    on = [node for node in cluster.options.node_names if cluster.node(node).is_on()]
    return lambda: all(asks(cluster, node) in hosts for node in on)


def others_than(*hosts: str) -> list[str]:
    return [name for name in ARBITERS if name not in hosts]


def voted(cluster: Lab, hosts: Sequence[str] = ARBITERS) -> list[str]:
    """Who got votes of these hosts, one after the other, as their logs tell."""
    lines = [line for host in hosts for line in cluster.node(host).log().splitlines() if "gets the vote" in line]
    return [line.partition("cluster lab: ")[2].split()[0] for line in sorted(lines)]


def etcdctl(host: str, *words: str) -> list[str]:
    return ["etcdctl", "--endpoints", f"{arbiter_address(host)}:{ETCD_CLIENTS}", *words]


def healthy(cluster: Lab, host: str) -> bool:
    return cluster.node(host).exec(etcdctl(host, "endpoint", "health"), check=False).returncode == 0


def let_lead(cluster: Lab, host: str) -> None:
    """Have this host's member lead etcd."""
    asked = {name: cluster.node(name).exec(etcdctl(name, "endpoint", "status", "-w", "json")) for name in ARBITERS}
    found = {name: json.loads(done.stdout)[0]["Status"] for name, done in asked.items()}
    members = {name: status["header"]["member_id"] for name, status in found.items()}
    leader = next(name for name in ARBITERS if members[name] == found[name]["leader"])
    if leader != host:
        cluster.node(leader).exec(etcdctl(leader, "move-leader", f"{members[host]:x}"))


def cut_off(cluster: Lab, some: list[str], others: list[str]) -> None:
    for one in some:
        for other in others:
            cluster.separate(one, other)


def test_the_next_host_votes_and_who_is_cut_off_from_the_others_does_not(lab: Callable[..., Lab]) -> None:
    cluster = lab(**TIMES, arbiters=3, auto_failback=False)
    cluster.wait_for_owner("a")
    cluster.wait(all_ask(cluster), 20, "both nodes to ask a host")
    first = asks(cluster, "b") or ARBITERS[0]
    others = others_than(first)
    with watched(cluster) as prober:
        prober.wait_for_answer("a")

        # A host is cut off, with its member of etcd, and then a node is lost.
        let_lead(cluster, others[0])  # else etcd's own election comes first
        cluster.cut(first, "mgmt")
        took = cluster.wait(all_ask(cluster, others), 10, "both nodes to ask another host")
        assert took < DEADTIME
        cluster.node("a").power_off()
        prober.wait_for_answer("b", 20)
        assert voted(cluster, others)[-1:] == ["b"]
        assert voted(cluster, [first])[-1:] != ["b"]

        # It is back, and the process of the host that is asked now is killed: nothing moves.
        cluster.node("a").power_on()
        cluster.wait(lambda: cluster.status("b")["nodes"][0]["state"] == "online", 20, "a to be back")
        before = kinds(cluster, "b")
        cluster.heal(first)
        cluster.wait(lambda: healthy(cluster, first), 10, "etcd to be whole")
        cluster.wait(all_ask(cluster), 10, "both nodes to ask a host")
        second = asks(cluster, "b") or others[0]
        cluster.node(second).kill_daemon()
        took = cluster.wait(all_ask(cluster, others_than(second)), 10, "both nodes to ask another host")
        assert took < DEADTIME
        assert cluster.owners() == ["b"]
        assert not MOVES & set(kinds(cluster, "b")[len(before) :])
        cluster.node(second).start_daemon()

        # The honest split: the owner has etcd's leader on its side, and the other node the majority.
        here = asks(cluster, "b") or others_than(second)[0]
        let_lead(cluster, here)
        said = cluster.node("b").log()
        cut_off(cluster, ["b", here], ["a", *others_than(here)])
        prober.wait_for_answer("a", 20)
        assert voted(cluster)[-1:] == ["a"]
        told = cluster.node("b").log().removeprefix(said)
        assert "arbiter-lost" in told
        assert "arbiter-up" not in told
