"""What the arbiter's disk remembers."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from arbiter.decide import VoteBook
from arbiter.store import SqliteStore, StoreError
from hamgr.core.messages import ClusterState, RosterEntry, Stamp, Standing

BOOK = VoteBook(True, 7, "b", ClusterState(Stamp(7, 2), "b", (RosterEntry("a", 2**63 + 5, Standing.FENCED),)))

VOTE_FOR_EVER = """
import sys
from pathlib import Path
from arbiter.decide import VoteBook
from arbiter.store import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
epoch = store.load("c").vote_epoch
while True:
    epoch += 1
    store.save("c", VoteBook(True, epoch, "a"))
    print(epoch, flush=True)
"""


def test_a_book_comes_back_as_it_was(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    assert store.load("office") == VoteBook()
    store.save("office", BOOK)
    store.close()
    store = SqliteStore(tmp_path)
    assert store.load("office") == BOOK
    assert store.load("other") == VoteBook()
    assert store.clusters() == ["office"]
    store.close()


def test_two_arbiters_can_not_share_a_directory(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    with pytest.raises(StoreError, match="another hamgr-arbiter uses it"):
        SqliteStore(tmp_path)
    SqliteStore(tmp_path, shared=True).close()
    store.close()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "votes.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match=r"votes\.db: file is not a database"):
        SqliteStore(tmp_path)


def test_no_answered_vote_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", VOTE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _answer in range(30):
                answered = int(process.stdout.readline())
            os.kill(process.pid, signal.SIGKILL)
            rest = process.stdout.read().split()
        answered = int(rest[-1]) if rest else answered
        store = SqliteStore(tmp_path)
        assert store.load("c").vote_epoch >= answered
        store.close()


def saved(state_dir: Path, *epochs: int) -> None:
    store = SqliteStore(state_dir)
    for epoch in epochs:
        store.save("office", VoteBook(True, epoch, "a"))
    store.close()


def reopened(state_dir: Path) -> tuple[VoteBook, str]:
    store = SqliteStore(state_dir)
    try:
        return store.load("office"), store.put_back
    finally:
        store.close()


def test_a_database_that_went_on_is_believed(tmp_path: Path) -> None:
    saved(tmp_path, 4, 5)
    for _ in range(2):
        assert reopened(tmp_path) == (VoteBook(True, 5, "a"), "")


def test_an_old_copy_does_not_vote_wherever_it_was_put(tmp_path: Path) -> None:
    saved(tmp_path / "here", 4)
    shutil.copytree(tmp_path / "here", tmp_path / "kept")
    saved(tmp_path / "here", 5)
    (tmp_path / "here/votes.db").write_bytes((tmp_path / "kept/votes.db").read_bytes())
    book, why = reopened(tmp_path / "here")
    assert (book, "its newest write is number 1, and number 2 was written here" in why) == (
        VoteBook(False, 4, "a"),
        True,
    )
    assert reopened(tmp_path / "here") == (VoteBook(False, 4, "a"), "")  # it goes on from there
    book, why = reopened(tmp_path / "kept")
    assert (book.voter, "another file has taken its place" in why) == (False, True)
    (tmp_path / "alone").mkdir()
    shutil.copy(tmp_path / "here/votes.db", tmp_path / "alone")
    assert "no votes.mark beside it" in reopened(tmp_path / "alone")[1]


def test_a_database_of_before_the_count_goes_on_voting(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "votes.db") as old:
        old.execute(
            "create table votes (cluster text primary key, voter integer not null, vote_epoch integer not null,"
            " voted_for text not null, state text not null) strict"
        )
    saved(tmp_path, 4)
    with sqlite3.connect(tmp_path / "votes.db") as old:
        old.execute("alter table votes drop column written")
    old.close()
    (tmp_path / "votes.mark").unlink()
    assert reopened(tmp_path) == (VoteBook(True, 4, "a"), "")


def test_killed_at_any_moment_it_still_believes_its_own_database(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", VOTE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    assert reopened(tmp_path)[1] == ""
