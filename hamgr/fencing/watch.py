"""Tries the fence devices that this node would use again and again, one at a time, and tells when one fails.

The nodes of a cluster, and the devices of a node, each have their own moment of the interval: a device answers a few
sessions at once, and must be free when it is needed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from hamgr.config.model import FenceDeviceConfig
from hamgr.core.effects import Kind
from hamgr.core.status import FenceDeviceStatus
from hamgr.fencing.trial import Finding, Trial, Verdict

log = logging.getLogger(__name__)

FIRST_ROUND = 60.0
"""Seconds from the start in which every device is tried once, however long the interval is."""

SECOND_LOOK = 10.0
"""Seconds after which a device that failed is tried again, before anybody is told: packets get lost."""

MENDED_LOOK = 300.0
"""Seconds between two looks at a device that failed: whoever mends it wants to see it."""

Try = Callable[[FenceDeviceConfig], Awaitable[Trial | None]]
Tell = Callable[[FenceDeviceConfig, Kind, str], None]


@dataclass(slots=True)
class _Watched:
    """due: of the loop's clock. doubted: it failed once. broken: "" or how it failed, slow: that it is; as was told."""

    device: FenceDeviceConfig
    share: float
    due: float
    doubted: bool = False
    broken: str = ""
    slow: bool = False
    tried_at: float | None = None


class DeviceWatch:
    """Runs from `start` to `close`. attempt: tries a device, None if it can't be tried now. interval 0: never."""

    def __init__(
        self, devices: Sequence[FenceDeviceConfig], node: str, names: Sequence[str], interval: float,
        attempt: Try, tell: Tell, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._node = node
        self._interval = interval
        self._attempt = attempt
        self._tell = tell
        self._clock = clock
        self._began = clock()
        self._task: asyncio.Task[None] | None = None
        first = min(FIRST_ROUND, interval)
        self._watched = []
        for index, device in enumerate(devices):
            if device.node != node:
                share = (index * len(names) + list(names).index(node)) / (len(devices) * len(names))
                self._watched.append(_Watched(device, share, self._began + first * share))

    def start(self) -> None:
        if self._interval > 0 and self._watched:
            self._task = asyncio.create_task(self._run(), name="fence devices")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def status(self) -> tuple[FenceDeviceStatus, ...]:
        """Of the devices that were tried."""
        now = self._clock()
        return tuple(
            FenceDeviceStatus(one.device.name, one.device.node, not one.broken, one.broken, now - one.tried_at)
            for one in self._watched
            if one.tried_at is not None
        )

    async def _run(self) -> None:
        while True:
            one = min(self._watched, key=lambda watched: watched.due)
            await asyncio.sleep(max(0.0, one.due - self._clock()))
            try:
                trial = await self._attempt(one.device)
            except OSError as error:
                log.warning("fence device %s could not be tried: %s", one.device.name, error)
                trial = None
            self._note(one, trial)

    def _note(self, one: _Watched, trial: Trial | None) -> None:
        now = self._clock()
        if trial is None:
            one.due = now + min(SECOND_LOOK, self._interval)
            return
        failed = next((finding for finding in trial.findings if finding.verdict is Verdict.FAILED), None)
        if failed is not None and not one.doubted:
            one.doubted, one.due = True, now + min(SECOND_LOOK, self._interval)
            return
        one.tried_at = now
        if failed is not None:
            one.due = now + min(MENDED_LOOK, self._interval)
            self._failed(one, failed)
            return
        one.doubted = False
        time = next((finding for finding in trial.findings if finding.check == "time"), None)
        slow = time is not None and time.verdict is Verdict.WARNING
        if time is not None and slow and not one.slow:
            self._tell(one.device, Kind.WARNING, f"{_named(one.device)} is slow from {self._node}: {time.text}")
        one.slow = slow
        one.due = self._next(one.share, now)
        if one.broken:
            one.broken = ""
            self._tell(one.device, Kind.FENCE_DEVICE_OK, f"{self._node} can use {_named(one.device)} again")

    def _failed(self, one: _Watched, failed: Finding) -> None:
        told, one.broken = one.broken, f"{failed.check}: {failed.text}"
        if not told:
            text = (
                f"{self._node} can't use {_named(one.device)}: {one.broken}. Mend it before {one.device.node} dies; "
                "`fence-test` here shows it again"
            )
            self._tell(one.device, Kind.FENCE_DEVICE_FAILED, text)

    def _next(self, share: float, now: float) -> float:
        """The first moment of this device after now, at least half an interval away."""
        due = self._began + self._interval * share
        while due < now + self._interval / 2:
            due += self._interval
        return due


def _named(device: FenceDeviceConfig) -> str:
    return f"fence device {device.name} of {device.node}"
