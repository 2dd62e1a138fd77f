"""A node's session with an arbiter, over real streams."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from arbiter.keeper import SqliteKeeper
from arbiter.service import ArbiterService
from arbiter.store import SqliteStore
from hamgr.config.model import ArbiterConfig
from hamgr.core.messages import ArbiterAnswer, ArbiterReport, Packet
from hamgr.links.acceptor import MAX_STRANGERS
from hamgr.links.arbiter import ARBITER, CLUSTER, LINK, ArbiterSession, _said
from hamgr.links.codec import Codec, Rejected, RejectReason
from hamgr.links.keys import Keys
from hamgr.links.seal import Key
from hamgr.links.stream import CHANNEL_OPTIONS, SERVER_OPTIONS
from hamgr.v1 import arbiter_pb2_grpc as pb_grpc
from hamgr.v1 import cluster_pb2 as pb

DEADLINE = 30.0
KEYS = {1: b"k" * 32}
LIFE = 77


def report(number: int) -> ArbiterReport:
    return ArbiterReport(number, 1, nodes=("a", "b"), alive=("a",), deadtime=0.1, settle=0.1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Node:
    """Node a's session, and what came of it."""

    def __init__(self, port: int) -> None:
        self.answers: asyncio.Queue[ArbiterAnswer] = asyncio.Queue()
        self.losses: asyncio.Queue[str] = asyncio.Queue()
        self.session = ArbiterSession(
            ArbiterConfig("127.0.0.1", port),
            Codec("office", "a", KEYS, 1, LIFE),
            lambda answer, _where: self.answers.put_nowait(answer),
            self.losses.put_nowait,
        )

    async def answered(self, number: int) -> ArbiterAnswer:
        async with asyncio.timeout(DEADLINE):
            while True:
                answer = await self.answers.get()
                if answer.echo_us == number:
                    return answer


@asynccontextmanager
async def node(port: int) -> AsyncIterator[Node]:
    one = Node(port)
    await one.session.start()
    try:
        yield one
    finally:
        await one.session.close()


class Desk(pb_grpc.ArbiterServicer):
    """An arbiter that keeps what it heard and answers each report; `held` stops it from reading on."""

    def __init__(self, life: int) -> None:
        self.codec = Codec("office", ARBITER, KEYS, 1, life)
        self.heard: asyncio.Queue[Packet] = asyncio.Queue()
        self.rejected: list[RejectReason] = []
        self.answers_to = LIFE

    async def Session(
        self, request_iterator: AsyncIterator[pb.Frame], context: grpc.aio.ServicerContext[pb.Frame, pb.Frame]
    ) -> AsyncIterator[pb.Frame]:
        async for frame in request_iterator:
            try:
                packet = self.codec.open(LINK, frame.data)
            except Rejected as rejected:
                self.rejected.append(rejected.reason)
                continue
            self.heard.put_nowait(packet)
            assert isinstance(packet.body, ArbiterReport)
            answer = ArbiterAnswer(packet.body.sent_us, True, 1)
            yield pb.Frame(
                data=self.codec.seal(LINK, Packet(ARBITER, self.codec.incarnation, "a", self.answers_to, answer))
            )

    async def hears(self) -> Packet:
        return await asyncio.wait_for(self.heard.get(), DEADLINE)


