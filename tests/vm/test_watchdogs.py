"""The guard and watchdogs of a real kernel: it feeds them, disarms them, and without it the machine is really reset."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from guarded_node import END, QUIET, VIP
from virtual_machine import Machine

pytestmark = pytest.mark.timeout(900)

PROGRAM = str(Path(__file__).with_name("guarded_node.py"))
SAID = "/run/said"
TIMEOUT = int(os.environ.get("HAMGR_VM_WATCHDOG", "10"))
"""Seconds, of the watchdog. On a busy machine it has to be more, for one that is emulated may stand still for some."""

LEASE = TIMEOUT / 2
LONGER = 1.5 * TIMEOUT

SLOW = 300.0
"""Seconds in which an emulated machine on a busy one does what takes a moment."""

DRIVERS = ("softdog", "i6300esb")


@pytest.fixture(scope="module")
def one(machine) -> Machine:
    """With the card that i6300esb drives."""
    return machine("a", "-device", "i6300esb")


@pytest.fixture
def node(one: Machine) -> Machine:
    """Freshly booted."""
    lives = len(one.boots)
    if one.run("test", "-e", SAID, check=False).code == 0 or one.run("lsmod").stdout.count("dog"):
        one.begin("sh", "-c", "echo b > /proc/sysrq-trigger")
        one.wait_for_boot(lives + 1)
    one.events.clear()
    return one


def load(node: Machine, driver: str, *options: str) -> None:
    node.run("modprobe", driver, *options)
    node.until(lambda: node.run("test", "-c", "/dev/watchdog0", check=False).code == 0, SLOW, "/dev/watchdog0")


def of_watchdog(node: Machine, what: str) -> str:
    return node.run("cat", f"/sys/class/watchdog/watchdog0/{what}").stdout.strip()


def said(node: Machine) -> list[str]:
    return node.run("cat", SAID, check=False).stdout.splitlines()


def begin(node: Machine, device: str = "/dev/watchdog0", pretimeout: str = "", trigger: str = "") -> str:
    """Start the program; returns its first word."""
    timeout = str(TIMEOUT) if device else ""
    script = f'ip address add {VIP}/32 dev lo; setsid {sys.executable} {PROGRAM} "$@" > {SAID} 2>&1 < /dev/null &'
    node.shell(script, device, timeout, pretimeout, trigger, str(LEASE))
    node.until(lambda: bool(said(node)), SLOW, "the guard")
    return said(node)[0]


def guard(node: Machine) -> str:
    return node.run("pgrep", "-x", "hamgr-guard", check=False).stdout.strip()


def kill_all(node: Machine, number: str) -> None:
    node.shell("kill -$1 $(pgrep -f [g]uarded_node.py) $(pgrep -x hamgr-guard)", number)


def outlives(node: Machine, seconds: float) -> None:
    """It is the same life of the machine after so many of its own seconds."""
    lives = len(node.boots)
    before = float(node.run("cat", "/proc/uptime").stdout.split()[0])
    node.until(
        lambda: float(node.run("cat", "/proc/uptime").stdout.split()[0]) > before + seconds, SLOW + seconds, "time"
    )
    assert len(node.boots) == lives
    assert not node.happened("RESET")


def is_reset(node: Machine, within: float) -> float:
    """Wait for it; returns the seconds that it took."""
    lives, began = len(node.boots), time.monotonic()
    node.wait(lambda: node.happened("RESET") or node.happened("WATCHDOG"), within, f"{node.name} to be reset")
    took = time.monotonic() - began
    node.wait_for_boot(lives + 1)
    return took


@pytest.mark.parametrize("driver", DRIVERS)
def test_it_is_set_fed_and_disarmed(node: Machine, driver: str) -> None:
    load(node, driver)
    assert begin(node).startswith("guard ")
    assert of_watchdog(node, "timeout") == str(TIMEOUT)
    assert of_watchdog(node, "state") == "active"
    outlives(node, LONGER)
    node.run("touch", str(END))
    node.until(lambda: said(node)[-1] == "ended", SLOW, "a clean end")
    node.until(lambda: of_watchdog(node, "state") == "inactive", SLOW, "the magic close")
    outlives(node, LONGER)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("number", ["KILL", "STOP"])
def test_a_guard_that_dies_or_freezes_with_its_daemon_leaves_the_machine_to_the_watchdog(
    node: Machine, driver: str, number: str
) -> None:
    load(node, driver)
    begin(node)
    outlives(node, TIMEOUT / 2)
    kill_all(node, number)
    is_reset(node, TIMEOUT + SLOW)
    assert node.happened("WATCHDOG") == (driver == "i6300esb")


@pytest.mark.parametrize("number", ["KILL", "STOP"])
def test_a_guard_that_dies_or_freezes_alone_is_replaced_before_the_watchdog_bites(node: Machine, number: str) -> None:
    load(node, "softdog")
    begin(node)
    first = guard(node)
    node.run("kill", f"-{number}", first)
    node.until(lambda: guard(node) not in ("", first), SLOW, "another guard")
    outlives(node, LONGER)
    assert of_watchdog(node, "state") == "active"


def test_a_daemon_that_says_nothing_more_has_its_addresses_taken_and_the_machine_reset(node: Machine) -> None:
    load(node, "softdog")
    begin(node)
    assert VIP in node.run("ip", "-4", "address", "show", "dev", "lo").stdout
    node.run("touch", str(QUIET))
    node.until(
        lambda: VIP not in node.run("ip", "-4", "address", "show", "dev", "lo").stdout, LEASE + SLOW, "no address"
    )
    is_reset(node, LEASE + TIMEOUT + SLOW)


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_kernel_is_told_of_the_pretimeout(node: Machine, driver: str) -> None:
    """Neither driver has one of its own; the kernel does it for them, and their options don't tell."""
    load(node, driver)
    assert begin(node, pretimeout="4").startswith("guard ")
    assert of_watchdog(node, "pretimeout") == "4"


def test_a_pretimeout_that_is_too_long_is_refused_and_the_device_left_unarmed(node: Machine) -> None:
    load(node, "softdog")
    assert "takes no pretimeout" in begin(node, pretimeout=str(2 * TIMEOUT))
    node.shell("kill -KILL $(pgrep -f [g]uarded_node.py)")
    outlives(node, LONGER)


def test_a_device_that_somebody_else_feeds_is_refused(node: Machine) -> None:
    load(node, "softdog")
    node.shell("setsid sh -c 'exec 9> /dev/watchdog0; while sleep 1; do echo >&9; done' < /dev/null > /dev/null 2>&1 &")
    node.until(lambda: of_watchdog(node, "state") == "active", SLOW, "another feeder")
    assert "another program feeds it" in begin(node)


def test_with_nowayout_a_clean_end_does_not_disarm_it(node: Machine) -> None:
    load(node, "softdog", "nowayout=1")
    begin(node)
    node.run("touch", str(END))
    is_reset(node, TIMEOUT + SLOW)


def test_the_guard_resets_the_machine_by_sysrq(node: Machine) -> None:
    """self_fence = "reboot": without any watchdog, at the end of the lease."""
    begin(node, device="", trigger="/proc/sysrq-trigger")
    outlives(node, LEASE)
    node.run("touch", str(QUIET))
    is_reset(node, LEASE + SLOW)
    assert not node.happened("WATCHDOG")
