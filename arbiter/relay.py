"""Passes a node's session on to the arbiter process that leads its cluster, frame by frame, as they are.

The frames are sealed between the node and the process that leads; this one neither opens nor makes any.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from arbiter.door import RELAYED
from hamgr.links.arbiter import CLUSTER
from hamgr.links.identity import ARBITER_NAME
from hamgr.links.stream import CHANNEL_OPTIONS
from hamgr.v1 import arbiter_pb2_grpc as pb_grpc
from hamgr.v1 import cluster_pb2 as pb

FIRST_ANSWER = 0.3
"""Seconds within which the process that leads must answer the first frame; else it counts as out of reach."""


class OutOfReach(Exception):
    """The process that leads the cluster does not answer; nothing came from it."""


class Relay:
    """The channels to the other arbiter processes, each opened when it is first needed."""

    def __init__(self) -> None:
        self._channels: dict[tuple[str, grpc.ChannelCredentials | None], grpc.aio.Channel] = {}
        self.credentials: grpc.ChannelCredentials | None = None

    def _channel(self, address: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
        channel = self._channels.get((address, credentials))
        if channel is not None:
            return channel
        if credentials is None:
            channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        else:
            options = [*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", ARBITER_NAME)]
            channel = grpc.aio.secure_channel(address, credentials, options=options)
        self._channels[address, credentials] = channel
        return channel

    async def open(self, address: str, cluster: str, serial: str, first: pb.Frame) -> Passed:
        """A session with the process at this address, once it has answered the first frame. serial: of the node's
        certificate, "" without one. Raises OutOfReach, or Ended."""
        if serial and self.credentials is None:
            raise OutOfReach("this process has no certificate yet")
        channel = self._channel(address, self.credentials if serial else None)
        call = pb_grpc.ArbiterStub(channel).Session(None, metadata=((CLUSTER, cluster), (RELAYED, serial or "1")))
        try:
            async with asyncio.timeout(FIRST_ANSWER):
                await call.write(first)
                answer = await call.read()
        except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            call.cancel()
            if isinstance(error, grpc.aio.AioRpcError) and error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise _ended(error) from error
            raise OutOfReach(str(error)) from error
        return Passed(call, answer)

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close(grace=None)


class Passed:
    """A session that is passed on."""

    def __init__(self, call: Any, first: Any) -> None:
        self._call = call
        self._first = first

    async def answers(self, frames: AsyncIterator[pb.Frame]) -> AsyncIterator[pb.Frame]:
        """What is answered to the first frame and to these. Raises Ended when the session is ended."""
        up = asyncio.ensure_future(self._up(frames))
        answer = self._first
        try:
            while isinstance(answer, pb.Frame):
                yield answer
                try:
                    answer = await self._call.read()
                except grpc.aio.AioRpcError as error:
                    raise _ended(error) from error
            if (code := await self._call.code()) is not grpc.StatusCode.OK:
                raise Ended(code, str(await self._call.details()))
        finally:
            up.cancel()
            self.close()

    async def _up(self, frames: AsyncIterator[pb.Frame]) -> None:
        try:
            async for frame in frames:
                await self._call.write(frame)
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # whoever reads the answers hears of it

    def close(self) -> None:
        self._call.cancel()


class Ended(Exception):
    """The process that leads ended the session, and says why."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code


def _ended(error: grpc.aio.AioRpcError) -> Ended:
    return Ended(error.code(), error.details() or error.code().name)
