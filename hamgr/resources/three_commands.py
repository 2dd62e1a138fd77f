"""A service that is started, stopped and asked by a command each, and known by the exit codes of the third.

Only two codes are answers; all others may come from a program that is itself broken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hamgr.config.model import ResourceConfig
from hamgr.guard import orders
from hamgr.resources.mark import Begun, Mark
from hamgr.resources.program import CantRun, Unkilled, run
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings

RUNNING = 0


class ThreeCommands:
    """commands: by "start", "stop" and "status". meanings: of other codes of the status, in words."""

    def __init__(
        self,
        config: ResourceConfig,
        commands: Mapping[str, Sequence[str]],
        environment: Mapping[str, str],
        stopped_code: int,
        surroundings: Surroundings,
        meanings: Mapping[int, str],
    ) -> None:
        self._commands = commands
        self._environment = environment
        self._stopped_code = stopped_code
        self._meanings = meanings
        self._stop_timeout = config.stop_timeout
        self._begun = Begun(Mark(surroundings, config.name))
        self._unkilled = Unkilled()
        self.reason = ""

    def emergency(self) -> list[orders.Order]:
        return [orders.run(self._stop_timeout, self._environment.items(), self._commands["stop"])]

    async def prepare(self) -> None:
        await self._begun.reserve()

    async def start(self) -> None:
        async with self._begun.start() as noted:
            await self._do("start", noted)

    async def stop(self) -> None:
        await self._begun.end_earlier()
        try:
            await self._do("stop")
        except CantRun:
            if not await self._begun.nothing_can_run():
                raise
        await self._begun.over()

    async def status(self) -> ResourceStatus:
        try:
            finished = await run(self._commands["status"], self._environment)
        except CantRun as error:
            if not await self._begun.nothing_can_run():
                raise
            self.reason = str(error)
            return ResourceStatus.STOPPED
        if hindrance := self._unkilled.reason or await self._begun.hindrance():
            self.reason = hindrance
            return ResourceStatus.FAILED
        if finished.code in (RUNNING, self._stopped_code):
            self.reason = ""
            if finished.code == self._stopped_code:
                return ResourceStatus.STOPPED
            await self._begun.found_running()
            return ResourceStatus.RUNNING
        meaning = f" ({self._meanings[finished.code]})" if finished.code in self._meanings else ""
        self.reason = f"{' '.join(self._commands['status'])} {finished.how}{meaning}{finished.said}"
        return ResourceStatus.FAILED

    async def _do(self, action: str, noted: Sequence[str] = ()) -> None:
        finished = await run(self._commands[action], self._environment, unkilled=self._unkilled, noted=noted)
        if finished.code != 0:
            raise ResourceError(f"{' '.join(self._commands[action])} {finished}")

    async def close(self) -> None:
        return
