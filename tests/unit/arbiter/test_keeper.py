"""The server's way to its records: many at once, and what it does when one can't be written or read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from arbiter.decide import VoteBook
from arbiter.desk import ClusterDesk, NodeSession
from arbiter.keeper import SqliteKeeper
from arbiter.store import SqliteStore, StoreError
from hamgr.core.messages import ArbiterAnswer, ArbiterReport
from hamgr.links.arbiter import ARBITER, LINK
from hamgr.links.codec import Codec

KEYS = {1: b"k" * 32}
NODE_LIFE, LIFE = 11, 77
CLAIM = ArbiterReport(1, 4, nodes=("a", "b"), alive=("a",), deadtime=60.0, settle=0.0, claim=5)


class CountingStore(SqliteStore):
    """Waits before the first write until it is let go, and remembers what was written together."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.go = threading.Event()
        self.writes: list[list[str]] = []

    def save_all(self, books: Mapping[str, VoteBook]) -> None:
        assert self.go.wait(10)
        self.writes.append(sorted(books))
        super().save_all(books)


class FailingStore(SqliteStore):
    """broken: of the methods, those that fail. kept_anyway: a write that fails is kept nevertheless."""

    broken: frozenset[str] = frozenset()
    kept_anyway = False

    def load(self, cluster: str) -> VoteBook:
        if "load" in self.broken:
            raise StoreError("the disk is gone")
        return super().load(cluster)

    def save_all(self, books: Mapping[str, VoteBook]) -> None:
        if "save" not in self.broken or self.kept_anyway:
            super().save_all(books)
        if "save" in self.broken:
            raise StoreError("no space left")


class Desk:
    """A desk with node a's and b's sessions, read with their own codecs."""

    def __init__(self, store: SqliteStore) -> None:
        self.desk = ClusterDesk("office", Codec("office", ARBITER, KEYS, 1, LIFE), SqliteKeeper(store))
        self.sessions = {node: NodeSession(node, NODE_LIFE) for node in "ab"}
        self._codecs = {node: Codec("office", node, KEYS, 1, NODE_LIFE) for node in "ab"}

    async def answer(self, node: str, report: ArbiterReport) -> ArbiterAnswer:
        self.desk.report(self.sessions[node], report)
        return await self.next_answer(node)

    async def next_answer(self, node: str) -> ArbiterAnswer:
        data = await asyncio.wait_for(self.sessions[node].outgoing.get(), 10)
        body = self._codecs[node].open(LINK, data).body
        assert isinstance(body, ArbiterAnswer)
        return body


async def test_votes_that_wait_for_the_disk_are_written_together(tmp_path: Path) -> None:
    store = CountingStore(tmp_path)
    keeper = SqliteKeeper(store)
    books = {f"c{number}": VoteBook(True, number + 1, "a") for number in range(50)}
    saving = [asyncio.create_task(keeper.save(cluster, book)) for cluster, book in books.items()]
    await asyncio.sleep(0)  # all have been asked for now
    store.go.set()
    await asyncio.gather(*saving)
    assert sum(map(len, store.writes)) == 50
    assert len(store.writes) <= 2
    for cluster, book in books.items():
        assert await keeper.load(cluster) == book
    await keeper.close()


async def test_a_write_that_fails_fails_for_all_that_were_written_with_it(tmp_path: Path) -> None:
    store = FailingStore(tmp_path)
    store.broken = frozenset({"save"})
    keeper = SqliteKeeper(store)
    found = await asyncio.gather(*(keeper.save(name, VoteBook(True)) for name in "xyz"), return_exceptions=True)
    assert [str(error) for error in found] == ["no space left"] * 3
    store.broken = frozenset()
    await keeper.save("x", VoteBook(True))
    await keeper.close()


@pytest.mark.parametrize("kept", [False, True])
async def test_a_vote_whose_write_failed_is_never_given_to_another_node(tmp_path: Path, kept: bool) -> None:
    store = FailingStore(tmp_path)
    store.save("office", VoteBook(True, 4))
    desk = Desk(store)
    store.broken, store.kept_anyway = frozenset({"save"}), kept
    desk.desk.report(desk.sessions["a"], CLAIM)
    await desk.desk.idle()
    assert len(desk.sessions["a"].outgoing) == 0
    store.broken = frozenset()
    told = await desk.answer("b", replace(CLAIM, sent_us=2, alive=("b",)))
    assert told.voted_for != "b"
    assert told.refused
    newer = replace(CLAIM, sent_us=3, alive=("a", "b"), claim=6)
    assert (await desk.answer("b", newer)).voted_for == "b"
    await desk.desk.close()
    store.close()


async def test_a_record_that_can_not_be_read_ends_the_sessions_and_is_read_when_it_can(tmp_path: Path) -> None:
    store = FailingStore(tmp_path)
    store.save("office", VoteBook(True, 4))
    desk = Desk(store)
    store.broken = frozenset({"load"})
    desk.desk.report(desk.sessions["a"], CLAIM)
    assert "the disk is gone" in await asyncio.wait_for(desk.sessions["a"].closing, 10)
    store.broken = frozenset()
    desk.sessions["a"] = NodeSession("a", NODE_LIFE)
    assert (await desk.answer("a", CLAIM)).voted_for == "a"
    await desk.desk.close()
    store.close()


async def test_reports_that_wait_for_the_disk_are_kept_to_the_newest(tmp_path: Path) -> None:
    store = CountingStore(tmp_path)
    SqliteStore.save_all(store, {"office": VoteBook(True, 4)})
    desk = Desk(store)
    await desk.answer("a", replace(CLAIM, claim=0))
    desk.desk.report(desk.sessions["a"], CLAIM)
    for number in range(2, 1000):
        desk.desk.report(desk.sessions["a"], replace(CLAIM, sent_us=number))
        await asyncio.sleep(0)
    store.go.set()
    assert (await desk.next_answer("a")).echo_us == 1
    while (last := await desk.next_answer("a")).echo_us < 999:
        pass
    assert (last.vote_epoch, last.voted_for) == (5, "a")
    assert len(desk.sessions["a"].outgoing) == 0
    await desk.desk.close()
    store.close()
