"""What `fence-test` asks: every node tries the fence devices that it would use, and this one collects the results.

A node tries one device at a time, and a device is tried by one node at a time: BMCs have few sessions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from hamgr.admin.peers import Asked, Links, Served
from hamgr.config.model import Config, FenceDeviceConfig
from hamgr.core.messages import FenceTrialAsked, FenceTrialTold, Packet
from hamgr.core.status import Status
from hamgr.fencing.postcard import read, write
from hamgr.fencing.trial import Trial

log = logging.getLogger(__name__)

REPEAT = 1.5
"""Seconds after which a question that was not answered is sent again."""

LONGEST_TRIAL = 4
"""Times the time-out of a device: metadata, monitor and two readings."""

MARGIN = 10.0
"""Seconds beyond that for the way."""

HEARD = ("online", "joining", "suspect")


@dataclass(frozen=True, slots=True)
class Tried:
    """Either a trial, or why there is none."""

    tester: str
    device: str
    trial: Trial | None
    problem: str = ""


class FenceDesk:
    """One node's part: trials that are asked for here, and those that other nodes want of this one."""

    def __init__(
        self, config: Config, node: str, status: Callable[[], Status], links: Links,
        attempt: Callable[[FenceDeviceConfig], Awaitable[Trial | None]],
    ) -> None:  # fmt: skip
        self._config = config
        self._node = node
        self._status = status
        self._attempt = attempt
        self._asked: Asked[FenceTrialTold] = Asked(links)
        self._served: Served[FenceTrialTold] = Served(links)

    # -- a test that begins here --------------------------------------------------------------------------------

    async def try_all(self) -> AsyncIterator[Tried]:
        """Every device, from every node that would use it, and from this one also its own; as they come."""
        nodes = {name: asyncio.Lock() for name in self._config.spec.names}
        devices = {device.name: asyncio.Lock() for device in self._config.fence_devices}

        async def one(tester: str, device: FenceDeviceConfig) -> Tried:
            # First the device, then the node, everybody: so nobody waits in a circle.
            async with devices[device.name], nodes[tester]:
                return await self._tried(tester, device)

        work = [
            asyncio.create_task(one(tester, device))
            for device in self._config.fence_devices
            for tester in nodes
            if tester == self._node or tester != device.node
        ]
        try:
            for done in asyncio.as_completed(work):
                yield await done
        finally:
            for task in work:
                task.cancel()

    async def _tried(self, tester: str, device: FenceDeviceConfig) -> Tried:
        if tester == self._node:
            trial = await self._attempt(device)
            return Tried(tester, device.name, trial, "" if trial else "it is at work just now")
        order = FenceTrialAsked(self._asked.number(), device.name)
        patience = LONGEST_TRIAL * device.timeout + MARGIN
        while patience > 0:
            peer = next(node for node in self._status().nodes if node.name == tester)
            if peer.state not in HEARD:
                return Tried(tester, device.name, None, f"{tester} is {peer.state}")
            told = await self._asked.ask(tester, peer.incarnation, order.request, order, REPEAT)
            if told is not None:
                return self._read(tester, device, told)
            patience -= REPEAT
        return Tried(tester, device.name, None, f"{tester} has not answered")

    @staticmethod
    def _read(tester: str, device: FenceDeviceConfig, told: FenceTrialTold) -> Tried:
        if told.problem:
            return Tried(tester, device.name, None, told.problem)
        try:
            return Tried(tester, device.name, read(told.card, device, tester))
        except ValueError as error:
            return Tried(tester, device.name, None, f"the answer of {tester} is {error}")

    # -- what comes from others ---------------------------------------------------------------------------------

    def takes(self, packet: Packet) -> bool:
        """Is the packet this desk's? If so, it is dealt with."""
        match packet.body:
            case FenceTrialAsked() as order:
                self._served.serve(packet.sender, packet.incarnation, order.request, lambda: self._work(order))
            case FenceTrialTold() as told:
                self._asked.told(packet.sender, told.request, told)
            case _:
                return False
        return True

    async def _work(self, order: FenceTrialAsked) -> FenceTrialTold:
        device = next((one for one in self._config.fence_devices if one.name == order.device), None)
        if device is None:
            return FenceTrialTold(order.request, problem=f"{self._node} has no such device in its configuration")
        try:
            trial = await self._attempt(device)
        except OSError as error:
            return FenceTrialTold(order.request, problem=f"{self._node} can't try it: {error}")
        if trial is None:
            return FenceTrialTold(order.request, problem="it is at work just now")
        return FenceTrialTold(order.request, write(trial))

    async def close(self) -> None:
        await self._served.close()
