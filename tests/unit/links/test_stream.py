"""gRPC streams between nodes: restarts, busy ports, stuck peers, and paths that go silent and come back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from hamgr.config.model import LinkConfig, TlsConfig
from hamgr.core.messages import Heartbeat, Packet
from hamgr.links.acceptor import MAX_STRANGERS
from hamgr.links.codec import Codec, RejectReason, Unsealed
from hamgr.links.link import LinkError
from hamgr.links.stream import CHANNEL_OPTIONS, QUEUE, Outgoing
from hamgr.links.transport import Transport
from hamgr.v1 import cluster_pb2 as pb
from hamgr.v1 import cluster_pb2_grpc as pb_grpc

DEADLINE = 10.0
HEALS_WITHIN = 1.0
"""Seconds after which a link must be back once its peer or its path is (measured: 0.1 to 0.7)."""

KEYS = {1: b"k" * 32}
LIVES = {"a": 101, "b": 202}
KEEPALIVE = 0.02
CUTS = (0.3, 2.0, 5.0)
"""Seconds for which the path is cut: before and after TCP gives up, and long enough for its back-off to grow."""


def lan(port: int = 0, addresses: tuple[str, str] = ("127.0.0.1", "127.0.0.2")) -> LinkConfig:
    if not port:
        with socket.create_server((addresses[0], 0)) as probe:
            port = probe.getsockname()[1]
    return LinkConfig("lan", "grpc", ("a", "b"), port, dict(zip("ab", addresses, strict=True)))


class End:
    """One node that beats each KEEPALIVE, and what it heard."""

    def __init__(self, node: str, link: LinkConfig, life: int = 0, tls: TlsConfig | None = None) -> None:
        config: Any = SimpleNamespace(links=(link,), tls=tls, spec=SimpleNamespace(name="t", names=("a", "b")))
        self.node = node
        self.peer = "b" if node == "a" else "a"
        self.heard: asyncio.Queue[Packet] = asyncio.Queue()
        self.codec = Codec("office", node, KEYS, 1, life or LIVES[node])
        self.changes: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
        self.transport = Transport(
            config,
            node,
            self.codec,
            lambda _, packet: self.heard.put_nowait(packet),
            lambda _, up, detail: self.changes.put_nowait((up, detail)),
        )
        self._beating: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.transport.open()
        self._beating = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            self.transport.send(self.peer, 0, Heartbeat(time.monotonic_ns() // 1000, 0))
            await asyncio.sleep(KEEPALIVE)

    async def stop(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        await self.transport.close()

    async def change(self) -> tuple[bool, str]:
        """The next word of the link about itself."""
        return await asyncio.wait_for(self.changes.get(), DEADLINE)

    async def hears_anew(self) -> float:
        """Wait for a heartbeat that was sent after this call; returns how long it took, in seconds."""
        asked = time.monotonic()
        async with asyncio.timeout(DEADLINE):
            while True:
                packet = await self.heard.get()
                assert isinstance(packet.body, Heartbeat)
                if packet.body.sent_us >= asked * 1e6:
                    return time.monotonic() - asked


@asynccontextmanager
async def running(*ends: End) -> AsyncIterator[None]:
    try:
        for end in ends:
            await end.start()
        yield
    finally:
        for end in ends:
            await end.stop()


async def test_heartbeats_go_both_ways() -> None:
    link = lan()
    a, b = End("a", link), End("b", link)
    async with running(a, b):
        await a.hears_anew()
        await b.hears_anew()


async def test_a_peer_that_comes_later_or_again_is_heard_and_hears_within_a_second() -> None:
    link = lan()
    a = End("a", link)
    async with running(a):
        for life in (1, 2, 3):
            b = End("b", link, life)
            async with running(b):
                assert await b.hears_anew() < HEALS_WITHIN
                assert await a.hears_anew() < HEALS_WITHIN
                while not a.heard.empty():
                    a.heard.get_nowait()
                await a.hears_anew()


async def test_a_busy_port_is_told_with_its_cause() -> None:
    link = lan()
    with socket.create_server((link.addresses["a"], link.port)), pytest.raises(LinkError) as error:
        await End("a", link).start()
    assert str(error.value) == f"link lan: can't listen on 127.0.0.1:{link.port}: Address already in use"


async def test_two_daemons_never_share_a_port() -> None:
    link = lan()
    async with running(End("a", link)):
        with pytest.raises(LinkError, match="Address already in use"):
            await End("a", link).start()


async def test_an_address_that_is_not_there_is_waited_for_and_told() -> None:
    a = End("a", lan(5411, ("192.0.2.1", "192.0.2.2")))
    async with running(a):
        assert await a.change() == (False, "waits for address 192.0.2.1")


async def test_a_stranger_is_turned_away_and_counted() -> None:
    link = lan()
    a, b = End("a", link), End("b", link)
    async with running(a, b):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{link.port}") as channel:
            call = pb_grpc.PeerStub(channel).Exchange(None)
            await call.write(pb.Frame(data=b"hg\x01\x01" + b"\0" * 50))
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call.read()
        assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert a.transport.counters.of("lan").rejected == {RejectReason.UNAUTHENTICATED: 1}
        await a.hears_anew()


@asynccontextmanager
async def stream_to(link: LinkConfig) -> AsyncIterator[Any]:
    """A stranger's stream to node a."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{link.port}", options=CHANNEL_OPTIONS) as channel:
        call = pb_grpc.PeerStub(channel).Exchange(None)
        await call.wait_for_connection()
        yield call


