"""The records in etcd for commands: they look, and at most let a new record vote."""

from __future__ import annotations

import asyncio

from arbiter.decide import VoteBook
from arbiter.etcd import Etcd
from arbiter.etcdconfig import EtcdConfig
from arbiter.etcdkeeper import book_from_bytes, book_to_bytes, names_in, vote_key
from arbiter.store import StoreError


class EtcdBooks:
    """As `arbiter.store.SqliteStore` for those who don't serve. A process that serves sees what is saved at once."""

    def __init__(self, config: EtcdConfig) -> None:
        self._loop = asyncio.Runner()
        self._etcd = self._loop.run(self._open(config))
        self._revisions: dict[str, int] = {}

    @staticmethod
    async def _open(config: EtcdConfig) -> Etcd:
        return Etcd(config)  # its channels belong to the loop that runs

    def load(self, cluster: str) -> VoteBook:
        (found,) = self._loop.run(self._etcd.get(vote_key(self._etcd, cluster)))
        self._revisions[cluster] = int(found.mod_revision) if found is not None else 0
        return book_from_bytes(found.value) if found is not None else VoteBook()

    def save(self, cluster: str, book: VoteBook) -> None:
        key = vote_key(self._etcd, cluster)
        if not self._loop.run(self._etcd.put(key, book_to_bytes(book), [(key, self._revisions[cluster])])):
            raise StoreError(f"the book of cluster {cluster} was changed meanwhile: say it again")

    def clusters(self) -> list[str]:
        return self._loop.run(names_in(self._etcd))

    def close(self) -> None:
        self._loop.run(self._etcd.close())
        self._loop.close()
