"""The UDP link and the transport over it, with real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hamgr.config.model import LinkConfig
from hamgr.core.messages import Heartbeat, Packet, VoteRequest
from hamgr.links.codec import MAX_FRAME, Codec, RejectReason
from hamgr.links.link import LinkError
from hamgr.links.transport import Transport

DEADLINE = 5.0
KEYS = {1: b"k" * 32}
LIVES = {"a": 101, "b": 202}


def free_port(address: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def link(kind: str, name: str, addresses: tuple[str, str], **more: Any) -> LinkConfig:
    port = more.pop("port", None) or free_port(addresses[0])
    return LinkConfig(name, kind, ("a", "b"), port, dict(zip("ab", addresses, strict=True)), **more)


V4 = ("127.0.0.1", "127.0.0.2")


class End:
    """One node's transport, and what it heard."""

    def __init__(self, node: str, *links: LinkConfig) -> None:
        config: Any = SimpleNamespace(links=links, tls=None, spec=SimpleNamespace(name="t", names=("a", "b")))
        self.heard: asyncio.Queue[tuple[str, Packet]] = asyncio.Queue()
        self.told: list[tuple[str, bool, str]] = []
        codec = Codec("office", node, KEYS, 1, LIVES[node])
        self.transport = Transport(
            config,
            node,
            codec,
            lambda name, packet: self.heard.put_nowait((name, packet)),
            lambda *change: self.told.append(change),
        )

    def beat(self, to: str, number: int) -> None:
        self.transport.send(to, LIVES[to], Heartbeat(number, 0))

    async def hears(self) -> tuple[str, Packet]:
        return await asyncio.wait_for(self.heard.get(), DEADLINE)


@asynccontextmanager
async def opened(*ends: End) -> AsyncIterator[None]:
    try:
        for end in ends:
            await end.transport.open()
        yield
    finally:
        for end in ends:
            await end.transport.close()


async def both_ways(*links: LinkConfig) -> None:
    a, b = End("a", *links), End("b", *links)
    async with opened(a, b):
        a.beat("b", 1)
        b.beat("a", 2)
        for end, sender, number in ((b, "a", 1), (a, "b", 2)):
            names = set()
            for _ in links:
                name, packet = await end.hears()
                names.add(name)
                assert (packet.sender, packet.incarnation) == (sender, LIVES[sender])
                assert packet.body == Heartbeat(number, 0)
            assert names == {one.name for one in links}


async def test_a_heartbeat_goes_both_ways_over_ipv4() -> None:
    await both_ways(link("udp", "ha", V4))


async def test_a_message_goes_out_on_every_link() -> None:
    await both_ways(link("udp", "ha", V4), link("udp", "lan", ("127.0.1.1", "127.0.1.2")))


async def test_a_link_that_leads_only_to_some_peers_is_used_for_them_alone() -> None:
    whole = link("udp", "ha", V4)
    port = free_port("127.0.0.1")
    alone = LinkConfig("lan", "udp", ("a", "c"), port, {"a": "127.0.0.1", "c": "127.0.0.3"})
    a, b = End("a", whole, alone), End("b", whole, alone)
    async with opened(a, b):
        a.beat("b", 1)
        assert (await b.hears())[0] == "ha"
        assert ("b", "lan") not in a.transport.quality
        assert "lan" not in b.transport.states


async def test_foreign_bytes_are_counted_and_harm_nothing() -> None:
    ha = link("udp", "ha", V4)
    a, b = End("a", ha), End("b", ha)
    async with opened(a, b):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for junk in (b"", b"hello", b"hg\x01\x01" + b"\0" * 60, b"\xff" * (MAX_FRAME + 1)):
                stranger.sendto(junk, (V4[1], ha.port))
        a.beat("b", 7)
        assert (await b.hears())[1].body == Heartbeat(7, 0)
        count = b.transport.counters.of("ha")
        assert b.transport.quality["a", "ha"].frames_in == 1
        assert count.rejected == {
            RejectReason.MALFORMED: 2,
            RejectReason.UNAUTHENTICATED: 1,
            RejectReason.TOO_LARGE: 1,
        }


