"""Keeps the votes in etcd, where several arbiter processes may have them at once.

A vote is a transaction: put the book if nobody changed it since it was read, and if we still lead the cluster. What is
said without a vote (that a coordinator is supported) must be true, too: before each answer the book's revision is read
again, linearizably, so that no process supports a coordinator after another one voted for somebody else.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

from arbiter.decide import VoteBook
from arbiter.etcd import Etcd, Put, Unknown
from arbiter.leads import Leads
from arbiter.store import StoreError
from hamgr.store import state_from_json, state_to_json

MOST_AT_ONCE = 60
"""Clusters that are looked up in one request: two keys each, and etcd takes 128 (--max-txn-ops)."""


PAUSE = 0.01
"""Seconds before what could not be written is looked up and tried again."""


class Moved(StoreError):
    """Another process leads the cluster: its nodes must be heard there."""


def book_to_bytes(book: VoteBook) -> bytes:
    found = {"voter": book.voter, "vote_epoch": book.vote_epoch, "voted_for": book.voted_for}
    return json.dumps({**found, "state": state_to_json(book.state)}).encode()


def book_from_bytes(value: bytes) -> VoteBook:
    found = json.loads(value)
    state = state_from_json(found["state"])
    return VoteBook(bool(found["voter"]), int(found["vote_epoch"]), str(found["voted_for"]), state)


def vote_key(etcd: Etcd, cluster: str) -> bytes:
    return etcd.prefix + f"cluster/{cluster}/vote".encode()


async def names_in(etcd: Etcd) -> list[str]:
    """The clusters that have a book."""
    prefix = etcd.prefix + b"cluster/"
    names = [found.key[len(prefix) :].decode() for found in await etcd.list(prefix)]
    return sorted(name.removesuffix("/vote") for name in names if name.endswith("/vote"))


class EtcdKeeper:
    alone = False

    def __init__(self, etcd: Etcd, leads: Leads) -> None:
        self._etcd = etcd
        self._leads = leads
        self.identity = ""
        self._revisions: dict[str, int] = {}
        self._looking: dict[str, asyncio.Future[VoteBook | None]] = {}
        self._lookup: asyncio.Task[None] | None = None
        self._waiting: list[tuple[Put, asyncio.Future[int]]] = []
        self._writer: asyncio.Task[None] | None = None

    def _key(self, cluster: str) -> bytes:
        return vote_key(self._etcd, cluster)

    async def load(self, cluster: str) -> VoteBook:
        if not self.identity:
            self.identity = await self._identify()
        (found,) = await self._etcd.get(self._key(cluster))
        return self._noted(cluster, found)

    def _noted(self, cluster: str, found: Any) -> VoteBook:
        """The book in what was read; from now on its revision is the one that a vote must find unchanged."""
        self._revisions[cluster] = int(found.mod_revision) if found is not None else 0
        return book_from_bytes(found.value) if found is not None else VoteBook()

    async def _identify(self) -> str:
        key = self._etcd.prefix + b"identity"
        while True:
            (found,) = await self._etcd.get(key)
            if found is not None:
                return str(found.value.decode())
            await self._etcd.put(key, uuid.uuid4().hex.encode(), [(key, 0)])

    async def save(self, cluster: str, book: VoteBook) -> None:
        """Within the time allowed, an outcome that is not known is looked up before anything else is done."""
        until = time.monotonic() + self._etcd.config.timeout
        key, value = self._key(cluster), book_to_bytes(book)
        lead = self._leads.key(cluster)
        while True:
            # The lead may be another one of ours meanwhile; the book is still to be the one that was decided on.
            unchanged = [(key, self._revisions[cluster]), (lead, self._leads.held(cluster))]
            try:
                revision = await self._put(Put(key, value, unchanged))
            except Unknown:
                revision = 0
            if revision:
                self._revisions[cluster] = revision
                return
            await asyncio.sleep(PAUSE)
            found, owner = await self._etcd.get(key, lead)
            if found is not None and found.value == value and found.mod_revision > self._revisions[cluster]:
                self._revisions[cluster] = int(found.mod_revision)
                return
            self._check_lead(cluster, owner)
            if (int(found.mod_revision) if found is not None else 0) != self._revisions[cluster]:
                raise StoreError(f"another arbiter process wrote the book of cluster {cluster}")
            if time.monotonic() >= until:
                raise Unknown(f"the book of cluster {cluster} was not written in {self._etcd.config.timeout:g} s")

    async def _put(self, put: Put) -> int:
        """Those that are asked for while others are on their way go together, in the next request."""
        waiting: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((put, waiting))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return await waiting

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            try:
                revisions = await self._etcd.put_all([put for put, _waiting in batch])
            except StoreError as error:
                for _put, waiting in batch:
                    if not waiting.done():
                        waiting.set_exception(type(error)(str(error)))
                continue
            for (_put, waiting), revision in zip(batch, revisions, strict=True):
                if not waiting.done():
                    waiting.set_result(revision)
        self._writer = None

    def _check_lead(self, cluster: str, owner: Any) -> None:
        held = self._leads.held(cluster)
        if held and owner is not None and int(owner.mod_revision) == held:
            return
        self._leads.lost(cluster, taken=owner is not None)
        where = json.loads(owner.value)["address"] if owner is not None else "nobody"
        raise Moved(f"cluster {cluster} is not led from here anymore, but by {where}")

    async def news(self, cluster: str) -> VoteBook | None:
        """Those that are asked for while a look-up is under way are looked up together in the next one."""
        waiting = self._looking.get(cluster)
        if waiting is None:
            waiting = self._looking[cluster] = asyncio.get_running_loop().create_future()
        if self._lookup is None:
            self._lookup = asyncio.create_task(self._look_up())
        return await waiting

    async def _look_up(self) -> None:
        while self._looking:
            batch: dict[str, asyncio.Future[VoteBook | None]] = {}
            while self._looking and len(batch) < MOST_AT_ONCE:
                cluster = next(iter(self._looking))
                batch[cluster] = self._looking.pop(cluster)
            keys = [key for cluster in batch for key in (self._key(cluster), self._leads.key(cluster))]
            try:
                found = await self._etcd.get(*keys)
            except StoreError as error:
                for waiting in batch.values():
                    if not waiting.done():
                        waiting.set_exception(StoreError(str(error)))
                continue
            for (cluster, waiting), book, owner in zip(batch.items(), found[::2], found[1::2], strict=True):
                if waiting.done():
                    continue
                try:
                    self._check_lead(cluster, owner)
                    revision = int(book.mod_revision) if book is not None else 0
                    waiting.set_result(None if revision == self._revisions[cluster] else self._noted(cluster, book))
                except (StoreError, ValueError, KeyError) as error:
                    waiting.set_exception(error if isinstance(error, StoreError) else StoreError(str(error)))
        self._lookup = None

    async def close(self) -> None:
        for task in (self._lookup, self._writer):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._leads.close()
        await self._etcd.close()
