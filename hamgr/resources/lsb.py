"""A service with an init script: any executable with `start`, `stop` and `status` (LSB 5, 22.2)."""

from __future__ import annotations

from collections.abc import Sequence

from hamgr.config.model import ResourceConfig
from hamgr.resources.mark import Begun, Mark
from hamgr.resources.program import CantRun, Unkilled, run
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings

STATUS_RUNNING = 0
STATUS_STOPPED = 3
MEANINGS = {1: "dead, and its pid file is still there", 2: "dead, and its lock file is still there", 4: "unknown"}
"""What the LSB has other codes of `status` say."""


class Lsb:
    """Options: script (absolute path), args (put before the action, as Heartbeat's haresources did)."""

    def __init__(self, config: ResourceConfig, surroundings: Surroundings) -> None:
        self._script = str(config.options["script"])
        args = config.options.get("args", [])
        assert isinstance(args, list)
        self._args = [str(arg) for arg in args]
        self._begun = Begun(Mark(surroundings, config.name))
        self._unkilled = Unkilled()
        self.reason = ""

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
            finished = await run([self._script, *self._args, "status"])
        except CantRun as error:
            if not await self._begun.nothing_can_run():
                raise
            self.reason = str(error)
            return ResourceStatus.STOPPED
        if hindrance := self._unkilled.reason or await self._begun.hindrance():
            self.reason = hindrance
            return ResourceStatus.FAILED
        if finished.code in (STATUS_RUNNING, STATUS_STOPPED):
            self.reason = ""
            if finished.code == STATUS_STOPPED:
                return ResourceStatus.STOPPED
            await self._begun.found_running()
            return ResourceStatus.RUNNING
        meaning = f" ({MEANINGS[finished.code]})" if finished.code in MEANINGS else ""
        self.reason = f"{self._script} status {finished.how}{meaning}{finished.said}"
        return ResourceStatus.FAILED

    async def _do(self, action: str, noted: Sequence[str] = ()) -> None:
        finished = await run([self._script, *self._args, action], unkilled=self._unkilled, noted=noted)
        if finished.code != 0:
            raise ResourceError(f"{self._script} {action} {finished}")

    async def close(self) -> None:
        return