async def test_a_burst_longer_than_one_wake_up_arrives_whole() -> None:
    ha = link("udp", "ha", V4)
    a, b = End("a", ha), End("b", ha)
    async with opened(a, b):
        for number in range(200):
            a.beat("b", number)
        heard = [(await b.hears())[1].body for _ in range(200)]
        assert heard == [Heartbeat(number, 0) for number in range(200)]


async def test_a_peer_that_is_not_there_raises_nothing() -> None:
    ha = link("udp", "ha", V4)
    a, b = End("a", ha), End("b", ha)
    async with opened(a):
        for number in range(10):
            a.beat("b", number)
        async with opened(b):
            a.beat("b", 99)
            assert (await b.hears())[1].body == Heartbeat(99, 0)


async def test_an_unreachable_peer_is_counted() -> None:
    a = End("a", link("udp", "ha", ("127.0.0.1", "192.0.2.1")))
    async with opened(a):
        a.beat("b", 1)  # from a loopback address to elsewhere: EINVAL
        assert a.transport.counters.of("ha").send_failures == 1


async def test_a_message_too_large_for_any_peer_is_counted_and_stays_here() -> None:
    ha = link("udp", "ha", V4)
    a, b = End("a", ha), End("b", ha)
    async with opened(a, b):
        a.transport.send("b", LIVES["b"], Heartbeat(1, 0, "x" * MAX_FRAME))
        a.beat("b", 2)
        assert (await b.hears())[1].body == Heartbeat(2, 0)
        assert a.transport.counters.of("ha").send_failures == 1


async def test_a_muted_node_says_nothing_anymore_but_hears() -> None:
    ha = link("udp", "ha", V4)
    a, b = End("a", ha), End("b", ha)
    async with opened(a, b):
        a.transport.mute()
        a.transport.send("b", LIVES["b"], VoteRequest(1))
        b.beat("a", 5)
        assert (await a.hears())[1].body == Heartbeat(5, 0)
        assert a.transport.quality["b", "ha"].frames_out == 0


async def test_a_port_in_use_is_told_with_link_address_and_port_and_nothing_stays_open() -> None:
    first, second = link("udp", "lan", ("127.0.1.1", "127.0.1.2")), link("udp", "ha", V4)
    a = End("a", first, second)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
        squatter.bind((V4[0], second.port))
        with pytest.raises(LinkError) as error:
            await a.transport.open()
    assert str(error.value) == f"link ha: can't bind 127.0.0.1 on lo port {second.port}: Address already in use"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.1.1", first.port))


async def test_an_address_that_is_not_ours_yet_is_waited_for() -> None:
    a = End("a", link("udp", "ha", ("203.0.113.1", "203.0.113.2"), port=5999))
    async with opened(a):
        assert a.told == [("ha", False, "waits for address 203.0.113.1")]
        a.beat("b", 1)
        assert a.transport.counters.of("ha").send_failures == 1


async def test_an_interface_that_is_not_there_yet_is_waited_for() -> None:
    a = End("a", link("udp", "ha", V4, interfaces={"a": "nosuch0"}))
    async with opened(a):
        assert a.told == [("ha", False, "waits for interface nosuch0")]


def bound(end: End, name: str = "ha") -> socket.socket:
    found = end.transport._links[name]._socket
    assert isinstance(found, socket.socket)
    return found


async def test_heartbeats_are_marked_as_network_control() -> None:
    a = End("a", link("udp", "ha", V4))
    async with opened(a):
        assert bound(a).getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0xC0
        assert bound(a).getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 6


# -- in a network of its own: this file is run again there, with the name of one of the functions below ----------------


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


async def told(end: End, up: bool) -> str:
    """Wait until the link says that it is up, or down; returns why."""
    async with asyncio.timeout(DEADLINE):
        while not end.told or end.told[-1][1] != up:  # noqa: ASYNC110 - the kernel does it
            await asyncio.sleep(0.005)
    return end.told[-1][2]


