"""Heartbeats over gRPC streams: each node dials each peer and sends on the stream that it dialled.

With certificates both ends prove who they are: the dialled server is the peer by its name, and what comes on a stream
must be said by the node that the dialler's certificate names.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import grpc

from hamgr.config.model import LinkConfig
from hamgr.links.acceptor import MAX_STRANGERS, Acceptor
from hamgr.links.codec import MAX_FRAME
from hamgr.links.datagram import REBIND, NotYet
from hamgr.links.kernel import Interfaces
from hamgr.links.link import LinkError, Listener, Local
from hamgr.links.udp import Unicast
from hamgr.v1 import cluster_pb2 as pb
from hamgr.v1 import cluster_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from hamgr.links.tls import Credentials

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

LOOK_AGAIN = 5.0
"""Seconds between two looks at the certificates' files."""

SAY_AGAIN = 60.0
"""Seconds between two log lines about the same peer that can't be dialled for the same reason."""

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
    # Whoever connects and says nothing is not kept.
    ("grpc.server_handshake_timeout_ms", 5000),
    ("grpc.max_connection_idle_ms", 10_000),
    ("grpc.max_concurrent_streams", MAX_STRANGERS),
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


class StreamLink:
    """A server on this node's address, and a dialled stream to every peer."""

    def __init__(self, config: LinkConfig, local: Local, listener: Listener) -> None:
        self._config = config
        self._node = local.node
        self._listener = listener
        self._where = target(config.addresses[local.node], config.port)
        self._address = Unicast(config, local.node)
        self._interfaces: Interfaces = {}
        self._stale = asyncio.Event()
        self._server: grpc.aio.Server | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._outgoing = {name: Outgoing() for name in config.peers(local.node)}
        self._dialling: list[asyncio.Task[None]] = []
        self._said: dict[str, tuple[str, float]] = {}
        self._credentials: Credentials | None = None
        if local.tls is not None:
            from hamgr.links.tls import Credentials

            self._credentials = Credentials(local.tls, local.node, config.name)

    async def open(self) -> None:
        if self._credentials is not None:
            await self._credentials.refresh()
        await self._serve(first=True)
        self._dial_all()
        self._keeper = asyncio.create_task(self._keep(), name=f"link {self._config.name}")
        self._keeper.add_done_callback(log_end)

    def interfaces_changed(self, interfaces: Interfaces) -> None:
        self._interfaces = interfaces
        if self._keeper is not None:
            self._say_obstacle()
            self._stale.set()

    async def _keep(self) -> None:
        """Serve as soon as it can be done, and follow the certificates' files."""
        while True:
            wait = REBIND if self._server is None else LOOK_AGAIN if self._credentials is not None else None
            try:
                async with asyncio.timeout(wait):
                    await self._stale.wait()
            except TimeoutError:
                pass
            self._stale.clear()
            if self._credentials is not None and await self._credentials.refresh():
                # The server takes new certificates by itself, with the next handshake.
                self._dial_all()
            await self._serve()

    # -- listening ---------------------------------------------------------------------------------------------------

    def _say_obstacle(self) -> bool:
        """Tell what keeps the link from working here, if anything does."""
        try:
            interface = self._address.place(self._interfaces).interface
        except NotYet as waits:
            obstacle = str(waits)
        else:
            obstacle = f"{interface.name} has no carrier" if interface is not None and not interface.carrier else ""
        if self._credentials is not None and self._credentials.current is None:
            obstacle = self._credentials.problem
        if obstacle:
            self._listener.changed(self._config.name, False, obstacle)
        return bool(obstacle)

    async def _serve(self, first: bool = False) -> None:
        """Listen if we should and don't yet. A listening socket outlives its address, and works when it is back."""
        if self._say_obstacle() and self._server is None:
            return
        if self._server is None:
            server = grpc.aio.server(options=SERVER_OPTIONS)
            acceptor = Acceptor(self._config.name, self._listener, self._credentials is not None)
            pb_grpc.add_PeerServicer_to_server(acceptor, server)
            try:
                self._add_port(server)
            except RuntimeError as error:
                cause = bind_error(self._config.addresses[self._node], self._config.port)
                text = f"can't listen on {self._where}: {cause}"
                if first:
                    raise LinkError(f"link {self._config.name}: {text}") from error
                self._listener.changed(self._config.name, False, text)
                return
            await server.start()
            self._server = server
        if not self._say_obstacle():
            self._listener.changed(self._config.name, True, f"{self._where}{self._protected()}")

    def _add_port(self, server: grpc.aio.Server) -> None:
        credentials = self._credentials
        if credentials is None:
            server.add_insecure_port(self._where)
            return

        def newest() -> grpc.ServerCertificateConfiguration:
            """Asked by gRPC at each handshake."""
            assert credentials.current is not None
            return credentials.current.of_server()

        server.add_secure_port(self._where, grpc.dynamic_ssl_server_credentials(newest(), newest, True))

    def _protected(self) -> str:
        credentials = self._credentials
        if credentials is None or credentials.current is None:
            return ""
        until = f", certificate until {credentials.current.ends:%Y-%m-%d}"
        return until + (f"; {credentials.problem}" if credentials.problem else "")

    # -- dialling ----------------------------------------------------------------------------------------------------

    def _dial_all(self) -> None:
        """Dial every peer, anew where we did already: with the certificates that there are now."""
        for task in self._dialling:
            task.cancel()
        self._dialling.clear()
        if self._credentials is not None and self._credentials.current is None:
            return
        for peer in self._outgoing:
            task = asyncio.create_task(self._dial(peer), name=f"link {self._config.name} to {peer}")
            task.add_done_callback(log_end)
            self._dialling.append(task)

    def _channel(self, peer: str) -> grpc.aio.Channel:
        where = target(self._config.addresses[peer], self._config.port)
        if self._credentials is None or self._credentials.current is None:
            return grpc.aio.insecure_channel(where, options=CHANNEL_OPTIONS)
        options = [*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", peer)]
        return grpc.aio.secure_channel(where, self._credentials.current.of_client(), options=options)

    async def _dial(self, peer: str) -> None:
        outgoing = self._outgoing[peer]
        async with self._channel(peer) as channel:
            stub = pb_grpc.PeerStub(channel)
            while True:
                try:
                    await self._feed(stub, outgoing)
                except grpc.aio.AioRpcError as error:
                    self._failed(peer, error)
                except asyncio.InvalidStateError:
                    # A write to a call that ended in the same moment (grpc.aio raises it instead of the status).
                    self._listener.failed(self._config.name, "the stream ended")
                outgoing.clear()
                await asyncio.sleep(REDIAL)

    def _failed(self, peer: str, error: grpc.aio.AioRpcError) -> None:
        """Count it; say it when it is about who is who, since then time doesn't mend it."""
        reason = error.details() or error.code().name
        self._listener.failed(self._config.name, reason)
        refused = error.code() is grpc.StatusCode.UNAUTHENTICATED
        if not refused and not any(word in reason for word in ("handshake", "Verification", "CERTIFICATE")):
            return
        said, at = self._said.get(peer, ("", float("-inf")))
        now = time.monotonic()
        if reason != said or now - at >= SAY_AGAIN:
            self._said[peer] = (reason, now)
            log.error("link %s: no stream to %s: %s", self._config.name, peer, reason)

    async def _feed(self, stub: pb_grpc.PeerAsyncStub, outgoing: Outgoing) -> None:
        """One stream's life; raises AioRpcError when it ends."""
        # A stream that says nothing looks like a stranger's to the peer.
        while not outgoing:
            await outgoing.wait()
        # Who waits until it is ready never learns why a handshake fails.
        call = stub.Exchange(None, wait_for_ready=self._credentials is None)  # None: we write
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

    def send(self, to: str, frame: bytes, slot: str) -> None:
        self._outgoing[to].put(frame)

    def drop_waiting(self) -> None:
        for outgoing in self._outgoing.values():
            outgoing.clear()

    async def close(self) -> None:
        tasks = [*self._dialling, *([self._keeper] if self._keeper is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._dialling.clear()
        self._keeper = None
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None
