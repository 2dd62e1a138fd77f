"""What is switched on after it was switched off: when, in which order, and what comes of a device that fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hamgr.config.model import Config, FenceDeviceConfig
from hamgr.core.effects import Kind
from hamgr.core.events import FenceOutcome
from hamgr.fencing import poweron
from hamgr.fencing.poweron import Rebooter, Unfencing
from hamgr.fencing.runner import FenceRunner

SCRIPT = """#!/bin/sh
while read -r line; do case $line in action=*) action=${{line#action=}};; esac; done
echo "{name} $action" >> {log}
case $action in
  off) touch {log}.{name}.off ;;
  on) {on} && rm -f {log}.{name}.off ;;
  status) [ -e {log}.{name}.off ] && exit 2 ;;
esac
"""


class Bench:
    """Two devices of one level, with agents that write down what they are asked."""

    def __init__(self, directory: Path, on: str = "true") -> None:
        self.log = directory / "log"
        self.told: list[tuple[Kind, str]] = []
        self.devices = tuple(self._device(directory, name, on) for name in ("one", "two"))
        spec: Any = SimpleNamespace(name="t")
        self.config = Config(Path("t.toml"), spec, Path("key"), (), self.devices, ())
        self.runner = FenceRunner(self.config, "a")
        self.changed = asyncio.Event()

    def _device(self, directory: Path, name: str, on: str) -> FenceDeviceConfig:
        agent = directory / f"fence_{name}"
        agent.write_text(SCRIPT.format(name=name, log=self.log, on=on))
        agent.chmod(0o755)
        return FenceDeviceConfig(name, "b", str(agent), timeout=5.0, attempts=2)

    def tell(self, device: FenceDeviceConfig, kind: Kind, text: str) -> None:
        self.told.append((kind, text))
        self.changed.set()

    async def until_told(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.told) < count:
                self.changed.clear()
                await self.changed.wait()

    def asked(self, action: str) -> list[str]:
        return [line.split()[0] for line in self.log.read_text().splitlines() if line.endswith(f" {action}")]


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poweron, "PAUSE", 0.01)


async def test_a_node_is_switched_on_again_after_all_was_off_the_last_device_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    rebooter = Rebooter(bench.config, bench.runner, bench.tell)
    result = await rebooter.fence("b", 0)
    assert result.outcome is FenceOutcome.CONFIRMED
    assert bench.asked("on") == [], "the confirmation comes first"
    await bench.until_told(2)
    lines = bench.log.read_text().split("\n")
    first_on = lines.index("two on")
    assert {"one off", "two off", "one status", "two status"} <= set(lines[:first_on])
    assert bench.asked("on") == ["two", "one"]
    assert [kind for kind, _text in bench.told] == [Kind.POWER_ON, Kind.POWER_ON]
    await rebooter.close()


async def test_a_device_that_can_not_switch_on_is_told_of_and_keeps_the_other_from_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, on="[ $0 = {} ]".format(tmp_path / "fence_one"))
    rebooter = Rebooter(bench.config, bench.runner, bench.tell)
    assert (await rebooter.fence("b", 0)).outcome is FenceOutcome.CONFIRMED
    await bench.until_told(2)
    assert bench.asked("on") == ["two", "two", "one"]
    assert [kind for kind, _text in bench.told] == [Kind.POWER_ON_FAILED, Kind.POWER_ON]
    await rebooter.close()


async def test_a_device_that_a_node_has_itself_let_in_by_is_not_asked_to_by_another(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    own, power = replace(bench.devices[0], unfence=True), bench.devices[1]
    rebooter = Rebooter(replace(bench.config, fence_devices=(own, power)), bench.runner, bench.tell)
    assert (await rebooter.fence("b", 0)).outcome is FenceOutcome.CONFIRMED
    await bench.until_told(1)
    await rebooter.close()
    assert bench.asked("on") == ["two"]


WITHOUT_ON = """#!/bin/sh
while read -r line; do case $line in action=*) action=${{line#action=}};; esac; done
echo "{name} $action" >> {log}
case $action in
  off) touch {log}.{name}.off ;;
  status) [ -e {log}.{name}.off ] && exit 2 ;;
  metadata)
    echo '<resource-agent name="t"><actions><action name="off"/><action name="status"/></actions></resource-agent>' ;;
