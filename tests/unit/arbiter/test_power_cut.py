"""The power of the arbiter's host is cut at every moment of many votes: no vote that was told is ever forgotten."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from recorded import CALLS, NEEDS_STRACE, Moment, moments

from arbiter.mark import MARK
from arbiter.store import DATABASE, SqliteStore

pytestmark = NEEDS_STRACE

VOTES = """
import os, sys
from pathlib import Path
from arbiter.decide import VoteBook
from arbiter.store import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
for epoch in map(int, sys.argv[2:]):
    os.write(1, b"asked %d\\n" % epoch)
    store.save("c", VoteBook(True, epoch, "ab"[epoch % 2]))
    os.write(1, b"told %d\\n" % epoch)
if "99" not in sys.argv:
    store.close()
"""


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory that costs no disk; its file system is not what is tested."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="hamgr-", dir=place) as directory:
        yield Path(directory)


def traced(directory: Path) -> Path:
    """The trace of two lives of a store: one that ends well, and one that goes on from there."""
    whole = directory / "trace"
    with whole.open("w") as out:
        for epochs in (("1", "2", "3"), ("4", "5", "99")):
            part = directory / "part"
            words = ["strace", "-f", "-y", "-xx", "-s", "100000", "-e", f"trace={CALLS}", "-o", str(part)]
            words += [sys.executable, "-c", VOTES, str(directory / "state"), *epochs]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            out.write(part.read_text())
    return whole


def restored(disk: dict[str, bytes], directory: Path) -> SqliteStore:
    """The store on a disk as it was found. The inodes are new ones, and the mark must not take it for a copy."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    for name, content in disk.items():
        (directory / name).write_bytes(content)
    if disk.get(MARK) and DATABASE in disk:
        words = disk[MARK].decode().rsplit(" ", 1)
        (directory / MARK).write_text(f"{words[0]} {(directory / DATABASE).stat().st_ino:020d}\n")
    return SqliteStore(directory)


def epochs(said: str, verb: str) -> list[int]:
    return [0] + [int(line.split()[1]) for line in said.splitlines() if line.startswith(verb)]


def test_no_vote_that_was_told_is_forgotten_whenever_the_power_fails(memory: Path) -> None:
    found: list[Moment] = list(moments(traced(memory), memory / "state"))
    assert epochs(found[-1].said, "told") == [0, 1, 2, 3, 4, 5, 99]
    assert any(file.pending for moment in found for file in moment.files.values()), "nothing was ever unsynced"
    seen = set()
    for number, moment in enumerate(found):
        for disk in moment.disks():
            key = tuple(sorted(disk.items()))
            if key in seen:
                continue
            seen.add(key)
            store = restored(disk, memory / "restored")
            try:
                book = store.load("c")
                where = f"at call {number}, after {moment.said.split(chr(10))[-3:]}"
                assert store.put_back == "", f"{store.put_back} {where}"
                told, asked = epochs(moment.said, "told")[-1], epochs(moment.said, "asked")[-1]
                assert told <= book.vote_epoch <= asked, f"{book.vote_epoch} {where}"
                assert book.voted_for == ("ab"[book.vote_epoch % 2] if book.vote_epoch else ""), where
                assert book.voter == (book.vote_epoch > 0), where
            finally:
                store.close()
    assert len(seen) > 50


def test_a_store_that_does_not_sync_would_be_found_out(memory: Path) -> None:
    """The same, without the syncs of the log."""
    trace = traced(memory)
    trace.write_text("\n".join(line for line in trace.read_text().splitlines() if "fdatasync(" not in line))
    last = list(moments(trace, memory / "state"))[-1]
    store = restored(next(last.disks()), memory / "restored")
    forgotten = store.load("c").vote_epoch
    store.close()
    assert forgotten < epochs(last.said, "told")[-1]
