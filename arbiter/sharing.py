"""Several arbiter processes over one etcd: each serves the clusters that it leads, and passes the others' nodes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc

from arbiter.etcd import Etcd
from arbiter.etcdconfig import EtcdConfig
from arbiter.etcdkeeper import EtcdKeeper
from arbiter.leads import Lead, Leads
from arbiter.relay import RELAYED, Ended, OutOfReach, Relay
from arbiter.service import FIRST_REPORT, ArbiterService
from arbiter.store import StoreError
from hamgr.links.acceptor import MAX_STRANGERS
from hamgr.links.arbiter import CLUSTER
from hamgr.v1 import cluster_pb2 as pb

log = logging.getLogger("hamgr-arbiter")

Context = grpc.aio.ServicerContext[pb.Frame, pb.Frame]


class SharedService(ArbiterService):
    """As `ArbiterService`, for the clusters that this process leads."""

    def __init__(self, keys: Any, config: EtcdConfig, *more: Any) -> None:
        """more: what `ArbiterService` takes besides."""
        etcd = Etcd(config)
        self._leads = Leads(etcd)
        self._relay = Relay()
        self._unheard = 0
        """Sessions to be passed on whose node has not been answered yet: nobody has vouched for them."""
        super().__init__(keys, EtcdKeeper(etcd, self._leads), *more)

    async def Session(self, request_iterator: AsyncIterator[pb.Frame], context: Context) -> AsyncIterator[pb.Frame]:
        metadata = dict(context.invocation_metadata() or ())
        cluster = str(metadata.get(CLUSTER, ""))
        if cluster not in self._desks:
            async for frame in super().Session(request_iterator, context):
                yield frame
            return
        try:
            lead = await self._leads.of(cluster)
            if lead.address and RELAYED in metadata:
                await context.abort(grpc.StatusCode.UNAVAILABLE, f"{lead.address} leads cluster {cluster} now")
            answers = self._elsewhere(cluster, lead, request_iterator, context) if lead.address else None
            async for frame in answers or super().Session(request_iterator, context):
                yield frame
        except StoreError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        except Ended as ended:
            await context.abort(ended.code, str(ended))

    async def _elsewhere(
        self, cluster: str, lead: Lead, frames: AsyncIterator[pb.Frame], context: Context
    ) -> AsyncIterator[pb.Frame]:
        """What the process that leads the cluster answers; or ours, if that one is out of reach and we come to lead."""
        if self._unheard >= MAX_STRANGERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams without a report")
        self._unheard += 1
        unheard = True
        try:
            try:
                async with asyncio.timeout(FIRST_REPORT):
                    first = await anext(frames)
            except (TimeoutError, StopAsyncIteration):
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, f"no report within {FIRST_REPORT:g} s")
            try:
                async for frame in self._relay.session(lead.address, cluster, first, frames):
                    if unheard:
                        unheard = False
                        self._unheard -= 1
                    yield frame
                return
            except OutOfReach:
                if not await self._leads.seize(cluster, lead):
                    raise StoreError(
                        f"{lead.address} leads cluster {cluster}, and can't be reached from here"
                    ) from None
            async for frame in super().Session(_together(first, frames), context):
                yield frame
        finally:
            self._unheard -= unheard

    async def close(self) -> None:
        await super().close()
        await self._relay.close()


async def _together(first: pb.Frame, rest: AsyncIterator[pb.Frame]) -> AsyncIterator[pb.Frame]:
    yield first
    async for frame in rest:
        yield frame
