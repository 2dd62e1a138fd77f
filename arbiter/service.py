"""Serves the sessions of all clusters: reports come in, `arbiter.decide` decides, votes go to disk, answers go out."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from arbiter.decide import Answer, ArbiterEffect, ClusterArbiter, Explain, WakeAt
from arbiter.decide import Store as StoreEffect
from arbiter.store import Store, StoreError
from hamgr.core.messages import ArbiterAnswer, ArbiterReport, Packet
from hamgr.links.acceptor import ENDS_STREAM, MAX_STRANGERS
from hamgr.links.arbiter import ARBITER, CLUSTER, LINK
from hamgr.links.codec import Codec, Rejected, RejectReason
from hamgr.links.counters import Counters
from hamgr.links.keys import Keys
from hamgr.links.stream import Outgoing
from hamgr.v1 import arbiter_pb2_grpc as pb_grpc
from hamgr.v1 import cluster_pb2 as pb

log = logging.getLogger("hamgr-arbiter")

FIRST_REPORT = 5.0
"""Seconds in which a stream must bring an authentic report; what waits longer is no node."""

Call = Callable[[float], list[ArbiterEffect]]


class NodeSession:
    """One node's stream. incarnation: of the node's life that speaks on it."""

    def __init__(self, node: str, incarnation: int) -> None:
        self.node = node
        self.incarnation = incarnation
        self.outgoing = Outgoing()


class ClusterDesk:
    """One cluster: its arbitration, its sessions, and the order of what happens to it."""

    def __init__(self, cluster: str, codec: Codec, store: Store, disk: ThreadPoolExecutor) -> None:
        self.codec = codec
        self._cluster = cluster
        self._store = store
        self._disk = disk
        self._kept = store.load(cluster)
        self._arbiter = ClusterArbiter(self._kept)
        self._sessions: dict[str, NodeSession] = {}
        self._calls: asyncio.Queue[Call] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._worker = asyncio.create_task(self._work())

    def report(self, session: NodeSession, report: ArbiterReport) -> None:
        self._sessions[session.node] = session
        self._calls.put_nowait(lambda now: self._arbiter.report(now, session.node, session.incarnation, report))

    def greet(self, session: NodeSession) -> None:
        """Say that we are here and nothing else: an answer to no report."""
        self._send(session, ArbiterAnswer(echo_us=0, voter=False, epoch=0))

    def _send(self, session: NodeSession, answer: ArbiterAnswer) -> None:
        packet = Packet(ARBITER, self.codec.incarnation, session.node, session.incarnation, answer)
        session.outgoing.put(self.codec.seal(LINK, packet))

    def ended(self, session: NodeSession) -> None:
        if self._sessions.get(session.node) is session:
            del self._sessions[session.node]
            self._calls.put_nowait(lambda now: self._arbiter.lost(now, session.node))

    async def _work(self) -> None:
        """One call after the other; a vote is on disk before anything behind it is said."""
        loop = asyncio.get_running_loop()
        while True:
            call = await self._calls.get()
            for effect in call(time.monotonic()):
                if isinstance(effect, StoreEffect):
                    try:
                        await loop.run_in_executor(self._disk, self._store.save, self._cluster, effect.book)
                    except StoreError as error:
                        self._arbiter.restore(self._kept)
                        log.error("cluster %s: no vote, it can't be written: %s", self._cluster, error)
                        break
                    self._kept = effect.book
                else:
                    self._perform(loop, effect)

    def _perform(self, loop: asyncio.AbstractEventLoop, effect: ArbiterEffect) -> None:
        match effect:
            case Answer(node, answer):
                session = self._sessions.get(node)
                if session is not None:
                    self._send(session, answer)
            case WakeAt(at):
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = loop.call_later(max(0.0, at - time.monotonic()), self._tick)
            case Explain(text, facts):
                told = "; ".join(f"{name}: {fact}" for name, fact in facts.items())
                log.info("cluster %s: %s%s", self._cluster, text, f" ({told})" if told else "")

    def _tick(self) -> None:
        self._calls.put_nowait(self._arbiter.tick)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)


class ArbiterService(pb_grpc.ArbiterServicer):
    """All clusters behind one address."""

    def __init__(self, keys: dict[str, Keys], store: Store) -> None:
        # One thread: SQLite has one writer, and a vote never overtakes an earlier one.
        self._disk = ThreadPoolExecutor(1, "hamgr-arbiter-disk")
        self.counters = Counters()
        self._strangers: dict[asyncio.Task[str], None] = {}
        incarnation = secrets.randbits(63) | 1
        self._desks = {
            cluster: ClusterDesk(
                cluster, Codec(cluster, ARBITER, found.keys, found.active, incarnation), store, self._disk
            )
            for cluster, found in keys.items()
        }

    async def Session(
        self, request_iterator: AsyncIterator[pb.Frame], context: grpc.aio.ServicerContext[pb.Frame, pb.Frame]
    ) -> AsyncIterator[pb.Frame]:
        desk = self._desk_named(context)
        if desk is None:
            self.counters.rejected(LINK, RejectReason.OTHER_CLUSTER, context.peer())
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, RejectReason.OTHER_CLUSTER.value)
        opened: asyncio.Future[tuple[ClusterDesk, NodeSession]] = asyncio.get_running_loop().create_future()
        reader = asyncio.create_task(self._read(desk, request_iterator, context.peer(), opened))
        sending: asyncio.Task[bytes] | None = None
        try:
            waited: set[asyncio.Future[Any]] = {reader, opened}
            self._admit(reader)
            await asyncio.wait(waited, timeout=FIRST_REPORT, return_when=asyncio.FIRST_COMPLETED)
            self._strangers.pop(reader, None)
            if not reader.done() and not opened.done():
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, f"no report within {FIRST_REPORT:g} s")
            if reader.cancelled():
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams without a report")
            while not reader.done():
                _desk, session = opened.result()
                sending = sending or asyncio.create_task(session.outgoing.get())
                await asyncio.wait({reader, sending}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    yield pb.Frame(data=sending.result())
                    sending = None
            if reason := reader.result():
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, reason)
        finally:
            self._strangers.pop(reader, None)
            reader.cancel()
            if sending is not None:
                sending.cancel()
            if opened.done() and not opened.cancelled():
                desk, session = opened.result()
                desk.ended(session)

    async def _read(
        self,
        desk: ClusterDesk,
        frames: AsyncIterator[pb.Frame],
        source: str,
        opened: asyncio.Future[tuple[ClusterDesk, NodeSession]],
    ) -> str:
        """Take reports until the stream ends; returns why it must be ended, or ""."""
        session: NodeSession | None = None
        async for frame in frames:
            try:
                packet = desk.codec.open(LINK, frame.data)
            except Rejected as rejected:
                self.counters.rejected(LINK, rejected.reason, source)
                if rejected.reason in ENDS_STREAM:
                    return rejected.reason.value
                continue
            if not isinstance(packet.body, ArbiterReport):
                continue
            if session is None or (session.node, session.incarnation) != (packet.sender, packet.incarnation):
                if session is not None:
                    return "one stream carries one life of one node"
                session = NodeSession(packet.sender, packet.incarnation)
                opened.set_result((desk, session))
            if packet.to_incarnation == desk.codec.incarnation:
                desk.report(session, packet.body)
            else:
                # Meant for an earlier life of ours, or not for any: it may be a recording of a life that is over. The
                # answer tells our life, and only to a life that lives; what counts is said again to it.
                desk.greet(session)
        return ""

    def _desk_named(self, context: grpc.aio.ServicerContext[pb.Frame, pb.Frame]) -> ClusterDesk | None:
        """The desk of the cluster that a stream's metadata names. Nobody vouches for it: it only chooses the keys."""
        for name, value in context.invocation_metadata() or ():
            if name == CLUSTER and isinstance(value, str):
                return self._desks.get(value)
        return None

    def _admit(self, reader: asyncio.Task[str]) -> None:
        """Count a stream among the strangers."""
        if len(self._strangers) >= MAX_STRANGERS:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.cancel()
        self._strangers[reader] = None

    def reload(self, keys: Mapping[str, Keys]) -> None:
        """From now on use these keys for the clusters that are served."""
        for cluster, found in keys.items():
            self._desks[cluster].codec.reload(found.keys, found.active)

    async def close(self) -> None:
        for desk in self._desks.values():
            await desk.close()
        self._disk.shutdown()
