"""The lab's shared disk behaves as a disk array does: it outlives machines, it forgets nothing that was synced, and it
goes with the lab.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hamgr.lab.lab import Lab
from hamgr.lab.plan import SHARED_DISK

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.usefixtures("shared_disk")]

POWER_CUTS = 5

WRITE = f"""
mount {SHARED_DISK} /mnt
echo synced >/mnt/synced; sync -f /mnt/synced
echo lost >/mnt/unsynced
"""

LabFactory = Callable[..., Lab]


def attached(cluster: Lab) -> list[str]:
    """The loop devices over this lab's disk; the kernel calls a file that was removed so."""
    listed = subprocess.run(["losetup", "--list", "--noheadings"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(cluster.layout.disk_image) in line]


def test_what_was_synced_outlives_a_power_cut_and_nothing_else(lab: LabFactory) -> None:
    cluster = lab(daemons=False, shared_disk="16M")
    for _ in range(POWER_CUTS):
        cluster.node("a").exec(["sh", "-ec", WRITE])
        cluster.node("a").power_off()
        seen = cluster.node("b").exec(["sh", "-ec", f"mount {SHARED_DISK} /mnt; ls /mnt; rm /mnt/synced; umount /mnt"])
        assert seen.stdout.split() == ["lost+found", "synced"]
        cluster.node("a").power_on()


def test_what_one_node_wrote_the_other_reads_and_back_again(lab: LabFactory) -> None:
    cluster = lab(daemons=False, shared_disk="16M")
    written = ""
    for turn in range(6):
        append = f"mount {SHARED_DISK} /mnt; cat /mnt/turns || true; echo {turn} >>/mnt/turns; umount /mnt"
        read = cluster.node("ab"[turn % 2]).exec(["sh", "-ec", append]).stdout
        assert read == written
        written += f"{turn}\n"


@pytest.mark.parametrize("end", ["down", "killed"])
def test_it_goes_with_the_lab_also_when_it_is_mounted(lab: LabFactory, end: str) -> None:
    cluster = lab(daemons=False, shared_disk="16M")
    assert len(attached(cluster)) == 2
    cluster.node("a").exec(["mount", str(SHARED_DISK), "/mnt"])
    if end == "down":
        cluster.down()
    else:
        os.kill(cluster.world_pid, signal.SIGKILL)
    cluster.wait(lambda: attached(cluster) == [], 10, "the loop devices to be gone")
    assert end == "killed" or not Path(cluster.layout.directory).exists()
