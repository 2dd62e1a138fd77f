"""Which clusters and nodes were enrolled, with which certificates, and who vouches for them: kept in SQLite.

The server reads all of it into a `Roll`, again after each change; whoever changes it, a command or the server itself,
does it in one transaction. Votes lie elsewhere (`arbiter.store`): an enrolment never holds one up.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arbiter.authority import Authority, make_authority

DATABASE = "registry.db"

MOST_LIVE = 4
"""Certificates of one node that are good at the same time; a new one ends the oldest."""

SEAL_BYTES = 32
KEPT_TOKENS = 86400.0
"""Seconds for which a token that ended is still known, so that a late node is told so."""

SCHEMA = """
create table if not exists authorities (
  number integer primary key, certificate text not null, key text not null, signs integer not null
) strict;
create table if not exists clusters (name text primary key, seal text not null, since real not null) strict;
create table if not exists tokens (
  digest text primary key, cluster text not null, ends real not null, nodes text not null, places integer not null
) strict;
create table if not exists certificates (
  serial text primary key, cluster text not null, node text not null, authority integer not null,
  bundle integer not null, issued real not null, ends real not null, key_print text not null,
  token text not null, revoked text not null
) strict;
create index if not exists of_node on certificates (cluster, node);
"""
TABLES = {
    "authorities": ("number", "certificate", "key", "signs"),
    "clusters": ("name", "seal", "since"),
    "certificates": (
        *("serial", "cluster", "node", "authority", "bundle", "issued", "ends", "key_print", "token", "revoked"),
    ),
}
"""What a backup holds; tokens are worth nothing an hour later."""


class RegistryError(Exception):
    """It can't be read or written."""


class Unanswered(RegistryError):
    """Whoever keeps it does not answer: he may, later."""


class Changed(RegistryError):
    """Somebody else changed it at the same moment: nothing was written, and it may be tried again."""


class Refused(Exception):
    """It is not done: why, in a sentence."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One that was issued. bundle: number of the newest authority that its node was told of with it. issued, ends:
    seconds since 1970. revoked: why, "" if it wasn't."""

    serial: str
    cluster: str
    node: str
    authority: int
    bundle: int
    issued: float
    ends: float
    key_print: str = ""
    token: str = ""
    revoked: str = ""

    def objection(self, now: float) -> str:
        """Why it is not good; "" if it is."""
        if self.revoked:
            return f"the certificate of {self.node} in cluster {self.cluster} was revoked: {self.revoked}"
        if now >= self.ends:
            return f"the certificate of {self.node} in cluster {self.cluster} has expired; join anew"
        return ""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """seal: the key of the cluster's frames here, hexadecimal."""

    name: str
    seal: str = field(repr=False)
    since: float


@dataclass(frozen=True, slots=True)
class Roll:
    """All of it at one moment."""

    authorities: tuple[Authority, ...] = ()
    clusters: dict[str, Enrolled] = field(default_factory=dict)
    certificates: dict[str, Certificate] = field(default_factory=dict)

    @property
    def signer(self) -> Authority | None:
        return next((authority for authority in self.authorities if authority.signs), None)

    @property
    def bundle(self) -> str:
        """PEM of all authorities, the one that signs first."""
        order = sorted(self.authorities, key=lambda authority: not authority.signs)
        return "".join(authority.certificate for authority in order)

    def newest(self, now: float) -> dict[tuple[str, str], Certificate]:
        """(cluster, node) -> its newest good certificate."""
        good = sorted((c for c in self.certificates.values() if not c.objection(now)), key=lambda c: c.issued)
        return {(certificate.cluster, certificate.node): certificate for certificate in good}

    def nodes(self, cluster: str, now: float) -> list[str]:
        return sorted(node for of, node in self.newest(now) if of == cluster)


