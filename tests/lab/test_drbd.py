"""DRBD's own scripts for clusters, unchanged, over failovers: the OCF agent, and Heartbeat's drbddisk.

The kernels that these tests run on have no DRBD. drbdadm and drbdsetup are stood in for (drbd_stand_in.py), by a
program that refuses and notes what DRBD would refuse; /proc/drbd, which the agent looks for, is there for bash alone.
"""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from clusters import FAST, insist, kinds, promised, runs, watched
from servers import needs

from hamgr.lab.lab import Lab
from hamgr.lab.plan import VIP

AGENT = Path("/usr/lib/ocf/resource.d/linbit/drbd")
DRBDDISK = Path("/etc/ha.d/resource.d/drbddisk")

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.usefixtures("shared_disk"),
    pytest.mark.skipif(not AGENT.exists() or not DRBDDISK.exists(), reason="needs DRBD's scripts (drbd-utils)"),
    pytest.mark.skipif(not AGENT.parent.with_name("heartbeat").is_dir(), reason="needs resource-agents"),
]

STAND_IN = f"{sys.executable} -E -S {Path(__file__).with_name('drbd_stand_in.py')}"

BASH = """#!/bin/sh
BASH_ENV=@LAB@/proc-drbd exec @HERE@/drbd/bash "$@"
"""

PROC_DRBD = """
test() {
  [ "$1 $2" = "-f /proc/drbd" ] || builtin test "$@"
}
"""

STAND_INS = f"""
mkdir -p @LAB@/drbd @HERE@/drbd @HERE@/mnt
# A new kernel: nothing of the last one is left, and it lives as long as this machine.
rm -f @LAB@/drbd/$NODE.kernel @HERE@/drbd/r0
setsid flock @LAB@/drbd/$NODE.alive sleep infinity </dev/null >/dev/null 2>&1 &
while flock --nonblock @LAB@/drbd/$NODE.alive true; do sleep 0.01; done
for program in drbdadm drbdsetup; do
  echo '#!/bin/sh' >@HERE@/drbd/$program
  echo "exec {STAND_IN} @LAB@/drbd $NODE @HERE@/drbd/r0 @HERE@/shared $program \\"\\$@\\"" >>@HERE@/drbd/$program
  chmod +x @HERE@/drbd/$program
  mount --bind @HERE@/drbd/$program /usr/sbin/$program
done
"""

BOOT = (
    STAND_INS
    + """
mkdir -p /run/resource-agents
mount -t tmpfs tmpfs /run/resource-agents
cp /bin/bash @HERE@/drbd/bash
mount --bind @LAB@/bash /bin/bash
"""
)

FILESYSTEM_AND_ADDRESS = f"""
[[group.data.resource]]
kind = "ocf"
name = "fs"
agent = "ocf:heartbeat:Filesystem"
parameters = {{ device = "@HERE@/drbd/r0", directory = "@HERE@/mnt", fstype = "ext4" }}
[[group.data.resource]]
kind = "vip"
address = "{VIP}/24"
interface = "eth0"
"""

OCF = (
    """
[group.data]
nodes = ["a", "b"]
[[group.data.resource]]
kind = "ocf"
name = "drbd"
agent = "ocf:linbit:drbd"
promotable = true
parameters = { drbd_resource = "r0", wfc_timeout = 1 }
monitor_interval = "500ms"
"""
    + FILESYSTEM_AND_ADDRESS
)

HARESOURCES = (
    """
[group.data]
nodes = ["a", "b"]
[[group.data.resource]]
kind = "heartbeat"
name = "drbddisk"
script = "drbddisk"
args = ["r0"]
"""
    + FILESYSTEM_AND_ADDRESS
)


def test_the_stand_in_refuses_what_drbd_refuses(tmp_path: Path) -> None:
    """Without this the tests below could not fail."""
    kernels = [(tmp_path / f"{node}.alive").open("w") for node in "ab"]
    for kernel in kernels:
        fcntl.flock(kernel, fcntl.LOCK_EX)
    mounted = tmp_path / "mounted"
    os.mknod(mounted, 0o600 | stat.S_IFBLK, os.stat("/").st_dev)

    def drbdadm(node: str, *words: str, backing: str = "/dev/null") -> int:
        command = [*STAND_IN.split(), str(tmp_path), node, str(tmp_path / f"r0-{node}"), backing, "drbdadm", *words]
        return subprocess.run(command, capture_output=True, check=False).returncode

    assert drbdadm("a", "primary", "r0") == 10, "before it is there"
    assert [drbdadm(node, "adjust", "r0") for node in "ab"] == [0, 0]
    assert drbdadm("a", "primary", "r0") == 0
    assert drbdadm("b", "primary", "r0") == 11, "two of them"
    assert drbdadm("a", "secondary", "r0", backing=str(mounted)) == 11, "while it is mounted"
    assert drbdadm("a", "down", "r0", backing=str(mounted)) == 11, "while it is mounted"
    assert drbdadm("b", "frobnicate", "r0") == 10
    kernels[0].close()  # its machine has lost its power
    assert drbdadm("b", "primary", "r0") == 0
    assert len((tmp_path / "refused").read_text().splitlines()) == 5