def plug() -> None:
    ip("link", "add", "eth1", "type", "veth", "peer", "name", "far")
    ip("link", "set", "far", "up")
    ip("link", "set", "eth1", "up")


def address(verb: str) -> None:
    ip("address", verb, "10.0.0.1/24", "dev", "eth1")
    if verb == "add":
        ip("neighbour", "replace", "10.0.0.2", "lladdr", "02:00:00:00:00:02", "dev", "eth1", "nud", "permanent")


def arrives(a: End) -> bool:
    """Whether a heartbeat of `a` comes out at the other end of its cable."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as far:
        far.bind(("far", 0x0800))
        far.settimeout(DEADLINE)
        a.beat("b", 1)
        try:
            return b"office" in far.recv(2000)
        except TimeoutError:
            return False


async def an_interface_comes_and_goes() -> dict[str, Any]:
    """Late, without its address, with it, without a carrier, without its address again, gone, and back."""
    ip("link", "set", "lo", "up")
    a = End("a", link("udp", "ha", ("10.0.0.1", "10.0.0.2"), port=694, interfaces={"a": "eth1"}))
    said = []
    async with opened(a):
        said.append(a.told[-1][2])
        plug()
        async with asyncio.timeout(DEADLINE):
            while "address" not in a.transport.states["ha"].detail:  # noqa: ASYNC110 - the kernel does it
                await asyncio.sleep(0.005)
        said.append(a.transport.states["ha"].detail)
        address("add")
        said.append(await told(a, True))
        works = [arrives(a)]
        ip("link", "set", "far", "down")
        began = time.monotonic()
        said.append(await told(a, False))
        took = time.monotonic() - began
        ip("link", "set", "far", "up")
        await told(a, True)
        works.append(arrives(a))
        address("delete")
        said.append(await told(a, False))
        address("add")
        await told(a, True)
        works.append(arrives(a))
        ip("link", "delete", "eth1")
        said.append(await told(a, False))
        plug()
        address("add")
        await told(a, True)
        works.append(arrives(a))
    return {"said": said, "works": works, "took": took}


async def ipv6_both_ways() -> dict[str, Any]:
    ip("link", "set", "lo", "up")
    ip("address", "add", "fd00::1/128", "dev", "lo", "nodad")
    ip("address", "add", "fd00::2/128", "dev", "lo", "nodad")
    ha = link("udp", "ha", ("fd00::1", "fd00::2"))
    await both_ways(ha)
    await both_ways(link("grpc", "lan", ("fd00::1", "fd00::2")))
    a = End("a", ha)
    async with opened(a):
        return {"class": bound(a).getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS)}


def alone(name: str) -> dict[str, Any]:
    """Run a function of this file in a new network namespace, which ends with it."""
    command = ["unshare", "--net", "--kill-child", "--fork", sys.executable, str(Path(__file__)), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"),
    reason="needs root, unshare (util-linux) and ip (iproute2)",
)


@pytest.mark.root
@needs_namespaces
def test_a_heartbeat_goes_both_ways_over_ipv6() -> None:
    assert alone("ipv6_both_ways") == {"class": 0xC0}


@pytest.mark.root
@needs_namespaces
def test_an_interface_that_comes_late_goes_and_comes_back_is_used_without_a_restart() -> None:
    found = alone("an_interface_comes_and_goes")
    assert found["said"] == [
        "waits for interface eth1",
        "waits for address 10.0.0.1 on eth1",
        "10.0.0.1 on eth1 port 694",
        "eth1 has no carrier",
        "waits for address 10.0.0.1 on eth1",
        "waits for interface eth1",
    ]
    assert found["works"] == [True, True, True, True]
    assert found["took"] < 1, "the kernel tells of a lost carrier at once"


if __name__ == "__main__":
    print(json.dumps(asyncio.run(globals()[sys.argv[1]]())))
