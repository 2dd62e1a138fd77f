"""fence_hamgr_scsi with a stand-in for the disk: what it believes, and what it refuses (tests/vm has real disks)."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fence_agents.agent import run
from fence_agents.scsi import AGENT

STAND_IN = Path(__file__).with_name("sg_persist_stand_in.py")
REGISTRANTS = "Write Exclusive, registrants only"


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    stdout: str
    stderr: str


class San:
    """One disk; a and b reach it by a device of their own each."""

    def __init__(self, directory: Path, devices: tuple[str, str]) -> None:
        self.devices = dict(zip("ab", devices, strict=True))
        self._directory = directory
        self._disk = directory / "disk"
        self.change(keys={}, held="", holder=0, generation=0, faults={}, attentions={}, aptpl=False, fresh=True)
        self.programs = directory / "bin"
        self.programs.mkdir()
        program = self.programs / "sg_persist"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
        program.chmod(0o755)

    def change(self, fresh: bool = False, **values: Any) -> None:
        disk = {} if fresh else self.disk
        self._disk.write_text(json.dumps(disk | values))

    @property
    def disk(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._disk.read_text())
        return found

    @property
    def keys(self) -> list[int]:
        return sorted(self.disk["keys"].values())

    def agent(self, machine: str, action: str, plug: str, **options: str) -> Ended:
        given = {
            "devices": self.devices[machine], "cluster": "t", "nodename": plug, "action": action,
            "state_file": str(self._directory / f"run-{machine}" / "keys"), "power_timeout": "10",
        }  # fmt: skip
        stdin = [f"{name}={value}" for name, value in (given | options).items()]
        stdout, stderr = io.StringIO(), io.StringIO()
        code = run(AGENT, [], stdin, stdout, stderr, {})
        return Ended(code, stdout.getvalue(), stderr.getvalue())

    def done(self, machine: str, action: str, plug: str, **options: str) -> str:
        ended = self.agent(machine, action, plug, **options)
        assert ended.code == 0, ended.stderr
        return ended.stdout

    def refused(self, machine: str, action: str, plug: str, **options: str) -> str:
        ended = self.agent(machine, action, plug, **options)
        assert ended.code == 1, ended.stdout
        return ended.stderr


@pytest.fixture
def san(tmp_path: Path, two_ends: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> San:
    found = San(tmp_path, two_ends)
    monkeypatch.setenv("PATH", f"{found.programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PR_DISK", str(tmp_path / "disk"))
    return found


@pytest.fixture
def both(san: San) -> San:
    """Both have registered."""
    san.done("a", "on", "a")
    san.done("b", "on", "b")
    return san


def test_each_registers_itself_and_the_first_reserves(san: San) -> None:
    san.done("a", "on", "a", aptpl="1")
    assert san.disk["held"] == REGISTRANTS
    assert san.disk["aptpl"]
    san.done("b", "on", "b")
    assert len(set(san.keys)) == 2
    assert san.agent("a", "status", "b").stdout == "Status: ON\n"
    assert san.done("a", "monitor", "b") == ""


def test_off_takes_the_victims_key_away_and_reads_it_back(both: San) -> None:
    said = both.done("a", "off", "b")
    assert said.startswith("Off: b (0x")
    assert "has no key on" in said
    assert len(both.keys) == 1
    assert both.agent("a", "status", "b").code == 2
    assert both.agent("a", "status", "a").code == 0
    assert "it was shut out itself" in both.refused("b", "off", "a")
    assert len(both.keys) == 1


def test_a_holder_that_is_fenced_loses_its_reservation_to_the_other(both: San) -> None:
    both.done("b", "off", "a")
    assert both.disk["held"] == REGISTRANTS
    assert both.disk["holder"] == both.keys[0]


def test_a_victim_that_had_no_key_is_off_and_that_is_said(both: San) -> None:
    assert "(it had none)" in both.done("a", "off", "z")


def test_a_disk_that_does_nothing_of_what_it_confirms_is_found_out(both: San) -> None:
    both.change(faults={both.devices["a"]: "deaf"})
    assert "failed: b (0x" in both.refused("a", "off", "b")


def test_without_a_reservation_nobody_is_off(both: San) -> None:
    both.change(held="")
    assert both.agent("a", "status", "z").code == 0
    for action in ("off", "monitor"):
        assert "found no reservation" in both.refused("a", action, "b")


def test_a_reservation_of_another_kind_is_not_believed(both: San) -> None:
    both.change(held="Write Exclusive")
    assert "found the reservation 'write exclusive'" in both.refused("a", "off", "b")
    assert "found the reservation 'write exclusive'" in both.refused("a", "on", "a")


def test_what_others_changed_is_told_once_by_the_disk_and_no_failure(both: San) -> None:
    both.change(attentions={both.devices["a"]: 3})
    both.done("a", "off", "b")
    assert both.disk["attentions"] == {both.devices["a"]: 0}


@pytest.mark.parametrize(("fault", "words"), [("gone", "No such device or address"), ("hang", "did not answer within")])
def test_a_disk_that_is_gone_or_hangs_fences_nobody(both: San, fault: str, words: str) -> None:
    both.change(faults={both.devices["a"]: fault})
    began = time.monotonic()
    for action in ("off", "status", "monitor"):
        assert words in both.refused("a", action, "b", power_timeout="0.5")
    assert time.monotonic() - began < 10
    assert len(both.keys) == 2


def test_a_victim_that_comes_back_within_the_proof_is_not_fenced(both: San) -> None:
    """As one does whose machine was reset and let itself in again: what it runs now is not known to have ended."""

    def come_back() -> None:
        deadline = time.monotonic() + 20
        while len(both.keys) == 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        both.done("b", "on", "b")

    thread = threading.Thread(target=come_back)
    thread.start()
    said = both.refused("a", "off", "b", proof_time="20")
    thread.join()
    assert "is registered again on" in said


def test_the_proof_takes_its_time(both: San) -> None:
    began = time.monotonic()
    assert "read back, for 1 s" in both.done("a", "off", "b", proof_time="1")
    assert time.monotonic() - began >= 1


def test_nobody_fences_itself_or_lets_another_in(both: San) -> None:
    assert "nobody fences itself" in both.refused("a", "off", "a")
    assert "on is for itself" in both.refused("a", "on", "b")
    assert len(both.keys) == 2


def test_whoever_never_registered_fences_nobody(san: San) -> None:
    san.done("b", "on", "b")
    for action in ("off", "monitor"):
        assert "has registered no key there" in san.refused("a", action, "b")


def test_a_machine_that_was_shut_out_and_has_the_disk_mounted_is_not_let_in(both: San, tmp_path: Path) -> None:
    if shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
        pytest.skip("needs mkfs.ext4 (e2fsprogs)")
    device, place = both.devices["b"], tmp_path / "data"
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", device], check=True, env=os.environ | {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    subprocess.run(["mount", device, str(place)], check=True)
    try:
        both.done("b", "on", "b")  # it has its key: a new hamgrd beside a service that runs
        both.done("a", "off", "b")
        assert f"still has it mounted ({place})" in both.refused("b", "on", "b")
        assert len(both.keys) == 1
    finally:
        subprocess.run(["umount", str(place)], check=True)
    both.done("b", "on", "b")
    assert len(both.keys) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"key": "0"}, "option key: found '0'; allowed: up to 16 hexadecimal digits, and not 0"),
        ({"key": "12345678901234567"}, "option key: found"),
        ({"key": "", "cluster": ""}, "option key is missing"),
        ({"devices": "sda"}, "option devices: found 'sda'; allowed: absolute paths, with commas"),
        ({"devices": "/dev/not-there"}, "option devices: /dev/not-there: No such file or directory"),
        ({"devices": "/etc/passwd"}, "option devices: found /etc/passwd, which is no device"),
        ({"proof_time": "-1"}, "option proof_time: found '-1'"),
    ],
)
def test_wrong_options_are_said(san: San, options: dict[str, str], words: str) -> None:
    assert words in san.refused("a", "validate-all", "b", **options)


def test_keys_are_taken_as_people_write_them(san: San) -> None:
    san.done("a", "on", "a", key="0x00AB")
    assert san.keys == [0xAB]


def test_validate_all_asks_no_disk(san: San) -> None:
    san.change(faults={san.devices["a"]: "hang"})
    assert san.done("a", "validate-all", "b") == ""
