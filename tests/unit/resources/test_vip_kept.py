"""A virtual address is kept while it runs: against who removes it, and over what happens to its interface."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from wires import Net, needs_namespaces, wires

pytestmark = needs_namespaces

BOTH = pytest.mark.parametrize("address", ["192.0.2.100/24", "2001:db8::100/64"])


@pytest.fixture
def net() -> Iterator[Net]:
    with wires() as net:
        yield net


def shown(net: Net, address: str) -> dict[str, object]:
    cards = json.loads(net.ip("a", "-json", "address", "show"))
    return next(one for card in cards for one in card.get("addr_info", []) if one["local"] == address)


@BOTH
def test_an_address_that_someone_removes_is_put_back_and_told(net: Net, address: str) -> None:
    removed = f"ip address delete {address} dev eth0"
    assert net.vip("a", address, "start", removed, "news", "status") == [
        "done",
        "done",
        f"warning: someone removed {address} from eth0; hamgr put it back",
        "running",
    ]
    assert net.places("a", address.split("/")[0]) == [("eth0", int(address.split("/")[1]))]


def test_an_address_whose_first_one_went_is_put_back(net: Net) -> None:
    """With a primary address the kernel removes its secondary ones (ip-sysctl, promote_secondaries)."""
    net.sysctl("a", "net.ipv4.conf.eth0.promote_secondaries=0")
    said = net.vip("a", "192.0.2.100/24", "start", "ip address delete 192.0.2.1/24 dev eth0", "news", "status")
    assert said[2:] == ["warning: someone removed 192.0.2.100/24 from eth0; hamgr put it back", "running"]


def test_what_is_put_back_is_announced(net: Net) -> None:
    address = "192.0.2.100"
    net.sysctl("client", "net.ipv4.neigh.eth0.locktime=0")
    wrong = ["lladdr", net.mac("b"), "dev", "eth0", "nud", "stale"]
    net.ping_from("client", "192.0.2.1")
    net.ip("client", "neighbour", "add", address, *wrong)
    net.vip("a", address, "status", "start", announcements=0)
    assert net.neighbour(address) == net.mac("b")
    net.vip("a", address, "status", f"ip address delete {address}/24 dev eth0", "news", announcements=1)
    assert net.neighbour(address) == net.mac("a")


def test_an_address_that_is_removed_again_and_again_is_given_up(net: Net) -> None:
    removed, rounds = "ip address delete 192.0.2.100/24 dev eth0", 5
    said = net.vip("a", "192.0.2.100/24", "start", *[removed, "news"] * (rounds + 1), "status")
    told = [word for word in said if word.startswith(("warning", "lost"))]
    assert told[:rounds] == ["warning: someone removed 192.0.2.100/24 from eth0; hamgr put it back"] * rounds
    assert told[rounds].startswith("lost: someone removes 192.0.2.100/24 from eth0 again and again: 6 times within ")
    assert said[-1] == "stopped"


def test_an_address_that_is_not_ours_now_is_not_put_back(net: Net) -> None:
    """The machine slept past its lease, and who removed the address was the guard that stops what it must not have."""
    said = net.vip(
        "a", "192.0.2.100/24", "start", "ip address delete 192.0.2.100/24 dev eth0", "news", "status", may_mend=False
    )
    assert said[2:] == ["lost: someone removed 192.0.2.100/24 from eth0", "stopped"]
    assert not net.has("a", "192.0.2.100")


def test_a_stopped_address_is_not_put_back(net: Net) -> None:
    added, removed = (f"ip address {word} 192.0.2.100/24 dev eth0" for word in ("add", "delete"))
    assert net.vip("a", "192.0.2.100/24", "start", "stop", added, removed, "no news") == ["done"] * 5


@BOTH
def test_it_outlives_its_interface_going_down_and_up(net: Net, address: str) -> None:
    """IPv6 addresses do not, by themselves."""
    down, up = ("ip link set eth0 down", "ip link set eth0 up")
    said = net.vip("a", address, "start", down, "news", "status", up, "news", "status")
    assert said == [
        "done",
        "done",
        "vip hindered: interface eth0 is down",
        "running",
        "done",
        "vip hindered: ",
        "running",
    ]
    net.ping(address.split("/")[0])


@BOTH
def test_a_cable_that_is_pulled_hinders_and_is_no_failure(net: Net, address: str) -> None:
    pulled, put_back = (f"ip -n {net.ns('switch')} link set dev a {word}" for word in ("down", "up"))
    said = net.vip("a", address, "start", pulled, "news", "status", put_back, "news", "status")
    assert said[2:4] == ["vip hindered: interface eth0 has no carrier", "running"]
    assert said[5:] == ["vip hindered: ", "running"]


def test_a_cable_hinders_also_where_the_address_is_not(net: Net) -> None:
    """So that it does not move to a node whose cable is out too."""
    net.ip("switch", "link", "set", "dev", "a", "down")
    said = net.vip("a", "192.0.2.100/24", "news", f"ip -n {net.ns('switch')} link set dev a up", "news")
    assert said == ["vip hindered: interface eth0 has no carrier", "done", "vip hindered: "]


@BOTH
def test_an_interface_that_is_gone_is_a_failure_at_once_and_stopped(net: Net, address: str) -> None:
    said = net.vip("a", address, "start", "ip link delete eth0", "lost", "status", "stop", "start")
    assert said[2] == "lost: interface eth0 is gone"
    assert said[3:] == ["stopped", "done", "error: interface eth0 does not exist"]


def test_it_is_announced_again_from_time_to_time(net: Net) -> None:
    address = "192.0.2.100"
    net.sysctl("client", "net.ipv4.neigh.eth0.locktime=0")
    wrong = f"lladdr {net.mac('b')} dev eth0 nud stale"
    net.ip("client", "neighbour", "add", address, *wrong.split())
    spoiled = f"ip -n {net.ns('client')} neighbour change {address} {wrong}"
    until = f"until {net.ns('client')} {net.mac('a')}"
    net.vip("a", address, "start", until, spoiled, until, spoiled, until, announcements=1, announce_interval=0.05)


def test_label_and_broadcast_are_as_told(net: Net) -> None:
    net.vip("a", "192.0.2.100/25", "start", label="eth0:web", broadcast="192.0.2.255")
    found = shown(net, "192.0.2.100")
    assert (found["label"], found["broadcast"]) == ("eth0:web", "192.0.2.255")
    net.vip("a", "192.0.2.101/25", "start", broadcast="none")
    assert "broadcast" not in shown(net, "192.0.2.101")
    net.vip("a", "192.0.2.102/25", "start")
    assert shown(net, "192.0.2.102")["broadcast"] == "192.0.2.127"


def test_a_machines_own_connections_do_not_come_from_an_ipv6_address_that_may_leave_it(net: Net) -> None:
    def source() -> str:
        return json.loads(net.ip("a", "-json", "route", "get", "2001:db8::3"))[0]["prefsrc"]

    net.vip("a", "2001:db8::100/64", "start")
    assert shown(net, "2001:db8::100")["preferred_life_time"] == 0
    assert source() == "2001:db8::1"
    net.vip("a", "2001:db8::100/64", "stop")
    net.vip("a", "2001:db8::100/64", "start", deprecated=False)
    assert shown(net, "2001:db8::100").get("deprecated") is None


MANY = """
import asyncio, os, time
from hamgr.config.model import ResourceConfig
from hamgr.resources.resource import Surroundings
from hamgr.resources.vip import Vip

