"""Speaks to an etcd cluster: a request goes to one member, and to the next one when that fails or is slow.

aetcd's generated stubs over channels of our own: its client knows one endpoint, no TLS, and no deadline that tells a
request that was refused from one whose outcome is unknown. (etcd3gw blocks, and its HTTP takes twice as long.)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc

from arbiter.etcdconfig import EtcdConfig
from arbiter.etcdfiles import password_of
from arbiter.etcdrefusal import SHUT, Refused, explained, token_is_spent, why_refused
from arbiter.store import StoreError

try:
    from aetcd import rpc
except ImportError as error:
    raise StoreError(f'store "etcd" needs aetcd: pip install "hamgr[etcd]" ({error})') from error

T = TypeVar("T")

LEAST_TRIES = 2
"""Members that are asked within the time allowed, if need be one of them twice."""

SOON = 0.1
"""The part of the time allowed after which the next member is asked, too."""

LEAST_TIME = 0.05
"""Seconds that a member has in any case."""

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 500),
    # etcd takes a ping every 5 s at most (--grpc-keepalive-min-time); that a member is gone, the deadlines tell.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
]


@dataclass(frozen=True, slots=True)
class Put:
    """A value for a key, if these keys have not been changed since these revisions (0: are not there)."""

    key: bytes
    value: bytes
    unchanged: Sequence[tuple[bytes, int]]
    lease: int = 0

    def request(self) -> Any:
        compare = [
            rpc.Compare(result=rpc.Compare.EQUAL, target=rpc.Compare.MOD, key=name, mod_revision=revision)
            for name, revision in self.unchanged
        ]
        change = rpc.RequestOp(request_put=rpc.PutRequest(key=self.key, value=self.value, lease=self.lease))
        return rpc.TxnRequest(compare=compare, success=[change])


class Unknown(StoreError):
    """The request may have been carried out, may be carried out later, or never."""


class _Member:
    def __init__(self, endpoint: str, credentials: grpc.ChannelCredentials | None) -> None:
        self.endpoint = endpoint
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(endpoint, options=_OPTIONS)
        else:
            self.channel = grpc.aio.secure_channel(endpoint, credentials, options=_OPTIONS)
        self.kv = rpc.KVStub(self.channel)
        self.lease = rpc.LeaseStub(self.channel)
        self.auth = rpc.AuthStub(self.channel)
        self.token = ""
        self.logging_in = asyncio.Lock()


class Etcd:
    """Everything it reads is linearizable: true at a moment after it was asked."""

    def __init__(self, config: EtcdConfig) -> None:
        self.config = config
        self.prefix = config.prefix.encode()
        credentials = credentials_of(config)
        self._members = [_Member(endpoint, credentials) for endpoint in config.endpoints]
        self._at = 0
        self._shut, self._shut_until = "", 0.0

    async def get(self, *keys: bytes) -> list[Any]:
        """The key-value pairs (`rpc.KeyValue`, or None) of these keys, all at one moment."""
        request = rpc.TxnRequest(success=[rpc.RequestOp(request_range=rpc.RangeRequest(key=key)) for key in keys])
        found = await self._ask(lambda member, **how: member.kv.Txn(request, **how))
        answers = [response.response_range.kvs for response in found.responses]
        return [kvs[0] if kvs else None for kvs in answers]

    async def list(self, prefix: bytes) -> Sequence[Any]:
        end = prefix[:-1] + bytes((prefix[-1] + 1,))
        request = rpc.RangeRequest(key=prefix, range_end=end)
        found = await self._ask(lambda member, **how: member.kv.Range(request, **how))
        return list(found.kvs)

    async def put(self, key: bytes, value: bytes, unchanged: Sequence[tuple[bytes, int]], lease: int = 0) -> int:
        """Put the value if these keys have not been changed since these revisions (0: are not there); its revision,
        or 0 if one was changed. Asks one member, once: raises Unknown if it does not say what came of it."""
        (revision,) = await self.put_all([Put(key, value, unchanged, lease)])
        return revision

    async def put_all(self, puts: Sequence[Put]) -> Sequence[int]:
        """The same for many in one request: each is done or not by its own comparison (transactions within one)."""
        request = rpc.TxnRequest(success=[rpc.RequestOp(request_txn=put.request()) for put in puts])
        found = await self._ask(lambda member, **how: member.kv.Txn(request, **how), tries=1)
        done = [response.response_txn.succeeded for response in found.responses]
        return [int(found.header.revision) if one else 0 for one in done]

    async def grant(self, seconds: int) -> int:
        """A lease."""
        request = rpc.LeaseGrantRequest(TTL=seconds)
        found = await self._ask(lambda member, **how: member.lease.LeaseGrant(request, **how))
        return int(found.ID)

    async def refresh(self, lease: int) -> bool:
        """Does it still run? If so, it runs anew."""

        async def keep_alive(member: _Member, **how: Any) -> Any:
            call = member.lease.LeaseKeepAlive(**how)
            await call.write(rpc.LeaseKeepAliveRequest(ID=lease))
            answer = await call.read()
            await call.done_writing()
            call.cancel()
            if not isinstance(answer, rpc.LeaseKeepAliveResponse):
                raise StoreError(f"etcd {member.endpoint}: it ended the stream of a lease")
            return answer

        found = await self._ask(keep_alive)
        return int(found.TTL) > 0

    async def revoke(self, lease: int) -> None:
        request = rpc.LeaseRevokeRequest(ID=lease)
        await self._ask(lambda member, **how: member.lease.LeaseRevoke(request, **how))

    async def _ask(self, request: Callable[..., Awaitable[T]], tries: int = 0) -> T:
        """tries: 1 for what must not be done twice, of one member. 0 for all of them, within the time allowed, each
        soon after the one before, if that has not answered: it may be gone without a sign."""
        most = tries or max(LEAST_TRIES, len(self._members))
        until = time.monotonic() + self.config.timeout
        said: list[str] = []
        asked: dict[asyncio.Task[T], int] = {}
        try:
            for turn in range(most):
                at = (self._at + turn) % len(self._members)
                left = max(LEAST_TIME, until - time.monotonic())
                asked[asyncio.create_task(self._authorised(self._members[at], request, left))] = at
                last = turn + 1 == most
                while asked:
                    wait = None if last or len(self._members) == 1 else SOON * self.config.timeout
                    done, _ = await asyncio.wait(asked, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                    if not done:
                        break
                    for task in done:
                        at = asked.pop(task)
                        try:
                            answer = task.result()
                        except grpc.aio.AioRpcError as error:
                            said.append(self._complaint(self._members[at], error))
                        else:
                            self._at = at
                            return answer
            self._at = (self._at + 1) % len(self._members)
            raise Unknown(f"etcd does not answer ({'; '.join(dict.fromkeys(said))})")
        finally:
            for task in asked:
                task.cancel()
                task.add_done_callback(_forget)

    def _complaint(self, member: _Member, error: grpc.aio.AioRpcError) -> str:
        """Raises Refused if it is no trouble of this member."""
        details = error.details() or error.code().name
        if reason := why_refused(self.config, details):
            raise Refused(reason) from error
        return f"{member.endpoint}: {explained(self.config, details)}"

    async def _authorised(self, member: _Member, request: Callable[..., Awaitable[T]], timeout: float) -> T:
        if not self.config.user:
            return await request(member, timeout=timeout)
        for _ in range(2):
            token = await self._token(member)
            try:
                return await request(member, timeout=timeout, metadata=(("token", token),))
            except grpc.aio.AioRpcError as error:
                if not token_is_spent(error.details() or ""):
                    raise
                if member.token == token:
                    member.token = ""
        raise StoreError(f"etcd {member.endpoint}: it takes no token that it has just given")

    async def _token(self, member: _Member) -> str:
        """One that the member has given us, by a log-in if need be: one at a time, and each may take all the time
        allowed, since etcd makes passwords slow to try."""
        async with member.logging_in:
            if member.token:
                return member.token
            if time.monotonic() < self._shut_until:
                raise Refused(self._shut)
            password = await asyncio.to_thread(password_of, self.config)
            request = rpc.AuthenticateRequest(name=self.config.user, password=password)
            try:
                found = await member.auth.Authenticate(request, timeout=self.config.timeout)
            except grpc.aio.AioRpcError as error:
                if reason := why_refused(self.config, error.details() or ""):
                    self._shut, self._shut_until = reason, time.monotonic() + SHUT
                raise
            member.token = str(found.token)
            return member.token

    async def close(self) -> None:
        for member in self._members:
            await member.channel.close(grace=None)


def _forget(task: asyncio.Task[Any]) -> None:
    """Whatever came of it is of no interest."""
    if not task.cancelled():
        task.exception()


def credentials_of(config: EtcdConfig) -> grpc.ChannelCredentials | None:
    if config.ca is None:
        return None

    def content(file: Path | None) -> bytes | None:
        try:
            return None if file is None else file.read_bytes()
        except OSError as error:
            raise StoreError(f"etcd: {file}: {error.strerror}") from error

    return grpc.ssl_channel_credentials(content(config.ca), content(config.key), content(config.certificate))
