"""A resource that an OCF agent starts, stops and monitors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from hamgr.config.model import ResourceConfig
from hamgr.core.effects import Kind
from hamgr.resources.kinds.ocf import agent_of, level_of, parameters_of
from hamgr.resources.ocf_agent import (
    DEGRADED,
    NOT_INSTALLED,
    NOT_RUNNING,
    RUN_DIRECTORY,
    SUCCESS,
    environment,
    explain,
)
from hamgr.resources.program import ENVIRONMENT, CantRun, Finished, run
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings

NOTHING: Mapping[str, str] = MappingProxyType({})

PROBE = "0"
"""The interval by which agents know a probe (ocf_is_probe): nobody says that the resource should run here."""


class Ocf:
    """Options: agent, parameters, check_level, ocf_root.

    Only 7 (not running) says that nothing runs. 5 (not installed) says it too as long as we have started nothing since
    the boot: the node that lacks a program can't be running it. Once we have, it may: only the program's file is gone.
    """

    def __init__(self, config: ResourceConfig, surroundings: Surroundings) -> None:
        self._calls = Calls(config, surroundings)
        self._tell = surroundings.tell
        self._expected = False
        self._degraded = False
        self.reason = ""

    async def prepare(self) -> None:
        await self._calls.prepare()

    async def start(self) -> None:
        await self._calls.started_here()
        await self._calls.succeed("start")
        self._expected = True

    async def stop(self) -> None:
        self._expected = False
        code, said = await self._calls.call("stop")
        if code != SUCCESS and not await self._calls.nothing_can_run(code):
            raise ResourceError(said)
        await self._calls.stopped_here()

    async def status(self) -> ResourceStatus:
        code, said = await self._calls.monitor(probe=not self._expected)
        if code in (SUCCESS, DEGRADED):
            if not self._expected:
                with contextlib.suppress(ResourceError):  # that it runs is more than that it can be noted
                    await self._calls.started_here()
            self._expected, self.reason = True, ""
            self._note_degraded(code == DEGRADED, said)
            return ResourceStatus.RUNNING
        self.reason = said
        if code == NOT_RUNNING or await self._calls.nothing_can_run(code):
            return ResourceStatus.STOPPED
        raise ResourceError(said)

    def _note_degraded(self, degraded: bool, said: str) -> None:
        """Told once, when it begins."""
        if degraded and not self._degraded:
            self._tell(Kind.WARNING, said)
        self._degraded = degraded

    async def close(self) -> None:
        return


class Calls:
    """The calls of an agent for one resource, and the mark that it was started here since the boot."""

    def __init__(self, config: ResourceConfig, surroundings: Surroundings, meta: Mapping[str, str] = NOTHING) -> None:
        """meta: what Pacemaker calls meta attributes, beside those that every agent is told."""
        self.agent = agent_of(config.options)
        self.instance = f"{surroundings.group}.{config.name}" if surroundings.group else config.name
        """By this name agents keep their files. Names have no dots, so those of two groups can't meet."""
        self._config = config
        self._parameters = parameters_of(config.options)
        self._level = level_of(config.options)
        self._node = surroundings.node
        self._meta = meta
        self._started = False
        self._run_directory = RUN_DIRECTORY
        self._fallback = surroundings.state_dir / "resource-agents"

    async def prepare(self) -> None:
        self._run_directory = await asyncio.to_thread(_made, RUN_DIRECTORY, self._fallback)

    async def call(self, action: str, meta: Mapping[str, str] = NOTHING) -> tuple[int, str]:
        """The exit code of an action, and what it means in a sentence. A missing agent is one that is not installed.
        Raises ResourceError when the agent is there and can't be run."""
        try:
            answer = await self._run(action, meta)
        except CantRun as error:
            if await asyncio.to_thread(self.agent.path.exists):
                raise
            return NOT_INSTALLED, f"{self.agent} {action}: {error}"
        return answer.code, f"{self.agent} {action}: {explain(answer.code, answer.output)}"

    async def succeed(self, action: str, meta: Mapping[str, str] = NOTHING) -> None:
        """Raises ResourceError."""
        code, said = await self.call(action, meta)
        if code != SUCCESS:
            raise ResourceError(said)

    async def monitor(self, *, probe: bool) -> tuple[int, str]:
        interval = PROBE if probe else f"{self._config.monitor_interval * 1000:.0f}"
        return await self.call("monitor", {"interval": interval})

    async def _run(self, action: str, meta: Mapping[str, str]) -> Finished:
        wait = {"start": self._config.start_timeout, "stop": self._config.stop_timeout}
        seconds = wait.get(action, self._config.monitor_timeout)
        told = {"name": action, "timeout": f"{seconds * 1000:.0f}", "on_node": self._node, **self._meta, **meta}
        level = {"OCF_CHECK_LEVEL": str(self._level)} if action == "monitor" else {}
        about = environment(self.agent, self.instance, self._parameters, self._run_directory, told)
        return await run([str(self.agent.path), action], {**ENVIRONMENT, **about, **level})

    # -- whether it was started here ----------------------------------------------------------------------------

    @property
    def _mark(self) -> Path:
        """Is there from before a start until after a stop; the boot empties its directory."""
        return self._run_directory / f"hamgr-{self.instance}.started"

    async def started_here(self) -> None:
        self._started = True
        try:
            await asyncio.to_thread(self._mark.touch)
        except OSError as error:
            raise ResourceError(f"{self._mark} can't be written: {error.strerror}") from error

    async def stopped_here(self) -> None:
        self._started = False
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._mark.unlink, missing_ok=True)

    async def nothing_can_run(self, code: int) -> bool:
        return code == NOT_INSTALLED and not self._started and not await asyncio.to_thread(self._mark.exists)


def _made(wanted: Path, otherwise: Path) -> Path:
    """The directory, made; another one where we may not make it."""
    for directory in (wanted, otherwise):
        with contextlib.suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
            return directory
    return otherwise
