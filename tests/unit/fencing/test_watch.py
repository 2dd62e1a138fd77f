"""Fence devices are tried again and again: who is told what, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hamgr.cli.render import render
from hamgr.config.model import FenceDeviceConfig
from hamgr.config.problems import ConfigError
from hamgr.config.toml import load
from hamgr.core.effects import Kind
from hamgr.core.status import ArbiterStatus, FenceDeviceStatus, Status
from hamgr.fencing.trial import Finding, Trial, Verdict
from hamgr.fencing.watch import DeviceWatch

DEVICES = tuple(FenceDeviceConfig(f"bmc-{node}", node, "fence_x") for node in "abc")
INTERVAL = 0.02


def result(device: FenceDeviceConfig, wrong: str = "", slow: bool = False) -> Trial:
    found = Finding("answers", Verdict.FAILED if wrong else Verdict.GOOD, wrong)
    time = Finding("time", Verdict.WARNING if slow else Verdict.GOOD, "3 s of 4 s" if slow else "")
    return Trial(device.name, device.node, "a", 1, device.agent, "on", (Finding("agent", Verdict.GOOD), found, time))


class Bench:
    def __init__(self) -> None:
        self.wrong: dict[str, str] = {}
        self.busy: set[str] = set()
        self.slow: set[str] = set()
        self.tried: asyncio.Queue[str] = asyncio.Queue()
        self.told: asyncio.Queue[tuple[str, Kind, str]] = asyncio.Queue()
        self.at_once = self.most_at_once = 0

    async def attempt(self, device: FenceDeviceConfig) -> Trial | None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        self.tried.put_nowait(device.name)
        wrong, slow = self.wrong.get(device.name, ""), device.name in self.slow
        return None if device.name in self.busy else result(device, wrong, slow)

    def tell(self, device: FenceDeviceConfig, kind: Kind, text: str) -> None:
        self.told.put_nowait((device.name, kind, text))

    async def hears(self) -> tuple[str, Kind, str]:
        async with asyncio.timeout(30):
            return await self.told.get()

    async def tries(self, count: int) -> list[str]:
        async with asyncio.timeout(30):
            return [await self.tried.get() for _ in range(count)]


@asynccontextmanager
async def watching(bench: Bench, interval: float = INTERVAL, node: str = "a") -> AsyncIterator[DeviceWatch]:
    watch = DeviceWatch(DEVICES, node, ("a", "b", "c"), interval, bench.attempt, bench.tell)
    watch.start()
    try:
        yield watch
    finally:
        await watch.close()


async def test_the_devices_of_other_nodes_are_tried_in_turn_and_good_ones_are_no_news() -> None:
    bench = Bench()
    async with watching(bench) as watch:
        assert await bench.tries(6) == ["bmc-b", "bmc-c"] * 3
        assert [(one.name, one.node, one.good) for one in watch.status()] == [
            ("bmc-b", "b", True), ("bmc-c", "c", True),
        ]  # fmt: skip
    assert bench.told.empty()
    assert bench.most_at_once == 1


async def test_a_device_that_stops_answering_is_told_once_and_again_when_it_is_mended() -> None:
    bench = Bench()
    async with watching(bench) as watch:
        await bench.tries(2)
        bench.wrong["bmc-b"] = "no answer"
        name, kind, text = await bench.hears()
        assert (name, kind) == ("bmc-b", Kind.FENCE_DEVICE_FAILED)
        assert text.startswith("a can't use fence device bmc-b of b: answers: no answer. Mend it before b dies")
        assert next(one for one in watch.status() if one.node == "b").detail == "answers: no answer"
        await bench.tries(bench.tried.qsize() + 6)
        assert bench.told.empty()
        bench.wrong.clear()
        assert (await bench.hears())[:2] == ("bmc-b", Kind.FENCE_DEVICE_OK)
        assert all(one.good for one in watch.status())


async def test_a_device_that_is_slow_is_told_once_and_goes_on_being_good() -> None:
    bench = Bench()
    bench.slow.add("bmc-c")
    async with watching(bench) as watch:
        name, kind, text = await bench.hears()
        assert (name, kind, text) == ("bmc-c", Kind.WARNING, "fence device bmc-c of c is slow from a: 3 s of 4 s")
        await bench.tries(bench.tried.qsize() + 6)
        assert bench.told.empty()
        assert all(one.good for one in watch.status())


async def test_one_failure_alone_is_not_told() -> None:
    bench = Bench()
    bench.wrong["bmc-b"] = "a lost packet"
    async with watching(bench) as watch:
        assert await bench.tries(1) == ["bmc-b"]
        bench.wrong.clear()
        await bench.tries(5)
        assert bench.told.empty()
        assert all(one.good for one in watch.status())


async def test_a_device_at_work_is_tried_later() -> None:
    bench = Bench()
    bench.busy.add("bmc-b")
    async with watching(bench) as watch:
        await bench.tries(6)
        assert {one.node for one in watch.status()} == {"c"}
    assert bench.told.empty()


async def test_zero_means_never() -> None:
    bench = Bench()
    async with watching(bench, interval=0):
        assert asyncio.all_tasks() == {asyncio.current_task()}


def test_nodes_and_devices_have_their_own_moments() -> None:
    bench = Bench()
    watches = [
        DeviceWatch(DEVICES, node, ("a", "b", "c"), 3600, bench.attempt, bench.tell, lambda: 0.0) for node in "abc"
    ]
    shares = [one.share for watch in watches for one in watch._watched]
    assert len(set(shares)) == len(shares) == 6
    # The next moment is the device's own in the hour, and never at once.
    assert watches[1]._next(0.25, 10.0) == 4500.0
    assert watches[1]._next(0.25, 4500.0) == 8100.0


def test_the_status_says_what_does_not_work_and_what_to_do() -> None:
    bad = FenceDeviceStatus("bmc-b", "b", False, "answers: no answer", 12.0)
    good = FenceDeviceStatus("bmc-c", "c", True, "", 12.0)
    arbiter = ArbiterStatus(False, False, None, False)
    status = Status(
        "office", "a", 1, "coordinator", 1, "a", True, 2, 2, 1.0, False, arbiter, (), (), (), devices=(bad, good)
    )
    text = render(status)
    assert text.startswith("office: fence device bmc-b of b does not work from a\n")
    assert "  bmc-b of b, tried 12 s ago: answers: no answer\n" in text
    assert "  mend bmc-b, then try it from a: fence-test\n" in text
    assert "bmc-c" not in text


@pytest.mark.parametrize(("text", "allowed"), [('"20ms"', "1 s or more, or 0 for never"), ("0", ""), ('"1s"', "")])
def test_the_interval_is_checked(tmp_path: Path, text: str, allowed: str) -> None:
    file = tmp_path / "hamgr.toml"
    file.write_text(
        f'[cluster]\nname = "c"\nkey_file = "/k"\nfence_check_interval = {text}\n[link.l]\nkind = "udp"\n'
        '[node.a]\naddress = { l = "127.0.0.1" }\n[node.b]\naddress = { l = "127.0.0.2" }\n'
    )
    if not allowed:
        assert load(file).fence_check_interval in (0.0, 1.0)
        return
    with pytest.raises(ConfigError, match=allowed):
        load(file)
