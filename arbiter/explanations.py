"""Keeps why an arbiter decided as it did: the newest explanations of each cluster, in a file of their own.

They are written in the background, by a thread that votes never wait for, and not synced: a power failure may take the
last of them, and a full disk all that come; the votes are elsewhere. Each process keeps what it said itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arbiter.decide import Explain, NodeView
from arbiter.store import StoreError

log = logging.getLogger("hamgr-arbiter")

DATABASE = "explanations.db"

KEPT = 100
"""Explanations of one cluster."""

MOST_WAITING = 10_000
"""Explanations of all clusters that wait for a slow disk; more are lost."""

QUIET = 0.1
"""Seconds that they wait at least: those who wait for votes come first."""

_COLUMNS = "cluster, at, rule, node, epoch, text, knew"

_SCHEMA = """
create table if not exists explanations (
  number integer primary key autoincrement,
  cluster text not null,
  at real not null,
  rule text not null,
  node text not null,
  epoch integer not null,
  text text not null,
  knew text not null
) strict;
create index if not exists of_cluster on explanations (cluster, number);
"""


@dataclass(frozen=True, slots=True)
class Explanation:
    """at: seconds since 1970. rule, node, epoch, text: as in `Explain`. knew: what was compared, and what was known of
    each node, as JSON values."""

    at: float
    rule: str
    node: str
    epoch: int
    text: str
    knew: dict[str, Any]


class Explanations:
    """The writer of one server, or of one node with a disk as its arbiter."""

    def __init__(self, state_dir: Path) -> None:
        self._where = state_dir / DATABASE
        self._disk = ThreadPoolExecutor(1, "hamgr-arbiter-explains")
        self._db: sqlite3.Connection | None = None
        self._waiting: list[tuple[str, float, Explain]] = []
        self._writer: asyncio.Task[None] | None = None
        self._trouble = ""
        self._ending = asyncio.Event()

    def keep(self, cluster: str, said: Explain) -> None:
        """Returns at once."""
        if len(self._waiting) >= MOST_WAITING:
            return
        self._waiting.append((cluster, time.time(), said))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="the explanations of all clusters")

    async def forget(self, cluster: str) -> None:
        """Raises StoreError."""
        self._waiting = [said for said in self._waiting if said[0] != cluster]
        await asyncio.get_running_loop().run_in_executor(self._disk, forget, self._where.parent, cluster)

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), QUIET)
            said, self._waiting = self._waiting, []
            try:
                await loop.run_in_executor(self._disk, self._insert, said)
                self._trouble = ""
            except (sqlite3.Error, OSError) as error:
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    log.warning("%s: why votes are given can't be kept: %s", self._where, error)
        self._writer = None

    def _insert(self, said: list[tuple[str, float, Explain]]) -> None:
        rows = [_row(cluster, at, explain) for cluster, at, explain in said]
        if self._db is None:
            self._db = _open(self._where)
        with self._db:
            self._db.executemany(f"insert into explanations ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?)", rows)
            for cluster in {row[0] for row in rows}:
                self._db.execute(
                    "delete from explanations where cluster = ?1 and number <= (select number from explanations"
                    " where cluster = ?1 order by number desc limit 1 offset ?2)",
                    (cluster, KEPT),
                )

    async def close(self) -> None:
        self._ending.set()
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)
        await asyncio.get_running_loop().run_in_executor(self._disk, self._close)
        self._disk.shutdown()

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()


def _open(where: Path) -> sqlite3.Connection:
    where.touch(mode=0o600)
    db = sqlite3.connect(where, check_same_thread=False)
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = off")
    db.executescript(_SCHEMA)
    return db


def read(state_dir: Path, cluster: str) -> list[Explanation]:
    """Those that are kept of the cluster, the oldest first; also while the server runs. Raises sqlite3.Error."""
    where = state_dir / DATABASE
    if not where.exists():
        return []
    db = sqlite3.connect(where)
    try:
        rows = db.execute(
            "select at, rule, node, epoch, text, knew from explanations where cluster = ? order by number", (cluster,)
        ).fetchall()
    finally:
        db.close()
    return [Explanation(at, rule, node, epoch, text, json.loads(knew)) for at, rule, node, epoch, text, knew in rows]


def forget(state_dir: Path, cluster: str) -> None:
    """Raises StoreError."""
    where = state_dir / DATABASE
    if not where.exists():
        return
    db = sqlite3.connect(where)
    try:
        with db:
            db.execute("delete from explanations where cluster = ?", (cluster,))
    except sqlite3.Error as error:
        raise StoreError(f"{where}: {error}") from error
    finally:
        db.close()


def _row(cluster: str, at: float, said: Explain) -> tuple[Any, ...]:
    knew = {"sides": [asdict(side) for side in said.sides], "nodes": [_as_known(view) for view in said.knew]}
    return (cluster, at, said.rule, said.node, said.epoch, said.text, json.dumps(knew))


def _as_known(view: NodeView) -> dict[str, Any]:
    report = view.report
    return {
        "node": view.node,
        "incarnation": f"{view.incarnation:x}",
        "connected": view.connected,
        "heard_ago": round(view.heard_ago, 3),
        "claim": report.claim,
        "epoch": report.epoch,
        "coordinator": report.coordinator,
        "hears": list(report.alive),
        "votes": report.electorate.of(view.node),
        "health": report.health,
        "load": report.load,
    }
