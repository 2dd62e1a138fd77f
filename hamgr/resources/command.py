"""A service that is started, stopped and checked by three commands of its own."""

from __future__ import annotations

from hamgr.config.model import ResourceConfig
from hamgr.resources.program import ENVIRONMENT, Unkilled, run
from hamgr.resources.resource import ResourceError, ResourceStatus

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

    def __init__(self, config: ResourceConfig) -> None:
        self._commands = {key: words(config, key) for key in ("start", "stop", "check")}
        self._stopped_code = int(str(config.options["stopped_code"]))
        self._environment = environment(config)
        self._unkilled = Unkilled()
        self.reason = ""

    async def prepare(self) -> None:
        return

    async def start(self) -> None:
        await self._do("start")

    async def stop(self) -> None:
        await self._do("stop")

    async def status(self) -> ResourceStatus:
        finished = await run(self._commands["check"], self._environment)
        if hanging := self._unkilled.reason:
            self.reason = hanging
            return ResourceStatus.FAILED
        if finished.code in (RUNNING, self._stopped_code):
            self.reason = ""
            return ResourceStatus.RUNNING if finished.code == RUNNING else ResourceStatus.STOPPED
        self.reason = f"{' '.join(self._commands['check'])} {finished}"
        return ResourceStatus.FAILED

    async def _do(self, action: str) -> None:
        finished = await run(self._commands[action], self._environment, unkilled=self._unkilled)
        if finished.code != 0:
            raise ResourceError(f"{' '.join(self._commands[action])} {finished}")

    async def close(self) -> None:
        return
