"""Serves: opens the ports, and follows the key files and the registry as they change."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import grpc

from arbiter.authority import OwnCertificate, own_certificate
from arbiter.config import ArbiterConfig, host_of, load_all_keys, port_of
from arbiter.control import Control
from arbiter.door import Door
from arbiter.explanations import Explanations
from arbiter.handshakes import listen_to_grpc
from arbiter.joining import JoinDesk, Terms
from arbiter.joinport import JoinPort
from arbiter.keeper import SqliteKeeper
from arbiter.monitoring import Monitoring
from arbiter.notify import keep_telling, notify
from arbiter.records import ENOUGH, emptied
from arbiter.refusals import Refusals
from arbiter.registries import registry_of
from arbiter.registry import Changed, Registry, RegistryError, Roll, Unanswered
from arbiter.service import ArbiterService
from arbiter.store import SqliteStore, StoreError
from hamgr.config.problems import ConfigError
from hamgr.links.keys import Keys
from hamgr.links.seal import Key, Method
from hamgr.links.stream import SERVER_OPTIONS
from hamgr.v1 import arbiter_pb2_grpc as pb_grpc

log = logging.getLogger("hamgr-arbiter")

LOOK_AGAIN = 1.0
"""Seconds between two looks at whose certificate has ended meanwhile."""

PATIENCE = 60.0
"""Seconds of waiting that systemd is asked for at a time."""

DESCRIPTORS = 65536
"""Open files that are asked for: one a stream, and some more for connections that come to nothing."""


SWITCH = 0.0005
"""Seconds that a thread which comes back from the disk waits for its turn at most, while others keep the interpreter
busy; Python's own 5 ms, several times a write, are what a vote would take then."""

_OPTIONS: list[tuple[str, Any]] = [
    *SERVER_OPTIONS,
    # A node's silence is told by its reports; a ping only finds connections that nobody uses anymore.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.http2.bdp_probe", 0),
    # Of TLS: each stream keeps such a buffer, and a report has some hundred bytes.
    ("grpc.tsi.max_frame_size", 4096),
]


class ListenError(Exception):
    """The address can't be listened on."""


