"""fence_hamgr_ipmi against a real IPMI 2.0 simulator."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from simulated import PASSWORD, USER, Machine, machine

AGENT = str(Path(sys.executable).parent / "fence_hamgr_ipmi")
pytestmark = pytest.mark.skipif(shutil.which("ipmi_sim") is None, reason="needs ipmi_sim (apt-get install openipmi)")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path / "machine") as made:
        yield made


def agent(
    options: dict[str, str], *flags: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    stdin = "".join(f"{name}={value}\n" for name, value in options.items())
    result = subprocess.run(
        [AGENT, *flags], input=stdin, capture_output=True, text=True, timeout=20, env=os.environ | (env or {})
    )
    assert PASSWORD not in result.stdout + result.stderr
    return result


def test_off_and_on_reach_the_machine_and_status_tells(box: Machine) -> None:
    assert agent(box.options(action="status")).returncode == 0
    assert agent(box.options(action="off")).returncode == 0
    assert not box.power
    assert agent(box.options(action="status")).returncode == 2
    assert agent(box.options(action="monitor")).returncode == 0
    assert agent(box.options(action="on")).returncode == 0
    assert box.power


def test_ipmitool_agrees(box: Machine) -> None:
    if shutil.which("ipmitool") is None:
        pytest.skip("needs ipmitool")
    assert agent(box.options(action="off")).returncode == 0
    command = ["ipmitool", "-I", "lanplus", "-C", "3", "-H", "127.0.0.1", "-p", str(box.bmc.port), "-U", USER, "-E"]
    said = subprocess.run(
        [*command, "chassis", "power", "status"], env=os.environ | {"IPMI_PASSWORD": PASSWORD}, text=True,
        capture_output=True, timeout=20,
    )  # fmt: skip
    assert said.stdout.strip() == "Chassis Power is off"


def test_reboot_is_off_then_on(box: Machine) -> None:
    assert agent(box.options(action="reboot")).returncode == 0
    assert box.orders == ["0", "1"]


def test_off_of_a_machine_that_is_off_succeeds(box: Machine) -> None:
    box.set_power(False)
    assert agent(box.options(action="off")).returncode == 0


@pytest.mark.parametrize("mood", ["fails", "stays"])
def test_a_machine_that_stays_on_is_not_fenced(box: Machine, mood: str) -> None:
    box.set_mood(mood)
    result = agent(box.options(action="off", power_timeout="0.5"))
    assert result.returncode == 1
    assert "still reads on" in result.stderr


def test_an_off_that_takes_effect_later_is_awaited(box: Machine) -> None:
    box.set_mood("late")
    assert agent(box.options(action="off")).returncode == 0
    assert not box.power


def test_wrong_password_is_refused_and_nothing_is_switched(box: Machine) -> None:
    result = agent(box.options(action="off", password="wrong"))
    assert result.returncode == 1
    assert "refused the login" in result.stderr
    assert box.orders == []


def test_a_hanging_bmc_fails_within_its_time_out(box: Machine) -> None:
    assert box.bmc.pid is not None
    os.kill(box.bmc.pid, signal.SIGSTOP)
    result = agent(box.options(action="off", login_timeout="1"))
    assert result.returncode == 1
    assert "cannot be reached" in result.stderr


def test_flags_with_a_password_file(box: Machine, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    flags = ["-a", "127.0.0.1", "-u", str(box.bmc.port), "-l", USER, "--password-file", str(secret)]
    assert agent({}, *flags, "-o", "off").returncode == 0
    assert not box.power


def test_password_from_the_environment(box: Machine) -> None:
    options = box.options(action="status")
    del options["password"]
    assert agent(options, env={"FENCE_PASSWORD": PASSWORD}).returncode == 0


@pytest.mark.parametrize("flags", [("-p", PASSWORD), (f"-p{PASSWORD}",), (f"--password={PASSWORD}",)])
def test_a_password_on_the_command_line_is_refused_and_not_repeated(flags: tuple[str, ...]) -> None:
    result = agent({}, "-o", "status", *flags)
    assert result.returncode == 1
    assert "password_file" in result.stderr


def test_every_mistake_is_reported_at_once_and_never_looks_like_off() -> None:
    result = agent({"action": "validate-all", "ipport": "99999", "cipher": "x"})
    assert result.returncode == 1
    for part in ("ipport", "'99999'", "1 to 65535", "cipher", "ip is missing", "username is missing"):
        assert part in result.stderr


def test_pacemakers_extra_options_and_old_names_are_taken(box: Machine) -> None:
    old = {"ipaddr": "127.0.0.1", "ipport": str(box.bmc.port), "login": USER, "passwd": PASSWORD, "option": "status"}
    result = agent(old | {"nodename": "b"})
    assert result.returncode == 0
    assert "ignored unknown option 'nodename'" in result.stderr


def test_metadata_describes_every_option_and_action() -> None:
    root = ET.fromstring(agent({}, "-o", "metadata").stdout)
    assert root.get("name") == "fence_hamgr_ipmi"
    names = {parameter.get("name") for parameter in root.iter("parameter")}
    assert {"ip", "ipport", "username", "password", "password_file", "cipher", "power_timeout", "action"} <= names
    actions = {action.get("name") for action in root.iter("action")}
    assert actions == {"on", "off", "reboot", "status", "monitor", "metadata", "validate-all"}
