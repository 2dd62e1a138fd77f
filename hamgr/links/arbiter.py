"""A node's session with the arbiter: reports up, answers down, dialled again for as long as it takes."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable
from typing import Any

import grpc

from hamgr.config.model import ArbiterConfig, Config
from hamgr.core.messages import ArbiterAnswer, ArbiterReport, Packet
from hamgr.links.caller import Caller
from hamgr.links.codec import Codec, Rejected
from hamgr.links.counters import Counters
from hamgr.links.identity import IdentityError
from hamgr.links.stream import REDIAL, log_end, target
from hamgr.v1 import arbiter_pb2_grpc as pb_grpc
from hamgr.v1 import cluster_pb2 as pb

LINK = "arbiter"
ARBITER = "arbiter"
"""The link's name in the frames, and the arbiter's name as sender and receiver."""

CLUSTER = "hamgr-cluster"
"""Metadata of a session: whose keys open it. The arbiter must know before it can open the first frame."""


PATIENCE = 0.25
"""The part of a deadtime after which an arbiter that does not answer is left for the one at the next address: so two
can be tried in vain, and the change-over is done within one deadtime."""

NOT_LET_IN = 2.0
"""Seconds until the next attempt with an identity that can't be used, or that the arbiter does not take: only a human,
or a renewal, changes that."""

STRANGE = 3.0
"""Deadtimes for which we stay with a store that is not the cluster's arbiter, so that an operator can accept it, before
we look for the right one at the next address."""

_STORY = re.compile(
    r"^failed to connect to all addresses; last error: [A-Z_]+: (ipv[46]:\S+: )?(Failed to connect to remote host: )?"
)
"""What gRPC says before it says what happened."""


class Silent(Exception):
    """It takes reports, and does not answer."""


class ArbiterSession:
    """Keeps a stream to the arbiter, at one of its addresses: the next one is tried when it ends or stays silent.

    Only the newest report is sent: it says all that the older ones said. Once the arbiter has answered on a stream,
    reports name its life: they can't be recordings from before its start.
    """

    def __init__(
        self,
        config: ArbiterConfig,
        codec: Codec,
        on_answer: Callable[[ArbiterAnswer, str], None],
        on_lost: Callable[[str], None],
        deadtime: float = 10.0,
    ) -> None:
        """on_answer: called with the answer and the address that gave it. deadtime: seconds."""
        self._places = [target(address, port) for address, port in config.places]
        self._where = self._places[0]
        self._patience = PATIENCE * deadtime
        self._deadtime = deadtime
        self._impatient: asyncio.TimerHandle | None = None
        self._useless: asyncio.Future[str] | None = None
        self._caller = Caller(codec, config.identity, deadtime)
        self._codec = self._caller.codec
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._newest: ArbiterReport | None = None
        self._said: ArbiterReport | None = None
        self._arbiter_life = 0
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._muted = False
        self._strange = False
        self.counters = Counters()

    @classmethod
    def of(
        cls,
        config: Config,
        codec: Codec,
        on_answer: Callable[[ArbiterAnswer, str], None],
        on_lost: Callable[[str], None],
    ) -> ArbiterSession | None:
        """The session that the configuration asks for; None without an arbiter."""
        if config.arbiter is None:
            return None
        return cls(config.arbiter, codec, on_answer, on_lost, config.spec.timing.deadtime)

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
        try:
            for place in itertools.cycle(self._places):
                self._where = place
                pause = REDIAL
                try:
                    await self._attend(pb_grpc.ArbiterStub(await self._caller.channel(place)))
                    reason = f"{place} ended the session"
                except grpc.aio.AioRpcError as error:
                    reason = f"{place}: {_said(error)}"
                    if error.code() is grpc.StatusCode.PERMISSION_DENIED:
                        pause = NOT_LET_IN
                except asyncio.InvalidStateError:
                    # A write to a call that ended in the same moment (grpc.aio raises it instead of the status).
                    reason = f"{place} ended the session"
                except Silent as silent:
                    reason = f"{place} {silent}"
                except IdentityError as error:
                    reason, pause = str(error), NOT_LET_IN
                self._on_lost(reason)
                await asyncio.sleep(pause)
        finally:
            await self._caller.close()

    async def _attend(self, stub: pb_grpc.ArbiterAsyncStub) -> None:
        """A session, for as long as it is of use when there are other addresses; raises Silent when it is not."""
        if len(self._places) == 1:
            await self._session(stub)
            return
        self._useless = asyncio.get_running_loop().create_future()
        session = asyncio.ensure_future(self._session(stub))
        self._expect(self._patience, f"did not answer within {self._patience * 1000:.0f} ms")
        try:
            either: set[asyncio.Future[Any]] = {session, self._useless}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not session.done():
                raise Silent(self._useless.result())
            session.result()
        finally:
            self._content()
            session.cancel()
            await asyncio.gather(session, return_exceptions=True)

    def _expect(self, within: float, otherwise: str) -> None:
        """Leave this address in so many seconds, unless something comes first (`_content`)."""
        if len(self._places) > 1 and self._impatient is None:

            def leave() -> None:
                if self._useless is not None and not self._useless.done():
                    self._useless.set_result(otherwise)

            self._impatient = asyncio.get_running_loop().call_later(within, leave)

    def _content(self) -> None:
        if self._impatient is not None:
            self._impatient.cancel()
            self._impatient = None

    def _judge(self, answer: ArbiterAnswer) -> None:
        """It answers; is it the cluster's arbiter, too?"""
        asked = self._said.store if self._said is not None else ""
        if not asked or answer.store == asked:
            self._content()
            self._strange = False
        elif not self._strange:
            self._content()
            self._strange = True
            self._expect(STRANGE * self._deadtime, f"is not the cluster's arbiter: {answer.store or 'no identity'}")

    async def _session(self, stub: pb_grpc.ArbiterAsyncStub) -> None:
        """One stream's life; raises AioRpcError when it ends."""
        self._strange = False
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
                    self._expect(self._patience, f"did not answer within {self._patience * 1000:.0f} ms")
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
                    self._judge(packet.body)
                    self._on_answer(packet.body, self._where)

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


def _said(error: grpc.aio.AioRpcError) -> str:
    """What went wrong, without gRPC's own story around it."""
    told = error.details() or error.code().name
    last = _STORY.sub("", told)
    return "no connection came about in time" if last == "tcp handshaker shutdown" else last