async def serve(config: ArbiterConfig) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError, StoreError, RegistryError or ListenError before anything is
    served."""
    keys = load_all_keys(config)
    service = service_of(config)
    _raise_limit()
    registry = registry_of(config)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if not await _answers(registry, ended):
        return
    if not keys:
        _ensure_authority(registry)
    host = Host(config, keys, service, registry)
    try:
        await host.open()
        _rarely_collect()
        sys.setswitchinterval(SWITCH)
        loop.add_signal_handler(signal.SIGHUP, host.reload_soon)
        notify("READY=1")
        log.info("hamgr-arbiter: ready on %s", host.summary())
        listen_to_grpc(host.refusals)
        await ended.wait()
        notify("STOPPING=1")
    finally:
        await host.close()


async def _answers(registry: Registry, ended: asyncio.Event) -> bool:
    """Wait until etcd answers: after a power failure it may be up later than we. False if we are told to end first."""
    told = ""
    while not ended.is_set():
        try:
            await asyncio.to_thread(registry.version)
            if told:
                notify("STATUS=")
            return True
        except Unanswered as error:
            if str(error) != told:
                told = str(error)
                log.warning("waiting, no cluster is served yet: %s", error)
            notify(f"EXTEND_TIMEOUT_USEC={int(PATIENCE * 1e6)}\nSTATUS=waiting: {error}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), LOOK_AGAIN)
    return False


def _ensure_authority(registry: Registry) -> None:
    """Another process over the same etcd may make one at the same moment."""
    try:
        registry.ensure_authority()
    except Changed:
        registry.ensure_authority()


MakeService = Callable[[Mapping[str, Keys], Door, Refusals, Explanations], ArbiterService]


def service_of(config: ArbiterConfig) -> MakeService:
    """Opens the store. Raises StoreError."""
    if config.etcd is not None:
        from arbiter.sharing import SharedService

        etcd = config.etcd
        return lambda keys, door, refusals, explanations: SharedService(
            keys, etcd, int(port_of(config.tls_listen)), door, config.limits, refusals, explanations
        )
    store = SqliteStore(config.state_dir)
    if store.put_back:
        log.error(
            "%s/votes.db is not the file that was written last here (%s): no cluster gets a vote before %s",
            config.state_dir,
            store.put_back,
            ENOUGH,
        )
    return lambda keys, door, refusals, explanations: ArbiterService(
        keys, SqliteKeeper(store), door, config.limits, refusals, explanations
    )


class Host:
    """The ports, and all that is behind them."""

    def __init__(self, config: ArbiterConfig, keys: dict[str, Keys], make: MakeService, registry: Registry) -> None:
        self._config = config
        self._keys = keys
        self._registry = registry
        self._own: tuple[int, OwnCertificate] | None = None
        self._shown: grpc.ServerCertificateConfiguration | None = None
        self._fresh = False
        self._enrolled: dict[str, str] = {}
        self._version = -1
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turn = asyncio.Lock()
        self.refusals = Refusals()
        self._door = Door(keys, registry.load())
        self._explanations = Explanations(config.state_dir)
        self._service = make(keys, self._door, self.refusals, self._explanations)
        self._plain: grpc.aio.Server | None = None
        self._tls: grpc.aio.Server | None = None
        terms = Terms(int(port_of(config.tls_listen)), config.certificate_days, config.limits.nodes)
        self._joining = JoinPort(JoinDesk(registry, terms), self.refusals, lambda: self._soon(self.refresh()))
        self._control = Control(self._answer)

    async def open(self) -> None:
        """Raises ListenError."""
        if self._config.listen:
            self._plain = self._server()
            self._add_port("listen", self._config.listen, None)
            await self._plain.start()
        await self._control.listen(self._config.state_dir)
        await self._use(self._door.roll)
        self._soon(self._watch())
        self._soon(keep_telling())

    def summary(self) -> str:
        where = [self._config.listen] if self._config.listen else []
        if self._tls is not None:
            where.append(f"{self._config.tls_listen} (TLS)")
        count = len(self._service.clusters)
        return f"{' and '.join(where)}, {count} cluster{'' if count == 1 else 's'}"

    def _server(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=_OPTIONS)
        pb_grpc.add_ArbiterServicer_to_server(self._service, server)
        server.add_generic_rpc_handlers((Monitoring(lambda: self._service.healthy),))
        return server

    def _add_port(self, key: str, address: str, credentials: grpc.ServerCredentials | None) -> None:
        try:
            if credentials is None:
                assert self._plain is not None
                self._plain.add_insecure_port(address)
            else:
                assert self._tls is not None
                self._tls.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise self._cannot_listen(key, address) from error

    def _cannot_listen(self, key: str, address: str) -> ListenError:
        text = f"{self._config.path}: {key}: found {address}, allowed an address of this machine with a free port"
        return ListenError(text)

    # -- what changes -------------------------------------------------------------------------------------------

    async def refresh(self) -> list[str]:
        """Read the registry again; returns why streams were ended, if some were."""
        async with self._turn:
            try:
                roll = await asyncio.to_thread(self._registry.load)
            except RegistryError as error:
                log.error("the registry is used as it was: %s", error)
                return []
            return await self._use(roll)

    async def _use(self, roll: Roll) -> list[str]:
        self._door.roll = roll
        enrolled = {name: cluster.seal for name, cluster in roll.clusters.items() if name not in self._door.static}
        new = {name: seal for name, seal in enrolled.items() if self._enrolled.get(name) != seal}
        gone = self._enrolled.keys() - enrolled.keys()
        self._enrolled = enrolled
        self._service.serve(
            {name: Keys({1: Key(bytes.fromhex(seal), Method.HMAC_SHA256)}, 1) for name, seal in new.items()}
        )
        reasons = self._service.look()
        await self._service.drop(gone)
        if roll.signer is not None:
            await self._show(roll)
        return reasons

    async def _show(self, roll: Roll) -> None:
        """Have a certificate of the authority that signs, and listen with it if we don't yet."""
        signer = roll.signer
        assert signer is not None
        if self._own is None or self._own[0] != signer.number or datetime.now(UTC) >= self._own[1].renew_at:
            self._own = (signer.number, own_certificate(signer))
        own = self._own[1]
        self._shown = grpc.ssl_server_certificate_configuration([(own.key, own.chain)], roll.bundle.encode())
        self._fresh = True
        self._joining.use(roll, own)
        self._service.present(own, roll.bundle)
        if self._tls is not None:
            return
        self._tls = self._server()
        credentials = grpc.dynamic_ssl_server_credentials(self._shown, self._newest, True)  # type: ignore[arg-type]
        self._add_port("tls_listen", self._config.tls_listen, credentials)
        await self._tls.start()
        try:
            await self._joining.listen(host_of(self._config.join_listen), int(port_of(self._config.join_listen)))
        except OSError as error:
            raise self._cannot_listen("join_listen", self._config.join_listen) from error

    def _newest(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked by gRPC at each handshake; None: as it was."""
        fresh, self._fresh = self._fresh, False
        return self._shown if fresh else None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN)
            self._service.look()
            if await self._changed():
                await self.refresh()
            if self._own is not None and datetime.now(UTC) >= self._own[1].renew_at:
                await self.refresh()

    async def _changed(self) -> bool:
        """Whether somebody else changed the registry: a command, or another process over the same etcd."""
        try:
            before, self._version = self._version, await asyncio.to_thread(self._registry.version)
        except RegistryError as error:
            log.debug("the registry is not looked at: %s", error)
            return False
        return before != self._version

    def reload_soon(self) -> None:
        self._soon(self._reload())

    async def _reload(self) -> None:
        """Read all key files again, and the registry; a mistake in one of the files changes nothing."""
        notify("RELOADING=1")
        try:
            keys = await asyncio.to_thread(load_all_keys, self._config)
        except ConfigError as error:
            log.error("the keys stay as they were: %s", error)
        else:
            self._service.serve(keys)
            told = "; ".join(f"{name}: {found.summary()}" for name, found in sorted(keys.items()))
            log.info("keys read again: %s", told or "there are no key files")
        await self.refresh()
        notify("READY=1")

    def _soon(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- what commands ask --------------------------------------------------------------------------------------

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request.get("do"):
            case "refresh":
                return {"ended": await self.refresh()}
            case "status":
                names = request.get("clusters") or sorted(self._service.clusters)
                return {
                    "clusters": {name: self._service.facts(name) for name in names},
                    "refused": self.refusals.counts,
                    "summary": self.summary(),
                }
            case "forget":
                return await self._forget(str(request.get("cluster")))
            case _:
                return {"refused": "unknown request"}

    async def _forget(self, cluster: str) -> dict[str, Any]:
        if cluster in self._door.static:
            return {"refused": f"cluster {cluster} is in {self._config.path}: take it out, and restart hamgr-arbiter"}
        try:
            await asyncio.to_thread(self._registry.forget, cluster)
            ended = await self.refresh()
            keeper = self._service.keeper
            await keeper.save(cluster, emptied(await keeper.load(cluster)))
            await self._explanations.forget(cluster)
        except (RegistryError, StoreError) as error:
            return {"refused": str(error)}
        return {"ended": ended}

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._control.close()
        await self._joining.close()
        for server in (self._plain, self._tls):
            if server is not None:
                await server.stop(grace=None)
        await self._service.close()
        self._registry.close()


def _rarely_collect() -> None:
    """Thousands of streams live long and have no cycles: to walk them all for each few hundred new objects, as Python
    does, takes a fifth of the CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def _raise_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
