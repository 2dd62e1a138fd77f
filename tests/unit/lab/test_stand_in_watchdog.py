"""The lab's stand-in for a watchdog bites when it is not fed in time, and only then."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from hamgr.lab.watchdog import StandInWatchdog

TIMEOUT = 0.2


class Yard:
    """One watchdog, and when it bit."""

    def __init__(self, path: Path) -> None:
        self.bitten = asyncio.Event()
        self.at = 0.0
        dog = StandInWatchdog(path, TIMEOUT, self._bite)
        self._feeder = os.open(path, os.O_WRONLY)
        asyncio.get_running_loop().add_reader(dog.fileno(), dog.serve)

    def _bite(self) -> None:
        self.at = asyncio.get_running_loop().time()
        self.bitten.set()

    def feed(self, meal: bytes = b".") -> float:
        os.write(self._feeder, meal)
        return asyncio.get_running_loop().time()


@pytest.fixture
async def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path / "watchdog")


async def test_it_bites_a_time_out_after_the_last_meal(yard: Yard) -> None:
    yard.feed()
    await asyncio.sleep(TIMEOUT / 2)  # a meal between two; not a wait for anything
    last = yard.feed()
    async with asyncio.timeout(10):
        await yard.bitten.wait()
    assert yard.at - last >= TIMEOUT


@pytest.mark.parametrize("meals", [[], [b".", b"V"]])
async def test_one_that_was_never_fed_or_is_disarmed_does_not_bite(yard: Yard, meals: list[bytes]) -> None:
    for meal in meals:
        yard.feed(meal)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2 * TIMEOUT):
            await yard.bitten.wait()