async def main():
    options = [{"address": f"10.9.{number // 250}.{number % 250 + 1}/16", "interface": "eth0"} for number in range(200)]
    vips = [Vip(ResourceConfig("vip", "vip", one), Surroundings()) for one in options]
    for vip in vips:
        await vip.prepare()
    began = time.perf_counter()
    await asyncio.gather(*(vip.start() for vip in vips))
    took = time.perf_counter() - began
    print(took, len(os.listdir("/proc/self/fd")))
    await asyncio.gather(*(vip.stop() for vip in vips))
    began = time.perf_counter()
    for vip in vips:
        await vip.close()
    print(time.perf_counter() - began)

asyncio.run(main())
"""


def test_two_hundred_addresses_start_within_a_second_and_share_their_sockets(net: Net) -> None:
    command = ["ip", "netns", "exec", net.ns("a"), sys.executable, net.script(MANY)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    start, descriptors, close = map(float, done.stdout.split())
    assert start < 1
    assert descriptors < 16
    assert close < 1


LOST = """
import asyncio, subprocess
from hamgr import netlink
netlink.EVENT_BUFFER = 1
from hamgr.resources.kernel import Kernel

async def main():
    kernel = Kernel.join()
    lines = [f"address add 10.9.{number // 250}.{number % 250 + 1}/16 dev eth0" for number in range(600)]
    lines += [f"link add name late{number} type veth peer name end{number}" for number in range(20)]
    subprocess.run(["ip", "-batch", "-"], input="\\n".join(lines), text=True, check=True)
    print(sum(str(held.address).startswith("10.9.") for held in kernel.everything()), kernel.card("late19") is not None)
    kernel.leave()

asyncio.run(main())
"""


def test_what_the_kernel_could_not_tell_is_read_anew(net: Net) -> None:
    """More events than its buffer holds, while the daemon did not look (netlink(7), ENOBUFS)."""
    command = ["ip", "netns", "exec", net.ns("a"), sys.executable, net.script(LOST)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["600", "True"]
