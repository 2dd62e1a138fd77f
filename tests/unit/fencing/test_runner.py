"""The fence runner with real agents, a real worker process and a real IPMI simulator."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import statistics
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hamgr.config.model import Config, FenceDeviceConfig
from hamgr.core.events import FenceOutcome
from hamgr.fencing.runner import FenceRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "fence_agents"))
from simulated import PASSWORD, Machine, machine

needs_ipmi_sim = pytest.mark.skipif(shutil.which("ipmi_sim") is None, reason="needs ipmi_sim (openipmi)")


def configuration(*devices: FenceDeviceConfig) -> Config:
    spec: Any = SimpleNamespace(name="test")
    return Config(Path("test.toml"), spec, Path("key"), (), devices, ())


def device(agent: str, name: str = "dev", node: str = "b", **more: Any) -> FenceDeviceConfig:
    settings = {"timeout": 5.0, "attempts": 1} | more
    return FenceDeviceConfig(name, node, agent, **settings)


@asynccontextmanager
async def running(*devices: FenceDeviceConfig) -> AsyncIterator[FenceRunner]:
    runner = FenceRunner(configuration(*devices), "a")
    await runner.start()
    try:
        yield runner
    finally:
        await runner.close()


def script(directory: Path, body: str, name: str = "fence_custom") -> str:
    path = directory / name
    path.write_text(
        "#!/bin/sh\nwhile read -r line; do case $line in action=*) action=${line#action=};; esac; done\n" + body
    )
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path / "machine") as made:
        yield made


@needs_ipmi_sim
async def test_an_off_over_ipmi_is_confirmed_each_time(box: Machine) -> None:
    async with running(device("fence_hamgr_ipmi", options=box.options())) as runner:
        times = []
        for _ in range(7):
            box.set_power(True)
            result = await runner.fence("b", 0)
            assert result.outcome is FenceOutcome.CONFIRMED, result
            assert not box.power
            times.append(result.seconds)
        print(f"ipmi through the warm worker: {1000 * statistics.median(times):.1f} ms")


@needs_ipmi_sim
async def test_a_hung_bmc_holds_up_nobody_else(box: Machine) -> None:
    assert box.bmc.pid is not None
    hung = device("fence_hamgr_ipmi", options=box.options(), node="b", timeout=1.0)
    async with running(hung, device("fence_hamgr_null", name="other", node="c")) as runner:
        os.kill(box.bmc.pid, signal.SIGSTOP)
        slow = asyncio.create_task(runner.fence("b", 0))
        assert (await runner.fence("c", 0)).outcome is FenceOutcome.CONFIRMED
        assert not slow.done()
        result = await slow
        assert result.outcome is FenceOutcome.UNKNOWN
        assert PASSWORD not in result.detail


@needs_ipmi_sim
async def test_both_devices_of_a_level_must_succeed(box: Machine, tmp_path: Path) -> None:
    refuses = script(tmp_path, "exit 1\n")
    good = device("fence_hamgr_ipmi", options=box.options(), name="good")
    async with running(good, device(refuses, name="bad")) as runner:
        result = await runner.fence("b", 0)
        assert result.outcome is FenceOutcome.FAILED
        assert "good: off, read back" in result.detail
        assert "bad: " in result.detail


async def test_null_is_confirmed_and_says_that_nothing_was_read_back() -> None:
    async with running(device("fence_hamgr_null")) as runner:
        times = []
        for _ in range(15):
            result = await runner.fence("b", 0)
            assert result.outcome is FenceOutcome.CONFIRMED, result
            times.append(result.seconds)
        assert "no status action" in result.detail
        print(f"null through the warm worker: {1000 * statistics.median(times):.1f} ms")
        assert statistics.median(times) < 0.05


async def test_an_agent_that_lies_has_fenced_nobody(tmp_path: Path) -> None:
    liar = script(tmp_path, "exit 0\n")
    async with running(device(liar, attempts=2)) as runner:
        result = await runner.fence("b", 0)
        assert result.outcome is FenceOutcome.FAILED
        assert result.attempts == 2
        assert "status says on" in result.detail


async def test_a_foreign_agent_is_confirmed_by_its_status(tmp_path: Path) -> None:
    honest = script(tmp_path, "[ $action = status ] && exit 2\nexit 0\n")
    async with running(device(honest)) as runner:
        assert (await runner.fence("b", 0)).outcome is FenceOutcome.CONFIRMED


async def test_a_hanging_agent_is_killed_with_its_children(tmp_path: Path) -> None:
    hangs = script(tmp_path, f"[ $action = off ] || exit 0\nsleep 300 & echo $! >{tmp_path}/child; wait\n")
    async with running(device(hangs, timeout=1.0)) as runner:
        result = await runner.fence("b", 0)
        assert result.outcome is FenceOutcome.UNKNOWN
        assert "killed after 1 s" in result.detail
        status = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
        assert not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z"


async def test_a_flood_of_output_is_bounded(tmp_path: Path) -> None:
    floods = script(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x; exit 1\n")
    async with running(device(floods)) as runner:
        result = await runner.fence("b", 0)
        assert result.outcome is FenceOutcome.FAILED
        assert len(result.detail) < 1000


async def test_a_missing_and_a_not_executable_agent_are_told_apart(tmp_path: Path) -> None:
    plain = tmp_path / "fence_plain"
    plain.write_text("")
    plain.chmod(0o644)
    async with running(device("fence_nowhere"), device(str(plain), node="c")) as runner:
        missing, forbidden = await runner.fence("b", 0), await runner.fence("c", 0)
        assert missing.outcome is forbidden.outcome is FenceOutcome.FAILED
        assert "fence_nowhere not found on a" in missing.detail
        assert "not executable" in forbidden.detail


async def test_secrets_of_the_options_are_not_repeated(tmp_path: Path) -> None:
    blabs = script(tmp_path, "echo 'login with hush-hush' >&2; exit 1\n")
    async with running(device(blabs, options={"passwd": "hush-hush"})) as runner:
        assert "login with ***" in (await runner.fence("b", 0)).detail


async def test_fencing_goes_on_without_a_worker_and_it_comes_back() -> None:
    async with running(device("fence_hamgr_null")) as runner:
        first = runner.worker_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        result = await runner.fence("b", 0)
        assert result.outcome in (FenceOutcome.CONFIRMED, FenceOutcome.UNKNOWN)
        assert (await runner.fence("b", 0)).outcome is FenceOutcome.CONFIRMED
        async with asyncio.timeout(10):
            while runner.worker_pid in (first, None):  # noqa: ASYNC110 - the runner has no event for it
                await asyncio.sleep(0)
            await runner.wait_warm(10)
        assert (await runner.fence("b", 0)).outcome is FenceOutcome.CONFIRMED


@needs_ipmi_sim
async def test_monitor_tells_whether_the_device_answers(box: Machine) -> None:
    bmc = device("fence_hamgr_ipmi", options=box.options(login_timeout="0.5"))
    async with running(bmc) as runner:
        assert (await runner.monitor(bmc)).ok
        box.bmc.stop()
        gone = await runner.monitor(bmc)
        assert not gone.ok
        assert "cannot be reached" in gone.detail


async def test_a_level_that_is_not_configured_fails_by_name() -> None:
    async with running(device("fence_hamgr_null")) as runner:
        assert "b has no fence level 2" in (await runner.fence("b", 1)).detail
