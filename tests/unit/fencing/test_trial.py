"""A fence device on trial: real agents and a real IPMI simulator, good and bad."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hamgr.config.model import Config, FenceDeviceConfig
from hamgr.fencing.runner import FenceRunner
from hamgr.fencing.trial import Hearing, Trial, Verdict, try_device

sys.path.insert(0, str(Path(__file__).parents[1] / "fence_agents"))
from simulated import PASSWORD, Machine, machine

needs_ipmi_sim = pytest.mark.skipif(shutil.which("ipmi_sim") is None, reason="needs ipmi_sim (openipmi)")

XML = (
    '<resource-agent name="x"><parameters><parameter name="password"/><parameter name="password_file"/></parameters>'
    '<actions><action name="off"/>{more}</actions></resource-agent>'
)


async def tried(
    agent: str, hearing: Hearing = Hearing.UNKNOWN, path: Path = Path("test.toml"), tester: str = "a", **more: Any
) -> Trial:
    lead = more.pop("lead", 0.0)
    spec: Any = SimpleNamespace(name="test", lead=lambda shooter, victim: lead)
    device = FenceDeviceConfig("dev", "b", agent, **{"timeout": 3.0, "attempts": 1} | more)
    config = Config(path, spec, Path("key"), (), (device,), ())
    runner = FenceRunner(config, tester)
    await runner.start()
    try:
        return await try_device(runner, config, device, tester, hearing)
    finally:
        await runner.close()


def verdicts(trial: Trial) -> dict[str, str]:
    return {finding.check: finding.verdict.value for finding in trial.findings}


def agent(directory: Path, status: str = "exit 0", metadata: str = "", monitor: str = "exit 0") -> str:
    path = directory / "fence_custom"
    xml = directory / "metadata"
    xml.write_text(metadata or XML.format(more='<action name="status"/>'))
    path.write_text(
        f"""#!/bin/sh
while read -r line; do case $line in action=*) action=${{line#action=}};; esac; done
case $action in
  metadata) cat {xml} ;;
  monitor) {monitor} ;;
  status) {status} ;;
  *) echo "$action" >>{directory}/orders ;;
