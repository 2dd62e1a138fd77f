"""Takes the streams that peers dialled, and ends those of everybody else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import grpc

from hamgr.links.codec import RejectReason
from hamgr.links.link import Listener
from hamgr.v1 import cluster_pb2 as pb
from hamgr.v1 import cluster_pb2_grpc as pb_grpc

log = logging.getLogger(__name__)

ENDS_STREAM = frozenset(
    {
        RejectReason.UNAUTHENTICATED,
        RejectReason.MALFORMED,
        RejectReason.OTHER_CLUSTER,
        RejectReason.TOO_LARGE,
        RejectReason.OTHER_SPEAKER,
    }
)
"""Who sends such a frame is no peer of ours; a stream of them is ended."""

FIRST_FRAME = 5.0
"""Seconds in which a stream must bring an authentic frame; what waits longer is no peer."""

MAX_STRANGERS = 64
"""Streams that brought no authentic frame yet; one more ends the oldest, so that strangers keep no peer out."""


class Acceptor(pb_grpc.PeerServicer):
    """Nothing is sent back on the streams. certified: the diallers have certificates."""

    def __init__(self, link: str, listener: Listener, certified: bool) -> None:
        self._link = link
        self._listener = listener
        self._certified = certified
        self._strangers: dict[asyncio.Timeout, None] = {}

    async def Exchange(
        self, request_iterator: AsyncIterator[pb.Frame], context: grpc.aio.ServicerContext[pb.Frame, pb.Frame]
    ) -> AsyncIterator[pb.Frame]:
        source, speakers = context.peer(), self._speakers(context)
        try:
            async with asyncio.timeout(FIRST_FRAME) as patience:
                self._admit(patience)
                try:
                    async for frame in request_iterator:
                        rejected = self._listener.received(self._link, frame.data, source, speakers)
                        if rejected in ENDS_STREAM:
                            if rejected is RejectReason.OTHER_SPEAKER:
                                self._tell_impostor(source, speakers)
                            await context.abort(grpc.StatusCode.UNAUTHENTICATED, rejected.value)
                        if rejected is None and patience in self._strangers:
                            del self._strangers[patience]
                            patience.reschedule(None)
                finally:
                    self._strangers.pop(patience, None)
        except TimeoutError:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no authentic frame in time")
        return
        yield  # an async generator that never yields: the answer stream stays empty

    def _speakers(self, context: grpc.aio.ServicerContext[pb.Frame, pb.Frame]) -> frozenset[str] | None:
        """Whom the dialler's certificate names; None without certificates."""
        if not self._certified:
            return None
        return frozenset(name.decode(errors="replace") for name in context.peer_identities() or ())

    def _admit(self, patience: asyncio.Timeout) -> None:
        """Count a stream among the strangers."""
        if len(self._strangers) >= MAX_STRANGERS:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.reschedule(asyncio.get_running_loop().time())
        self._strangers[patience] = None

    def _tell_impostor(self, source: str, speakers: frozenset[str] | None) -> None:
        text = "link %s: a stream from %s with the certificate of %s spoke as another node: ended; look at that machine"
        log.error(text, self._link, source, ", ".join(sorted(speakers or ())) or "nobody")
