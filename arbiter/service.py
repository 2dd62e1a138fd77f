"""Serves the sessions of all clusters: each node's reports come in on its stream, and the answers go out on it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from arbiter.desk import ClusterDesk, NodeSession
from arbiter.keeper import Keeper
from hamgr.core.messages import ArbiterReport
from hamgr.links.acceptor import ENDS_STREAM, MAX_STRANGERS
from hamgr.links.arbiter import ARBITER, CLUSTER, LINK
from hamgr.links.codec import Codec, Rejected, RejectReason
from hamgr.links.counters import Counters
from hamgr.links.keys import Keys
from hamgr.v1 import arbiter_pb2_grpc as pb_grpc
from hamgr.v1 import cluster_pb2 as pb

log = logging.getLogger("hamgr-arbiter")

FIRST_REPORT = 5.0
"""Seconds in which a stream must bring an authentic report; what waits longer is no node."""


class ArbiterService(pb_grpc.ArbiterServicer):
    """All clusters behind one address."""

    def __init__(self, keys: dict[str, Keys], keeper: Keeper) -> None:
        self._keeper = keeper
        self.counters = Counters()
        self._strangers: dict[asyncio.Task[str], None] = {}
        incarnation = secrets.randbits(63) | 1
        self._desks = {
            cluster: ClusterDesk(cluster, Codec(cluster, ARBITER, found.keys, found.active, incarnation), keeper)
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
                waited = {reader, sending, session.closing}
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                if session.closing.done():
                    await context.abort(grpc.StatusCode.UNAVAILABLE, session.closing.result())
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
        await self._keeper.close()
