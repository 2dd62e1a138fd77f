"""Heartbeats over gRPC streams: each node dials each peer and sends on the stream that it dialled."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import grpc

from hamgr.config.model import LinkConfig
from hamgr.links.codec import MAX_FRAME, RejectReason
from hamgr.links.kernel import Interfaces
from hamgr.links.link import LinkError, Listener, Local
from hamgr.v1 import cluster_pb2 as pb
from hamgr.v1 import cluster_pb2_grpc as pb_grpc

log = logging.getLogger(__name__)

QUEUE = 64
"""Frames that wait for a stream at most; the oldest give way, since newer ones say the same and more."""

REDIAL = 0.05
"""Seconds between the end of a stream and the next attempt; the channel itself waits BACKOFF_MS between connects."""

BACKOFF_MS = 100
CONNECT_MS = 500
"""gRPC's "minimal back-off" is the time in which a connect must succeed: two round trips, also on a slow path."""

SILENCE_MS = 1000
"""After so many milliseconds without an acknowledgement a connection is given up (gRPC sets TCP_USER_TIMEOUT to
it, tcp(7)). Without this, a path that was cut and healed stays silent for TCP's whole retransmission back-off."""

ENDS_STREAM = frozenset(
    {RejectReason.UNAUTHENTICATED, RejectReason.MALFORMED, RejectReason.OTHER_CLUSTER, RejectReason.TOO_LARGE}
)
"""Who sends such a frame is no peer of ours; a stream of them is ended."""

CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.initial_reconnect_backoff_ms", BACKOFF_MS),
    ("grpc.min_reconnect_backoff_ms", CONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", BACKOFF_MS),
    ("grpc.keepalive_time_ms", SILENCE_MS),
    ("grpc.keepalive_timeout_ms", SILENCE_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", MAX_FRAME + 1024),
]
SERVER_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", SILENCE_MS),
    ("grpc.keepalive_timeout_ms", SILENCE_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", SILENCE_MS // 2),
    ("grpc.max_receive_message_length", MAX_FRAME + 1024),
]


def target(address: str, port: int) -> str:
    """A gRPC target of an IP address."""
    return f"[{address}]:{port}" if ipaddress.ip_address(address).version == 6 else f"{address}:{port}"


def bind_error(address: str, port: int) -> str:
    """Why a server could not bind: gRPC says only that it could not, so it is tried once more, plainly."""
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    try:
        with socket.create_server((address, port), family=family):
            return "refused, though it is free now"
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)


def log_end(task: asyncio.Task[None]) -> None:
    """Say why a task ended that should have run until it was cancelled (for Task.add_done_callback)."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s ended by an error of hamgr; restart the daemon", task.get_name(), exc_info=error)


class Outgoing:
    """Frames on their way into one stream: never more than QUEUE, the newest stay."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque(maxlen=QUEUE)
        self._filled = asyncio.Event()

    def put(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._filled.set()

    def take(self) -> bytes | None:
        """The oldest frame; None when none waits."""
        return self._frames.popleft() if self._frames else None

    def wake(self) -> None:
        """Let a `wait` end without a frame."""
        self._filled.set()

    async def wait(self) -> None:
        """Until a frame waits, or `wake` is called."""
        if not self._frames:
            await self._filled.wait()
        self._filled.clear()

    async def get(self) -> bytes:
        while (frame := self.take()) is None:
            await self.wait()
        return frame

    def clear(self) -> None:
        self._frames.clear()

    def __len__(self) -> int:
        return len(self._frames)


class _Acceptor(pb_grpc.PeerServicer):
    """Takes the streams that peers dialled; nothing is sent back on them."""

    def __init__(self, link: str, listener: Listener) -> None:
        self._link = link
        self._listener = listener

    async def Exchange(
        self, request_iterator: AsyncIterator[pb.Frame], context: grpc.aio.ServicerContext[pb.Frame, pb.Frame]
    ) -> AsyncIterator[pb.Frame]:
        async for frame in request_iterator:
            rejected = self._listener.received(self._link, frame.data, context.peer())
            if rejected in ENDS_STREAM:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, rejected.value)
        return
        yield  # an async generator that never yields: the answer stream stays empty


class StreamLink:
    """A server on this node's address, and a dialled stream to every peer."""

    def __init__(self, config: LinkConfig, local: Local, listener: Listener) -> None:
        self._config = config
        self._node = local.node
        self._listener = listener
        self._server: grpc.aio.Server | None = None
        self._outgoing = {name: Outgoing() for name in config.peers(local.node)}
        self._dialling: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        config = self._config
        server = grpc.aio.server(options=SERVER_OPTIONS)
        pb_grpc.add_PeerServicer_to_server(_Acceptor(config.name, self._listener), server)
        where = target(config.addresses[self._node], config.port)
        try:
            server.add_insecure_port(where)
        except RuntimeError as error:
            cause = bind_error(config.addresses[self._node], config.port)
            raise LinkError(f"link {config.name}: can't listen on {where}: {cause}") from error
        await server.start()
        self._server = server
        for peer in self._outgoing:
            task = asyncio.create_task(self._dial(peer), name=f"link {config.name} to {peer}")
            task.add_done_callback(log_end)
            self._dialling.append(task)

    async def _dial(self, peer: str) -> None:
        outgoing = self._outgoing[peer]
        where = target(self._config.addresses[peer], self._config.port)
        async with grpc.aio.insecure_channel(where, options=CHANNEL_OPTIONS) as channel:
            stub = pb_grpc.PeerStub(channel)
            while True:
                try:
                    await self._feed(stub, outgoing)
                except grpc.aio.AioRpcError as error:
                    self._listener.failed(self._config.name, error.details() or error.code().name)
                except asyncio.InvalidStateError:
                    # A write to a call that ended in the same moment (grpc.aio raises it instead of the status).
                    self._listener.failed(self._config.name, "the stream ended")
                outgoing.clear()
                await asyncio.sleep(REDIAL)

    @staticmethod
    async def _feed(stub: pb_grpc.PeerAsyncStub, outgoing: Outgoing) -> None:
        """One stream's life; raises AioRpcError when it ends."""
        call = stub.Exchange(None, wait_for_ready=True)  # None: we write
        ended = asyncio.ensure_future(call.read())
        ended.add_done_callback(lambda _ended: outgoing.wake())
        try:
            while not ended.done():
                frame = outgoing.take()
                if frame is None:
                    await outgoing.wait()
                else:
                    await call.write(pb.Frame(data=frame))
            ended.result()
        finally:
            ended.cancel()
            call.cancel()

    def interfaces_changed(self, interfaces: Interfaces) -> None:
        """Not acted on yet."""

    def send(self, to: str, frame: bytes, slot: str) -> None:
        self._outgoing[to].put(frame)

    def drop_waiting(self) -> None:
        for outgoing in self._outgoing.values():
            outgoing.clear()

    async def close(self) -> None:
        for task in self._dialling:
            task.cancel()
        await asyncio.gather(*self._dialling, return_exceptions=True)
        self._dialling.clear()
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None
