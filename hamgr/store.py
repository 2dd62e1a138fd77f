"""A node's state directory: what it must not forget, in SQLite, synced before anybody relies on it."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

from hamgr.core.durable import Durable
from hamgr.core.effects import AppliedRecord, FenceRecord, HistoryRecord, InitialisedRecord, Record, StagedRecord
from hamgr.core.electorate import Electorate, Electorates
from hamgr.core.messages import ClusterState, ConfigStamp, PastFence, RosterEntry, Shot, Stamp, Standing

log = logging.getLogger(__name__)

DATABASE = "state.db"
LOCK = "lock"
SCHEMA_VERSION = 1

_SCHEMA = """
create table if not exists meta (key text primary key, value text not null) strict;
create table if not exists node (
  id integer primary key check (id = 1),
  initialised integer not null default 0,
  epoch integer not null default 0,
  voted_for text not null default '',
  standby integer not null default 0,
  state text not null default ''
) strict;
create table if not exists fences (
  fence integer primary key,
  node text not null,
  incarnation text not null,
  level integer not null,
  epoch integer not null,
  reason text not null,
  outcome text not null,
  detail text not null,
  asked_at real not null,
  finished_at real
) strict;
create table if not exists history (
  by text not null,
  number integer not null,
  fence text not null,
  primary key (by, number)
) strict;
create table if not exists configs (
  number integer primary key,
  digest text not null unique,
  idle text not null,
  text blob not null
) strict;
insert or ignore into node (id) values (1);
insert or ignore into meta values ('applied', '0');
"""


class StoreError(Exception):
    """The state directory can't be used; the text says which, why, and what to do."""


def state_to_json(state: ClusterState) -> str:
    """A cluster state as text. Incarnations are written as text: they need all 64 bits."""
    return json.dumps(
        {
            "epoch": state.stamp.epoch,
            "view": state.stamp.view,
            "coordinator": state.coordinator,
            "roster": [
                [entry.node, str(entry.incarnation), entry.standing.value, entry.reset_ms] for entry in state.roster
            ],
            "pins": [list(pin) for pin in state.pins],
            "maintenance": state.maintenance,
            "config": astuple(state.config),
            "proposed": astuple(state.proposed),
            "pushing": state.pushing,
            "shots": [astuple(shot) for shot in state.shots],
            "owners": [list(owner) for owner in state.owners],
            "arbiter": state.arbiter,
            "next_arbiter": state.next_arbiter,
            "voters": _voters_to_json(state.electorates.current),
            "coming_voters": _voters_to_json(state.electorates.coming),
        }
    )


def state_from_json(text: str) -> ClusterState:
    if not text:
        return ClusterState()
    found = json.loads(text)
    return ClusterState(
        Stamp(found["epoch"], found["view"]),
        found["coordinator"],
        tuple(
            RosterEntry(node, int(incarnation), Standing(word), *reset_ms)
            for node, incarnation, word, *reset_ms in found["roster"]
        ),
        tuple((group, node) for group, node in found["pins"]),
        found.get("maintenance", False),
        ConfigStamp(*found.get("config", ())),
        ConfigStamp(*found.get("proposed", ())),
        found.get("pushing", False),
        tuple(Shot(node, age) for node, age in found.get("shots", ())),
        tuple((group, node) for group, node in found.get("owners", ())),
        Electorates(_voters_from_json(found.get("voters")), _voters_from_json(found.get("coming_voters"))),
        arbiter=found.get("arbiter", ""),
        next_arbiter=found.get("next_arbiter", ""),
    )


def _voters_to_json(voters: Electorate) -> dict[str, object]:
    return {"nodes": dict(voters.nodes), "arbiter": voters.arbiter, "tie": voters.tie} if voters else {}


def _voters_from_json(found: dict[str, Any] | None) -> Electorate:
    return Electorate(found["nodes"], found["arbiter"], tie=found["tie"]) if found else Electorate()


def _fence_from_json(text: str) -> PastFence:
    found = json.loads(text)
    return PastFence(**{**found, "votes": tuple(found["votes"]), "devices": tuple(found["devices"])})