esac
exit 0
"""


@pytest.mark.parametrize("names", [("two",), ("one", "two")])
async def test_an_agent_that_knows_no_on_is_passed_over_and_told_of_when_no_other_is_there(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    bench = Bench(tmp_path)
    for name in names:
        (tmp_path / f"fence_{name}").write_text(WITHOUT_ON.format(name=name, log=bench.log))
    await bench.runner.start()
    rebooter = Rebooter(bench.config, bench.runner, bench.tell)
    assert (await rebooter.fence("b", 0)).outcome is FenceOutcome.CONFIRMED
    await bench.until_told(1)
    await rebooter.close()
    await bench.runner.close()
    assert bench.asked("on") == [name for name in ("one", "two") if name not in names]
    ((kind, text),) = bench.told
    if names == ("two",):
        assert kind is Kind.POWER_ON
    else:
        assert kind is Kind.POWER_ON_FAILED
        assert text.startswith("b is off, and fence_one and fence_two can't switch it on")


async def test_a_node_that_is_not_confirmed_off_is_not_switched_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    Path(bench.devices[1].agent).write_text("#!/bin/sh\nexit 1\n")
    rebooter = Rebooter(bench.config, bench.runner, bench.tell)
    assert (await rebooter.fence("b", 0)).outcome is FenceOutcome.FAILED
    await rebooter.close()
    assert bench.asked("on") == []


async def test_a_new_fencing_ends_an_on_that_is_still_tried(tmp_path: Path) -> None:
    bench = Bench(tmp_path, on="sleep 30")
    rebooter = Rebooter(bench.config, bench.runner, bench.tell)
    async with asyncio.timeout(10):
        await rebooter.fence("b", 0)
        await asyncio.sleep(0)
        assert (await rebooter.fence("b", 0)).outcome is FenceOutcome.CONFIRMED
    await rebooter.close()
    assert bench.told == []


async def test_a_victim_is_fenced_by_one_at_a_time_and_each_result_is_fresh(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first, second = await asyncio.gather(bench.runner.fence("b", 0), bench.runner.fence("b", 0))
    assert first.outcome is second.outcome is FenceOutcome.CONFIRMED
    asked = [line.split()[1] for line in bench.log.read_text().splitlines()]
    assert sorted(asked[:4]) == sorted(asked[4:]) == ["off", "off", "status", "status"]


async def test_groups_wait_until_every_device_has_let_the_node_in(tmp_path: Path) -> None:
    bench = Bench(tmp_path, on=f"[ -e {tmp_path}/works ]")
    said: list[tuple[str, str]] = []
    done = asyncio.Event()

    def unready(group: str, reason: str) -> None:
        said.append((group, reason))
        if not reason:
            done.set()

    let_in: list[bool] = []
    unfencing = Unfencing(
        bench.devices, ["web"], bench.runner, unready, bench.tell, lambda: let_in.append(done.is_set())
    )
    unfencing.start()
    assert said == [("web", "waits for one to let this node in")]
    await bench.until_told(1)
    assert bench.told[0][0] is Kind.POWER_ON_FAILED
    assert not done.is_set()
    (tmp_path / "works").touch()
    async with asyncio.timeout(10):
        await done.wait()
    assert bench.asked("on")[-2:] == ["one", "two"]
    assert let_in == [True]
    await unfencing.close()


async def test_a_node_without_such_devices_waits_for_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    unfencing = Unfencing([], ["web"], Bench(tmp_path).runner, lambda group, _: said.append(group), print, print)
    unfencing.start()
    await unfencing.close()
    assert said == []
