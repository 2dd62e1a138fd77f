"""Fence agents of Debian's fence-agents package, unchanged, used and checked through hamgr."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hamgr.cli.main import main
from hamgr.config.model import Config, FenceDeviceConfig
from hamgr.core.events import FenceOutcome
from hamgr.fencing.examine import examine
from hamgr.fencing.runner import FenceResult, FenceRunner
from hamgr.links.keyfile import write_key_file

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "fence_agents"))
from simulated import PASSWORD, Machine, machine

pytestmark = pytest.mark.skipif(shutil.which("fence_dummy") is None, reason="needs fence_dummy (fence-agents)")
needs_ipmi = pytest.mark.skipif(
    shutil.which("ipmi_sim") is None or shutil.which("ipmitool") is None, reason="needs ipmi_sim (openipmi), ipmitool"
)

FILE = """
[cluster]
name = "t"
key_file = "{dir}/key"
state_dir = "{dir}/state"
[link.one]
kind = "udp"
interface = "lo"
[node.a]
address = {{ one = "127.0.0.1" }}
[node.b]
address = {{ one = "127.0.0.2" }}
[fence.b]
node = "b"
"""


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path / "machine") as made:
        yield made


def config(*devices: FenceDeviceConfig) -> Config:
    spec: Any = SimpleNamespace(name="test")
    return Config(Path("test.toml"), spec, Path("key"), (), devices, ())


def device(agent: str, **options: str) -> FenceDeviceConfig:
    return FenceDeviceConfig("dev", "b", agent, timeout=20.0, attempts=1, options=options)


def fence(one: FenceDeviceConfig) -> FenceResult:
    async def run() -> FenceResult:
        runner = FenceRunner(config(one), "a")
        await runner.start()
        try:
            return await runner.fence("b", 0)
        finally:
            await runner.close()

    return asyncio.run(run())


def ipmilan(box: Machine, **more: str) -> FenceDeviceConfig:
    quick = {"cipher": "3", "power_wait": "0", "login_timeout": "2"}
    return device("fence_ipmilan", **(box.options() | quick | more))


def test_fence_dummy_is_read_back(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("on")
    result = fence(device("fence_dummy", type="file", status_file=str(status)))
    assert result.outcome is FenceOutcome.CONFIRMED, result
    assert "off, read back" in result.detail
    assert status.read_text() == "off"


def test_fence_dummy_that_fails_has_fenced_nobody() -> None:
    assert fence(device("fence_dummy", type="fail", power_timeout="2")).outcome is not FenceOutcome.CONFIRMED


@needs_ipmi
@pytest.mark.parametrize("lanplus", ["1", "0"])
def test_fence_ipmilan_switches_the_machine_off(box: Machine, lanplus: str) -> None:
    result = fence(ipmilan(box, lanplus=lanplus))
    assert result.outcome is FenceOutcome.CONFIRMED, result
    assert not box.power


@needs_ipmi
def test_fence_ipmilan_with_a_wrong_password_has_fenced_nobody(box: Machine) -> None:
    result = fence(ipmilan(box, password="not-this-one"))
    assert result.outcome is FenceOutcome.FAILED
    assert "not-this-one" not in result.detail
    assert box.power


@needs_ipmi
def test_fence_ipmilan_on_a_machine_that_stays_on_has_fenced_nobody(box: Machine) -> None:
    box.set_mood("stays")
    assert fence(ipmilan(box, power_timeout="1")).outcome is not FenceOutcome.CONFIRMED


@needs_ipmi
def test_the_same_options_serve_our_own_agent(box: Machine) -> None:
    options = ipmilan(box).options
    assert examine(config(device("fence_ipmilan", **options), device("fence_hamgr_ipmi", **options))) == []


def test_older_names_of_options_serve_our_own_agent_as_well() -> None:
    older = {"ipaddr": "10.0.0.1", "login": "admin", "passwd": "hush-hush"}
    assert examine(config(device("fence_hamgr_ipmi", **older))) == []


def test_options_are_held_against_the_metadata() -> None:
    options = {"ip": "x", "lanpluss": "1", "ipport": "abc", "method": "cycel", "password": "hush-hush"}
    found = {key: (what, allowed) for key, what, allowed in examine(config(device("fence_ipmilan", **options)))}
    assert set(found) == {f"fence.dev.options.{name}" for name in ("lanpluss", "ipport", "method")}
    assert '(did you mean "lanplus"?)' in found["fence.dev.options.lanpluss"][1]
    assert "hush-hush" not in str(found)


def test_what_the_metadata_cannot_say_is_told_by_validate_all() -> None:
    ((key, found, _),) = examine(config(device("fence_ipmilan", username="x", password="hush-hush")))
    assert key == "fence.dev.options"
    assert found == "what fence_ipmilan refuses: You have to enter fence address"
    assert "hush-hush" not in found


def test_a_required_plug_that_is_missing_is_named() -> None:
    found = examine(config(device("fence_apc", ip="10.0.0.1", username="x", password="y")))
    assert [key for key, *_ in found] == ["fence.dev.options.plug"]


def test_every_agent_of_the_package_describes_itself() -> None:
    agents = sorted(path.name for path in Path("/usr/sbin").glob("fence_*"))
    found = examine(config(*(FenceDeviceConfig(name, "b", name) for name in agents)))
    said_nothing = [(key, what) for key, what, _ in found if key.endswith(".agent")]
    assert len(agents) > 50
    # These import modules that Debian only recommends.
    assert len(said_nothing) <= 5, said_nothing


def test_hamgr_check_tells_with_the_key_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_key_file(tmp_path / "key")
    file = tmp_path / "hamgr.toml"
    file.write_text(FILE.format(dir=tmp_path) + 'agent = "fence_dummy"\noptions = { statusfile = "/x" }\n')
    assert main(["check", str(file), "--node", "a"]) == 2
    said = capsys.readouterr().err
    assert "fence.b.options.statusfile: found an unknown option, allowed one of " in said
    assert '(did you mean "status_file"?)' in said


@pytest.mark.skipif(os.geteuid() != 0, reason="agents are installed in /usr/sbin")
def test_agents_are_found_in_sbin_without_it_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert examine(config(device("fence_dummy", type="file"))) == []


def test_passwords_reach_the_agent_and_nobody_else(tmp_path: Path) -> None:
    spy = tmp_path / "fence_spy"
    spy.write_text(f"#!/bin/sh\ncat >/dev/null; tr '\\0' ' ' </proc/$$/cmdline >>{tmp_path}/seen\nexit 1\n")
    spy.chmod(0o755)
    result = fence(device(str(spy), password=PASSWORD))
    assert PASSWORD not in (tmp_path / "seen").read_text() + result.detail