class Registry:
    """The file in one state directory. Every method may raise RegistryError."""

    def __init__(self, state_dir: Path) -> None:
        self._where = state_dir / DATABASE
        self._turn = threading.RLock()  # one connection, asked from several threads
        try:
            state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._where.touch(0o600)
            self._db = sqlite3.connect(self._where, check_same_thread=False, isolation_level=None)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            self._db.executescript(SCHEMA)
        except OSError as error:
            raise RegistryError(f"{self._where}: {error.strerror}") from error
        except sqlite3.Error as error:
            raise RegistryError(f"{self._where}: {error}") from error

    @contextmanager
    def _together(self) -> Iterator[sqlite3.Connection]:
        """All of it is written, or nothing."""
        with self._turn:
            try:
                self._db.execute("begin immediate")
                try:
                    yield self._db
                    self._db.execute("commit")
                finally:
                    if self._db.in_transaction:
                        self._db.execute("rollback")
            except sqlite3.Error as error:
                raise RegistryError(f"{self._where}: {error}") from error

    def load(self) -> Roll:
        with self._turn:
            return self._load()

    def _load(self) -> Roll:
        try:
            authorities = self._db.execute("select number, certificate, key, signs from authorities order by number")
            clusters = self._db.execute("select name, seal, since from clusters order by name")
            certificates = self._db.execute(f"select {', '.join(TABLES['certificates'])} from certificates")
            return Roll(
                tuple(Authority(number, pem, key, bool(signs)) for number, pem, key, signs in authorities),
                {name: Enrolled(name, seal, since) for name, seal, since in clusters},
                {row[0]: Certificate(*row) for row in certificates},
            )
        except sqlite3.Error as error:
            raise RegistryError(f"{self._where}: {error}") from error

    def version(self) -> int:
        """Another number after each change that somebody else made."""
        with self._turn:
            try:
                ((found,),) = self._db.execute("pragma data_version")
            except sqlite3.Error as error:
                raise RegistryError(f"{self._where}: {error}") from error
            return int(found)

    # -- enrolment ----------------------------------------------------------------------------------------------

    def ensure_authority(self) -> Authority:
        """The one that signs; a new one if there is none."""
        with self._together():
            signer = self.load().signer
            if signer is None:
                signer = make_authority(1, True)
                self._add(signer)
        return signer

    def enrol(
        self, cluster: str, digest: str, ends: float, nodes: Sequence[str], places: int, most_clusters: int
    ) -> None:
        """Let nodes join by a token. nodes: only these; () for any. places: so many of them. Raises Refused."""
        now = time.time()
        with self._together() as db:
            db.execute("delete from tokens where ends < ?", (now - KEPT_TOKENS,))
            clusters = {name for (name,) in db.execute("select name from clusters")}
            if cluster not in clusters:
                if len(clusters) >= most_clusters:
                    raise Refused(f"{len(clusters)} clusters are enrolled, and limits.clusters allows {most_clusters}")
                row = (cluster, secrets.token_hex(SEAL_BYTES), now)
                db.execute("insert into clusters values (?, ?, ?)", row)
            row_of_token = (digest, cluster, ends, json.dumps(list(nodes)), places)
            db.execute("insert into tokens values (?, ?, ?, ?, ?)", row_of_token)

    def join(
        self,
        digest: str,
        cluster: str,
        node: str,
        key_print: str,
        most_nodes: int,
        issue: Callable[[Roll], Certificate],
    ) -> Roll:
        """Issue a certificate by a token. Raises Refused.

        Each node takes one of the token's places, with one key: whoever repeats a join of which the answer was lost has
        the same key, and nobody else can have it.
        """
        now = time.time()
        with self._together() as db:
            row = db.execute("select cluster, ends, nodes, places from tokens where digest = ?", (digest,)).fetchone()
            if row is None or row[0] != cluster:
                raise Refused("no such token; `hamgr-arbiter enroll` makes one")
            _cluster, ends, nodes, places = row
            if now >= ends:
                raise Refused("the token has expired; `hamgr-arbiter enroll` makes another one")
            if (named := json.loads(nodes)) and node not in named:
                raise Refused(f"the token is for {', '.join(named)}, not for {node}")
            used = dict(
                db.execute("select node, key_print from certificates where token = ? order by issued", (digest,))
            )
            if node in used and used[node] != key_print:
                raise Refused(f"{node} has joined by this token already, with another key; was that you?")
            if node not in used and len(used) >= places:
                raise Refused(f"all {places} places of the token are taken: {', '.join(sorted(used))}")
            roll = self.load()
            known = roll.nodes(cluster, now)
            if node not in known and len(known) >= most_nodes:
                raise Refused(f"{cluster} has {len(known)} nodes, and limits.nodes allows {most_nodes}")
            self._keep(issue(roll))
        return roll

    def renew(self, serial: str, issue: Callable[[Roll, Certificate], Certificate]) -> Roll:
        """Issue another certificate to the holder of a good one, which stays good. Raises Refused."""
        with self._together():
            roll = self.load()
            held = roll.certificates.get(serial)
            if held is None:
                raise Refused("this certificate is not known here; join anew")
            if objection := held.objection(time.time()):
                raise Refused(objection)
            self._keep(issue(roll, held))
        return roll

    def _keep(self, new: Certificate) -> None:
        values = tuple(getattr(new, column) for column in TABLES["certificates"])
        places = ", ".join("?" * len(values))
        self._db.execute(f"insert into certificates values ({places})", values)
        self._db.execute(
            "delete from certificates where cluster = ? and node = ? and ends < ?", (new.cluster, new.node, time.time())
        )
        self._db.execute(
            "update certificates set revoked = 'newer ones have replaced it' where revoked = '' and cluster = ?1 and"
            " node = ?2 and serial not in (select serial from certificates where revoked = '' and cluster = ?1 and"
            " node = ?2 order by issued desc, rowid desc limit ?3)",
            (new.cluster, new.node, MOST_LIVE),
        )

    # -- taking back --------------------------------------------------------------------------------------------

    def revoke(self, cluster: str, node: str, reason: str) -> int:
        """All certificates of a node ("": of all nodes), and the cluster's tokens; returns how many. Raises Refused."""
        with self._together() as db:
            self._known(cluster)
            db.execute("delete from tokens where cluster = ?", (cluster,))
            return db.execute(
                "update certificates set revoked = ? where revoked = '' and cluster = ? and (node = ? or ? = '')",
                (reason, cluster, node, node),
            ).rowcount

    def forget(self, cluster: str) -> None:
        with self._together() as db:
            for table, column in (("tokens", "cluster"), ("certificates", "cluster"), ("clusters", "name")):
                db.execute(f"delete from {table} where {column} = ?", (cluster,))

    def _known(self, cluster: str) -> None:
        if self._db.execute("select 1 from clusters where name = ?", (cluster,)).fetchone() is None:
            raise Refused(f"cluster {cluster} is not enrolled")

    # -- authorities --------------------------------------------------------------------------------------------

    def add_authority(self) -> Authority:
        """One more, which vouches and doesn't sign yet."""
        with self._together():
            numbers = [authority.number for authority in self.load().authorities]
            new = make_authority(max(numbers, default=0) + 1, not numbers)
            self._add(new)
        return new

    def activate_authority(self, number: int, force: bool) -> None:
        """Let it sign from now on. Raises Refused while a node would not trust us any more."""
        with self._together() as db:
            roll = self.load()
            self._check_authority(roll, number)
            unaware = [f"{c.node} of {c.cluster}" for c in roll.newest(time.time()).values() if c.bundle < number]
            if unaware and not force:
                raise Refused(f"{', '.join(sorted(unaware))}: does not know authority {number} yet (or --force)")
            db.execute("update authorities set signs = (number = ?)", (number,))

    def retire_authority(self, number: int, force: bool) -> None:
        """Remove one that doesn't sign. Raises Refused while a node's newest certificate is its."""
        with self._together() as db:
            roll = self.load()
            self._check_authority(roll, number)
            if roll.signer is not None and roll.signer.number == number:
                raise Refused(f"authority {number} signs: activate another one first")
            its = [f"{c.node} of {c.cluster}" for c in roll.newest(time.time()).values() if c.authority == number]
            if its and not force:
                raise Refused(f"{', '.join(sorted(its))}: has a certificate of authority {number} (or --force)")
            db.execute("delete from authorities where number = ?", (number,))

    @staticmethod
    def _check_authority(roll: Roll, number: int) -> None:
        numbers = [authority.number for authority in roll.authorities]
        if number not in numbers:
            raise Refused(f"there is no authority {number}, only {', '.join(map(str, numbers)) or 'none'}")

    def _add(self, new: Authority) -> None:
        row = (new.number, new.certificate, new.key, int(new.signs))
        self._db.execute("insert into authorities values (?, ?, ?, ?)", row)

    # -- backups ------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, list[list[Any]]]:
        """All rows of all tables that a backup holds."""
        with self._together() as db:
            return {
                table: [list(row) for row in db.execute(f"select {', '.join(columns)} from {table}")]
                for table, columns in TABLES.items()
            }

    def refill(self, tables: dict[str, list[list[Any]]]) -> None:
        """Put a dump in the place of all that is here. Raises ValueError for what is none."""
        with self._together() as db:
            db.execute("delete from tokens")
            for table, columns in TABLES.items():
                db.execute(f"delete from {table}")
                places = ", ".join("?" * len(columns))
                for row in tables[table]:
                    if len(row) != len(columns):
                        raise ValueError(f"a row of {len(row)} values for {table}")
                    db.execute(f"insert into {table} ({', '.join(columns)}) values ({places})", row)

    def close(self) -> None:
        self._db.close()
