"""What the arbiter's disk remembers."""

from __future__ import annotations

import os
import signal
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
