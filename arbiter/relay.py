"""Passes a node's session on to the arbiter process that leads its cluster, frame by frame, as they are.

The frames are sealed between the node and the process that leads; this one neither opens nor makes any.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from hamgr.links.arbiter import CLUSTER
from hamgr.links.stream import CHANNEL_OPTIONS
from hamgr.v1 import arbiter_pb2_grpc as pb_grpc
from hamgr.v1 import cluster_pb2 as pb

RELAYED = "hamgr-relayed"
"""Metadata of a session that another arbiter process passes on: it is not passed on once more."""

FIRST_ANSWER = 0.3
"""Seconds within which the process that leads must answer the first frame; else it counts as out of reach."""


class OutOfReach(Exception):
    """The process that leads the cluster does not answer; nothing came from it."""


class Relay:
    """The channels to the other arbiter processes, each opened when it is first needed."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def session(
        self, address: str, cluster: str, first: pb.Frame, frames: AsyncIterator[pb.Frame]
    ) -> AsyncIterator[pb.Frame]:
        """What the process at this address answers to these frames. Raises OutOfReach before the first answer, and
        grpc.aio.AioRpcError when the session ends later."""
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        call = pb_grpc.ArbiterStub(channel).Session(None, metadata=((CLUSTER, cluster), (RELAYED, "1")))
        up = asyncio.ensure_future(self._up(call, first, frames))
        try:
            try:
                answer = await asyncio.wait_for(call.read(), FIRST_ANSWER)
            except (TimeoutError, grpc.aio.AioRpcError) as error:
                if isinstance(error, grpc.aio.AioRpcError) and error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                raise OutOfReach(str(error)) from error
            while isinstance(answer, pb.Frame):
                yield answer
                answer = await call.read()
            if (code := await call.code()) is not grpc.StatusCode.OK:
                raise Ended(code, str(await call.details()))
        finally:
            up.cancel()
            call.cancel()

    @staticmethod
    async def _up(call: Any, first: pb.Frame, frames: AsyncIterator[pb.Frame]) -> None:
        try:
            await call.write(first)
            async for frame in frames:
                await call.write(frame)
            await call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # whoever reads the answers hears of it

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close(grace=None)


class Ended(Exception):
    """The process that leads ended the session, and says why."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
