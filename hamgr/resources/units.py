"""The units of systemd, asked and ordered over one connection that all resources of a daemon share.

Spoken to over the system bus, which is systemd's public interface; when that is down, over its private socket, so that
a service can still be stopped. A connection that is lost (dbus was restarted, systemd was executed anew) is made again,
and what was missed meanwhile is asked for. See org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jeepney import DBusAddress

from hamgr.resources.dbus import BUS, CallFailed, Connection, Disconnected, connect
from hamgr.resources.resource import ResourceError

log = logging.getLogger(__name__)

NAME = "org.freedesktop.systemd1"
MANAGER = DBusAddress("/org/freedesktop/systemd1", NAME, f"{NAME}.Manager")

PATIENCE = 5.0
"""Seconds for which a systemd that does not answer (it is executed anew, or dbus is restarted) is asked again."""

ANSWER_TIMEOUT = 25.0
"""Seconds for one answer, as of all of D-Bus: while systemd reads its files again it answers nobody, and on a slow disk
that takes long. Operations have time-outs of their own."""

MOST_CALLS = 64
"""That are under way at once: the bus refuses more than 128 (dbus-daemon(1), max_replies_per_connection)."""

RELOAD_PAUSE = 1.0
"""Seconds in which others may come that want a reload too: each takes systemd some 10 ms or many more."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two tries to connect."""

LOOK_AGAIN = 5.0
"""Seconds after which a job is looked for, should the news of its end have been lost."""

ABSENT = tuple(f"org.freedesktop.DBus.Error.{name}" for name in ("ServiceUnknown", "NameHasNoOwner", "NoReply"))
"""What the bus answers while systemd is not on it."""

Changed = Callable[[Mapping[str, Any]], None]
"""These properties of a unit (systemd.unit's and its type's) are this now; empty: something may have been missed."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where systemd is found."""

    bus: Path = Path("/run/dbus/system_bus_socket")
    private: Path = Path("/run/systemd/private")
    drop_ins: Path = Path("/run/systemd/system")


@dataclass(frozen=True, slots=True)
class Unit:
    """What is true of a unit now. job: the path of the job that is under way for it; "/" without one."""

    name: str
    load: str
    active: str
    sub: str
    path: str
    job_type: str
    job: str


