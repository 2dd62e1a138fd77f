"""A unit of systemd: a service, or anything else that systemd starts and stops, ordered over D-Bus."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from hamgr.config.model import ResourceConfig
from hamgr.guard import orders
from hamgr.resources.dbus import CallFailed
from hamgr.resources.kinds.systemd import full_name
from hamgr.resources.resource import ResourceError, ResourceStatus
from hamgr.resources.units import Places, Unit, Units, join, leave

log = logging.getLogger(__name__)

UP: Final = ("active", "reloading", "refreshing")
DOWN: Final = ("inactive", "failed")
"""Of ActiveState; what is neither is on its way."""

NOT_LOADED: Final = {
    "not-found": "systemd knows no such unit",
    "masked": "it is masked; `systemctl unmask` allows it again",
    "bad-setting": "its unit file has a bad setting; see `systemctl status`",
    "error": "its unit file can't be read; see `systemctl status`",
}
"""Of LoadState: what can't be started, and why."""

COMING: Final = ("start", "restart", "reload-or-start", "verify-active")
"""Types of jobs after which a unit runs."""

SETTLE = 2.0
"""Seconds for which a unit that is on its way up or down is waited for, when it is asked for its status."""

LOOK_PAUSE = 0.05
"""Seconds between two looks meanwhile."""

WITHDRAW = 1.0
"""Seconds to wait for systemd to have taken a withdrawal: whoever cancels a start waits for us."""

BLOCKED = 0.1
"""Seconds after which a stop that waits for hamgrd's own end is ordered to wait no longer."""

DAEMON = "hamgrd.service"

DROP_IN = "50-hamgr.conf"

ORDER = f"""# Written by hamgrd: it alone starts and stops this unit, until the next boot.
[Unit]
# At a shutdown hamgrd ends first, and stops this in the order of its group.
Before={DAEMON}
"""

NO_RESTART = """
[Service]
# hamgrd counts failures, and starts it again here or on another node.
Restart=no
"""

ENDED = "it did its work and ended (a oneshot counts as running with RemainAfterExit=yes only)"

SHOWN = 3
"""Processes that an explanation names."""


