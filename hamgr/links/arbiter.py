"""A node's session with the arbiter: reports up, answers down, dialled again for as long as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc

from hamgr.config.model import ArbiterConfig, Config
from hamgr.core.messages import ArbiterAnswer, ArbiterReport, Packet
from hamgr.links.codec import Codec, Rejected
from hamgr.links.counters import Counters
from hamgr.links.stream import CHANNEL_OPTIONS, REDIAL, log_end, target
from hamgr.v1 import arbiter_pb2_grpc as pb_grpc
from hamgr.v1 import cluster_pb2 as pb

LINK = "arbiter"
ARBITER = "arbiter"
"""The link's name in the frames, and the arbiter's name as sender and receiver."""

CLUSTER = "hamgr-cluster"
"""Metadata of a session: whose keys open it. The arbiter must know before it can open the first frame."""


class ArbiterSession:
    """Keeps a stream to the arbiter. Only the newest report is sent: it says all that the older ones said.

    Once the arbiter has answered on a stream, reports name its life: they can't be recordings from before its start.
    """

    def __init__(
        self,
        config: ArbiterConfig,
        codec: Codec,
        on_answer: Callable[[ArbiterAnswer], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._where = target(config.address, config.port)
        self._codec = codec
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._newest: ArbiterReport | None = None
        self._said: ArbiterReport | None = None
        self._arbiter_life = 0
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._muted = False
        self.counters = Counters()

    @classmethod
    def of(
        cls,
        config: Config,
        codec: Codec,
        on_answer: Callable[[ArbiterAnswer], None],
        on_lost: Callable[[str], None],
    ) -> ArbiterSession | None:
        """The session that the configuration asks for; None without an arbiter."""
        return None if config.arbiter is None else cls(config.arbiter, codec, on_answer, on_lost)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="the session with the arbiter")
        self._task.add_done_callback(log_end)

    def send(self, report: ArbiterReport) -> None:
        if self._muted:
            return
        self._newest = report
        self._filled.set()

    def mute(self) -> None:
        """Send nothing anymore, ever."""
        self._muted = True
        self._newest = self._said = None

    async def _run(self) -> None:
        async with grpc.aio.insecure_channel(self._where, options=CHANNEL_OPTIONS) as channel:
            stub = pb_grpc.ArbiterStub(channel)
            while True:
                try:
                    await self._session(stub)
                    reason = f"{self._where} ended the session"
                except grpc.aio.AioRpcError as error:
                    reason = f"{self._where}: {error.details() or error.code().name}"
                except asyncio.InvalidStateError:
                    # A write to a call that ended in the same moment (grpc.aio raises it instead of the status).
                    reason = f"{self._where} ended the session"
                self._on_lost(reason)
                await asyncio.sleep(REDIAL)

    async def _session(self, stub: pb_grpc.ArbiterAsyncStub) -> None:
        """One stream's life; raises AioRpcError when it ends."""
        self._arbiter_life = 0  # of an arbiter that may have been started anew
        self._say_again()  # what was written to a stream that broke may be lost
        call = stub.Session(None, metadata=((CLUSTER, self._codec.cluster),))  # None: we write
        reader = asyncio.ensure_future(self._read(call))
        reader.add_done_callback(lambda _reader: self._filled.set())
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                if reader.done():
                    reader.result()
                    return
                report, self._newest = self._newest, None
                if report is not None:
                    self._said = report
                    packet = Packet(self._codec.node, self._codec.incarnation, ARBITER, self._arbiter_life, report)
                    await call.write(pb.Frame(data=self._codec.seal(LINK, packet)))
        finally:
            reader.cancel()
            call.cancel()

    async def _read(self, call: grpc.aio.StreamStreamCall[pb.Frame, pb.Frame]) -> None:
        async for frame in call:
            try:
                packet = self._codec.open(LINK, frame.data)
            except Rejected as rejected:
                self.counters.rejected(LINK, rejected.reason, self._where)
                continue
            if packet.sender == ARBITER and isinstance(packet.body, ArbiterAnswer):
                self._meet(packet.incarnation)
                if packet.body.echo_us:
                    self._on_answer(packet.body)

    def _meet(self, life: int) -> None:
        """Say the last report again, at once, to a life of the arbiter that we had not yet named."""
        if life != self._arbiter_life:
            self._arbiter_life = life
            self._say_again()

    def _say_again(self) -> None:
        if self._newest is None and self._said is not None:
            self.send(self._said)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
