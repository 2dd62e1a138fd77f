"""Another machine has the address: before a start, and while it runs here. A real one answers, over ARP and ND."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from wires import Net, needs_namespaces, wires

pytestmark = needs_namespaces


@pytest.fixture
def net() -> Iterator[Net]:
    with wires() as net:
        yield net

BOTH = pytest.mark.parametrize("address", ["192.0.2.100/24", "2001:db8::100/64"])
QUICK = {"keeper.ASK_INTERVAL": 0.1, "conflict.QUIET_TIME": 0.35, "conflict.REMIND_INTERVAL": 0.5}
SILENT = {"keeper.ASK_INTERVAL": 1000.0}

ANNOUNCE = """
import ipaddress, socket, sys
from hamgr.resources.packets import announcements
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
    out.bind(("eth0", 0))
    for frame in announcements(out.getsockname()[4], ipaddress.ip_address(sys.argv[1])):
        out.send(frame)
"""


def plain(address: str) -> str:
    return address.split("/")[0]


def client_has(net: Net, address: str) -> None:
    nodad = ["nodad"] if ":" in address else []
    net.ip("client", "address", "add", address, "dev", "eth0", *nodad)


def client_announces(net: Net, address: str) -> str:
    """The word by which the client says once that it has the address, and answers no questions."""
    return f"ip netns exec {net.ns('client')} {sys.executable} {net.script(ANNOUNCE)} {plain(address)}"


@BOTH
def test_nothing_is_started_beside_another_machine(net: Net, address: str) -> None:
    client_has(net, address)
    said = net.vip("a", address, "start", "news", "status")
    text = f"another machine has {plain(address)} on eth0: {net.mac('client')}"
    assert said[0] == f"error: {text}"
    assert said[1].startswith(f"address-conflict: {text}. Nothing is started beside it: ")
    assert "`hamgr cleanup web`" in said[1]
    assert said[2] == "stopped"
    assert net.places("a", plain(address)) == []


@BOTH
def test_it_is_taken_all_the_same_when_the_configuration_says_so(net: Net, address: str) -> None:
    client_has(net, address)
    said = net.vip("a", address, "start", "news", "status", conflict="alert")
    assert said[0] == "done"
    assert said[1].startswith(
        f"address-conflict: another machine has {plain(address)} on eth0: {net.mac('client')}. It is taken all the same"
    )
    assert said[2] == "running"


def test_the_other_machine_is_named_by_what_else_it_is_known_as(net: Net) -> None:
    net.ping_from("a", "192.0.2.3")
    client_has(net, "192.0.2.100/24")
    (said,) = net.vip("a", "192.0.2.100/24", "start")
    assert said.endswith(f"{net.mac('client')} (192.0.2.3)")


@BOTH
def test_a_machine_that_is_just_going_is_waited_for(net: Net, address: str) -> None:
    client_has(net, address)
    gone = f"later ip -n {net.ns('client')} address delete {address} dev eth0"
    assert net.vip("a", address, gone, "start", "status", "no news") == ["done", "done", "running", "done"]


@BOTH
def test_without_a_probe_nobody_is_asked(net: Net, address: str) -> None:
    client_has(net, address)
    assert net.vip("a", address, "start", "no news", probe=0, constants=SILENT) == ["done", "done"]


def test_a_router_that_answers_for_other_networks_is_no_other_owner(net: Net) -> None:
    net.card("client", "eth1")
    net.ip("client", "address", "add", "198.51.100.1/24", "dev", "eth1")
    net.ip("a", "address", "add", "198.51.100.2/24", "dev", "eth0")
    for name in ("proxy_arp", "forwarding"):
        net.sysctl("client", f"net.ipv4.conf.eth0.{name}=1")
    net.ping_from("a", "198.51.100.77", answered=False)
    assert net.neighbour("198.51.100.77", of="a") == net.mac("client"), "it does answer for others"
    assert net.vip("a", "198.51.100.100/24", "start", "status", "no news") == ["done", "running", "done"]


@BOTH
def test_a_machine_that_takes_it_while_it_runs_here_is_told_and_told_again_and_its_end(net: Net, address: str) -> None:
    """The kernel of the other machine says nothing by itself: it is asked."""
    nodad = " nodad" if ":" in address else ""
    taken = f"ip -n {net.ns('client')} address add {address} dev eth0{nodad}"
    given = f"ip -n {net.ns('client')} address delete {address} dev eth0"
    said = net.vip("a", address, "start", taken, "news", "news", given, "news", "status", constants=QUICK)
    who = net.mac("client")
    assert said[2].startswith(f"address-conflict: another machine has {plain(address)} on eth0: {who}")
    assert said[3].startswith(f"address-conflict: another machine still has {plain(address)} on eth0: {who}")
    assert said[5].startswith(f"address-conflict: {plain(address)} on eth0: {who}")
    assert said[5].endswith("no longer answers; the conflict is over")
    assert said[6] == "running"


def test_another_node_that_has_it_is_a_split_brain(net: Net) -> None:
    net.ping_from("a", "192.0.2.3")
    address = "192.0.2.100/24"
    nodes = {"192.0.2.1": "a", "192.0.2.3": "c"}
    words = ("start", client_announces(net, address), "news")
    said = net.vip("a", address, *words, node_addresses=nodes, constants=SILENT)
    assert said[2].startswith("split-brain: node c of this cluster has 192.0.2.100 on eth0: ")


@BOTH
def test_what_another_machine_announces_is_heard_without_asking(net: Net, address: str) -> None:
    said = net.vip("a", address, "start", client_announces(net, address), "news", constants=SILENT)
    assert said[2].startswith(f"address-conflict: another machine has {plain(address)} on eth0: {net.mac('client')}")


@BOTH
def test_the_address_is_defended_so_that_clients_come_back(net: Net, address: str) -> None:
    net.sysctl("b", "net.ipv4.neigh.eth0.locktime=0")
    said = net.vip(
        "a",
        address,
        "start",
        f"ip netns exec {net.ns('b')} ping -c1 -W5 {plain(address)}",
        client_announces(net, address),
        "news",
        announcements=1,
        constants=SILENT,
    )
    assert said[3].startswith("address-conflict: ")
    assert net.neighbour(plain(address), of="b") == net.mac("a")


@BOTH
def test_the_own_second_card_on_the_same_wires_is_no_other_machine(net: Net, address: str) -> None:
    net.plug("a", "eth1")
    net.ip("a", "link", "add", "link", "eth0", "name", "mac0", "type", "macvlan", "mode", "bridge")
    net.ip("a", "link", "set", "mac0", "up")
    said = net.vip("a", address, "start", "start", client_announces(net, address), "news", "no news", constants=QUICK)
    assert f"on eth0: {net.mac('client')}" in said[3], "the first that is told is a real one"
    assert said[4] == "done"


@BOTH
def test_a_daemon_that_finds_it_running_watches_over_it_too(net: Net, address: str) -> None:
    net.vip("a", address, "start")
    said = net.vip("a", address, "status", client_announces(net, address), "news", constants=SILENT)
    assert said[0] == "running"
    assert said[2].startswith("address-conflict: another machine has ")


def test_after_a_stop_others_may_have_it(net: Net) -> None:
    address = "192.0.2.100/24"
    said = net.vip("a", address, "start", "stop", client_announces(net, address), "no news", constants=QUICK)
    assert said == ["done", "done", "done", "done"]


def test_the_kernels_own_detection_can_be_had_too(net: Net) -> None:
    address = "2001:db8::100/64"
    assert net.vip("a", address, "start", "status", "stop", nodad=False) == ["done", "running", "done"]
    client_has(net, address)
    (said,) = net.vip("a", address, "start", nodad=False, probe=0)
    assert said == "error: another machine has 2001:db8::100 on eth0 (found by the kernel)"