@asynccontextmanager
async def serving(port: int, servicer: pb_grpc.ArbiterServicer) -> AsyncIterator[None]:
    server = grpc.aio.server(options=SERVER_OPTIONS)
    pb_grpc.add_ArbiterServicer_to_server(servicer, server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(grace=None)


async def test_the_real_arbiter_answers(tmp_path: Path) -> None:
    port = free_port()
    service = ArbiterService({"office": Keys({1: Key(KEYS[1])}, 1)}, SqliteKeeper(SqliteStore(tmp_path)))
    try:
        async with serving(port, service), node(port) as a:
            a.session.send(report(1))
            assert (await a.answered(1)).echo_us == 1
            a.session.send(report(2))
            await a.answered(2)
    finally:
        await service.close()


async def test_reports_name_the_arbiters_life_as_soon_as_it_is_known() -> None:
    port, desk = free_port(), Desk(500)
    async with serving(port, desk), node(port) as a:
        a.session.send(report(1))
        assert (await desk.hears()).to_incarnation == 0
        again = await desk.hears()
        assert (again.to_incarnation, again.body) == (500, report(1))
        a.session.send(report(2))
        last = await desk.hears()
        assert (last.to_incarnation, last.body) == (500, report(2))


async def test_an_arbiter_that_was_started_anew_is_met_anew_within_a_second() -> None:
    port = free_port()
    async with node(port) as a:
        loop = asyncio.get_running_loop()
        for life in (500, 501, 502):
            desk = Desk(life)
            async with serving(port, desk):
                began = loop.time()
                a.session.send(report(life))
                await a.answered(life)
                assert loop.time() - began < 1.0
                assert [(await desk.hears()).to_incarnation for _ in range(2)] == [0, life]
                assert desk.rejected == []
            reason = await asyncio.wait_for(a.losses.get(), DEADLINE)
            assert f"127.0.0.1:{port}" in reason


async def test_an_arbiter_that_is_not_there_is_told() -> None:
    port = free_port()
    async with node(port) as a:
        assert f"127.0.0.1:{port}" in await asyncio.wait_for(a.losses.get(), DEADLINE)


async def test_only_the_newest_report_waits() -> None:
    port, desk = free_port(), Desk(500)
    async with node(port) as a:
        await asyncio.wait_for(a.losses.get(), DEADLINE)
        for number in range(1, 1000):
            a.session.send(report(number))
        async with serving(port, desk):
            await a.answered(999)
        numbers = {desk.heard.get_nowait().body.sent_us for _ in range(desk.heard.qsize())}  # type: ignore[union-attr]
        assert numbers == {999}


async def test_an_answer_to_another_life_of_ours_is_counted_and_dropped() -> None:
    port, desk = free_port(), Desk(500)
    desk.answers_to = LIFE - 1
    async with serving(port, desk), node(port) as a:
        a.session.send(report(1))
        await desk.hears()
        desk.answers_to = LIFE
        a.session.send(report(2))
        await a.answered(2)
        assert a.session.counters.of(LINK).rejected == {RejectReason.OLD_INCARNATION: 1}
        assert a.answers.empty() or a.answers.get_nowait().echo_us == 2


STORY = "failed to connect to all addresses; last error: UNKNOWN: "


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (STORY + "ipv4:10.0.0.9:5410: tcp handshaker shutdown", "no connection came about in time"),
        (STORY + "ipv6:%5B::1%5D:5410: Failed to connect to remote host: No route to host", "No route to host"),
        (STORY + "Ssl handshake failed: CERTIFICATE_VERIFY_FAILED", "Ssl handshake failed: CERTIFICATE_VERIFY_FAILED"),
        ("cluster office is not enrolled here", "cluster office is not enrolled here"),
    ],
)
def test_what_went_wrong_is_said_without_the_story_of_grpc_around_it(told: str, said: str) -> None:
    nothing = grpc.aio.Metadata()
    assert _said(grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, told)) == said


async def test_a_muted_session_reports_nothing() -> None:
    port, desk = free_port(), Desk(500)
    async with serving(port, desk), node(port) as a:
        a.session.send(report(1))
        await desk.hears()
        await desk.hears()
        a.session.send(report(2))
        a.session.mute()
        a.session.send(report(3))
        async with asyncio.timeout(DEADLINE):
            await a.answered(1)
            await a.answered(1)
        assert desk.heard.empty()


@asynccontextmanager
async def real_arbiter(directory: Path) -> AsyncIterator[int]:
    """An arbiter of cluster "office"; its port."""
    port = free_port()
    service = ArbiterService({"office": Keys({1: Key(KEYS[1])}, 1)}, SqliteKeeper(SqliteStore(directory)))
    try:
        async with serving(port, service):
            yield port
    finally:
        await service.close()


