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
from hamgr.links.udp import UdpLink

DEADLINE = 5.0
KEYS = {1: b"k" * 32}
LIVES = {"a": 101, "b": 202}


def free_port(address: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def link(kind: str, name: str, addresses: tuple[str, str], **more: Any) -> LinkConfig:
    port = more.pop("port", None) or free_port(addresses[0])
    return LinkConfig(name, kind, port, dict(zip("ab", addresses, strict=True)), **more)


V4 = ("127.0.0.1", "127.0.0.2")


class End:
    """One node's transport, and what it heard."""

    def __init__(self, node: str, *links: LinkConfig) -> None:
        config: Any = SimpleNamespace(links=links)
        self.heard: asyncio.Queue[tuple[str, Packet]] = asyncio.Queue()
        codec = Codec("office", node, KEYS, 1, LIVES[node])
        self.transport = Transport(config, node, codec, lambda name, packet: self.heard.put_nowait((name, packet)))

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
    whole, alone = link("udp", "ha", V4), LinkConfig("lan", "udp", free_port("127.0.0.1"), {"a": "127.0.0.1"})
    a, b = End("a", whole, alone), End("b", whole)
    async with opened(a, b):
        a.beat("b", 1)
        assert (await b.hears())[0] == "ha"
        assert a.transport.counters.of("lan").frames_out == 0


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
        assert count.frames_in == 5
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
        assert a.transport.counters.of("ha").frames_out == 0


async def test_a_port_in_use_is_told_with_link_address_and_port_and_nothing_stays_open() -> None:
    first, second = link("udp", "lan", ("127.0.1.1", "127.0.1.2")), link("udp", "ha", V4)
    a = End("a", first, second)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
        squatter.bind((V4[0], second.port))
        with pytest.raises(LinkError) as error:
            await a.transport.open()
    assert str(error.value) == f"link ha: can't bind 127.0.0.1 port {second.port}: Address already in use"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.1.1", first.port))


async def test_an_address_that_is_not_ours_is_told() -> None:
    a = End("a", link("udp", "ha", ("192.0.2.1", "192.0.2.2"), port=5999))
    with pytest.raises(LinkError, match=r"link ha: can't bind 192\.0\.2\.1 port 5999: Cannot assign requested address"):
        await a.transport.open()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to bind to an interface")
async def test_a_missing_interface_is_told() -> None:
    a = End("a", link("udp", "ha", V4, interface="nosuch0"))
    with pytest.raises(LinkError, match=r"link ha: can't bind 127\.0\.0\.1 port \d+ on nosuch0: No such device"):
        await a.transport.open()


async def test_heartbeats_are_marked_as_network_control() -> None:
    one = UdpLink(link("udp", "ha", V4), "a", lambda *_: None, lambda *_: None)
    await one.open()
    try:
        assert one._socket is not None
        assert one._socket.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0xC0
        assert one._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 6
    finally:
        await one.close()


# -- in a network of its own: this file is run again there, with the name of one of the functions below ----------------


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


async def an_interface_comes_back() -> dict[str, Any]:
    def plug() -> None:
        ip("link", "add", "eth1", "type", "veth", "peer", "name", "far")
        ip("link", "set", "far", "up")
        ip("link", "set", "eth1", "up")
        ip("address", "add", "10.0.0.1/24", "dev", "eth1")

    plug()
    sent: list[str] = []
    ha = LinkConfig("ha", "udp", 694, {"a": "10.0.0.1", "b": "10.0.0.2"}, "eth1")
    one = UdpLink(ha, "a", lambda *_: None, lambda _, reason: sent.append(reason))
    await one.open()
    ip("neighbour", "add", "10.0.0.2", "lladdr", "02:00:00:00:00:02", "dev", "eth1", "nud", "permanent")
    one.send("b", b"before")
    before = list(sent)
    ip("link", "delete", "eth1")
    one.send("b", b"without")
    without = sent[len(before) :]
    plug()
    ip("neighbour", "add", "10.0.0.2", "lladdr", "02:00:00:00:00:02", "dev", "eth1", "nud", "permanent")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as far:
        far.bind(("far", 0x0800))
        far.settimeout(0.1)
        heard = False
        deadline = time.monotonic() + DEADLINE
        while not heard and time.monotonic() < deadline:
            one.send("b", b"after!")
            try:
                heard = b"after!" in far.recv(2000)
            except TimeoutError:
                continue
    await one.close()
    return {"before": before, "without": without, "heard": heard}


async def ipv6_both_ways() -> dict[str, Any]:
    ip("link", "set", "lo", "up")
    ip("address", "add", "fd00::1/128", "dev", "lo", "nodad")
    ip("address", "add", "fd00::2/128", "dev", "lo", "nodad")
    ha = link("udp", "ha", ("fd00::1", "fd00::2"))
    await both_ways(ha)
    await both_ways(link("grpc", "lan", ("fd00::1", "fd00::2")))
    one = UdpLink(ha, "a", lambda *_: None, lambda *_: None)
    await one.open()
    assert one._socket is not None
    traffic_class = one._socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
    await one.close()
    return {"class": traffic_class}


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
def test_an_interface_that_went_and_came_again_is_used_again() -> None:
    found = alone("an_interface_comes_back")
    assert found["before"] == []
    assert len(found["without"]) == 1
    assert found["heard"]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(globals()[sys.argv[1]]())))
