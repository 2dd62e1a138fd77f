"""Serves the sessions of all clusters: each node's reports come in on its stream, and the answers go out on it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import grpc

from arbiter.authority import OwnCertificate
from arbiter.config import Limits
from arbiter.desk import ClusterDesk, NodeSession
from arbiter.door import Door, Guest, TurnedAway, certificate_of
from arbiter.explanations import Explanations
from arbiter.keeper import Keeper
from arbiter.pace import Pace
from arbiter.refusals import Refusals
from hamgr.core.messages import ArbiterReport
from hamgr.links.acceptor import ENDS_STREAM
from hamgr.links.arbiter import ARBITER, LINK
from hamgr.links.codec import Codec, Rejected
from hamgr.links.counters import Counters
from hamgr.links.keys import Keys
from hamgr.v1 import arbiter_pb2_grpc as pb_grpc
from hamgr.v1 import cluster_pb2 as pb

log = logging.getLogger("hamgr-arbiter")

FIRST_REPORT = 5.0
"""Seconds in which a stream must bring an authentic report; what waits longer is no node."""

SILENT_OF_A_CLUSTER = 8
"""Streams with a certificate of one cluster and without a report yet; one more ends the oldest."""

STREAMS_OF_A_NODE = 2
"""One that it uses, and one whose end we have not seen yet; one more ends the oldest."""


class ArbiterService(pb_grpc.ArbiterServicer):
    """All clusters behind one address. keys: of those that have a key file."""

    def __init__(
        self,
        keys: Mapping[str, Keys],
        keeper: Keeper,
        door: Door | None = None,
        limits: Limits | None = None,
        refusals: Refusals | None = None,
        explanations: Explanations | None = None,
    ) -> None:
        self.keeper = keeper
        self._explanations = explanations
        self._door = door or Door(keys)
        self._limits = limits or Limits()
        self.refusals = refusals or Refusals()
        self.counters = Counters()
        self._silent: dict[str, dict[asyncio.Task[str], None]] = {}
        self._guests: dict[asyncio.Task[str], Guest] = {}
        self._streams: dict[str, dict[str, list[asyncio.Task[str]]]] = {}
        self._ended: dict[asyncio.Task[str], tuple[grpc.StatusCode, str]] = {}
        self._incarnation = secrets.randbits(63) | 1
        self._desks: dict[str, ClusterDesk] = {}
        self.serve(keys)

    # -- sessions -----------------------------------------------------------------------------------------------

    async def Session(  # type: ignore[override]
        self, request_iterator: AsyncIterator[pb.Frame], context: grpc.aio.ServicerContext[pb.Frame, pb.Frame]
    ) -> None:
        """Writes what goes out itself: to yield it to gRPC costs a task and a wait for each answer."""
        try:
            guest = self._door.admit(context)
        except TurnedAway as turned_away:
            self.refusals.note("session", str(turned_away), context.peer())
            # A certificate that was good in the handshake says who it is; he may not, all the same.
            code = grpc.StatusCode.PERMISSION_DENIED if certificate_of(context) else grpc.StatusCode.UNAUTHENTICATED
            await context.abort(code, str(turned_away))
        desk = self._desks[guest.cluster]
        opened: asyncio.Future[NodeSession] = asyncio.get_running_loop().create_future()
        reader = asyncio.create_task(self._read(guest, desk, request_iterator, context.peer(), opened))
        self._guests[reader] = guest
        try:
            waited: set[asyncio.Future[Any]] = {reader, opened}
            self._admit(reader, guest)
            await asyncio.wait(waited, timeout=FIRST_REPORT, return_when=asyncio.FIRST_COMPLETED)
            self._known(reader, guest)
            if not reader.done() and not opened.done():
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, f"no report within {FIRST_REPORT:g} s")
            if opened.done() and not reader.done():
                session = opened.result()
                await self._write(session, reader, context)
                if session.closing.done():
                    await context.abort(grpc.StatusCode.UNAVAILABLE, session.closing.result())
            if reader.cancelled():
                code, reason = self._ended.get(reader, (grpc.StatusCode.UNAVAILABLE, "the arbiter ends"))
                self.refusals.note("session", reason, context.peer())
                await context.abort(code, reason)
            if found := reader.result():
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, found)
        finally:
            self._leave(reader, guest)
            if opened.done() and not opened.cancelled():
                desk.ended(opened.result())

    @staticmethod
    async def _write(
        session: NodeSession,
        reader: asyncio.Task[str],
        context: grpc.aio.ServicerContext[pb.Frame, pb.Frame],
    ) -> None:
        """Send what goes out on a session, until nothing comes in anymore or we end it."""
        outgoing = session.outgoing
        for end in (reader, session.closing):
            end.add_done_callback(lambda _end: outgoing.wake())
        while not reader.done() and not session.closing.done():
            await outgoing.wait()
            while (data := outgoing.take()) is not None:
                await context.write(pb.Frame(data=data))

    async def _read(
        self,
        guest: Guest,
        desk: ClusterDesk,
        frames: AsyncIterator[pb.Frame],
        source: str,
        opened: asyncio.Future[NodeSession],
    ) -> str:
        """Take reports until the stream ends; returns why it must be ended, or ""."""
        session: NodeSession | None = None
        pace = Pace()
        async for frame in frames:
            try:
                packet = desk.codec.unseal(LINK, frame.data, guest.speakers).packet
            except Rejected as rejected:
                self.counters.rejected(LINK, rejected.reason, source)
                if rejected.reason in ENDS_STREAM:
                    return rejected.reason.value
                packet = None
            if packet is not None and isinstance(packet.body, ArbiterReport):
                if session is None or (session.node, session.incarnation) != (packet.sender, packet.incarnation):
                    if session is not None:
                        return "one stream carries one life of one node"
                    if refused := self._open(guest.cluster, packet.sender):
                        return refused
                    session = NodeSession(packet.sender, packet.incarnation)
                    opened.set_result(session)
                if packet.to_incarnation == desk.codec.incarnation:
                    desk.report(session, packet.body)
                else:
                    # Meant for an earlier life of ours, or not for any: it may be a recording of a life that is over.
                    # The answer tells our life, and only to a life that lives; what counts is said again to it.
                    desk.greet(session)
            if wait := pace.wait(time.monotonic(), self._share(guest.cluster)):
                await asyncio.sleep(wait)
        return ""

    # -- bounds -------------------------------------------------------------------------------------------------

    def _share(self, cluster: str) -> float:
        """Reports a second for each stream of a cluster."""
        streams = sum(map(len, self._streams.get(cluster, {}).values()))
        return self._limits.reports / max(1, streams)

    def _admit(self, reader: asyncio.Task[str], guest: Guest) -> None:
        """Count a stream that has said nothing yet. Those of one cluster don't push those of another out."""
        silent = self._silent.setdefault(guest.cluster if guest.serial else "", {})
        if len(silent) >= (SILENT_OF_A_CLUSTER if guest.serial else self._limits.strangers):
            self._end(next(iter(silent)), grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams without a report")
        silent[reader] = None

    def _known(self, reader: asyncio.Task[str], guest: Guest) -> None:
        pool = guest.cluster if guest.serial else ""
        silent = self._silent.get(pool, {})
        silent.pop(reader, None)
        if not silent:
            self._silent.pop(pool, None)

    def _open(self, cluster: str, node: str) -> str:
        """Count a stream as this node's; returns why it can't be, or ""."""
        task = asyncio.current_task()
        assert task is not None
        nodes = self._streams.setdefault(cluster, {})
        if node not in nodes and len(nodes) >= self._limits.nodes:
            return f"{len(nodes)} nodes of cluster {cluster} are here, and limits.nodes allows {self._limits.nodes}"
        streams = nodes.setdefault(node, [])
        while len(streams) >= STREAMS_OF_A_NODE:
            self._end(streams[0], grpc.StatusCode.ABORTED, f"{node} has opened newer streams")
        streams.append(task)
        return ""

    def _end(self, reader: asyncio.Task[str], code: grpc.StatusCode, reason: str) -> None:
        self._ended[reader] = (code, reason)
        guest = self._guests[reader]
        self._known(reader, guest)
        self._close_stream(reader, guest)
        reader.cancel()

    def _leave(self, reader: asyncio.Task[str], guest: Guest) -> None:
        self._known(reader, guest)
        self._close_stream(reader, guest)
        self._guests.pop(reader, None)
        self._ended.pop(reader, None)
        reader.cancel()

    def _close_stream(self, reader: asyncio.Task[str], guest: Guest) -> None:
        nodes = self._streams.get(guest.cluster, {})
        for node, streams in list(nodes.items()):
            if reader in streams:
                streams.remove(reader)
            if not streams:
                del nodes[node]
        if not nodes:
            self._streams.pop(guest.cluster, None)

    # -- clusters -----------------------------------------------------------------------------------------------

    def serve(self, keys: Mapping[str, Keys]) -> None:
        """Serve these clusters too, with these keys from now on."""
        for cluster, found in keys.items():
            if cluster in self._desks:
                self._desks[cluster].codec.reload(found.keys, found.active)
            else:
                codec = Codec(cluster, ARBITER, found.keys, found.active, self._incarnation)
                explained = self._explanations.keep if self._explanations is not None else None
                self._desks[cluster] = ClusterDesk(cluster, codec, self.keeper, explained)

    async def drop(self, clusters: Iterable[str]) -> None:
        """Serve these no longer. `look` has ended their streams before, if the door has no room for them any more."""
        for cluster in clusters:
            desk = self._desks.pop(cluster, None)
            if desk is not None:
                await desk.close()

    def present(self, own: OwnCertificate, bundle: str) -> None:
        """What this process shows from now on, and whom it believes; of use when there are others like it."""

    def look(self) -> list[str]:
        """End the streams of whoever may stay no longer; returns the reasons, one for each."""
        reasons = []
        for reader, guest in list(self._guests.items()):
            if (objection := self._door.objection(guest)) and not reader.done():
                self._end(reader, grpc.StatusCode.PERMISSION_DENIED, objection)
                reasons.append(objection)
        return reasons

    @property
    def clusters(self) -> frozenset[str]:
        return frozenset(self._desks)

    @property
    def healthy(self) -> bool:
        """Whether every vote that was asked for lately could be kept."""
        return not any(desk.trouble for desk in self._desks.values())

    def facts(self, cluster: str) -> list[dict[str, Any]]:
        """What is known of each node of a cluster since the arbiter started."""
        desk = self._desks.get(cluster)
        return [] if desk is None else desk.facts()

    async def close(self) -> None:
        for desk in self._desks.values():
            await desk.close()
        await self.keeper.close()
        if self._explanations is not None:
            await self._explanations.close()
