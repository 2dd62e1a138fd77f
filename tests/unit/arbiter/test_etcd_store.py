"""Several arbiter processes over one real etcd: one vote an epoch, whichever of them answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from etcds import NEEDS_ETCD, EtcdCluster, etcd, free_ports

from arbiter.decide import VoteBook
from arbiter.etcd import Etcd, Put
from arbiter.etcdconfig import EtcdConfig
from arbiter.etcdkeeper import EtcdKeeper, Moved, names_in
from arbiter.leads import Leads
from arbiter.sharing import SharedService
from arbiter.store import StoreError
from hamgr.config.model import ArbiterConfig
from hamgr.core.messages import ArbiterAnswer, ArbiterReport, ClusterState, Stamp
from hamgr.links.arbiter import ArbiterSession
from hamgr.links.codec import Codec
from hamgr.links.keys import Keys
from hamgr.links.seal import Key
from hamgr.links.stream import SERVER_OPTIONS
from hamgr.v1 import arbiter_pb2_grpc as pb_grpc

pytestmark = NEEDS_ETCD

KEYS = {1: b"k" * 32}
DEADLINE = 20.0
REPORT = ArbiterReport(1, 4, nodes=("a", "b"), alive=("a",), deadtime=60.0, settle=0.3)
BOOK = VoteBook(True, 7, "b", ClusterState(Stamp(7, 2), "b"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """One member; each test uses a prefix of its own."""
    with etcd(tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster


def config_of(cluster: EtcdCluster, prefix: str, port: int = 1) -> EtcdConfig:
    return EtcdConfig(cluster.endpoints, f"127.0.0.1:{port}", prefix=f"/{prefix}/", timeout=1.0)


@asynccontextmanager
async def keeper_of(cluster: EtcdCluster, prefix: str, lead: str = "") -> AsyncIterator[EtcdKeeper]:
    client = Etcd(config_of(cluster, prefix))
    leads = Leads(client)
    keeper = EtcdKeeper(client, leads)
    try:
        if lead:
            assert (await leads.of(lead)).address == ""
        yield keeper
    finally:
        await keeper.close()


async def test_a_book_comes_back_and_the_identity_stays(server: EtcdCluster) -> None:
    async with keeper_of(server, "one", lead="office") as keeper:
        assert await keeper.load("office") == VoteBook()
        await keeper.save("office", BOOK)
        assert await keeper.load("office") == BOOK
        assert await keeper.news("office") is None
        identity = keeper.identity
        assert await names_in(keeper._etcd) == ["office"]
    async with keeper_of(server, "one") as keeper:
        assert await keeper.load("office") == BOOK
        assert keeper.identity == identity
    async with keeper_of(server, "two") as keeper:
        await keeper.load("office")
        assert keeper.identity != identity


async def test_who_does_not_lead_anymore_can_neither_vote_nor_answer(server: EtcdCluster) -> None:
    async with keeper_of(server, "three", lead="office") as first:
        await first.load("office")
        await first.save("office", BOOK)
        async with keeper_of(server, "three") as second:
            lead = await second._leads.of("office")
            assert lead.address
            assert await second._leads.seize("office", lead)
            await second.load("office")
            with pytest.raises(Moved):
                await first.save("office", replace(BOOK, vote_epoch=8, voted_for="a"))
            await second.save("office", replace(BOOK, vote_epoch=8, voted_for="b"))
            with pytest.raises(Moved):
                await first.news("office")
            lead = await first._leads.of("office")
            assert not await first._leads.seize("office", lead), "it was taken from this one a moment ago"


async def test_a_book_that_was_changed_is_told_and_not_overwritten(server: EtcdCluster) -> None:
    """Even two processes that both hold the same lead could not vote twice."""
    async with keeper_of(server, "four", lead="office") as first, keeper_of(server, "four") as second:
        second._leads._mine = first._leads._mine
        await first.load("office")
        await second.load("office")
        await first.save("office", BOOK)
        with pytest.raises(StoreError, match="another arbiter process wrote"):
            await second.save("office", replace(BOOK, voted_for="a"))
        assert await second.news("office") == BOOK
        assert await second.news("office") is None


async def test_the_nodes_of_a_cluster_that_come_at_once_find_one_lead(server: EtcdCluster) -> None:
    """The second one took it from ourselves, and the vote that was under way waited for the first one's for ever."""
    async with keeper_of(server, "at-once") as keeper:
        leads = await asyncio.gather(*(keeper._leads.of("office") for _ in range(8)))
        assert {(lead.address, lead.revision) for lead in leads} == {("", keeper._leads.held("office"))}