class Systemd:
    """Options: unit, leftovers ("fail": a stopped unit of which processes still run has failed; or "ignore")."""

    def __init__(self, config: ResourceConfig, places: Places | None = None) -> None:
        self._name = full_name(str(config.options["unit"]))
        self._leftovers = str(config.options.get("leftovers", "fail"))
        self._settle = min(SETTLE, config.monitor_timeout / 2)
        self._places = places or Places()
        self._units: Units | None = None
        self._follows = False
        self._failed: Callable[[str], None] = _nobody
        self._telling: asyncio.Task[None] | None = None
        self._untold = False
        self._unmet = False
        self.reason = ""

    def emergency(self) -> list[orders.Order]:
        return [orders.unit(self._name)]

    def watch(self, failed: Callable[[str], None]) -> None:
        self._failed = failed

    async def prepare(self) -> None:
        """Written long before the first start: to read it takes systemd a moment."""
        units = self._joined()
        try:
            if _write(self._places.drop_ins / f"{self._name}.d" / DROP_IN, self._drop_in()):
                units.reload_soon()
        except OSError as error:
            log.warning("systemd unit %s: can't write its drop-in %s: %s", self._name, DROP_IN, error)
        try:
            await self._follow(units)
        except ResourceError as error:
            log.warning("systemd unit %s: %s; it is looked for again at the start", self._name, error)

    def _joined(self) -> Units:
        if self._units is None:
            self._units = join(self._places)
        return self._units

    def _drop_in(self) -> str:
        return ORDER + (NO_RESTART if self._name.endswith(".service") else "")

    async def _follow(self, units: Units) -> None:
        if not self._follows:
            await units.follow(self._name, self._changed)
            self._follows = True

    # -- operations ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        units = self._joined()
        try:
            await units.reloaded()
        except CallFailed as error:
            log.warning("systemd unit %s: systemd does not read its drop-in: %s", self._name, error)
        unit = await self._look()
        if unit.load in NOT_LOADED:
            raise ResourceError(f"{self._name} can't be started: {NOT_LOADED[unit.load]}")
        await self._follow(units)
        await units.forget_failures(self._name)
        try:
            result = await units.carry_out("StartUnit", self._name, "replace")
        except CallFailed as error:
            raise ResourceError(f"{self._name} can't be started: {error}") from error
        except asyncio.CancelledError:
            await self._withdraw(units, unit)
            raise
        unit = await self._look()
        if unit.active not in UP:
            why = await self._why(unit) or (ENDED if result == "done" else f"its job ended with {result!r}")
            raise ResourceError(f"{self._name} did not start: {why}; see journalctl -u {self._name}")

    async def _withdraw(self, units: Units, before: Unit) -> None:
        """Nothing of a start that is given up may come up later: what it began is stopped, unless it ran before.

        (To cancel the job is not enough: the unit would go on with what it does.)
        """
        if before.active in UP:
            return
        try:
            async with asyncio.timeout(WITHDRAW):
                await units.order("StopUnit", self._name, "replace")
        except (TimeoutError, CallFailed, ResourceError) as error:
            log.warning("systemd unit %s: can't withdraw its start: %s", self._name, error)

    async def stop(self) -> None:
        units = self._joined()
        unit = await self._look()
        if unit.active not in DOWN or unit.job_type:
            unit = await self._stopped(units)
        if unit.active not in DOWN:
            raise ResourceError(f"{self._name} did not stop: it is {unit.active} ({unit.sub})")
        if left := await self._left(units):
            raise ResourceError(f"{self._name} is stopped, but {left}")

    async def _stopped(self, units: Units) -> Unit:
        try:
            if not await self._leaving(units):
                await units.carry_out("StopUnit", self._name, "replace")
            else:
                try:
                    async with asyncio.timeout(BLOCKED):
                        await units.carry_out("StopUnit", self._name, "replace")
                except TimeoutError:
                    # By our drop-in it waits for hamgrd to end, and that waits for it.
                    await units.carry_out("StopUnit", self._name, "ignore-dependencies")
        except CallFailed as error:
            unit = await self._look()
            if unit.active not in DOWN:
                raise ResourceError(f"{self._name} can't be stopped: {error}") from error
            return unit
        return await self._look()

    async def _leaving(self, units: Units) -> bool:
        """Whether systemd is stopping hamgrd, alone or with everything."""
        (daemon,) = await units.look(DAEMON)
        return daemon.job_type in ("stop", "restart")

    async def status(self) -> ResourceStatus:
        units = self._joined()
        await self._follow(units)
        unit = await self._settled()
        if unit.active in UP:
            self.reason = ""
            return ResourceStatus.RUNNING
        if unit.active not in DOWN or unit.job_type in COMING:
            self.reason = f"{self._name} is {unit.active} ({unit.sub})"
            return ResourceStatus.FAILED
        if left := await self._left(units):
            self.reason = f"{self._name} is {unit.active}, but {left}"
            return ResourceStatus.FAILED
        self.reason = await self._why(unit) or f"{self._name} is {unit.active}"
        return ResourceStatus.STOPPED

    async def _settled(self) -> Unit:
        """The unit, after it has come up or down, if that takes a moment only."""
        clock = asyncio.get_running_loop().time
        until = clock() + self._settle
        while True:
            unit = await self._look()
            moves = unit.active not in (*UP, *DOWN) or (unit.active in DOWN and unit.job_type in COMING)
            # It is dead and waits for its next try: that is an answer.
            if not moves or unit.sub == "auto-restart" or clock() >= until:
                return unit
            await asyncio.sleep(LOOK_PAUSE)

    async def close(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
        if self._units is not None:
            self._units.forget(self._changed)
            units, self._units, self._follows = self._units, None, False
            await leave(units)

    # -- what is true -------------------------------------------------------------------------------------------

    async def _look(self) -> Unit:
        (unit,) = await self._joined().look(self._name)
        return unit

    async def _left(self, units: Units) -> str:
        """Processes that outlived the unit (KillMode=process or none): it may still be at work."""
        if self._leftovers == "ignore":
            return ""
        try:
            processes = await units.processes(self._name)
        except CallFailed:
            return ""  # systemd has forgotten the unit, or it is of a type that has none
        if not processes:
            return ""
        named = ", ".join(f"{pid} {command}" for pid, command in processes[:SHOWN])
        return f"{len(processes)} of its processes still run ({named})"

    async def _why(self, unit: Unit) -> str:
        """What systemd knows of a unit that is down; "" if that is nothing."""
        if unit.active != "failed":
            # Most of what it knew is forgotten by now; this it told before.
            return "a Condition of its unit file does not hold" if self._unmet else ""
        units, kind = self._joined(), self._name.rpartition(".")[2].capitalize()
        result = await units.of(unit, kind, "Result")
        status = await units.of(unit, kind, "ExecMainStatus")
        return f"{result}, status {status}" if result and status else str(result or "")

    # -- news ---------------------------------------------------------------------------------------------------

    def _changed(self, news: Mapping[str, Any]) -> None:
        if "ConditionResult" in news:
            self._unmet = not news["ConditionResult"]
        if news and news.get("ActiveState", "active") in UP:
            return
        self._untold = True
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        """Say that it ended, and why; unless someone is starting it again right now: that will end one way or the
        other."""
        while self._untold:
            self._untold = False
            try:
                why = await self._why(await self._look())
                unit = await self._look()
            except (ResourceError, CallFailed) as error:
                log.warning("systemd unit %s changed: %s", self._name, error)
                return
            if unit.active not in UP and unit.job_type not in COMING:
                self._failed(f"{self._name} is {unit.active}{f': {why}' if why else ''}")


def _nobody(why: str) -> None:
    return


def _write(file: Path, text: str) -> bool:
    """Whether it was other than this. (/run is in memory: this waits for no disk.)

    Where its directory's parent is missing there is no systemd, and to make it would say that there is (sd_booted(3)).
    """
    try:
        if file.read_text() == text:
            return False
    except FileNotFoundError:
        file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return True