class Units:
    def __init__(self, places: Places) -> None:
        self.places = places
        self.users = 0
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._rejoining: asyncio.Task[None] | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._reload_turn = asyncio.Lock()
        self._stale = False
        self._free = asyncio.Semaphore(MOST_CALLS)
        self._followed: dict[str, list[Changed]] = {}
        self._jobs: dict[str, asyncio.Future[str]] = {}
        self._asking = 0
        self._removed: dict[str, str] = {}
        """Jobs that ended while the answer to a request for a job is still awaited: it may be about them."""

    # -- questions and orders -----------------------------------------------------------------------------------

    async def look(self, *names: str) -> list[Unit]:
        """The units of these names, loaded if need be. Raises ResourceError."""
        try:
            (rows,) = await self._ask(MANAGER, "ListUnitsByNames", "as", list(names))
        except CallFailed as error:
            raise ResourceError(f"systemd can't tell of {', '.join(names)}: {error}") from error
        return [Unit(row[0], row[2], row[3], row[4], row[6], row[8], row[9]) for row in rows]

    async def processes(self, name: str) -> list[tuple[int, str]]:
        """What runs in the unit's control group: process ids and command lines."""
        (found,) = await self._ask(MANAGER, "GetUnitProcesses", "s", name)
        return [(pid, command) for _group, pid, command in found]

    async def of(self, unit: Unit, interface: str, key: str) -> Any:
        """One property; None if the unit has none of that name."""
        properties = DBusAddress(unit.path, NAME, "org.freedesktop.DBus.Properties")
        try:
            ((_signature, value),) = await self._ask(properties, "Get", "ss", f"{NAME}.{interface}", key)
        except CallFailed:
            return None
        return value

    async def forget_failures(self, name: str) -> None:
        """So that the starts that were before do not count against the unit's StartLimitBurst."""
        with contextlib.suppress(CallFailed):
            await self._ask(MANAGER, "ResetFailedUnit", "s", name)

    async def order(self, verb: str, name: str, mode: str) -> str:
        """Have a job made; its path. Raises CallFailed if systemd refuses, ResourceError if it can't be asked."""
        (path,) = await self._ask(MANAGER, verb, "ss", name, mode)
        return str(path)

    async def carry_out(self, verb: str, name: str, mode: str) -> str:
        """Have a job made and wait for its end: "done", "failed", "canceled" ...; "" if that was missed. Raises as
        `order` does."""
        self._asking += 1
        try:
            path = await self.order(verb, name, mode)
            if path in self._removed:
                return self._removed[path]
            ended = self._jobs.setdefault(path, asyncio.get_running_loop().create_future())
        finally:
            self._asking -= 1
            if not self._asking:
                self._removed.clear()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):
                    # Shielded: another may wait for the end of the same job.
                    if result := await asyncio.shield(ended):
                        return result
            (unit,) = await self.look(name)
            if unit.job != path:
                return ended.result() if ended.done() else ""
            ended = self._jobs.setdefault(path, asyncio.get_running_loop().create_future())

    def reload_soon(self) -> None:
        """Have systemd read its unit files again: once for all who ask within a moment."""
        self._stale = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._reload_later())

    async def _reload_later(self) -> None:
        await asyncio.sleep(RELOAD_PAUSE)
        with contextlib.suppress(CallFailed, ResourceError):
            await self.reloaded()

    async def reloaded(self) -> None:
        """Have read what `reload_soon` was called for. Raises CallFailed or ResourceError."""
        async with self._reload_turn:
            if self._stale:
                await self._ask(MANAGER, "Reload")
                self._stale = False

    async def _ask(self, peer: DBusAddress, member: str, signature: str = "", *values: Any) -> tuple[Any, ...]:
        """Ask, over a new connection if need be. All that we ask for can be asked for twice."""
        clock = asyncio.get_running_loop().time
        until, pause = clock() + PATIENCE, FIRST_PAUSE
        while True:
            try:
                async with self._free, asyncio.timeout(ANSWER_TIMEOUT):
                    connection = await self._connected()
                    return await connection.call(peer, member, signature, *values)
            except CallFailed as error:
                if error.name not in ABSENT:
                    raise
                self._lost()
                why = str(error)
            except Disconnected as error:
                why = str(error)
            except TimeoutError:
                self._lost()
                why = f"no answer to {member} in {ANSWER_TIMEOUT:g} s"
            if clock() + pause > until:
                raise ResourceError(f"systemd does not answer: {why}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    # -- news ---------------------------------------------------------------------------------------------------

    async def follow(self, name: str, changed: Changed) -> None:
        """Call `changed` whenever the unit changes, until `forget`. Raises ResourceError."""
        (unit,) = await self.look(name)
        callbacks = self._followed.setdefault(unit.path, [])
        callbacks.append(changed)
        if len(callbacks) == 1 and self._connection is not None:
            with contextlib.suppress(CallFailed, Disconnected):
                await self._match(self._connection, unit.path)

    def forget(self, changed: Changed) -> None:
        for path, callbacks in list(self._followed.items()):
            if changed in callbacks:
                callbacks.remove(changed)
            if not callbacks:
                del self._followed[path]

    def _signal(self, path: str, member: str, values: tuple[Any, ...]) -> None:
        if member == "PropertiesChanged" and path in self._followed:
            news = {key: value for key, (_signature, value) in values[1].items()}
            for changed in list(self._followed[path]):
                changed(news)
        elif member == "JobRemoved":
            _number, job, _unit, result = values
            if self._asking:
                self._removed[job] = result
            ended = self._jobs.pop(job, None)
            if ended is not None and not ended.done():
                ended.set_result(result)
        elif member == "NameOwnerChanged" and values[0] == NAME:
            # systemd was executed anew, or lost the bus: it may have forgotten us, and signals may be lost.
            self._lost()

    # -- the connection -----------------------------------------------------------------------------------------

    async def _connected(self) -> Connection:
        """Raises Disconnected."""
        async with self._connecting:
            if self._connection is None:
                self._connection = await self._join()
            return self._connection

    async def _join(self) -> Connection:
        problems = []
        for socket in (self.places.bus, self.places.private):
            connection: Connection | None = None
            try:
                connection = await connect(socket, self._signal, self._lost)
                if socket == self.places.bus:
                    await self._introduce(connection)
                return connection
            except (CallFailed, Disconnected) as error:
                problems.append(f"{socket.name}: {error}" if isinstance(error, CallFailed) else str(error))
            except BaseException:
                if connection is not None:
                    connection.close()
                raise
            if connection is not None:
                connection.close()
        raise Disconnected("; ".join(problems))

    async def _introduce(self, connection: Connection) -> None:
        """Ask the bus for what the private socket tells of itself: all signals."""
        try:
            async with asyncio.timeout(PATIENCE):
                await connection.call(BUS, "Hello")
                manager = f"type='signal',sender='{NAME}',path='{MANAGER.object_path}',member='JobRemoved'"
                owner = f"type='signal',sender='{BUS.bus_name}',member='NameOwnerChanged',arg0='{NAME}'"
                for rule in (manager, owner):
                    await connection.call(BUS, "AddMatch", "s", rule)
                for path in list(self._followed):
                    await self._match(connection, path)
                await connection.call(MANAGER, "Subscribe")
        except TimeoutError:
            raise Disconnected(f"{self.places.bus}: no answer in {PATIENCE:g} s") from None

    async def _match(self, connection: Connection, path: str) -> None:
        rule = f"type='signal',sender='{NAME}',path='{path}',member='PropertiesChanged'"
        await connection.call(BUS, "AddMatch", "s", rule)

    def _lost(self) -> None:
        """Connect again soon, and ask for what was missed."""
        if self._connection is None:
            return
        self._connection.close()
        self._connection = None
        if self._rejoining is None or self._rejoining.done():
            self._rejoining = asyncio.create_task(self._rejoin())

    async def _rejoin(self) -> None:
        pause = FIRST_PAUSE
        while True:
            with contextlib.suppress(Disconnected, CallFailed, ResourceError):
                await self._connected()
                self._catch_up()
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _catch_up(self) -> None:
        for ended in list(self._jobs.values()):
            if not ended.done():
                ended.set_result("")
        self._jobs.clear()
        for callbacks in list(self._followed.values()):
            for changed in list(callbacks):
                changed({})

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        tasks = [task for task in (self._rejoining, self._reloading) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Places, Units]] = weakref.WeakKeyDictionary()


def join(places: Places) -> Units:
    """The loop's connection to the systemd there; everyone who joins leaves again with `leave`."""
    units = _shared.setdefault(asyncio.get_running_loop(), {}).setdefault(places, Units(places))
    units.users += 1
    return units


async def leave(units: Units) -> None:
    """The last one closes the connection."""
    units.users -= 1
    if units.users == 0:
        _shared[asyncio.get_running_loop()].pop(units.places, None)
        await units.close()
