"""Where the server keeps all clusters' votes: asked from the event loop, which it never blocks."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from arbiter.decide import VoteBook
from arbiter.store import SqliteStore, StoreError


class Keeper(Protocol):
    """The votes of all clusters. Every method may raise StoreError, but for `close`."""

    async def load(self, cluster: str) -> VoteBook:
        """The book as it is kept now; an empty one, that is no voter, for a cluster that is new here."""

    async def save(self, cluster: str, book: VoteBook) -> None:
        """Have the book kept when this returns. After an error it may be kept or not."""

    @property
    def identity(self) -> str:
        """Of the store, for ever and wherever it is opened: hex digits. Known once a book was loaded."""

    @property
    def alone(self) -> bool:
        """Nobody else can change a book: what was loaded and saved here is what is kept."""

    async def news(self, cluster: str) -> VoteBook | None:
        """The book, if somebody else changed it up to a moment after this call; None if it is as we know it."""

    async def close(self) -> None: ...


class SqliteKeeper:
    """The votes in a local file. Books that wait while another write is synced go to the disk in one transaction."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.identity = store.identity
        # One thread: SQLite has one writer, and a vote never overtakes an earlier one.
        self._disk = ThreadPoolExecutor(1, "hamgr-arbiter-disk")
        self._waiting: dict[str, tuple[VoteBook, asyncio.Future[None]]] = {}
        self._writer: asyncio.Task[None] | None = None

    alone = True

    async def load(self, cluster: str) -> VoteBook:
        return await asyncio.get_running_loop().run_in_executor(self._disk, self._store.load, cluster)

    async def save(self, cluster: str, book: VoteBook) -> None:
        assert cluster not in self._waiting, f"two writes of cluster {cluster} at once"
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[cluster] = (book, written)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        await written

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, {}
            books = {cluster: book for cluster, (book, _written) in batch.items()}
            error: StoreError | None = None
            try:
                await loop.run_in_executor(self._disk, self._store.save_all, books)
            except StoreError as found:
                error = found
            for _book, written in batch.values():
                if written.done():
                    continue
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(error)
        self._writer = None

    async def news(self, cluster: str) -> VoteBook | None:
        return None

    async def close(self) -> None:
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)
        self._disk.shutdown()
        self._store.close()