class StateStore:
    """The open state directory of one node. Only one process can have it open; all methods may raise StoreError."""

    def __init__(self, state_dir: Path, cluster: str, node: str) -> None:
        self._dir = state_dir
        try:
            state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"state_dir {state_dir}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StoreError(f"state_dir {state_dir}: another hamgrd uses it (it is locked)") from error
        try:
            self._open(cluster, node)
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self, cluster: str, node: str) -> None:
        try:
            self._db = sqlite3.connect(self._dir / DATABASE, check_same_thread=False, isolation_level=None)
            self._db.execute("pragma journal_mode = wal")
            # FULL: a commit is on the disk, not only in the log's cache, before it returns.
            self._db.execute("pragma synchronous = full")
            self._db.executescript(_SCHEMA)
            self._add_columns()
            self._claim("schema", str(SCHEMA_VERSION), "its schema version")
            self._claim("cluster", cluster, "cluster")
            self._claim("node", node, "node")
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _add_columns(self) -> None:
        """Those that the first state directories did not have."""
        (found,) = self._db.execute("select count(*) from pragma_table_info('fences') where name = 'votes'").fetchone()
        if not found:
            for column in ("operator text not null default ''", "votes text not null default '[]'"):
                self._db.execute(f"alter table fences add column {column}")
            self._db.execute("alter table fences add column attempts integer not null default 0")

    def _claim(self, key: str, value: str, what: str) -> None:
        self._db.execute("insert or ignore into meta values (?, ?)", (key, value))
        (found,) = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
        if found != value:
            raise StoreError(
                f"state_dir {self._dir}: found {what} {found!r}, expected {value!r};"
                " name another state_dir, or move the old one away if that cluster is gone for good"
            )

    def _failed(self, error: sqlite3.Error) -> StoreError:
        return StoreError(f"state_dir {self._dir}: {error}")

    def next_incarnation(self) -> int:
        """A new life of this node: a start counter that is kept here, and chance, in case the directory is wiped."""
        try:
            self._db.execute("insert into meta values ('starts', '1') on conflict do update set value = value + 1")
            (starts,) = self._db.execute("select value from meta where key = 'starts'").fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return (int(starts) & 0x7FFFFFFF) << 32 | secrets.randbits(32)

    def load(self) -> Durable:
        try:
            row = self._db.execute("select initialised, epoch, voted_for, standby, state from node").fetchone()
            fences = self._db.execute(
                "select fence, node, incarnation, level, epoch, reason from fences where outcome = '' order by fence"
            ).fetchall()
            staged = self._db.execute("select digest, idle from configs order by number").fetchall()
            (applied,) = self._db.execute("select value from meta where key = 'applied'").fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        initialised, epoch, voted_for, standby, state = row
        return Durable(
            initialised=bool(initialised),
            epoch=epoch,
            voted_for=voted_for,
            standby=bool(standby),
            state=state_from_json(state),
            fences=tuple(
                FenceRecord(fence, node, int(incarnation), level, epoch, reason)
                for fence, node, incarnation, level, epoch, reason in fences
            ),
            staged=tuple(StagedRecord(digest, tuple(json.loads(idle))) for digest, idle in staged),
            applied=int(applied),
        )

    def history(self) -> tuple[PastFence, ...]:
        try:
            rows = self._db.execute("select fence from history order by number").fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return tuple(_fence_from_json(text) for (text,) in rows)

    def unhistoric(self) -> list[tuple[FenceRecord, float]]:
        """The fencings of an earlier life that never came into the history, with the time of day when they began."""
        try:
            rows = self._db.execute(
                "select fence, node, incarnation, level, epoch, reason, outcome, detail, operator, votes, attempts,"
                " asked_at from fences order by asked_at"
            ).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return [
            (
                FenceRecord(
                    fence,
                    node,
                    int(life),
                    level,
                    epoch,
                    reason,
                    outcome,
                    detail,
                    operator,
                    tuple(json.loads(votes)),
                    attempts,
                ),
                asked_at,
            )
            for fence, node, life, level, epoch, reason, outcome, detail, operator, votes, attempts, asked_at in rows
        ]

    def text(self, digest: str) -> bytes:
        """The text of a staged configuration."""
        try:
            (text,) = self._db.execute("select text from configs where digest = ?", (digest,)).fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return bytes(text)

    def write(self, record: Record) -> None:
        """Have the record on disk when this returns."""
        try:
            match record:
                case FenceRecord():
                    self._write_fence(record)
                    return
                case StagedRecord():
                    self._write_staged(record)
                    return
                case HistoryRecord():
                    self._write_history(record)
                    return
                case AppliedRecord(version):
                    self._db.execute("update meta set value = ? where key = 'applied'", (str(version),))
                    return
                case _:
                    pass
            kept = self.load().apply(record)
            self._db.execute(
                "update node set initialised = ?, epoch = ?, voted_for = ?, standby = ?, state = ?",
                (int(kept.initialised), kept.epoch, kept.voted_for, int(kept.standby), state_to_json(kept.state)),
            )
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _write_fence(self, record: FenceRecord) -> None:
        now = time.time()
        self._db.execute(
            "insert into fences (fence, node, incarnation, level, epoch, reason, outcome, detail, asked_at,"
            " finished_at, operator, votes, attempts) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " on conflict (fence) do update set outcome = excluded.outcome, detail = excluded.detail,"
            " finished_at = excluded.finished_at,"
            " attempts = excluded.attempts",
            (
                record.fence,
                record.node,
                str(record.incarnation),
                record.level,
                record.epoch,
                record.reason,
                record.outcome,
                record.detail,
                now,
                now if record.outcome else None,
                record.operator,
                json.dumps(record.votes),
                record.attempts,
            ),
        )

    def _write_history(self, record: HistoryRecord) -> None:
        """What is in the history is needed beside it no more, unless it is under way."""
        rows = [(fence.by, fence.number, json.dumps(asdict(fence))) for fence in record.fences]
        with self._together():
            self._db.executemany("insert or ignore into history values (?, ?, ?)", rows)
            self._db.execute(
                "delete from history where (by, number) not in"
                " (select by, number from history order by number desc, by desc limit ?)",
                (record.kept,),
            )
            self._db.execute("delete from fences where outcome != ''")

    @contextmanager
    def _together(self) -> Iterator[None]:
        """All of it is written, or nothing."""
        self._db.execute("begin")
        try:
            yield
            self._db.execute("commit")
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise

    def _write_staged(self, record: StagedRecord) -> None:
        kept = self.load().apply(record).staged
        with self._together():
            self._db.execute("delete from configs where digest = ?", (record.digest,))
            self._db.execute(
                "insert into configs (digest, idle, text) values (?, ?, ?)",
                (record.digest, json.dumps(record.idle), record.text),
            )
            places = ", ".join("?" * len(kept))
            self._db.execute(
                f"delete from configs where digest not in ({places})",
                tuple(staged.digest for staged in kept),
            )

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)


