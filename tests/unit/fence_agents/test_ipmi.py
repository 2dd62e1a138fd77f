"""fence_hamgr_ipmi against a real IPMI simulator, in both versions of the protocol."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from relay import ASF, Relay, passes, relay_to
from simulated import PASSWORD, USER, Machine, machine

AGENT = str(Path(sys.executable).parent / "fence_hamgr_ipmi")
pytestmark = pytest.mark.skipif(shutil.which("ipmi_sim") is None, reason="needs ipmi_sim (apt-get install openipmi)")


version_2_0 = pytest.mark.parametrize("box", ["1"], indirect=True, ids=["2.0"])
version_1_5 = pytest.mark.parametrize("box", ["0"], indirect=True, ids=["1.5"])


@pytest.fixture(params=["1", "0"], ids=["2.0", "1.5"])
def box(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    with machine(tmp_path / "machine") as made:
        made.lanplus = request.param
        yield made


@pytest.fixture
def relay(box: Machine) -> Iterator[Relay]:
    with relay_to(box.bmc.port) as made:
        yield made


def agent(options: dict[str, str], *flags: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
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
    assert agent({}, *flags, "-P", "-o", "off").returncode == 0
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
    result = agent(old | {"nodename": "b", "pcmk_x": "y", "lanplus": box.lanplus})
    assert result.returncode == 0
    assert "ignored unknown option 'pcmk_x'" in result.stderr
    assert "nodename" not in result.stderr


def test_metadata_describes_every_option_and_action() -> None:
    root = ET.fromstring(agent({}, "-o", "metadata").stdout)
    assert root.get("name") == "fence_hamgr_ipmi"
    names = {parameter.get("name") for parameter in root.iter("parameter")}
    assert {"ip", "ipport", "username", "password", "password_file", "cipher", "power_timeout", "action"} <= names
    actions = {action.get("name") for action in root.iter("action")}
    assert actions == {"on", "off", "reboot", "status", "monitor", "metadata", "validate-all"}


def test_a_dead_bmc_cannot_be_reached(box: Machine) -> None:
    box.bmc.stop()
    result = agent(box.options(action="off", login_timeout="0.5"))
    assert result.returncode == 1
    assert "cannot be reached: Connection refused" in result.stderr


def test_a_bmc_that_ignores_the_rmcp_ping_works(box: Machine, relay: Relay) -> None:
    relay.there = lambda packet: [] if packet[3] == ASF else passes(packet)
    assert agent(box.options(action="off", ipport=str(relay.port))).returncode == 0
    assert not box.power


def test_a_bmc_that_answers_late_is_waited_for(box: Machine, relay: Relay) -> None:
    relay.back = lambda packet: [(0.7, packet)]  # later than the request is sent again
    assert agent(box.options(action="off", ipport=str(relay.port))).returncode == 0
    assert not box.power
    assert set(box.orders) == {"0"}


def test_no_single_lost_answer_matters(box: Machine) -> None:
    def off_without(lost: int) -> int:
        count = itertools.count(1)
        with relay_to(box.bmc.port) as relay:
            relay.back = lambda packet: [] if next(count) == lost else passes(packet)
            return agent(box.options(action="off", ipport=str(relay.port))).returncode

    with ThreadPoolExecutor() as pool:
        assert set(pool.map(off_without, range(1, 9))) == {0}
    assert not box.power


def test_a_bmc_that_falls_silent_after_the_order_has_an_unknown_outcome(box: Machine, relay: Relay) -> None:
    def until_the_order(packet: bytes) -> list[tuple[float, bytes]]:
        return [] if box.orders else passes(packet)

    relay.back = until_the_order
    result = agent(box.options(action="off", ipport=str(relay.port), power_timeout="1", shell_timeout="0.5"))
    assert result.returncode == 1
    assert "outcome unknown" in result.stderr
    assert box.orders


def is_off_forged(packet: bytes) -> bytes:
    """An answer to Get Chassis Status (IPMI 2.0, 13.6 and 28.2) with the power bit cleared; any other as it is."""
    message = 30  # behind the headers of RMCP and of the session
    if len(packet) < message + 9 or (packet[message + 1] >> 2, packet[message + 5]) != (1, 1):
        return packet
    forged = bytearray(packet)
    forged[message + 7] &= 0xFE
    forged[-1] = -sum(forged[message + 3 : -1]) & 0xFF
    return bytes(forged)


@version_1_5
def test_a_forged_answer_is_not_believed(box: Machine, relay: Relay) -> None:
    box.set_mood("stays")
    relay.back = lambda packet: passes(is_off_forged(packet) if box.orders else packet)
    result = agent(box.options(action="off", ipport=str(relay.port), power_timeout="1", shell_timeout="0.5"))
    assert result.returncode == 1
    assert "outcome unknown" in result.stderr


@version_1_5
def test_the_forgery_would_be_believed_if_it_were_signed(box: Machine, relay: Relay) -> None:
    """What keeps it out in the test above is its signature: here that is the password itself, whatever the answer."""
    box.bmc.stop()
    box.bmc.authentications = ("straight",)
    box.bmc.start()
    box.set_mood("stays")
    relay.back = lambda packet: passes(is_off_forged(packet) if box.orders else packet)
    assert agent(box.options(action="off", auth="password", ipport=str(relay.port))).returncode == 0
    assert box.power


@version_2_0
def test_a_changed_answer_is_not_believed(box: Machine, relay: Relay) -> None:
    box.set_mood("stays")
    relay.back = lambda packet: passes(packet[:-1] + bytes([packet[-1] ^ 1]) if box.orders else packet)
    result = agent(box.options(action="off", ipport=str(relay.port), power_timeout="1", shell_timeout="0.5"))
    assert result.returncode == 1
    assert "outcome unknown" in result.stderr


def test_a_power_cycle_counts_when_the_machine_was_seen_off(box: Machine) -> None:
    result = agent(box.options(action="reboot", method="cycle"))
    assert result.returncode == 0
    assert box.orders == ["0", "1"]
    assert "seen off" in result.stdout


def test_a_power_cycle_that_nobody_saw_is_unknown(box: Machine) -> None:
    box.set_mood("stays")
    result = agent(box.options(action="reboot", method="cycle", power_timeout="1"))
    assert result.returncode == 1
    assert "outcome unknown" in result.stderr
    assert "never seen off" in result.stderr


def test_a_power_cycle_of_a_machine_that_is_off_switches_it_on(box: Machine) -> None:
    box.set_power(False)
    assert agent(box.options(action="reboot", method="cycle")).returncode == 0
    assert box.orders == ["1"]


def test_no_action_asks_the_operating_system(box: Machine) -> None:
    for action in ("off", "on", "reboot"):
        assert agent(box.options(action=action)).returncode == 0
    assert agent(box.options(action="reboot", method="cycle")).returncode == 0
    assert box.soft_orders == []


def test_power_wait_is_waited_before_the_first_reading(box: Machine) -> None:
    box.set_mood("late")  # off at the fourth reading
    began = time.monotonic()
    assert agent(box.options(action="off", power_wait="0.8")).returncode == 0
    assert time.monotonic() - began > 0.8


@version_2_0
@pytest.mark.parametrize("suite", ["3", "1", "2"])
def test_cipher_suites_are_asked_for_by_number(box: Machine, suite: str) -> None:
    result = agent(box.options(action="status", cipher=suite))
    assert result.returncode == 0, result.stderr


@version_2_0
def test_a_suite_that_the_bmc_does_not_have_is_refused(box: Machine) -> None:
    result = agent(box.options(action="off", cipher="17"))
    assert result.returncode == 1
    assert "refused the login" in result.stderr
    assert box.orders == []


def test_the_operator_level_is_enough(box: Machine) -> None:
    assert agent(box.options(action="off", privlvl="operator")).returncode == 0
    assert not box.power


@version_1_5
def test_an_authentication_that_the_bmc_does_not_offer_is_named(box: Machine) -> None:
    result = agent(box.options(action="off", auth="password"))
    assert result.returncode == 1
    assert "offers the authentication md5, and not straight" in result.stderr


def test_a_password_that_is_too_long_for_the_version_is_refused_unseen(box: Machine) -> None:
    longest = {"1": 20, "0": 16}[box.lanplus]
    secret = "x" * (longest + 1)
    result = agent(box.options(action="validate-all", password=secret))
    assert result.returncode == 1
    assert f"up to {longest} bytes" in result.stderr
    assert secret not in result.stderr
    assert agent(box.options(action="validate-all", password="x" * longest)).returncode == 0


def test_a_bmc_at_an_ipv6_address(tmp_path: Path) -> None:
    with machine(tmp_path / "six", "::1") as six:
        for version in ("1", "0"):
            six.lanplus = version
            six.set_power(True)
            assert agent(six.options(action="off")).returncode == 0
            assert not six.power
        six.bmc.stop()
        assert "BMC [::1]:" in agent(six.options(action="status")).stderr


def test_a_key_of_the_bmc_is_never_shown(box: Machine) -> None:
    result = agent(box.options(action="validate-all", hexadecimal_kg="0xdeadbeefXX"))
    assert result.returncode == 1
    assert "deadbeef" not in result.stderr
    result = agent({}, "-o", "status", "--hexadecimal-kg", "deadbeef")
    assert "deadbeef" not in result.stderr
