"""Which arbiter process leads a cluster: the one that decides, since all of the cluster's nodes are heard there.

Several processes over one etcd hear different nodes. A decision must see all claims, so one process leads each
cluster, and the others pass on to it what they hear. Who leads is a key on an etcd lease. It makes choices good, not
safe: two that both believe to lead still can't vote twice, by the comparison in each vote's transaction.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
import uuid
from dataclasses import dataclass

from arbiter.etcd import Etcd, Unknown
from arbiter.store import StoreError

log = logging.getLogger("hamgr-arbiter")

HUMBLE = 60.0
"""Seconds for which a process from whom a cluster was taken takes none from a living one: two that can't reach each
other, but both etcd, would take it from each other for ever."""


PAUSE = 0.02
"""Seconds between two tries to become the one who leads."""


@dataclass(frozen=True, slots=True)
class Lead:
    """address: of the process that leads; "" when it is this one. revision: of the key that says so."""

    address: str
    revision: int


class Leads:
    """What this process leads, and whom it asks for the rest."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self._process = uuid.uuid4().hex
        self._lease = 0
        self._mine: dict[str, int] = {}
        self._humble_until = 0.0
        self._refreshing: asyncio.Task[None] | None = None
        self._granting = asyncio.Lock()
        self._settling: dict[str, asyncio.Lock] = {}

    def key(self, cluster: str) -> bytes:
        return self._etcd.prefix + f"cluster/{cluster}/lead".encode()

    def held(self, cluster: str) -> int:
        """The revision of our own key; 0 if we do not lead, as far as we know."""
        return self._mine.get(cluster, 0)

    async def of(self, cluster: str) -> Lead:
        """Who leads the cluster: this process, if nobody else does. Raises StoreError."""
        # One at a time: the nodes of a cluster come at once, and one would take from us what another just took for us.
        async with self._settling.setdefault(cluster, asyncio.Lock()):
            return await self._settle(cluster)

    async def _settle(self, cluster: str) -> Lead:
        if revision := self.held(cluster):
            return Lead("", revision)
        until = time.monotonic() + self._etcd.config.timeout
        while time.monotonic() < until:
            (found,) = await self._etcd.get(self.key(cluster))
            if found is not None and (owner := json.loads(found.value))["process"] != self._process:
                return Lead(str(owner["address"]), int(found.mod_revision))
            if revision := await self._take(cluster, int(found.mod_revision) if found is not None else 0):
                return Lead("", revision)
            await asyncio.sleep(PAUSE)
        raise StoreError(f"who leads cluster {cluster} could not be settled within {self._etcd.config.timeout:g} s")

    async def seize(self, cluster: str, lead: Lead) -> bool:
        """Lead the cluster in place of a process that can't be reached, unless we were found to be such a one."""
        if time.monotonic() < self._humble_until:
            return False
        if not await self._take(cluster, lead.revision):
            return False
        log.warning("cluster %s: led from here now: the arbiter at %s can't be reached", cluster, lead.address)
        return True

    async def _take(self, cluster: str, revision: int) -> int:
        """The revision of our key, if the key's was this one until now; else 0."""
        lease = await self._granted()
        value = json.dumps({"process": self._process, "address": self._etcd.config.advertise}).encode()
        key = self.key(cluster)
        try:
            taken = await self._etcd.put(key, value, [(key, revision)], lease)
        except Unknown:
            # It may be ours now: the next look tells.
            return 0
        if taken:
            self._mine[cluster] = taken
        return taken

    def lost(self, cluster: str, taken: bool) -> None:
        """Our key is not there anymore. taken: another process put its own in its place."""
        if self._mine.pop(cluster, 0) and taken:
            self._humble_until = time.monotonic() + HUMBLE

    async def _granted(self) -> int:
        async with self._granting:
            if not self._lease:
                self._lease = await self._etcd.grant(math.ceil(self._etcd.config.lease))
                self._refreshing = asyncio.create_task(self._refresh())
            return self._lease

    async def _refresh(self) -> None:
        """Keep the lease; when it ran out, all keys went with it."""
        lives = True
        while lives:
            await asyncio.sleep(self._etcd.config.lease / 4)
            try:
                lives = await self._etcd.refresh(self._lease)
            except StoreError as error:
                log.debug("the lease is not refreshed: %s", error)
        self._lease = 0
        self._mine.clear()

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        if self._lease:
            try:
                await self._etcd.revoke(self._lease)
            except StoreError:
                log.debug("the lease runs out by itself")
