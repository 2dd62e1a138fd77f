"""A resource script of Heartbeat, called and understood as Heartbeat's ResourceManager did, and with more doubt.

Heartbeat asked a script by what `status` prints, and never by its exit code: "running" or "OK" meant running, anything
else stopped. Here both must agree, so that only a certain answer counts as stopped:

| exit code | it prints "running" or "OK" | "not running" or "stopped" | neither |
| --- | --- | --- | --- |
| 0 | running | stopped | in init.d: running; in resource.d: not told |
| 3 or 7 (the LSB's and OCF's "stopped") | failed | stopped | stopped |
| another | failed | failed | failed; if it prints a usage: not told |

Not told: the script has no `status`. Heartbeat started it whenever it took the group over; here it counts as running
from a start to a stop of ours, or to the next boot.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hamgr.config.model import ResourceConfig
from hamgr.guard import orders
from hamgr.resources.mark import Begun, Mark
from hamgr.resources.program import ENVIRONMENT, CantRun, Finished, Unkilled, run
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings

INIT_DIR = Path("/etc/init.d")
SCRIPTS = "resource.d"

SPOKEN = 65536
"""Bytes of what a status prints that are read."""

STOP_PAUSE = 1.0
"""Seconds between two tries of a stop that failed (ResourceManager did the same, ten times)."""

PATIENCE_SHARE = 0.9
"""Of the stop time-out: so that the reason is told, and not only that the time was up."""

STARTED = "started"
"""The mark of a start that came to its end."""

_NOT_RUNNING = re.compile(rb"[Nn][Oo][Tt] .*[Rr]unning|[Ss]topped")
_RUNNING = re.compile(rb"[Rr]unning|OK")
_USAGE = re.compile(rb"usage", re.IGNORECASE)
_STOPPED_CODES = (3, 7)


def candidates(script: str, directory: str) -> Iterable[Path]:
    """Where a script may be, in the order of haresources(5); an absolute path is itself."""
    if os.path.isabs(script):
        return [Path(script)]
    return [Path(directory) / SCRIPTS / script, INIT_DIR / script]


def locate(script: str, directory: str) -> Path:
    """The script's file; the first place, where it should be, if it is in none. Reads the disk."""
    places = list(candidates(script, directory))
    return next((place for place in places if place.is_file() and os.access(place, os.X_OK)), places[0])


def told_status(finished: Finished, *, init_script: bool) -> ResourceStatus | None:
    """What a `status` says, by the table above; None: nothing."""
    said_not = bool(_NOT_RUNNING.search(finished.stdout))
    said_running = not said_not and bool(_RUNNING.search(finished.stdout))
    if finished.code == 0:
        if said_running or said_not:
            return ResourceStatus.RUNNING if said_running else ResourceStatus.STOPPED
        return ResourceStatus.RUNNING if init_script else None
    if finished.code in _STOPPED_CODES:
        return ResourceStatus.FAILED if said_running else ResourceStatus.STOPPED
    if not said_running and not said_not and _USAGE.search(finished.stdout + finished.output.encode()):
        return None
    return ResourceStatus.FAILED


