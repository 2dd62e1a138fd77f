"""Several arbiter processes over one etcd: each serves the clusters that it leads, and passes the others' nodes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc

from arbiter.authority import OwnCertificate
from arbiter.door import RELAYED, Guest, TurnedAway, certificate_of
from arbiter.etcd import Etcd
from arbiter.etcdconfig import EtcdConfig
from arbiter.etcdkeeper import EtcdKeeper
from arbiter.leads import Lead, Leads
from arbiter.relay import Ended, OutOfReach, Passed, Relay
from arbiter.service import FIRST_REPORT, ArbiterService
from arbiter.store import StoreError
from hamgr.config.model import DEFAULT_ARBITER_TLS_PORT
from hamgr.links.acceptor import MAX_STRANGERS
from hamgr.links.arbiter import CLUSTER
from hamgr.v1 import cluster_pb2 as pb

log = logging.getLogger("hamgr-arbiter")

Context = grpc.aio.ServicerContext[pb.Frame, pb.Frame]


class SharedService(ArbiterService):
    """As `ArbiterService`, for the clusters that this process leads."""

    def __init__(self, keys: Any, config: EtcdConfig, tls_port: int = DEFAULT_ARBITER_TLS_PORT, *more: Any) -> None:
        """tls_port: where enrolled clusters are served, here and on the other hosts. more: what `ArbiterService` takes
        besides."""
        self._tls_port = tls_port
        etcd = Etcd(config)
        self._leads = Leads(etcd)
        self._relay = Relay()
        self._settling: set[asyncio.Task[None]] = set()
        self._unheard = 0
        """Sessions to be passed on whose node has not been answered yet: nobody has vouched for them."""
        super().__init__(keys, EtcdKeeper(etcd, self._leads), *more)

    async def Session(  # type: ignore[override]
        self, request_iterator: AsyncIterator[pb.Frame], context: Context
    ) -> None:
        metadata = dict(context.invocation_metadata() or ())
        guest = self._guest(context, str(metadata.get(CLUSTER, "")))
        cluster = guest.cluster
        if cluster not in self._desks:
            await super().Session(request_iterator, context)
            return
        try:
            lead = await self._leads.of(cluster)
            if lead.address and RELAYED in metadata:
                await context.abort(grpc.StatusCode.UNAVAILABLE, f"{lead.address} leads cluster {cluster} now")
            if lead.address:
                await self._elsewhere(guest, lead, request_iterator, context)
            else:
                await super().Session(request_iterator, context)
        except StoreError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        except Ended as ended:
            await context.abort(ended.code, str(ended))

    def _guest(self, context: Context, named: str) -> Guest:
        """Whose session it is; of nobody, if its certificate is not good."""
        if not certificate_of(context):
            return Guest(named)
        try:
            return self._door.admit(context)
        except TurnedAway:
            return Guest("")  # it is refused with the reason, by the one who admits sessions

    def present(self, own: OwnCertificate, bundle: str) -> None:
        self._relay.credentials = grpc.ssl_channel_credentials(bundle.encode(), own.key, own.chain)

    def _where(self, guest: Guest, lead: Lead) -> str:
        """Enrolled clusters are served at another port: the same on all hosts."""
        return f"{lead.address.rpartition(':')[0]}:{self._tls_port}" if guest.serial else lead.address

    async def _elsewhere(self, guest: Guest, lead: Lead, frames: AsyncIterator[pb.Frame], context: Context) -> None:
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
            passed = await self._passed_on(guest, lead, first)
            if passed is None:
                await super().Session(_together(first, frames), context)
                return
            async for frame in passed.answers(frames):
                if unheard:
                    unheard = False
                    self._unheard -= 1
                await context.write(frame)
        finally:
            self._unheard -= unheard

    async def _passed_on(self, guest: Guest, lead: Lead, first: pb.Frame) -> Passed | None:
        """None if the process that leads was out of reach, and we lead in its place."""
        opening = asyncio.create_task(self._relay.open(self._where(guest, lead), guest.cluster, guest.serial, first))
        try:
            return await asyncio.shield(opening)
        except OutOfReach:
            if await self._leads.seize(guest.cluster, lead):
                return None
            raise StoreError(f"{lead.address} leads cluster {guest.cluster}, and can't be reached from here") from None
        except asyncio.CancelledError:
            # The node has less patience than we: what comes of it is of use when it is back.
            settling = asyncio.create_task(self._settle(opening, guest.cluster, lead))
            self._settling.add(settling)
            settling.add_done_callback(self._settling.discard)
            raise

    async def _settle(self, opening: asyncio.Task[Passed], cluster: str, lead: Lead) -> None:
        try:
            (await opening).close()
        except OutOfReach:
            with contextlib.suppress(StoreError):
                await self._leads.seize(cluster, lead)
        except Ended:
            pass  # it is there

    async def close(self) -> None:
        for task in list(self._settling):
            task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)
        await super().close()
        await self._relay.close()


async def _together(first: pb.Frame, rest: AsyncIterator[pb.Frame]) -> AsyncIterator[pb.Frame]:
    yield first
    async for frame in rest:
        yield frame
