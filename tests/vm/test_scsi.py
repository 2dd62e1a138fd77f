"""fence_hamgr_scsi with real persistent reservations: the kernel's target keeps them, and refuses the writes.

One machine stands for two: it reaches the disks over two initiators, a's and b's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from scsi_target import Target
from virtual_machine import Ended, Machine

pytestmark = pytest.mark.timeout(900)

AGENT = str(Path(sys.executable).parent / "fence_hamgr_scsi")
INITIATORS = {"a": 1, "b": 2}


class San:
    """Two disks."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.target = Target(machine, "disk0", "disk1")
        for owner, initiator in INITIATORS.items():
            self.target.log_in(initiator)
            for disk in ("disk0", "disk1"):
                self.target.name(initiator, disk, self.device(owner, disk))

    @staticmethod
    def device(owner: str, disk: str) -> str:
        return f"/dev/{owner}-{disk}"

    def agent(self, machine: str, action: str, plug: str, **options: str) -> Ended:
        devices = ",".join(self.device(machine, disk) for disk in ("disk0", "disk1"))
        given = {
            "devices": devices, "cluster": "t", "plug": plug, "action": action, "power_timeout": "20",
            "state_file": f"/run/keys-of-{machine}",
        }  # fmt: skip
        stdin = "".join(f"{name}={value}\n" for name, value in (given | options).items())
        return self.machine.run(AGENT, stdin=stdin, check=False, timeout=120)

    def done(self, machine: str, action: str, plug: str, **options: str) -> str:
        ended = self.agent(machine, action, plug, **options)
        assert ended.code == 0, ended.stderr
        return ended.stdout

    def refused(self, machine: str, action: str, plug: str, **options: str) -> str:
        ended = self.agent(machine, action, plug, **options)
        assert ended.code == 1, ended.stdout
        return ended.stderr

    def writes(self, machine: str, disk: str = "disk0") -> bool:
        """Whether the disk takes a block, past all caches."""
        device = self.device(machine, disk)
        ended = self.machine.run(
            "dd", "if=/dev/urandom", f"of={device}", "bs=4k", "count=1", "oflag=direct", check=False
        )
        assert ended.code == 0 or "Invalid exchange" in ended.stderr, ended.stderr  # EBADE: a reservation conflict
        return ended.code == 0

    def clear(self) -> None:
        """No key and no reservation, as on a new disk."""
        for disk in ("disk0", "disk1"):
            order = "sg_persist -n -o --register-ignore --param-sark=1 $1 || sg_persist -n -o -I -S 1 $1"
            self.machine.shell(
                f"{order}; sg_persist -n -o --clear --param-rk=1 $1; for i in 1 2 3; do sg_turs $1 $2 || true; done",
                self.device("a", disk), self.device("b", disk),
            )  # fmt: skip
        self.machine.shell("rm -f /run/keys-of-*")


@pytest.fixture(scope="module")
def one(machine) -> San:
    return San(machine("a"))


@pytest.fixture
def san(one: San) -> San:
    one.clear()
    one.done("a", "on", "a")
    one.done("b", "on", "b")
    return one


def test_whoever_is_shut_out_can_not_write_any_more_until_it_is_let_in(san: San) -> None:
    assert san.writes("a")
    assert san.writes("b")
    assert san.agent("a", "status", "b").code == 0
    assert "has no key on" in san.done("a", "off", "b")
    assert san.agent("a", "status", "b").code == 2
    assert not san.writes("b")
    assert not san.writes("b", "disk1")
    assert san.writes("a")
    assert "it was shut out itself" in san.refused("b", "off", "a")
    san.done("b", "on", "b")
    assert san.writes("b")


def test_the_holder_of_the_reservation_can_be_shut_out_too(san: San) -> None:
    san.done("b", "off", "a")
    assert not san.writes("a")
    assert san.writes("b")


def test_a_wrong_key_fences_nobody_and_is_seen_by_what_still_reads_on(san: San) -> None:
    """fence-test asks just this while b is heard: *off* is then another machine's."""
    assert "(it had none)" in san.done("a", "off", "b", key="abcdef")
    assert san.writes("b")
    assert san.agent("a", "status", "b").code == 0
    assert san.agent("a", "status", "b", key="abcdef").code == 2


def test_a_stranger_without_a_key_can_not_write_and_not_fence(one: San) -> None:
    one.clear()
    one.done("a", "on", "a")
    assert not one.writes("b")
    assert "has registered no key there" in one.refused("b", "off", "a")
    assert one.writes("a")


def test_of_two_that_shoot_at_once_one_survives_on_all_disks(san: San) -> None:
    import threading

    ends: dict[str, Ended] = {}
    threads = [
        threading.Thread(target=lambda me=me, other=other: ends.update({me: san.agent(me, "off", other)}))
        for me, other in (("a", "b"), ("b", "a"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winner, loser = ("a", "b") if ends["a"].code == 0 else ("b", "a")
    assert ends[winner].code == 0, ends
    assert ends[loser].code == 1, ends
    for disk in ("disk0", "disk1"):
        assert san.writes(winner, disk)
        assert not san.writes(loser, disk)


def test_keys_and_reservation_outlive_a_loss_of_power_of_the_disk(one: San) -> None:
    one.clear()
    one.done("a", "on", "a", aptpl="1")
    kept = one.machine.shell("cat /var/target/pr/aptpl_disk0").stdout
    assert "PR_REG_START" in kept
    assert "res_holder=1" in kept


def test_one_who_has_it_mounted_and_was_shut_out_stays_out_until_then(san: San) -> None:
    device = san.device("b", "disk1")
    san.machine.shell("modprobe ext4; mkfs.ext4 -q $1; mkdir -p /run/data; mount $1 /run/data", device)
    try:
        san.done("a", "off", "b")
        assert "still has it mounted (/run/data)" in san.refused("b", "on", "b")
    finally:
        san.machine.shell("umount /run/data")
    san.done("b", "on", "b")


def test_several_paths_of_one_disk_are_one_disk_with_a_key_on_each(san: San) -> None:
    """Both initiators' paths, as one machine with two cards has them."""
    both = f"{san.device('a', 'disk0')},{san.device('b', 'disk0')}"
    san.machine.shell("rm -f /run/keys-of-*")
    san.done("a", "on", "m", devices=both)
    assert san.writes("a")
    assert san.writes("b")
    keys = san.machine.shell("sg_persist -n -i -k --readonly $1", san.device("a", "disk0")).stdout
    assert "2 registered reservation keys" in keys
    lines = [line for line in keys.splitlines() if line.startswith("    0x")]
    assert len(set(lines)) == 1, "one machine, one key"


def test_a_disk_that_is_gone_fences_nobody_and_validation_says_so(san: San) -> None:
    san.target.take_away(san.device("a", "disk1"))
    assert "No such file or directory" in san.refused("a", "validate-all", "b")
    assert "No such file or directory" in san.refused("a", "off", "b")
    assert san.writes("b")