async def test_a_stream_that_says_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hamgr.links.acceptor.FIRST_FRAME", 0.3)
    link = lan()
    a, b = End("a", link), End("b", link)
    async with running(a, b):
        async with stream_to(link) as call:
            with pytest.raises(grpc.aio.AioRpcError, match="no authentic frame in time"):
                await asyncio.wait_for(call.read(), DEADLINE)
        await a.hears_anew()
        await b.hears_anew()
        assert a.transport.counters.of("lan").send_failures == 0


async def test_strangers_streams_are_bounded_and_keep_no_peer_out() -> None:
    link = lan()
    a, b = End("a", link), End("b", link)
    async with running(a), AsyncExitStack() as strangers:
        calls = [await strangers.enter_async_context(stream_to(link)) for _ in range(MAX_STRANGERS + 3)]
        async with running(b):
            assert await a.hears_anew() < HEALS_WITHIN
        for call in calls[:4]:
            with pytest.raises(grpc.aio.AioRpcError, match="no authentic frame in time"):
                await asyncio.wait_for(call.read(), DEADLINE)


async def test_a_recorded_frame_is_refused_and_leaves_the_stream_alone() -> None:
    link = lan()
    recorded: list[bytes] = []
    a, b = End("a", link), End("b", link)
    unseal = a.codec.unseal

    def record(link: str, frame: bytes, speakers: frozenset[str] | None = None) -> Unsealed:
        recorded.append(frame)
        return unseal(link, frame, speakers)

    a.codec.unseal = record  # type: ignore[method-assign]
    async with running(a, b):
        await a.hears_anew()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{link.port}") as channel:
            call = pb_grpc.PeerStub(channel).Exchange(None)
            await call.write(pb.Frame(data=recorded[0]))
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
        assert a.transport.counters.of("lan").rejected == {RejectReason.REPLAYED: 1}


async def test_a_muted_node_drops_what_waits() -> None:
    link = lan()
    a = End("a", link)
    async with running(a):
        outgoing = a.transport._links["lan"]._outgoing["b"]  # type: ignore[attr-defined]
        for _ in range(5):
            a.transport.send("b", 0, Heartbeat(1, 0))
        assert len(outgoing) > 0
        a.transport.mute()
        a.transport.send("b", 0, Heartbeat(2, 0))
        assert len(outgoing) == 0