async def test_a_book_is_written_though_the_lead_was_taken_anew_meanwhile(server: EtcdCluster) -> None:
    async with keeper_of(server, "anew", lead="office") as keeper:
        await keeper.load("office")
        put = keeper._put

        async def late(what: Put) -> int:
            keeper._put = put  # type: ignore[method-assign]
            assert await keeper._leads._take("office", keeper._leads.held("office"))
            return await put(what)

        keeper._put = late  # type: ignore[method-assign]
        async with asyncio.timeout(5.0):
            await keeper.save("office", BOOK)
        assert await keeper.load("office") == BOOK


async def test_a_book_that_etcd_never_takes_is_given_up_in_time(server: EtcdCluster) -> None:
    async with keeper_of(server, "given-up", lead="office") as keeper:
        await keeper.load("office")

        async def refused(_what: Put) -> int:
            return 0

        keeper._put = refused  # type: ignore[method-assign]
        async with asyncio.timeout(5.0):
            with pytest.raises(StoreError, match="was not written in 1 s"):
                await keeper.save("office", BOOK)


async def test_many_look_ups_at_once_are_few_requests(server: EtcdCluster) -> None:
    names = [f"c{number}" for number in range(200)]
    async with keeper_of(server, "five") as keeper:
        await asyncio.gather(*(keeper._leads.of(name) for name in names))
        await asyncio.gather(*(keeper.load(name) for name in names))
        await asyncio.gather(*(keeper.save(name, BOOK) for name in names))
        asked = []
        get = keeper._etcd.get

        async def counted(*keys: bytes) -> list[object]:
            asked.append(len(keys))
            return await get(*keys)

        keeper._etcd.get = counted  # type: ignore[method-assign]
        assert await asyncio.gather(*(keeper.news(name) for name in names)) == [None] * 200
        assert len(asked) <= 5


class Processes:
    """Arbiter processes over one etcd, for cluster "office"; they are services in this process, each on its port."""

    def __init__(self, cluster: EtcdCluster, prefix: str, count: int) -> None:
        self._cluster = cluster
        self._prefix = prefix
        self.ports = free_ports(count)
        self._running: dict[int, AsyncExitStack] = {}

    async def start(self, number: int) -> None:
        stack = AsyncExitStack()
        port = self.ports[number]
        config = config_of(self._cluster, self._prefix, port)
        service = SharedService({"office": Keys({1: Key(KEYS[1])}, 1)}, config)
        server = grpc.aio.server(options=SERVER_OPTIONS)
        pb_grpc.add_ArbiterServicer_to_server(service, server)
        assert server.add_insecure_port(f"127.0.0.1:{port}") == port
        await server.start()
        stack.push_async_callback(service.close)
        stack.push_async_callback(server.stop, None)
        self._running[number] = stack

    async def kill(self, number: int) -> None:
        """It is gone, and says nothing to etcd: its lease runs on."""
        stack = self._running.pop(number)

        async def refuse(lease: int) -> None:
            raise StoreError("killed")

        for callback in stack._exit_callbacks:
            service = getattr(callback[1], "__wrapped__", None) or getattr(callback[1], "__self__", None)
            if isinstance(service, SharedService):
                service._leads._etcd.revoke = refuse  # type: ignore[method-assign]
        await stack.aclose()

    async def close(self) -> None:
        for number in list(self._running):
            await self._running.pop(number).aclose()


@asynccontextmanager
async def processes(cluster: EtcdCluster, prefix: str, count: int) -> AsyncIterator[Processes]:
    made = Processes(cluster, prefix, count)
    try:
        for number in range(count):
            await made.start(number)
        yield made
    finally:
        await made.close()


class Node:
    """A node's real session with the processes at these ports."""

    def __init__(self, name: str, *ports: int, deadtime: float = 1.0) -> None:
        self.answers: asyncio.Queue[ArbiterAnswer] = asyncio.Queue()
        self.losses: list[str] = []
        more = tuple(("127.0.0.1", port) for port in ports[1:])
        self.session = ArbiterSession(
            ArbiterConfig("127.0.0.1", ports[0], more),
            Codec("office", name, KEYS, 1, ord(name)),
            lambda answer, _where: self.answers.put_nowait(answer),
            self.losses.append,
            deadtime,
        )

    async def answer(self, report: ArbiterReport, every: float = 0.0) -> ArbiterAnswer:
        """The answer to this report, said again and again as a node does."""
        deadline = asyncio.get_running_loop().time() + DEADLINE
        while asyncio.get_running_loop().time() < deadline:
            self.session.send(report)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    while True:
                        answer = await self.answers.get()
                        if answer.echo_us == report.sent_us:
                            return answer
        raise AssertionError(f"no answer; {self.losses}")

    async def until_voted(self, report: ArbiterReport) -> ArbiterAnswer:
        async with asyncio.timeout(DEADLINE):
            answer = await self.answer(report)
            while not answer.voted_for:
                report = replace(report, sent_us=report.sent_us + 1)
                answer = await self.answer(report)
            return answer