esac
"""
    )
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path / "machine") as made:
        yield made


def password_file(box: Machine, directory: Path, text: str = PASSWORD, mode: int = 0o600) -> dict[str, str]:
    path = directory / "password"
    path.write_text(text + "\n")
    path.chmod(mode)
    options = box.options(password_file=str(path), login_timeout="0.5")
    del options["password"]
    return options


@needs_ipmi_sim
async def test_a_good_bmc_is_good_in_everything_and_nothing_was_ordered(box: Machine, tmp_path: Path) -> None:
    trial = await tried("fence_hamgr_ipmi", Hearing.HEARD, options=password_file(box, tmp_path))
    assert set(verdicts(trial).values()) == {"good"}, trial
    assert (trial.power, trial.failed) == ("on", False)
    assert trial.finding("plug").text == "on, and b runs"
    assert trial.finding("time").text.endswith(" ms of 3 s")
    assert box.orders == []
    assert Trial.from_dict(trial.as_dict()).as_dict() == trial.as_dict()


@needs_ipmi_sim
async def test_a_wrong_password_is_named_and_never_shown(box: Machine, tmp_path: Path) -> None:
    trial = await tried("fence_hamgr_ipmi", options=password_file(box, tmp_path, "another-One"))
    assert trial.finding("answers").verdict is Verdict.FAILED
    assert "refused the login of 'hamgr'" in trial.finding("answers").text
    assert "another-One" not in str(trial)
    assert verdicts(trial)["status"] == verdicts(trial)["plug"] == "skipped"


@needs_ipmi_sim
async def test_a_dead_and_a_hanging_bmc_do_not_answer(box: Machine, tmp_path: Path) -> None:
    options = password_file(box, tmp_path)
    assert box.bmc.pid is not None
    os.kill(box.bmc.pid, signal.SIGSTOP)
    hanging = await tried("fence_hamgr_ipmi", options=options)
    os.kill(box.bmc.pid, signal.SIGCONT)
    box.bmc.stop()
    dead = await tried("fence_hamgr_ipmi", options=options)
    for trial in (hanging, dead):
        assert trial.failed
        assert "cannot be reached" in trial.finding("answers").text


@needs_ipmi_sim
async def test_a_device_that_says_off_of_a_machine_that_runs_switches_another(box: Machine, tmp_path: Path) -> None:
    box.set_power(False)
    options = password_file(box, tmp_path)
    heard = await tried("fence_hamgr_ipmi", Hearing.HEARD, options=options)
    assert heard.finding("plug").verdict is Verdict.FAILED
    assert "it switches ANOTHER MACHINE" in heard.finding("plug").text
    own = await tried("fence_hamgr_ipmi", Hearing.UNKNOWN, tester="b", options=options)
    assert own.finding("plug").verdict is Verdict.FAILED
    silent = await tried("fence_hamgr_ipmi", Hearing.SILENT, options=options)
    assert silent.finding("plug").verdict is Verdict.GOOD
    unknown = await tried("fence_hamgr_ipmi", options=options)
    assert unknown.finding("plug").verdict is Verdict.SKIPPED


async def test_a_device_that_says_on_of_a_machine_that_is_not_heard_is_a_warning(tmp_path: Path) -> None:
    trial = await tried(agent(tmp_path), Hearing.SILENT)
    assert trial.finding("plug").verdict is Verdict.WARNING
    assert "fence-test --identify b" in trial.finding("plug").text
    assert not trial.failed


async def test_nobody_needs_to_reach_the_device_that_switches_himself(tmp_path: Path) -> None:
    trial = await tried(agent(tmp_path, monitor="exit 1"), tester="b")
    assert not trial.failed
    assert trial.finding("answers").verdict is Verdict.SKIPPED
    assert (await tried(agent(tmp_path, monitor="exit 1"))).failed


async def test_two_readings_that_differ_are_not_believed(tmp_path: Path) -> None:
    flips = f"[ -e {tmp_path}/second ] && exit 2; touch {tmp_path}/second"
    trial = await tried(agent(tmp_path, status=flips), Hearing.HEARD)
    assert trial.finding("status").text.startswith("said on, then off")
    assert trial.finding("status").verdict is Verdict.FAILED
    assert trial.power == ""


@pytest.mark.parametrize(
    ("metadata", "verdict", "said"),
    [
        ("no XML", Verdict.FAILED, "is no XML"),
        ('<!DOCTYPE r [<!ENTITY a "b">]><r/>', Verdict.FAILED, "entities"),
        ("<resource-agent><actions/></resource-agent>", Verdict.FAILED, "names no actions"),
        (XML.replace('name="off"', 'name="on"').format(more=""), Verdict.FAILED, "no action off"),
        (XML.format(more=""), Verdict.WARNING, "no status action"),
    ],
)
async def test_metadata_that_promises_too_little_is_told(
    tmp_path: Path, metadata: str, verdict: Verdict, said: str
) -> None:
    trial = await tried(agent(tmp_path, metadata=metadata))
    assert trial.finding("metadata").verdict is verdict
    assert said in trial.finding("metadata").text


async def test_a_password_that_others_can_read_fails_and_one_that_is_missing_too(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    missing = await tried(agent(tmp_path), options={"password_file": str(secret)})
    assert "No such file" in missing.finding("secrets").text
    secret.write_text("x")
    secret.chmod(0o640)
    loose = await tried(agent(tmp_path), options={"password_file": str(secret)})
    assert loose.failed
    assert f"mode 0640, so that others can read it: chmod 0600 {secret}" in loose.finding("secrets").text
    secret.chmod(0o600)
    assert not (await tried(agent(tmp_path), options={"password_file": str(secret)})).failed


async def test_a_password_in_a_configuration_that_everybody_can_read_is_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "hamgr.toml"
    file.touch(0o644)
    trial = await tried(agent(tmp_path), path=file, options={"password": "hush"})
    assert trial.finding("secrets").verdict is Verdict.WARNING
    assert "hush" not in str(trial)
    file.chmod(0o600)
    assert (await tried(agent(tmp_path), path=file, options={"password": "hush"})).finding("secrets").text == ""


async def test_a_device_that_needs_more_than_half_its_time_is_a_warning(tmp_path: Path) -> None:
    trial = await tried(agent(tmp_path, status="sleep 0.6"), timeout=1.0)
    assert trial.finding("time").verdict is Verdict.WARNING
    assert "of 1 s: more than half; set a longer timeout" in trial.finding("time").text


async def test_of_two_nodes_a_device_that_is_slower_than_the_other_waits_is_a_warning(tmp_path: Path) -> None:
    slow = agent(tmp_path, status="sleep 0.4")
    assert (await tried(slow)).finding("time").verdict is Verdict.GOOD
    found = (await tried(slow, lead=1.0)).finding("time")
    assert found.verdict is Verdict.WARNING
    assert "an off takes about 3 times as long, and b waits 1 s before it shoots" in found.text


async def test_a_device_that_hangs_fails_after_its_time(tmp_path: Path) -> None:
    trial = await tried(agent(tmp_path, status="sleep 60"), timeout=0.5)
    assert "killed after 0.5 s" in trial.finding("status").text
    assert trial.failed


async def test_an_agent_that_is_not_here_fails_and_the_rest_is_not_tried() -> None:
    trial = await tried("fence_nowhere")
    assert verdicts(trial) == {
        "agent": "failed", "secrets": "good", "metadata": "skipped", "answers": "skipped", "status": "skipped",
        "plug": "skipped", "time": "skipped",
    }  # fmt: skip