def test_drbds_handler_is_told_what_the_peers_drbd_says_and_then_what_the_cluster_confirmed(lab) -> None:
    boot = STAND_INS + "drbdadm adjust r0\n"
    cluster: Lab = lab(**FAST, boot=boot)
    cluster.wait_for_owner("a")

    def handler(node: str, peer: str) -> int:
        called = ["env", "DRBD_RESOURCE=r0", f"DRBD_PEER={peer}", "hamgr-drbd-fence", "--config"]
        return cluster.node(node).exec([*called, str(cluster.layout.config)], check=False).returncode

    assert cluster.node("a").exec(["drbdadm", "primary", "r0"]).returncode == 0
    assert handler("b", "a") == 6, "a is primary, and so b is the one that is outdated"
    assert handler("a", "b") == 4
    assert "disk:Outdated" in cluster.node("b").exec(["drbdsetup", "events2", "r0"]).stdout
    cluster.node("a").power_off()
    assert handler("b", "a") == 7, "asked at once: it waits until a is confirmed off"
    assert "fence-confirmed" in kinds(cluster, "b")
    assert not cluster.node("a").is_on()


class Data:
    """Lines on the replicated file system, written where it is mounted and never to be lost."""

    def __init__(self, cluster: Lab) -> None:
        self._cluster = cluster
        self._written: list[str] = []

    @promised()
    def check(self, node: str) -> None:
        """All that was written before is on this node; one more line is written."""
        file = f"{self._cluster.layout.here}/mnt/lines"
        line = f"{len(self._written)} on {node}"
        found = self._cluster.node(node).exec(["sh", "-ec", f"cat {file} || true; echo {line} >>{file}; sync {file}"])
        assert found.stdout.splitlines() == self._written
        self._written.append(line)


def calls(cluster: Lab, name: str = "calls") -> list[str]:
    path = cluster.layout.directory / "drbd" / name
    return path.read_text().splitlines() if path.exists() else []


def fail_over(cluster: Lab) -> None:
    """A power-off, a fail-back, a standby and its end, with a client asking; the stand-in refuses nothing."""
    data = Data(cluster)
    cluster.wait(runs(cluster, data="a"), 60, "data to run on a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        data.check("a")
        cluster.node("a").power_off()
        prober.wait_for_answer("b", 60)
        cluster.wait(runs(cluster, data="b"), 30, "data to run on b")
        data.check("b")
        cluster.node("a").power_on()
        cluster.wait(runs(cluster, data="a"), 60, "data to be back on a")
        data.check("a")
        insist(cluster, "b", "standby", "a")
        cluster.wait(runs(cluster, data="b"), 60, "data to run on b")
        data.check("b")
        insist(cluster, "b", "online", "a")
        cluster.wait(runs(cluster, data="a"), 60, "data to be back on a")
        data.check("a")
    assert calls(cluster, "refused") == []
    promotions = [call.split()[0] for call in calls(cluster) if " primary " in call and call.endswith(": 0")]
    assert promotions == ["a", "b", "a", "b", "a"]


def test_the_ocf_agent_keeps_a_secondary_on_the_other_node(lab) -> None:
    needs(("fuser", "psmisc"), ("modprobe", "kmod"))
    scripts = {"bash": BASH, "proc-drbd": PROC_DRBD}
    cluster: Lab = lab(**FAST, groups=OCF, boot=BOOT, scripts=scripts, shared_disk="32M")
    fail_over(cluster)
    cluster.wait(lambda: cluster.node("b").exec(["drbdadm", "role", "r0"]).stdout == "Secondary\n", 30, "a Secondary")
    assert cluster.node("a").exec(["drbdadm", "role", "r0"]).stdout == "Primary\n"


def test_drbddisk_of_haresources_finds_both_nodes_connected(lab) -> None:
    needs(("fuser", "psmisc"), ("modprobe", "kmod"))
    scripts = {"bash": BASH, "proc-drbd": PROC_DRBD}
    up = "drbdadm adjust r0  # as /etc/init.d/drbd does\n"
    cluster: Lab = lab(**FAST, groups=HARESOURCES, boot=BOOT + up, scripts=scripts, shared_disk="32M")
    fail_over(cluster)