@asynccontextmanager
async def nodes(*found: Node) -> AsyncIterator[None]:
    for node in found:
        await node.session.start()
    try:
        yield
    finally:
        for node in found:
            await node.session.close()


A = REPORT
B = replace(REPORT, alive=("b",))


async def test_nodes_at_different_processes_are_decided_about_together(server: EtcdCluster) -> None:
    async with processes(server, "six", 2) as made:
        a, b = Node("a", made.ports[0]), Node("b", made.ports[1])
        async with nodes(a, b):
            assert not (await a.answer(A)).voter, "it has heard one node of two"
            told = await b.answer(B)
            assert told.voter, "the process that leads has heard both"
            assert told.store
            a.session.send(replace(A, sent_us=2, claim=5))
            chosen = await b.until_voted(replace(B, sent_us=2, claim=5, load=3))
            assert (chosen.vote_epoch, chosen.voted_for) == (5, "b")
            assert "is given to b" in (await a.answer(replace(A, sent_us=50, claim=5))).refused


async def test_the_next_process_takes_over_when_the_one_that_leads_is_killed(server: EtcdCluster) -> None:
    async with processes(server, "seven", 2) as made:
        a, b = Node("a", *made.ports), Node("b", *made.ports)
        async with nodes(a, b):
            await a.answer(A)
            await b.answer(B)
            b.session.send(replace(B, sent_us=2, claim=5, load=3))
            await a.answer(replace(A, sent_us=2, claim=5))
            assert (await a.until_voted(replace(A, sent_us=3, claim=5))).voted_for == "b"
            await made.kill(0)
            began = asyncio.get_running_loop().time()
            told = await a.answer(replace(A, sent_us=10, claim=5))
            assert asyncio.get_running_loop().time() - began < 3.0
            assert (told.vote_epoch, told.voted_for) == (5, "b")
            assert told.refused
            again = await b.answer(replace(B, sent_us=10, claim=6, alive=("a", "b")))
            while again.vote_epoch < 6:
                again = await b.answer(replace(B, sent_us=again.echo_us + 1, claim=6, alive=("a", "b")))
            assert again.voted_for == "b"


class Mute(pb_grpc.ArbiterServicer):
    async def Session(self, request_iterator: object, context: object) -> None:  # type: ignore[override]
        await asyncio.sleep(DEADLINE)


async def test_the_lead_moves_although_the_node_turns_away_sooner_than_that_is_found_out(server: EtcdCluster) -> None:
    """The process that leads keeps its lease, and takes sessions; nothing comes from there."""
    silent = grpc.aio.server(options=SERVER_OPTIONS)
    pb_grpc.add_ArbiterServicer_to_server(Mute(), silent)
    port = silent.add_insecure_port("127.0.0.1:0")
    await silent.start()
    client = Etcd(config_of(server, "eight", port))
    leads = Leads(client)
    assert (await leads.of("office")).address == ""
    async with processes(server, "eight", 1) as made:
        a = Node("a", made.ports[0], free_ports(1)[0], deadtime=0.4)
        async with nodes(a):
            await a.answer(A)
    await leads.close()
    await client.close()
    await silent.stop(None)


async def test_without_etcd_there_is_no_vote_and_no_support_and_the_node_is_told_why(tmp_path: Path) -> None:
    with etcd(tmp_path / "etcd") as cluster:
        async with processes(cluster, "office", 1) as made:
            a, b = Node("a", made.ports[0]), Node("b", made.ports[0])
            async with nodes(a, b):
                await a.answer(A)
                assert (await b.answer(B)).voter
                cluster.freeze(0)
                a.session.send(replace(A, sent_us=100, claim=5))
                deadline = asyncio.get_running_loop().time() + DEADLINE
                while not any("etcd does not answer" in reason for reason in a.losses):
                    assert asyncio.get_running_loop().time() < deadline
                    await asyncio.sleep(0.05)
                while not a.answers.empty():
                    assert a.answers.get_nowait().echo_us < 100
                cluster.thaw(0)
                assert (await a.until_voted(replace(A, sent_us=200, claim=6))).voted_for == "a"
