"""A node asks its own fence devices whether they have shut it out: one that is out of its disk, and lives, ends itself.

For devices with `unfence = true`, which fence a node without switching it off. One that does not answer says nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from hamgr.config.model import FenceDeviceConfig
from hamgr.fencing.runner import Answer

log = logging.getLogger(__name__)


class Runner(Protocol):
    async def ask(self, device: FenceDeviceConfig, action: str, timeout: float | None = None) -> Answer: ...


class LockoutWatch:
    """devices: of this node. hands_off: somebody works on the cluster. shut_out: is told once, with why."""

    def __init__(
        self,
        devices: Iterable[FenceDeviceConfig],
        runner: Runner,
        hands_off: Callable[[], bool],
        shut_out: Callable[[str], None],
    ) -> None:
        self._devices = tuple(device for device in devices if device.unfence_check)
        self._runner = runner
        self._hands_off = hands_off
        self._shut_out = shut_out
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """From when on all devices have let this node in."""
        self._tasks = [
            asyncio.create_task(self._watch(device), name=f"lockout {device.name}") for device in self._devices
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, device: FenceDeviceConfig) -> None:
        told = ""
        while True:
            await asyncio.sleep(device.unfence_check)
            if self._hands_off():
                continue
            answer = await self._runner.ask(device, "status")
            if answer.wrong and answer.wrong != told:
                log.warning("%s does not say whether it lets this node in: %s", device.name, answer.wrong)
            told = answer.wrong
            # Twice, as a device is believed everywhere.
            if answer.power == "off" and (await self._runner.ask(device, "status")).power == "off":
                self._shut_out(f"{device.name} has shut {device.node} out")
                return
