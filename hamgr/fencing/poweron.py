"""After the *off*, the *on*: fenced nodes that come back by themselves, and a node that has itself let in again.

Neither changes what was decided: a node that has power again is a new life, which runs nothing until it is told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from hamgr.config.model import Config, FenceDeviceConfig
from hamgr.core.effects import Kind
from hamgr.core.events import FenceOutcome
from hamgr.fencing.runner import Answer, FenceResult

PAUSE = 5.0
"""Seconds between two tries."""

Told = Callable[[FenceDeviceConfig, Kind, str], None]


class Runner(Protocol):
    async def fence(self, node: str, level: int) -> FenceResult: ...

    async def ask(self, device: FenceDeviceConfig, action: str, timeout: float | None = None) -> Answer: ...

    def switches_on(self, device: FenceDeviceConfig) -> bool: ...


class Rebooter:
    """A fencer that switches a node on again once it was confirmed off. told: what came of it."""

    def __init__(self, config: Config, runner: Runner, told: Told) -> None:
        self._config = config
        self._runner = runner
        self._told = told
        self._rising: dict[str, asyncio.Task[None]] = {}
        self._one_at_a_time: dict[str, asyncio.Lock] = {}

    async def fence(self, node: str, level: int) -> FenceResult:
        async with self._one_at_a_time.setdefault(node, asyncio.Lock()):
            # A late "on" of the last time must not meet the "off" of this one.
            await self._stop(node)
            return await self._fence(node, level)

    async def _fence(self, node: str, level: int) -> FenceResult:
        result = await self._runner.fence(node, level)
        if result.outcome is FenceOutcome.CONFIRMED:
            # Begun behind the confirmation, which the caller hands on at once.
            devices = self._config.devices(node, level)
            self._rising[node] = asyncio.create_task(self._raise(node, devices), name=f"power on {node}")
        return result

    async def _raise(self, node: str, devices: Sequence[FenceDeviceConfig]) -> None:
        """The last device first; one that fails keeps the others from nothing. Those that a node has itself let in by
        would let in the caller."""
        switches = [device for device in devices if not device.unfence]
        able = [device for device in switches if self._runner.switches_on(device)]
        if switches and not able:
            agents = " and ".join(dict.fromkeys(device.agent.rpartition("/")[2] for device in switches))
            text = f"{node} is off, and {agents} can't switch it on: it is back when it was only reset, or by hand"
            self._told(switches[-1], Kind.POWER_ON_FAILED, text)
        for device in reversed(able):
            wrong = "never tried"
            for attempt in range(device.attempts):
                if attempt:
                    await asyncio.sleep(PAUSE)
                answer = await self._runner.ask(device, "on")
                wrong = answer.wrong
                if not wrong:
                    break
            if wrong:
                self._told(device, Kind.POWER_ON_FAILED, f"{node} is off and can't be switched on again: {wrong}")
            else:
                self._told(device, Kind.POWER_ON, f"{node} is switched on again by {device.name}")

    async def _stop(self, node: str) -> None:
        task = self._rising.pop(node, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        for node in list(self._rising):
            await self._stop(node)


class Unfencing:
    """Before a group is started on this node, the devices that shut it out let it in (`unfence = true`).

    unready: is told of each group why it can't be started here yet. done: is told when all have.
    """

    def __init__(
        self,
        devices: Iterable[FenceDeviceConfig],
        groups: Iterable[str],
        runner: Runner,
        unready: Callable[[str, str], None],
        told: Told,
        done: Callable[[], None],
    ) -> None:
        self._devices = tuple(devices)
        self._groups = tuple(groups)
        self._runner = runner
        self._unready = unready
        self._told = told
        self._done = done
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._devices:
            self._say(f"waits for {self._devices[0].name} to let this node in")
            self._task = asyncio.create_task(self._let_in(), name="unfencing")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _let_in(self) -> None:
        for device in self._devices:
            told = ""
            while wrong := (await self._runner.ask(device, "on")).wrong:
                text = f"{device.name} does not let this node in: {wrong}"
                if wrong != told:
                    self._told(device, Kind.POWER_ON_FAILED, text)
                    self._say(text)
                told = wrong
                await asyncio.sleep(PAUSE)
        self._say("")
        self._done()

    def _say(self, reason: str) -> None:
        for group in self._groups:
            self._unready(group, reason)