@asynccontextmanager
async def silent(port: int) -> AsyncIterator[grpc.aio.StreamStreamCall[pb.Frame, pb.Frame]]:
    """A stranger's session that says nothing."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
        call = pb_grpc.ArbiterStub(channel).Session(None, metadata=((CLUSTER, "office"),))
        await call.wait_for_connection()
        yield call


async def test_a_session_without_a_report_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arbiter.service.FIRST_REPORT", 0.2)
    async with real_arbiter(tmp_path) as port, silent(port) as call:
        with pytest.raises(grpc.aio.AioRpcError, match=r"no report within 0\.2 s"):
            await asyncio.wait_for(call.read(), DEADLINE)


async def test_strangers_are_bounded_and_keep_no_node_out(tmp_path: Path) -> None:
    async with real_arbiter(tmp_path) as port, AsyncExitStack() as strangers:
        calls = [await strangers.enter_async_context(silent(port)) for _ in range(MAX_STRANGERS + 3)]
        async with node(port) as a:
            a.session.send(report(1))
            await a.answered(1)
            for call in calls[:3]:
                with pytest.raises(grpc.aio.AioRpcError, match="too many streams without a report"):
                    await asyncio.wait_for(call.read(), DEADLINE)


class Several(Node):
    """Node a's session with an arbiter at several addresses."""

    def __init__(self, *ports: int, deadtime: float) -> None:
        super().__init__(ports[0])
        self.by: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        self.session = ArbiterSession(
            ArbiterConfig("127.0.0.1", ports[0], tuple(("127.0.0.1", port) for port in ports[1:])),
            Codec("office", "a", KEYS, 1, LIFE),
            lambda answer, where: self.by.put_nowait((answer.echo_us, where)),
            self.losses.put_nowait,
            deadtime,
        )

    async def reporting(self, until: str, store: str = "") -> float:
        """Report each tenth of a deadtime until this address answers a report; seconds that it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in itertools.count(int(began * 1_000_000)):
            self.session.send(replace(report(number), store=store))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    while (await self.by.get())[1] != until:
                        pass
                    return loop.time() - began
            assert loop.time() < began + DEADLINE
        raise AssertionError


@asynccontextmanager
async def several(*ports: int, deadtime: float) -> AsyncIterator[Several]:
    one = Several(*ports, deadtime=deadtime)
    await one.session.start()
    try:
        yield one
    finally:
        await one.session.close()


class Deaf(pb_grpc.ArbiterServicer):
    """A frozen arbiter: it takes everything and says nothing."""

    async def Session(
        self, request_iterator: AsyncIterator[pb.Frame], context: grpc.aio.ServicerContext[pb.Frame, pb.Frame]
    ) -> AsyncIterator[pb.Frame]:
        async for _frame in request_iterator:
            pass
        if False:
            yield


async def test_the_next_address_answers_within_a_deadtime_when_the_first_dies_or_freezes() -> None:
    first, second, third = free_port(), free_port(), free_port()
    async with several(first, second, third, deadtime=2.0) as a, serving(third, Desk(501)):
        async with serving(first, Desk(500)):
            await a.reporting(until=f"127.0.0.1:{first}")
        async with serving(second, Deaf()):
            assert await a.reporting(until=f"127.0.0.1:{third}") < 2.0
        told = [a.losses.get_nowait() for _ in range(a.losses.qsize())]
        assert any(f"127.0.0.1:{second} did not answer within 500 ms" in reason for reason in told)


async def test_an_address_that_is_dead_is_left_for_one_that_lives_and_tried_again() -> None:
    first, second = free_port(), free_port()
    async with several(first, second, deadtime=1.0) as a:
        for life in range(3):
            async with serving(second, Desk(600 + life)):
                await a.reporting(until=f"127.0.0.1:{second}")
            async with serving(first, Desk(500 + life)):
                await a.reporting(until=f"127.0.0.1:{first}")


async def test_another_store_is_left_for_the_clusters_own_arbiter(tmp_path: Path) -> None:
    """Two arbiters that do not know of each other, where one with two addresses was meant."""
    async with real_arbiter(tmp_path / "one") as strange, real_arbiter(tmp_path / "two") as own:
        store = store_of(tmp_path / "two")
        async with several(strange, own, deadtime=0.6) as a:
            await a.reporting(until=f"127.0.0.1:{strange}", store=store)
            await a.reporting(until=f"127.0.0.1:{own}", store=store)
            told = [a.losses.get_nowait() for _ in range(a.losses.qsize())]
            assert any(f"is not the cluster's arbiter: {store_of(tmp_path / 'one')}" in reason for reason in told)


def store_of(directory: Path) -> str:
    store = SqliteStore(directory, shared=True)
    try:
        return store.identity
    finally:
        store.close()
