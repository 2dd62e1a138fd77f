"""A service that is started, stopped and checked by three commands of its own."""

from __future__ import annotations

from collections.abc import Sequence

from hamgr.config.model import ResourceConfig
from hamgr.resources.mark import Begun, Mark
from hamgr.resources.program import ENVIRONMENT, CantRun, Unkilled, run
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings

RUNNING = 0


def words(config: ResourceConfig, key: str) -> list[str]:
    """An option that is an array of words."""
    value = config.options[key]
    assert isinstance(value, list)
    return [str(word) for word in value]


def environment(config: ResourceConfig) -> dict[str, str]:
    """The plain environment, with what the option `environment` adds to it."""
    value = config.options.get("environment", {})
    assert isinstance(value, dict)
    return {**ENVIRONMENT, **{key: str(text) for key, text in value.items()}}


class Command:
    """Options: start, stop, check, stopped_code, environment.

    Only two exit codes of the check are answers; all others may come from a check that is itself broken.
    """

    def __init__(self, config: ResourceConfig, surroundings: Surroundings) -> None:
        self._commands = {key: words(config, key) for key in ("start", "stop", "check")}
        self._stopped_code = int(str(config.options["stopped_code"]))
        self._environment = environment(config)
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
            finished = await run(self._commands["check"], self._environment)
        except CantRun as error:
            if not await self._begun.nothing_can_run():
                raise
            self.reason = str(error)
            return ResourceStatus.STOPPED
        if hindrance := self._unkilled.reason or await self._begun.hindrance():
            self.reason = hindrance
            return ResourceStatus.FAILED
        if finished.code == RUNNING:
            self.reason = ""
            await self._begun.found_running()
            return ResourceStatus.RUNNING
        if finished.code == self._stopped_code:
            self.reason = ""
            return ResourceStatus.STOPPED
        self.reason = f"{' '.join(self._commands['check'])} {finished}"
        return ResourceStatus.FAILED

    async def _do(self, action: str, noted: Sequence[str] = ()) -> None:
        finished = await run(self._commands[action], self._environment, unkilled=self._unkilled, noted=noted)
        if finished.code != 0:
            raise ResourceError(f"{' '.join(self._commands[action])} {finished}")

    async def close(self) -> None:
        return
