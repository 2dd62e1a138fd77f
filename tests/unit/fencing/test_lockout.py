"""A node that one of its devices has shut out notices it, and only then."""

from __future__ import annotations

import asyncio

from hamgr.config.model import FenceDeviceConfig
from hamgr.fencing.lockout import LockoutWatch
from hamgr.fencing.runner import Answer

DEVICE = FenceDeviceConfig("disk-a", "a", "fence_hamgr_scsi", unfence=True, unfence_check=0.001)
ON, OFF = Answer(0, "", "", 0.0), Answer(2, "", "", 0.0)
NO_ANSWER = Answer(1, "", "the disk does not answer", 0.0)


class Device:
    """Gives these answers, and then says on."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []
        self.spent = asyncio.Event()

    async def ask(self, device: FenceDeviceConfig, action: str, timeout: float | None = None) -> Answer:
        self.asked.append(action)
        if self._answers:
            return self._answers.pop(0)
        self.spent.set()
        return ON


async def told(device: Device, hands_off: list[bool] | None = None) -> list[str]:
    """What is told until the answers are spent, or something is."""
    said: list[str] = []

    def shut_out(reason: str) -> None:
        said.append(reason)
        device.spent.set()

    watch = LockoutWatch([DEVICE], device, lambda: bool(hands_off and hands_off.pop(0)), shut_out)
    watch.start()
    async with asyncio.timeout(10):
        await device.spent.wait()
    await watch.close()
    return said


async def test_a_device_that_says_off_twice_has_shut_its_node_out() -> None:
    assert await told(Device(ON, OFF, OFF)) == ["disk-a has shut a out"]


async def test_a_single_off_and_no_answer_at_all_say_nothing() -> None:
    assert await told(Device(OFF, ON, NO_ANSWER, NO_ANSWER, OFF, NO_ANSWER)) == []


async def test_nobody_is_asked_while_somebody_works_on_the_cluster() -> None:
    device = Device(OFF, OFF)
    assert await told(device, [True] * 3 + [False] * 5) == ["disk-a has shut a out"]
    assert device.asked == ["status", "status"]


async def test_a_device_without_the_check_is_never_asked() -> None:
    device = Device(OFF, OFF)
    quiet = FenceDeviceConfig("disk-a", "a", "fence_hamgr_scsi", unfence=True)
    watch = LockoutWatch([quiet], device, lambda: False, print)
    watch.start()
    await asyncio.sleep(0)
    await watch.close()
    assert device.asked == []
