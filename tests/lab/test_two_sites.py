"""Two sites with three nodes each, and the arbiter on a third: what one loses, the other takes over, whole and once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from clusters import one_owner_at_a_time, promised

from hamgr.lab.lab import Lab
from hamgr.lab.plan import NETWORKS
from hamgr.lab.watch import Prober

pytestmark = [pytest.mark.lab, pytest.mark.root]

NORTH, SOUTH = ("a", "b", "c"), ("d", "e", "f")
ADDRESSES = {"web": "10.77.1.100", "mail": "10.77.1.101", "db": "10.77.1.102"}
HOMES = {"web": "abcdef", "mail": "bcadef", "db": "defabc"}
TIMES = {
    "keepalive": "200ms",
    "warntime": "800ms",
    "deadtime": "1600ms",
    "lease": "2400ms",
    "initdead": "15s",
    "settle": "300ms",
}
"""Six daemons share the cores of one machine."""

CERTAIN = 2 * 2.4 + 3 * 0.5 + 1.5
"""Seconds after which a lost node surely has stopped: two leases, the stops of its groups, the watchdog."""

SITES = """
[site.north]
nodes = ["a", "b", "c"]
[site.south]
nodes = ["d", "e", "f"]
"""


def tables() -> str:
    lines = [SITES]
    for group, homes in HOMES.items():
        nodes = ", ".join(f'"{node}"' for node in homes)
        lines += [f"[group.{group}]", f"nodes = [{nodes}]", f"[[group.{group}.resource]]", 'kind = "vip"']
        lines += [f'address = "{ADDRESSES[group]}/24"', 'interface = "eth0"', 'stop_timeout = "500ms"']
    return "\n".join(lines)


@contextmanager
def all_watched(cluster: Lab) -> Iterator[dict[str, Prober]]:
    with ExitStack() as stack:
        probers = {group: stack.enter_context(cluster.watch_vip(at, 0.02)) for group, at in ADDRESSES.items()}
        yield probers
    for prober in probers.values():
        one_owner_at_a_time(prober)


def all_on(cluster: Lab, *site: str) -> Callable[[], bool]:
    """Whether each group's address is on one node, and that of this site."""
    return lambda: all(len(found := cluster.owners(at)) == 1 and found[0] in site for at in ADDRESSES.values())


def at_home(cluster: Lab) -> Callable[[], bool]:
    """Whether all nodes are there, and each group is where it should be."""

    def settled() -> bool:
        online = all(node["state"] == "online" for node in cluster.status("d")["nodes"] if node["name"] != "d")
        return online and all(cluster.owners(ADDRESSES[group]) == [homes[0]] for group, homes in HOMES.items())

    return settled


def test_when_the_line_between_the_sites_is_lost_the_arbiter_lets_one_go_on(lab: Callable[..., Lab]) -> None:
    cluster = lab(**TIMES, nodes=6, groups=tables())
    cluster.wait(at_home(cluster), 30, "each group to be at home")
    with all_watched(cluster):
        for one in NORTH:
            for other in SOUTH:
                cluster.separate(one, other)
        # The north runs more. The south is switched off, through devices that are reached across the line.
        cluster.wait(all_on(cluster, *NORTH), 30, "all groups to run in the north")
        cluster.wait(lambda: not any(cluster.node(node).is_on() for node in SOUTH), 10, "the south to be off")
    told = cluster.arbiter.log()
    assert all(line.split("cluster lab: ")[1][0] in NORTH for line in told.splitlines() if "gets the vote" in line)


def test_a_site_that_is_cut_off_with_its_fence_devices_stops_and_is_taken_over_by_watchdog_time(
    lab: Callable[..., Lab],
) -> None:
    """Its machines live, and nobody can know."""
    cluster = lab(**TIMES, nodes=6, groups=tables(), watchdog="1500ms")
    cluster.wait(at_home(cluster), 30, "each group to be at home")
    with all_watched(cluster):
        cut = time.monotonic()
        for node in NORTH:
            cluster.bmc(node).hang()
            for network in NETWORKS:
                cluster.cut(node, network)
        cluster.wait(all_on(cluster, *SOUTH), 40, "all groups to run in the south, and nowhere else")
    north = [event for node in NORTH if cluster.node(node).is_on() for event in cluster.events(node)]
    south = [event for node in SOUTH for event in cluster.events(node)]
    assert not [event for event in south if event.kind == "fence-confirmed"]
    for group in ("web", "mail"):
        started = next(event.time for event in south if event.kind == "group-started" and event.group == group)
        assert started > cut + CERTAIN
        stopped = [event.time for event in north if event.kind == "group-stopped" and event.group == group]
        with promised():
            assert max(stopped, default=cut) < started