class HeartbeatScript:
    """Options: script (a name, or an absolute path), args, directory (Heartbeat's own, with resource.d in it)."""

    def __init__(self, config: ResourceConfig, surroundings: Surroundings) -> None:
        self._script = str(config.options["script"])
        self._directory = str(config.options["directory"])
        args = config.options["args"]
        assert isinstance(args, list)
        self._args = [str(arg) for arg in args]
        self._patience = config.stop_timeout * PATIENCE_SHARE
        self._environment = environment(self._directory, surroundings.node)
        self._mark = Mark(surroundings, config.name)
        self._stop_timeout = config.stop_timeout
        self._begun = Begun(self._mark)
        self._unkilled = Unkilled()
        self.reason = ""

    def emergency(self) -> list[orders.Order]:
        command = [str(locate(self._script, self._directory)), *self._args, "stop"]
        return [orders.run(self._stop_timeout, self._environment.items(), command)]

    async def prepare(self) -> None:
        await self._begun.reserve()

    async def start(self) -> None:
        """Only what does not run: Heartbeat's scripts need not bear a second start."""
        if await self.status() is ResourceStatus.RUNNING:
            return
        async with self._begun.start() as noted:
            finished = await self._run("start", noted=noted)
        if finished.code != 0:
            raise ResourceError(f"{self._shown} start {finished}")
        await asyncio.to_thread(self._mark.write, STARTED)

    async def stop(self) -> None:
        """Again and again while it fails; one that fails because there is nothing to stop has not failed."""
        await self._begun.end_earlier()
        clock = asyncio.get_running_loop().time
        until = clock() + self._patience
        try:
            while (finished := await self._run("stop")).code != 0:
                if await self.status() is ResourceStatus.STOPPED:
                    break
                if clock() + STOP_PAUSE >= until:
                    raise ResourceError(f"{self._shown} stop {finished}")
                await asyncio.sleep(STOP_PAUSE)
        except CantRun:
            if not await self._begun.nothing_can_run():
                raise
        await self._begun.over()

    async def status(self) -> ResourceStatus:
        try:
            told = await self._ask()
        except CantRun as error:
            if not await self._begun.nothing_can_run():
                raise
            self.reason = str(error)
            return ResourceStatus.STOPPED
        found = told or await self._remembered()
        if told is ResourceStatus.RUNNING:
            await self._begun.found_running()
        if hindrance := self._unkilled.reason or await self._begun.hindrance():
            self.reason = hindrance
            return ResourceStatus.FAILED
        return found

    async def _ask(self) -> ResourceStatus | None:
        finished = await self._run("status", SPOKEN)
        told = told_status(finished, init_script=self._path.parent == INIT_DIR)
        spoken = " ".join(finished.stdout.decode(errors="replace").split())
        shown = Finished(finished.code, f"{spoken} {finished.output}".strip())
        self.reason = f"{self._shown} status {shown}" if told is ResourceStatus.FAILED else ""
        return told

    async def _remembered(self) -> ResourceStatus:
        mark = await asyncio.to_thread(self._mark.read)
        if mark not in ("", STARTED):
            self.reason = f"a start of {self._shown} did not come to its end, and the script has no status"
            return ResourceStatus.FAILED
        return ResourceStatus.RUNNING if mark == STARTED else ResourceStatus.STOPPED

    @property
    def _shown(self) -> str:
        return " ".join([str(self._path), *self._args])

    async def _run(self, action: str, whole: int = 0, noted: Sequence[str] = ()) -> Finished:
        """The script is looked for each time: it may come, go and move."""
        self._path = await asyncio.to_thread(locate, self._script, self._directory)
        try:
            command = [str(self._path), *self._args, action]
            unkilled = None if action == "status" else self._unkilled
            return await run(command, self._environment, whole=whole, unkilled=unkilled, noted=noted)
        except CantRun as error:
            places = " nor ".join(str(place.parent) for place in candidates(self._script, self._directory))
            if os.path.isabs(self._script):
                raise
            raise CantRun(f"{error} (an executable {self._script} is neither in {places})") from error

    async def close(self) -> None:
        return


def environment(directory: str, node: str) -> dict[str, str]:
    """What Heartbeat gave its scripts; the rest is set by the `shellfuncs` that they read, if they are not set here."""
    return {
        **ENVIRONMENT,
        "HA_DIR": directory,
        "HA_FUNCS": f"{directory}/shellfuncs",
        "HA_CF": f"{directory}/ha.cf",
        "HA_RCDIR": f"{directory}/rc.d",
        "HA_RESOURCEDIR": f"{directory}/{SCRIPTS}",
        "HA_CURHOST": node,
        "OCF_ROOT": "/usr/lib/ocf",
    }
