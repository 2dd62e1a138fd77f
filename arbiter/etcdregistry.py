"""Keeps who was enrolled in etcd, for all arbiter processes over it: the same registry, a row a key.

A change reads all rows, makes the change on a copy of them in memory, and writes what differs in one transaction, if
nobody has changed the registry meanwhile. Called from threads, and rarely: so it has channels of its own, that block.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import grpc
from aetcd import rpc

from arbiter.etcd import credentials_of
from arbiter.etcdconfig import EtcdConfig
from arbiter.etcdfiles import password_of
from arbiter.etcdrefusal import explained, token_is_spent, why_refused
from arbiter.registry import SCHEMA, Changed, Registry, RegistryError, Roll, Unanswered
from arbiter.store import StoreError

TABLES = {
    "authorities": "number",
    "clusters": "name",
    "tokens": "digest",
    "certificates": "serial",
}
"""Each with its primary key."""

VERSION = "version"
MOST_OPERATIONS = 120
"""Of one transaction: etcd takes 128 (--max-txn-ops)."""

_OPTIONS = [("grpc.max_receive_message_length", 1 << 26), ("grpc.enable_http_proxy", 0)]

Rows = dict[str, str]
"""The key below our prefix -> the row, as JSON."""


class _Member:
    def __init__(self, endpoint: str, credentials: grpc.ChannelCredentials | None) -> None:
        self.endpoint = endpoint
        if credentials is None:
            self.channel = grpc.insecure_channel(endpoint, options=_OPTIONS)
        else:
            self.channel = grpc.secure_channel(endpoint, credentials, options=_OPTIONS)
        self.kv = rpc.KVStub(self.channel)
        self.auth = rpc.AuthStub(self.channel)
        self.token = ""


class EtcdRegistry(Registry):
    """Every method may raise RegistryError; those that change something also Changed."""

    def __init__(self, config: EtcdConfig) -> None:
        self._config = config
        self._prefix = f"{config.prefix}registry/".encode()
        self._turn = threading.RLock()
        self._inside = False
        credentials = credentials_of(config)
        self._members = [_Member(endpoint, credentials) for endpoint in config.endpoints]
        self._at = 0

    @contextmanager
    def _together(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            before, revision = self._read()
            with self._copy(before):
                yield self._db
                after = self._rows()
            self._write(before, after, revision)

    def _load(self) -> Roll:
        if self._inside:
            return super()._load()
        rows, _revision = self._read()
        with self._copy(rows):
            return super()._load()

    def version(self) -> int:
        """Another number after each change, whoever made it."""
        with self._turn:
            found = self._ask(
                lambda member, **how: member.kv.Range(rpc.RangeRequest(key=self._prefix + VERSION.encode()), **how)
            )
            return int(found.kvs[0].mod_revision) if found.kvs else 0

    @contextmanager
    def _copy(self, rows: Rows) -> Iterator[None]:
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._inside = True
        try:
            self._db.executescript(SCHEMA)
            for key, row in rows.items():
                values = json.loads(row)
                places = ", ".join("?" * len(values))
                self._db.execute(f"insert into {key.partition('/')[0]} values ({places})", values)
            yield
        except sqlite3.Error as error:
            raise RegistryError(f"etcd: the registry below {self._config.prefix}: {error}") from error
        finally:
            self._inside = False
            self._db.close()

    def _rows(self) -> Rows:
        found: Rows = {}
        for table, key in TABLES.items():
            for name, *row in self._db.execute(f"select {key}, * from {table}"):
                found[f"{table}/{quote(str(name), safe='')}"] = json.dumps(row)
        return found

    # -- etcd -------------------------------------------------------------------------------------------------------

    def _read(self) -> tuple[Rows, int]:
        """All rows at one moment, and the revision of the version's key then."""
        end = self._prefix[:-1] + bytes((self._prefix[-1] + 1,))
        request = rpc.RangeRequest(key=self._prefix, range_end=end)
        found = self._ask(lambda member, **how: member.kv.Range(request, **how))
        rows = {kv.key[len(self._prefix) :].decode(): kv for kv in found.kvs}
        version = rows.pop(VERSION, None)
        return {key: kv.value.decode() for key, kv in rows.items()}, 0 if version is None else int(version.mod_revision)

    def _write(self, before: Rows, after: Rows, revision: int) -> None:
        puts = {key: row for key, row in after.items() if before.get(key) != row}
        gone = before.keys() - after.keys()
        if not puts and not gone:
            return
        if len(puts) + len(gone) > MOST_OPERATIONS:
            raise RegistryError(f"{len(puts) + len(gone)} rows would change, allowed {MOST_OPERATIONS} at once")
        version = self._prefix + VERSION.encode()
        changes = [
            *(self._put(key, row) for key, row in puts.items()),
            *(
                rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=self._prefix + key.encode()))
                for key in gone
            ),
            self._put(VERSION, str(revision)),
        ]
        compare = rpc.Compare(result=rpc.Compare.EQUAL, target=rpc.Compare.MOD, key=version, mod_revision=revision)
        request = rpc.TxnRequest(compare=[compare], success=changes)
        if not self._ask(lambda member, **how: member.kv.Txn(request, **how), tries=1).succeeded:
            raise Changed("the registry in etcd was changed meanwhile: say it again")

    def _put(self, key: str, value: str) -> Any:
        return rpc.RequestOp(request_put=rpc.PutRequest(key=self._prefix + key.encode(), value=value.encode()))

    def _ask(self, request: Callable[..., Any], tries: int = 0) -> Any:
        """One member after the other. tries: 1 for a change, which must not be made twice."""
        said = []
        for _ in range(tries or len(self._members)):
            member = self._members[self._at]
            try:
                return self._authorised(member, request)
            except StoreError as error:
                raise RegistryError(str(error)) from error
            except grpc.RpcError as error:
                details = error.details() or error.code().name
                if reason := why_refused(self._config, details):
                    raise RegistryError(reason) from error
                said.append(f"{member.endpoint}: {explained(self._config, details)}")
                self._at = (self._at + 1) % len(self._members)
        unknown = "; whether it was changed is not known" if tries else ""
        raise Unanswered(f"etcd does not answer ({'; '.join(said)}){unknown}")

    def _authorised(self, member: _Member, request: Callable[..., Any]) -> Any:
        timeout = self._config.timeout
        if not self._config.user:
            return request(member, timeout=timeout)
        if member.token:
            try:
                return request(member, timeout=timeout, metadata=(("token", member.token),))
            except grpc.RpcError as error:
                if not token_is_spent(error.details() or ""):
                    raise
        asked = rpc.AuthenticateRequest(name=self._config.user, password=password_of(self._config))
        member.token = str(member.auth.Authenticate(asked, timeout=timeout).token)
        return request(member, timeout=timeout, metadata=(("token", member.token),))

    def close(self) -> None:
        for member in self._members:
            member.channel.close()
