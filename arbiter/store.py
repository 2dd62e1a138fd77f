"""Keeps each cluster's vote on disk, in SQLite, synced before it is answered."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import uuid
from collections.abc import Mapping
from pathlib import Path

from arbiter.decide import VoteBook
from arbiter.mark import Mark
from hamgr.store import state_from_json, state_to_json

DATABASE = "votes.db"
LOCK = "lock"

_SCHEMA = """
create table if not exists votes (
  cluster text primary key,
  voter integer not null,
  vote_epoch integer not null,
  voted_for text not null,
  state text not null,
  written integer not null default 0
) strict;
create table if not exists meta (key text primary key, value text not null) strict;
"""

_WRITE = """
insert or replace into votes
select json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
  json_extract(value, '$[3]'), json_extract(value, '$[4]'), ?2
from json_each(?1)
"""
"""All rows by one statement: between two the interpreter's other threads would get their turns. (json_extract: `->>` is
not in the SQLite of Ubuntu 22.04.)"""


class StoreError(Exception):
    """The votes can't be read or written; the text says where and why."""


class SqliteStore:
    """One file for all clusters. With `shared`, several processes may look into it; else only one may have it open.

    put_back: why the file is not the one that was written last, "" if it is. None of its records votes then before it
    has learned again.
    """

    def __init__(self, state_dir: Path, shared: bool = False) -> None:
        self._where = state_dir / DATABASE
        self._lock = -1
        self._mark: Mark | None = None
        self._written = 0
        self.put_back = ""
        try:
            state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not shared:
                self._lock = os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise StoreError(f"state_dir {state_dir}: another hamgr-arbiter uses it; end it first") from error
        except OSError as error:
            raise StoreError(f"state_dir {state_dir}: {error.strerror}") from error
        try:
            self._db = sqlite3.connect(self._where, check_same_thread=False, isolation_level=None)
            self._db.execute("pragma journal_mode = wal")
            # FULL: a commit is on the disk, not only in the log's cache, before it returns.
            self._db.execute("pragma synchronous = full")
            counted = self._prepare()
            if not shared:
                self._guard(state_dir, counted)
        except (sqlite3.Error, OSError) as error:
            if self._lock >= 0:
                os.close(self._lock)
            raise self._failed(error) from error

    def _prepare(self) -> bool:
        """Bring the tables to their newest form; False if the records had not been counted before."""
        self._db.executescript(_SCHEMA)
        self.identity = self._identify()
        columns = {column for _number, column, *_rest in self._db.execute("pragma table_info(votes)")}
        if "written" in columns:
            return True
        self._db.execute("alter table votes add column written integer not null default 0")
        return False

    def _guard(self, state_dir: Path, counted: bool) -> None:
        """Let no record vote that somebody put back."""
        ((self._written, records),) = self._db.execute("select coalesce(max(written), 0), count(*) from votes")
        self._mark = Mark(state_dir, self._where)
        if records and counted and (objection := self._mark.objection(self._written)):
            self.put_back = objection
            self._written += 1
            self._db.execute("update votes set voter = 0, written = ?", (self._written,))
        self._mark.note(self._written)
        self._mark.sync()

    def _identify(self) -> str:
        found = self._db.execute("select value from meta where key = 'identity'").fetchone()
        if found is None:
            found = (uuid.uuid4().hex,)
            self._db.execute("insert into meta values ('identity', ?)", found)
        return str(found[0])

    def adopt(self, identity: str) -> None:
        """From now on be the store that was lost. It must never serve again."""
        try:
            self._db.execute("update meta set value = ? where key = 'identity'", (identity,))
        except sqlite3.Error as error:
            raise self._failed(error) from error
        self.identity = identity

    def _failed(self, error: sqlite3.Error | OSError) -> StoreError:
        return StoreError(f"{self._where}: {error}")

    def load(self, cluster: str) -> VoteBook:
        """The cluster's book; an empty one, that is no voter, for a cluster that is new here."""
        try:
            row = self._db.execute(
                "select voter, vote_epoch, voted_for, state from votes where cluster = ?", (cluster,)
            ).fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        if row is None:
            return VoteBook()
        voter, vote_epoch, voted_for, state = row
        return VoteBook(bool(voter), vote_epoch, voted_for, state_from_json(state))

    def save(self, cluster: str, book: VoteBook) -> None:
        """Have the book on disk when this returns. After an error it may be there or not."""
        self.save_all({cluster: book})

    def save_all(self, books: Mapping[str, VoteBook]) -> None:
        """The same for many at the price of one: all are on disk, or none is."""
        written = self._written + 1
        rows = json.dumps(
            [
                (cluster, int(book.voter), book.vote_epoch, book.voted_for, state_to_json(book.state))
                for cluster, book in books.items()
            ]
        )
        try:
            self._db.execute("begin immediate")
            try:
                self._db.execute(_WRITE, (rows, written))
                self._db.execute("commit")
            finally:
                if self._db.in_transaction:
                    self._db.execute("rollback")
            if self._mark is not None:
                self._mark.note(written)
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from error
        self._written = written

    def clusters(self) -> list[str]:
        try:
            return [cluster for (cluster,) in self._db.execute("select cluster from votes order by cluster")]
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def close(self) -> None:
        self._db.close()
        if self._mark is not None:
            self._mark.close()
            self._mark = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