async def delayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Hand on what comes, each piece after so many seconds."""
    loop = asyncio.get_running_loop()
    while data := await reader.read(65536):
        loop.call_later(seconds, writer.write, data)


async def test_a_path_as_slow_as_between_continents_is_used() -> None:
    near, far = lan(), lan()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection(far.addresses["b"], far.port)
        try:
            await asyncio.gather(delayed(reader, onward_writer, 0.15), delayed(onward_reader, writer, 0.15))
        finally:
            onward_writer.close()
            writer.close()

    a, b = End("a", near), End("b", far)
    async with await asyncio.start_server(carry, near.addresses["b"], near.port) as path, running(a, b):
        await b.hears_anew()
        path.close()


async def test_the_newest_frames_stay_when_nobody_takes_them() -> None:
    outgoing = Outgoing()
    for number in range(3 * QUEUE):
        outgoing.put(bytes([number]))
    assert len(outgoing) == QUEUE
    assert await outgoing.get() == bytes([2 * QUEUE])


def peer_process(port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, "peer", str(port)])


async def test_a_stopped_peer_neither_blocks_nor_fills_memory_and_is_heard_when_it_goes_on() -> None:
    link = lan()
    a = End("a", link)
    async with running(a):
        peer = peer_process(link.port)
        try:
            await a.hears_anew()
            peer.send_signal(signal.SIGSTOP)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            outgoing = a.transport._links["lan"]._outgoing["b"]  # type: ignore[attr-defined]
            took = []
            body = Heartbeat(1, 0, "x" * 20_000)
            for _ in range(3000):
                began = time.monotonic()
                a.transport.send("b", 0, body)
                took.append(time.monotonic() - began)
                await asyncio.sleep(0)
            assert len(outgoing) <= QUEUE
            # Not the slowest one: that may be the machine's doing. A peer that blocks us would slow them all.
            assert sorted(took)[int(0.99 * len(took))] < 0.1
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert grown < 20_000, f"{grown} kB more for 60,000 kB that nobody took"
            peer.send_signal(signal.SIGCONT)
            assert await a.hears_anew() < DEADLINE
        finally:
            peer.kill()
            peer.wait()


# -- in a network of its own: this file is run again there -------------------------------------------------------------


CUT = """
table inet t {
  chain c {
    type filter hook input priority 0
    tcp dport 5411 drop
    tcp sport 5411 drop
  }
}
"""


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)


def nft(rules: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


async def cut_and_heal() -> dict[str, Any]:
    """Both nodes on one machine; the packets of the link vanish on the way for longer than TCP is patient."""
    for words in ("link set lo up", "address add 10.0.0.1/32 dev lo", "address add 10.0.0.2/32 dev lo"):
        ip(words)
    link = lan(5411, ("10.0.0.1", "10.0.0.2"))
    a, b = End("a", link), End("b", link)
    healed = []
    async with running(a, b):
        for seconds in CUTS:
            await asyncio.gather(a.hears_anew(), b.hears_anew())
            nft(CUT)
            await asyncio.sleep(seconds)  # the length of the fault, not a wait for anything
            nft("delete table inet t")
            healed.append(max(await asyncio.gather(a.hears_anew(), b.hears_anew())))
    return {"healed": healed}


@pytest.mark.root
@pytest.mark.skipif(
    os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("unshare", "ip", "nft")),
    reason="needs root, unshare (util-linux), ip (iproute2) and nft (nftables)",
)
def test_a_path_that_went_silent_is_used_again_within_a_second_of_its_return() -> None:
    command = ["unshare", "--net", "--kill-child", "--fork", sys.executable, __file__, "cut"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    healed = json.loads(done.stdout)["healed"]
    assert max(healed) < HEALS_WITHIN, healed


async def late_address() -> dict[str, Any]:
    """Node a's address comes after its start, goes, and comes back, then its whole interface."""
    ip("link set lo up")
    ip("link add veth0 type veth peer name veth1")
    ip("link set veth1 up")
    ip("address add 10.0.0.2/32 dev lo")
    link = lan(5411, ("10.0.0.1", "10.0.0.2"))
    a, b = End("a", link), End("b", link)
    said: list[tuple[bool, str]] = []
    healed = []
    async with running(a, b):
        said.append(await a.change())
        for _ in range(2):
            ip("link set veth0 up")
            ip("address add 10.0.0.1/24 dev veth0")
            came = time.monotonic()
            said.append(await a.change())
            await asyncio.gather(a.hears_anew(), b.hears_anew())
            healed.append(time.monotonic() - came)
            ip("address del 10.0.0.1/24 dev veth0")
            said.append(await a.change())
        ip("link del veth0")
        ip("link add veth0 type veth peer name veth1")
        ip("link set veth1 up")
        ip("link set veth0 up")
        ip("address add 10.0.0.1/24 dev veth0")
        came = time.monotonic()
        said.append(await a.change())
        await asyncio.gather(a.hears_anew(), b.hears_anew())
        healed.append(time.monotonic() - came)
    return {"said": said, "healed": healed}


@pytest.mark.root
@pytest.mark.skipif(
    os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("unshare", "ip")),
    reason="needs root, unshare (util-linux) and ip (iproute2)",
)
def test_an_address_that_comes_late_goes_and_returns_is_told_and_used() -> None:
    command = ["unshare", "--net", "--kill-child", "--fork", sys.executable, __file__, "late"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    waits, works = [False, "waits for address 10.0.0.1"], [True, "10.0.0.1:5411"]
    assert found["said"] == [waits, works, waits, works, waits, works]
    assert max(found["healed"]) < 2 * HEALS_WITHIN, found


async def peer(port: int) -> None:
    async with running(End("b", lan(port))):
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        if sys.argv[1] == "peer":
            asyncio.run(peer(int(sys.argv[2])))
        elif sys.argv[1] == "late":
            print(json.dumps(asyncio.run(late_address())))
        else:
            print(json.dumps(asyncio.run(cut_and_heal())))
