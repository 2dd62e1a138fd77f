"""A node's state directory: what comes back after a restart, and what is refused."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hamgr.core.effects import FenceRecord, HistoryRecord, InitialisedRecord, StandbyRecord, StateRecord, VoteRecord
from hamgr.core.election import UNKNOWN_VOTE
from hamgr.core.messages import ClusterState, PastFence, RosterEntry, Shot, Stamp, Standing
from hamgr.store import StateStore, StoreError, Writer, initialise

STATE = ClusterState(
    Stamp(4, 2),
    "a",
    (RosterEntry("a", 2**63 + 1, Standing.MEMBER, 12_500), RosterEntry("b", 5, Standing.FENCED)),
    (("web", "b"),),
    shots=(Shot("b", 17),),
    owners=(("db", "b"),),
)
RECORDS = (
    InitialisedRecord(0),
    VoteRecord(4, "a"),
    StateRecord(STATE),
    StandbyRecord(True),
    FenceRecord(1, "b", 2**63 + 7, 0, 4, "b is dead"),
    FenceRecord(2, "c", 8, 1, 4, "c is dead"),
    FenceRecord(2, "c", 8, 1, 4, "c is dead", "confirmed", "off"),
)


def test_all_that_was_written_comes_back(tmp_path: Path) -> None:
    store = StateStore(tmp_path, "office", "a")
    for record in RECORDS:
        store.write(record)
    store.close()
    kept = StateStore(tmp_path, "office", "a").load()
    assert (kept.initialised, kept.epoch, kept.voted_for, kept.standby, kept.state) == (True, 4, "a", True, STATE)
    assert kept.fences == (RECORDS[4],), "a fencing without a result is remembered as such, one with a result is over"


def test_votes_and_states_only_grow(tmp_path: Path) -> None:
    store = StateStore(tmp_path, "office", "a")
    store.write(VoteRecord(4, "a"))
    store.write(VoteRecord(3, "b"))
    store.write(VoteRecord(4, "b"))
    store.write(StateRecord(STATE))
    store.write(StateRecord(ClusterState(Stamp(4, 1), "b")))
    assert (store.load().epoch, store.load().voted_for) == (4, "a")
    assert store.load().state == STATE


def past(number: int, by: str = "a") -> PastFence:
    return PastFence(by, number, "b", 4, "b is dead", "confirmed", votes=("a", "c"), level=1, devices=("bmc-b",))


def test_the_history_of_fencings_survives_and_the_newest_are_kept(tmp_path: Path) -> None:
    store = StateStore(tmp_path, "office", "a")
    for number in (3, 5, 4):
        store.write(HistoryRecord((past(number, "abc"[number - 3]),), 2))
    store.close()
    assert StateStore(tmp_path, "office", "a").history() == (past(4, "b"), past(5, "c"))


def test_a_fencing_that_came_to_no_end_is_there_after_a_restart_with_who_asked_and_who_voted(tmp_path: Path) -> None:
    asked = FenceRecord(1, "b", 2**63 + 7, 0, 4, "eve asked for it", operator="eve", votes=("a", "the arbiter"))
    store = StateStore(tmp_path, "office", "a")
    store.write(asked)
    store.close()
    store = StateStore(tmp_path, "office", "a")
    ((record, _when),) = store.unhistoric()
    assert record == asked
    store.write(dataclasses.replace(asked, outcome="unknown"))
    store.write(HistoryRecord((past(1),), 9))
    assert store.unhistoric() == [], "what is in the history is needed beside it no more"


def test_a_state_directory_of_before_there_was_a_history_goes_on(tmp_path: Path) -> None:
    StateStore(tmp_path, "office", "a").close()
    with closing(sqlite3.connect(tmp_path / "state.db")) as old:
        for column in ("operator", "votes", "attempts"):
            old.execute(f"alter table fences drop column {column}")
        old.execute("drop table history")
        old.execute("insert into fences values (1, 'b', '7', 0, 4, 'b is dead', '', '', 5.0, null)")
        old.commit()
    store = StateStore(tmp_path, "office", "a")
    assert store.unhistoric() == [(FenceRecord(1, "b", 7, 0, 4, "b is dead"), 5.0)]
    assert store.history() == ()


def test_every_start_is_a_new_incarnation_that_is_never_zero(tmp_path: Path) -> None:
    lives = []
    for _ in range(3):
        store = StateStore(tmp_path, "office", "a")
        lives.append(store.next_incarnation())
        store.close()
    assert lives == sorted(set(lives))
    assert all(0 < life < 2**64 for life in lives)


def test_a_wiped_directory_does_not_bring_an_earlier_incarnation_back(tmp_path: Path) -> None:
    lives = {StateStore(tmp_path / str(number), "office", "a").next_incarnation() for number in range(20)}
    assert len(lives) == 20


def test_a_new_directory_may_not_vote_until_somebody_says_that_the_cluster_is_new(tmp_path: Path) -> None:
    store = StateStore(tmp_path, "office", "a")
    assert not store.load().initialised
    store.close()
    initialise(tmp_path, "office", "a")
    kept = StateStore(tmp_path, "office", "a").load()
    assert (kept.initialised, kept.epoch, kept.voted_for) == (True, 0, "")


def test_a_node_that_learned_the_epoch_does_not_vote_in_it(tmp_path: Path) -> None:
    store = StateStore(tmp_path, "office", "a")
    store.write(InitialisedRecord(7))
    assert (store.load().epoch, store.load().voted_for) == (7, UNKNOWN_VOTE)


def test_initialising_twice_is_refused(tmp_path: Path) -> None:
    initialise(tmp_path, "office", "a")
    with pytest.raises(StoreError, match="initialised already"):
        initialise(tmp_path, "office", "a")


@pytest.mark.parametrize(("cluster", "node"), [("shop", "a"), ("office", "b")])
def test_the_directory_of_another_cluster_or_node_is_refused(tmp_path: Path, cluster: str, node: str) -> None:
    StateStore(tmp_path, "office", "a").close()
    with pytest.raises(StoreError, match=r"found .* expected .*another state_dir"):
        StateStore(tmp_path, cluster, node)


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    store = StateStore(tmp_path, "office", "a")
    with pytest.raises(StoreError, match="another hamgrd uses it"):
        StateStore(tmp_path, "office", "a")
    store.close()


def test_a_directory_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=f"state_dir {tmp_path}/file/state: Not a directory"):
        StateStore(tmp_path / "file" / "state", "office", "a")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system that is soon full."""
    if os.geteuid() != 0:
        pytest.skip("a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small file system here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(ballast: Path) -> None:
    filled = subprocess.run(
        ["dd", "if=/dev/zero", f"of={ballast}", "bs=4k"], capture_output=True, text=True, check=False
    )
    assert "No space left" in filled.stderr


@pytest.mark.root
async def test_a_full_disk_is_reported_and_later_writes_succeed_again(small_disk: Path) -> None:
    store = StateStore(small_disk / "state", "office", "a")
    store.write(VoteRecord(1, "a"))
    writer = Writer(store, asyncio.get_running_loop().call_soon_threadsafe)

    async def write(record: VoteRecord) -> str:
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        writer.write(record, done.set_result)
        return await asyncio.wait_for(done, 10)

    ballast = small_disk / "ballast"
    fill(ballast)
    reasons = [await write(VoteRecord(epoch, "a")) for epoch in range(2, 200)]
    failed = [reason for reason in reasons if reason]
    assert failed
    assert "full" in failed[0]
    kept = store.load().epoch
    assert not any(reason == "" and epoch > kept for epoch, reason in enumerate(reasons, 2))
    ballast.unlink()
    assert await write(VoteRecord(500, "b")) == ""
    assert store.load().voted_for == "b"
    writer.close()
    store.close()
