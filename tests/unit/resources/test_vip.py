"""Virtual addresses come, go and find their place."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
from wires import Net, needs_namespaces, wires

pytestmark = needs_namespaces


@pytest.fixture
def net() -> Iterator[Net]:
    with wires() as net:
        yield net


@pytest.mark.parametrize("address", ["192.0.2.100/24", "2001:db8::100/64"])
def test_the_address_comes_and_goes_as_often_as_one_likes(net: Net, address: str) -> None:
    plain = address.split("/")[0]
    assert net.vip("a", address, "status", "start", "start", "status") == ["stopped", "done", "done", "running"]
    assert net.has("a", plain)
    assert net.vip("a", address, "status", "stop", "stop", "status") == ["running", "done", "done", "stopped"]
    assert not net.has("a", plain)


@pytest.mark.parametrize("address", ["192.0.2.100/24", "2001:db8::100/64"])
def test_clients_learn_the_new_place_at_once(net: Net, address: str) -> None:
    plain = address.split("/")[0]
    net.vip("a", address, "start")
    net.ping(plain)
    assert net.neighbour(plain) == net.mac("a")
    # The kernel keeps an ARP entry as it is for a second after it changed (arp(7), locktime).
    net.ip("client", "neighbour", "change", plain, "lladdr", net.mac("a"), "dev", "eth0", "nud", "stale")
    subprocess.run(
        ["ip", "netns", "exec", net.ns("client"), "sysctl", "-qw", "net.ipv4.neigh.eth0.locktime=0"], check=True
    )
    net.vip("a", address, "stop")
    net.vip("b", address, "start")
    assert net.neighbour(plain) == net.mac("b"), "without a question of the client's"
    net.ping(plain)


@pytest.mark.parametrize(
    ("address", "other"), [("192.0.2.100/24", "192.0.2.100/32"), ("2001:db8::100/64", "2001:db8::100/128")]
)
def test_a_stopped_address_is_gone_whatever_its_prefix_was(net: Net, address: str, other: str) -> None:
    """Someone added it by hand, or the prefix in the file was changed: neighbours would still be answered."""
    plain = address.split("/")[0]
    net.ip("a", "address", "add", other, "dev", "eth0")
    assert net.vip("a", address, "status", "stop", "status") == ["running", "done", "stopped"]
    assert not net.has("a", plain)
    net.ip("a", "address", "add", other, "dev", "eth0")
    assert net.vip("a", address, "start", "stop", "status") == ["done", "done", "stopped"]
    assert not net.has("a", plain)


def test_the_address_is_secondary_and_leaves_the_others_alone(net: Net) -> None:
    net.vip("a", "192.0.2.100/24", "start")
    (shown,) = json.loads(net.ip("a", "-json", "address", "show", "dev", "eth0"))
    flags = {entry["local"]: entry.get("secondary", False) for entry in shown["addr_info"]}
    assert flags["192.0.2.100"]
    assert not flags["192.0.2.1"]
    net.vip("a", "192.0.2.100/24", "stop")
    assert net.has("a", "192.0.2.1")


def test_an_interface_that_is_missing_is_named(net: Net) -> None:
    said = net.vip("a", "192.0.2.100/24", "status", "stop", "start", interface="eth9")
    assert said == ["stopped", "done", "error: interface eth9 does not exist"]


def test_an_interface_that_came_late_is_used(net: Net) -> None:
    net.ip("a", "link", "set", "eth0", "down")
    net.ip("a", "link", "set", "eth0", "name", "late0")
    assert net.vip("a", "192.0.2.100/24", "start", interface="eth0") == ["error: interface eth0 does not exist"]
    net.ip("a", "link", "set", "late0", "name", "eth0")
    net.ip("a", "link", "set", "eth0", "up")
    assert net.vip("a", "192.0.2.100/24", "start", interface="eth0") == ["done"]


@pytest.mark.parametrize(
    ("address", "prefix"), [("192.0.2.100", 24), ("198.51.100.9", 28), ("203.0.113.7", 16), ("2001:db8::100", 64)]
)
def test_an_address_finds_the_interface_whose_network_holds_it(net: Net, address: str, prefix: int) -> None:
    for name, network in (("one", "198.51.100.1/24"), ("two", "198.51.100.2/28"), ("three", "203.0.1.1/8")):
        net.card("a", name)
        net.ip("a", "address", "add", network, "dev", name)
    net.ip("a", "address", "add", "203.0.2.2/16", "dev", "one")
    assert net.vip("a", address, "start", "status", interface=None) == ["done", "running"]
    assert net.places("a", address) == [({24: "eth0", 28: "two", 16: "one", 64: "eth0"}[prefix], prefix)]
    assert net.vip("a", address, "stop", "status", interface=None) == ["done", "stopped"]
    assert not net.has("a", address)


def test_an_address_takes_the_prefix_of_its_interfaces_network(net: Net) -> None:
    net.vip("a", "192.0.2.100", "start")
    assert net.places("a", "192.0.2.100") == [("eth0", 24)]


def test_an_address_that_no_network_holds_says_what_to_add(net: Net) -> None:
    assert net.vip("a", "10.9.9.9", "start", "status", "stop", interface=None) == [
        'error: no interface has a network that holds 10.9.9.9: name one, as interface = "eth0",'
        ' with the prefix, as "10.9.9.9/24"',
        "stopped",
        "done",
    ]
    assert net.vip("a", "10.9.9.9", "start") == [
        'error: eth0 has no network that holds 10.9.9.9: give the address its prefix, as "10.9.9.9/24"'
    ]


@pytest.mark.parametrize("address", ["192.0.2.100/24", "2001:db8::100/64"])
def test_an_address_on_another_interface_is_seen_and_stopped_and_moved(net: Net, address: str) -> None:
    """The interface in the file was changed, or someone added it by hand."""
    plain = address.split("/")[0]
    net.card("a", "other0")
    nodad = ["nodad"] if ":" in address else []
    net.ip("a", "address", "add", address, "dev", "other0", *nodad)
    seen = f"failed: {plain} is on other0, and should be on eth0 alone"
    assert net.vip("a", address, "status", "stop", "status") == [seen, "done", "stopped"]
    net.ip("a", "address", "add", address, "dev", "other0", *nodad)
    assert net.vip("a", address, "start", "status") == ["done", "running"]
    assert [place[0] for place in net.places("a", plain)] == ["eth0"]


def test_a_change_by_others_is_seen_at_the_next_look(net: Net) -> None:
    command = "address add 192.0.2.100/24 dev eth0"
    assert net.vip("a", "192.0.2.100/24", "status", f"ip {command}", "status", "ip link delete eth0", "status") == [
        "stopped",
        "done",
        "running",
        "done",
        "stopped",
    ]