def initialise(state_dir: Path, cluster: str, node: str) -> None:
    """The operator says that this cluster is new: this node may vote without asking the others for the epoch.

    Raises StoreError when the directory belongs to another cluster or node, is in use, or has voted already.
    """
    store = StateStore(state_dir, cluster, node)
    try:
        if store.load().initialised:
            raise StoreError(f"state_dir {state_dir}: this node of cluster {cluster!r} is initialised already")
        store.write(InitialisedRecord(0))
    finally:
        store.close()


class Writer:
    """Writes records in a thread of its own, in order, so that a slow disk never holds the heartbeats up."""

    def __init__(self, store: StateStore, call: Callable[[Callable[[], None]], object]) -> None:
        """call: runs a function in the caller's loop (`loop.call_soon_threadsafe`)."""
        self._store = store
        self._call = call
        self._queue: queue.SimpleQueue[tuple[Record, Callable[[str], None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="hamgr-writer", daemon=True)
        self._thread.start()

    def write(self, record: Record, done: Callable[[str], None]) -> None:
        """Write, then call `done("")`, or `done(reason)` if it could not be written."""
        self._queue.put((record, done))

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            record, done = item
            reason = ""
            try:
                self._store.write(record)
            except StoreError as error:
                reason = str(error)
            self._call(lambda done=done, reason=reason: done(reason))  # type: ignore[misc]

    def close(self) -> None:
        """Write what is queued, then end the thread."""
        self._queue.put(None)
        self._thread.join()
