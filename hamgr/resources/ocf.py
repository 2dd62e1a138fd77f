"""A resource that an OCF agent starts, stops and monitors."""

from __future__ import annotations

import contextlib

from hamgr.config.model import ResourceConfig
from hamgr.core.effects import Kind
from hamgr.guard.orders import Order
from hamgr.resources.ocf_agent import DEGRADED, NOT_RUNNING, SUCCESS
from hamgr.resources.ocf_calls import Calls
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings


class Ocf:
    """Options: agent, parameters, check_level, ocf_root.

    Only 7 (not running) says that nothing runs. 5 (not installed) says it too as long as we have started nothing since
    the boot: the node that lacks a program can't be running it. Once we have, it may: only the program's file is gone.
    """

    def __init__(self, config: ResourceConfig, surroundings: Surroundings) -> None:
        self._calls = Calls(config, surroundings)
        self._tell = surroundings.tell
        self._degraded = False
        self.reason = ""

    def emergency(self) -> list[Order]:
        return self._calls.emergency()

    async def prepare(self) -> None:
        await self._calls.prepare()

    async def start(self) -> None:
        await self._calls.started_here()
        await self._calls.succeed("start")
        self._calls.role = "running"

    async def stop(self) -> None:
        self._calls.role = ""
        code, said = await self._calls.call("stop")
        if code != SUCCESS and not await self._calls.nothing_can_run(code):
            raise ResourceError(said)
        await self._calls.stopped_here()

    async def status(self) -> ResourceStatus:
        code, said = await self._calls.monitor()
        if code in (SUCCESS, DEGRADED):
            await self._found_running()
            self._note_degraded(code == DEGRADED, said)
            return ResourceStatus.RUNNING
        self.reason = said
        if code == NOT_RUNNING or await self._calls.nothing_can_run(code):
            return ResourceStatus.STOPPED
        raise ResourceError(said)

    async def _found_running(self) -> None:
        self.reason = ""
        if not self._calls.role:
            self._calls.role = "running"
            with contextlib.suppress(ResourceError):  # that it runs is more than that it can be noted
                await self._calls.started_here()

    def _note_degraded(self, degraded: bool, said: str) -> None:
        """Told once, when it begins."""
        if degraded and not self._degraded:
            self._tell(Kind.WARNING, said)
        self._degraded = degraded

    async def close(self) -> None:
        return
