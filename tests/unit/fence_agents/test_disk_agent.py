"""fence_hamgr_disk with real loop devices and a real victim: only an acknowledgement and a silence after it count."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hamgr.disk.device import Device, header_for
from hamgr.disk.making import make
from hamgr.disk.records import (
    BLOCK,
    Lease,
    State,
    decode_lease,
    decode_pill,
    encode_lease,
    lease_place,
    pill_place,
)

AGENT = str(Path(sys.executable).parent / "fence_hamgr_disk")
VICTIM = str(Path(__file__).with_name("disk_victim.py"))
DEADLINE = 15.0


class Machine:
    """The victim b: its process, its worker, and a file that resets it when a "b" is written there."""

    def __init__(self, directory: Path, device: str) -> None:
        self.device = device
        self.trigger = directory / "trigger"
        self.broken = False
        """Writing to the trigger does nothing."""
        os.mkfifo(self.trigger)
        # Open at both ends from here on: nobody waits for the other.
        self._reading = os.open(self.trigger, os.O_RDWR)
        self.process: subprocess.Popen[str] | None = None
        threading.Thread(target=self._reset, daemon=True).start()

    def boot(self, reset: bool = True) -> None:
        command = [sys.executable, VICTIM, self.device, str(self.trigger) if reset else ""]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line == "up\n":
                return
        raise AssertionError("the victim did not come up")

    def _reset(self) -> None:
        while os.read(self._reading, 1) == b"b":
            if not self.broken:
                self.die()

    def die(self) -> None:
        for pid in (*self.workers(), self.process.pid if self.process is not None else 0):
            if pid:
                os.kill(pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"hamgr.disk.worker" in words and self.device.encode() in words:
                found.append(int(process.name))
        return found

    def close(self) -> None:
        if self.process is not None:
            # Killed first, it can't start another worker.
            self.process.kill()
            self.process.wait()
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def machine(tmp_path: Path, two_ends: tuple[str, str]) -> Iterator[Machine]:
    with Device(two_ends[0]) as device:
        make(device, "t", ("a", "b"), 1000, force=False)
    victim = Machine(tmp_path, two_ends[1])
    yield victim
    victim.close()


def agent(device: str, action: str = "off", **options: str) -> subprocess.CompletedProcess[str]:
    given = {"device": device, "cluster": "t", "plug": "b", "power_timeout": "1", "action": action, **options}
    stdin = "".join(f"{name}={value}\n" for name, value in given.items())
    return subprocess.run([AGENT], input=stdin, capture_output=True, text=True, timeout=60, check=False)


def lease_of_b(device: str) -> Lease:
    with Device(device) as opened:
        uuid = header_for(opened, "t").uuid
        lease = decode_lease(opened.read(lease_place(1)), uuid, 1)
    assert lease is not None
    return lease


def test_a_node_that_reads_the_pill_acknowledges_it_and_resets_its_machine(
    machine: Machine, two_ends: tuple[str, str]
) -> None:
    machine.boot()
    began = time.monotonic()
    done = agent(two_ends[0])
    assert (done.returncode, done.stdout) == (0, "Off: b acknowledged the pill, and wrote nothing for 1 s\n"), (
        done.stderr
    )
    assert time.monotonic() - began >= 1
    assert machine.process is not None
    assert machine.process.wait(DEADLINE) == -signal.SIGKILL
    assert machine.workers() == []


@pytest.mark.parametrize("by", [signal.SIGSTOP, signal.SIGKILL])
def test_a_frozen_or_killed_daemon_keeps_no_machine_from_it(
    machine: Machine, two_ends: tuple[str, str], by: signal.Signals
) -> None:
    machine.boot()
    assert machine.process is not None
    machine.process.send_signal(by)
    assert agent(two_ends[0]).returncode == 0
    assert machine.workers() == []


def test_a_reset_that_does_not_work_is_taken_back_and_no_success(machine: Machine, two_ends: tuple[str, str]) -> None:
    machine.broken = True
    machine.boot()
    done = agent(two_ends[0])
    assert done.returncode == 1
    assert "outcome unknown: b said that it dies, and goes on writing" in done.stderr
    assert lease_of_b(two_ends[0]).state is State.RUNNING


def test_the_word_is_taken_back_also_while_the_daemon_is_frozen(machine: Machine, two_ends: tuple[str, str]) -> None:
    machine.broken = True
    machine.boot()
    assert machine.process is not None
    machine.process.send_signal(signal.SIGSTOP)
    done = agent(two_ends[0])
    assert (done.returncode, "outcome unknown" in done.stderr) == (1, True)


def test_a_node_that_does_not_reset_itself_for_a_pill_is_not_fenced(
    machine: Machine, two_ends: tuple[str, str]
) -> None:
    machine.boot(reset=False)
    done = agent(two_ends[0])
    assert done.returncode == 1
    assert "outcome unknown: b did not acknowledge the pill within 1 s; its lease goes on" in done.stderr


def test_a_node_that_can_not_reset_itself_says_nothing(machine: Machine, two_ends: tuple[str, str]) -> None:
    machine.boot()
    machine.trigger.unlink()
    done = agent(two_ends[0])
    assert done.returncode == 1
    assert "outcome unknown: b did not acknowledge the pill within 1 s; its lease goes on" in done.stderr
    assert machine.process is not None
    assert machine.process.stdout is not None
    assert "a poison pill could not be swallowed: " in machine.process.stdout.readline()


def test_a_lease_that_stands_proves_nothing(machine: Machine, two_ends: tuple[str, str]) -> None:
    machine.boot()
    assert machine.process is not None
    for process in (machine.process.pid, *machine.workers()):
        os.kill(process, signal.SIGSTOP)
    done = agent(two_ends[0], power_timeout="2")
    assert done.returncode == 1
    assert "outcome unknown: b did not acknowledge the pill within 2 s; its lease has stood for" in done.stderr
    assert agent(two_ends[0], "status").returncode == 1
    # It wakes up, and swallows what is there for it; the next try takes that for what it is.
    os.kill(machine.process.pid, signal.SIGCONT)
    for worker in machine.workers():
        os.kill(worker, signal.SIGCONT)
    assert machine.process.wait(DEADLINE) == -signal.SIGKILL
    assert agent(two_ends[0]).returncode == 0


def test_a_pill_for_an_earlier_life_kills_nobody(machine: Machine, two_ends: tuple[str, str]) -> None:
    machine.boot()
    assert agent(two_ends[0]).returncode == 0
    machine.boot()
    assert machine.process is not None
    first = lease_of_b(two_ends[0]).beat
    deadline = time.monotonic() + DEADLINE
    while lease_of_b(two_ends[0]).beat < first + 5:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert machine.process.poll() is None
    assert agent(two_ends[0], "status").stdout == "Status: ON\n"


def test_a_killed_daemons_worker_ends_when_the_next_daemon_is_there(
    machine: Machine, two_ends: tuple[str, str]
) -> None:
    machine.boot()
    assert machine.process is not None
    (old,) = machine.workers()
    machine.process.kill()
    machine.process.wait()
    assert machine.workers() == [old]
    machine.boot()
    deadline = time.monotonic() + DEADLINE
    while old in machine.workers():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_damaged_acknowledgement_is_none(machine: Machine, two_ends: tuple[str, str]) -> None:
    """The victim dies, and its last word is torn: nobody can say what it was."""
    machine.boot()
    machine.die()
    lease = lease_of_b(two_ends[0])

    def swallow() -> None:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            with Device(two_ends[1]) as device:
                pill = decode_pill(device.read(pill_place(1)), lease.uuid, 1)
                if pill is not None:
                    said = Lease(
                        lease.uuid, 1, lease.life, lease.boot, lease.beat + 1, 0, 0, 50, State.DYING, pill.nonce
                    )
                    device.write(lease_place(1), encode_lease(said)[:512] + encode_lease(lease)[512:])
                    return
            time.sleep(0.01)

    thread = threading.Thread(target=swallow)
    thread.start()
    done = agent(two_ends[0])
    thread.join()
    assert done.returncode == 1
    assert "outcome unknown: after the pill: a damaged lease" in done.stderr


def test_a_disk_that_is_overwritten_meanwhile_proves_nothing(machine: Machine, two_ends: tuple[str, str]) -> None:
    machine.boot(reset=False)

    def overwrite() -> None:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            with Device(two_ends[1]) as device:
                if device.read(pill_place(1)) != bytes(BLOCK):
                    device.write(0, bytes(2 * BLOCK))
                    return
            time.sleep(0.01)

    thread = threading.Thread(target=overwrite)
    thread.start()
    done = agent(two_ends[0], power_timeout="5")
    thread.join()
    assert (done.returncode, "outcome unknown: after the pill" in done.stderr) == (1, True), done.stderr


def test_a_disk_that_is_taken_away_meanwhile_proves_nothing(
    machine: Machine, two_ends: tuple[str, str], tmp_path: Path
) -> None:
    machine.boot(reset=False)
    image = tmp_path / "disk.img"

    def take_away() -> None:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            with image.open("rb") as file:
                file.seek(pill_place(1) * BLOCK)
                if file.read(BLOCK) != bytes(BLOCK):
                    os.truncate(image, 0)
                    return
            time.sleep(0.01)

    thread = threading.Thread(target=take_away)
    thread.start()
    done = agent(two_ends[0], power_timeout="5")
    thread.join()
    assert (done.returncode, "outcome unknown: after the pill" in done.stderr) == (1, True), done.stderr


def test_a_foreign_disk_and_one_without_the_node_get_no_pill(machine: Machine, two_ends: tuple[str, str]) -> None:
    done = agent(two_ends[0], cluster="office")
    assert (done.returncode, done.stderr) == (
        1,
        f"fence_hamgr_disk: failed: {two_ends[0]} is of cluster 't', ours is 'office'\n",
    )
    assert "has no slot for c: it has a, b" in agent(two_ends[0], plug="c").stderr
    assert "b never wrote to" in agent(two_ends[0]).stderr
    with Device(two_ends[0]) as device:
        assert device.read(pill_place(0), 2) == bytes(2 * BLOCK)
    assert "No such file" in agent("/dev/not-there").stderr


def test_monitor_asks_for_the_disk_and_not_for_the_node(machine: Machine, two_ends: tuple[str, str]) -> None:
    assert agent(two_ends[0], "monitor").returncode == 0
    assert agent(two_ends[0], "monitor", cluster="office").returncode == 1
