"""Scripts, disks and interfaces that fail halfway: each ends in a clear state and a clear event, and with one owner."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from clusters import FAST, insist, kinds, runs, watched

from hamgr.lab.lab import Lab
from hamgr.lab.plan import SHARED_DISK, VIP

pytestmark = [pytest.mark.lab, pytest.mark.root]

LabFactory = Callable[..., Lab]

SERVICE = """#!/bin/sh
# Does what the file `mood` on its machine's disk says. It "runs" while there is a file `on`.
cd @HERE@ || exit 1
mood=$(cat mood 2>/dev/null)
case $1-$mood in
  start-hangs-at-start) sleep 98765 & wait ;;
  stop-hangs-at-stop) trap '' TERM HUP INT; sleep 98765 & while :; do sleep 1; done ;;
  start-floods)
    head -c 100000000 /dev/zero
    sleep 98765 &
    touch on ;;
  status-floods) echo x >>asked; head -c 20000000 /dev/zero; [ -e on ] || exit 3 ;;
  status-is-killed) kill -SEGV $$ ;;
  start-*) touch on ;;
  stop-*) rm -f on ;;
  status-*) [ -e on ] || exit 3 ;;
esac
"""

BOOT = "rm -f $HERE/on $HERE/mood; cp $LAB/service $HERE/service"

GROUP = f"""
[group.web]
nodes = ["a", "b"]
[[group.web.resource]]
kind = "vip"
address = "{VIP}/24"
interface = "eth0"
[[group.web.resource]]
kind = "lsb"
name = "service"
script = "@HERE@/service"
start_timeout = "1s"
stop_timeout = "1s"
monitor_timeout = "1s"
monitor_interval = "200ms"
"""


def is_on(cluster: Lab, node: str) -> bool:
    return (cluster.layout.disk(node) / "on").exists()


def set_mood(cluster: Lab, node: str, mood: str) -> None:
    (cluster.layout.disk(node) / "mood").write_text(mood)


def said(cluster: Lab, node: str) -> str:
    """The log of a node, which may have been fenced since."""
    return cluster.node(node).log()


def left_of(cluster: Lab, node: str) -> str:
    """Processes of scripts that did not end."""
    return cluster.node(node).exec(["pgrep", "-f", "sleep 98765"], check=False).stdout


@pytest.fixture
def cluster(lab: LabFactory) -> Lab:
    """The group runs on a."""
    made = lab(**FAST, groups=GROUP, boot=BOOT, scripts={"service": SERVICE})
    made.wait(runs(made, web="a"), 20, "web to run on a")
    return made


def test_a_start_that_hangs_is_ended_and_the_group_moves(cluster: Lab) -> None:
    set_mood(cluster, "a", "hangs-at-start")
    with watched(cluster) as prober:
        (cluster.layout.disk("a") / "on").unlink()  # found by the monitor; started again here; that hangs
        prober.wait_for_answer("b")
        cluster.wait(runs(cluster, web="b"), 10, "web to run on b")
    assert "service: is stopped" in said(cluster, "a")
    assert "service: start did not end within 1 s" in said(cluster, "a")
    assert "fence-asked" not in kinds(cluster, "b")
    assert left_of(cluster, "a") == ""


def test_a_stop_that_hangs_has_the_node_fenced_before_the_group_starts_elsewhere(cluster: Lab) -> None:
    set_mood(cluster, "a", "hangs-at-stop")
    with watched(cluster) as prober:
        insist(cluster, "b", "standby", "a")
        prober.wait_for_answer("b")
        cluster.wait(runs(cluster, web="b"), 10, "web to run on b")
    assert "service: stop did not end within 1 s" in said(cluster, "a")
    story = {event.kind: event.time for event in cluster.events("b")}
    assert story["fence-confirmed"] < story["group-started"]
    assert not is_on(cluster, "b") or not cluster.node("a").is_on()


def test_a_flood_of_output_and_children_that_hold_it_change_nothing(cluster: Lab) -> None:
    for node in "ab":
        set_mood(cluster, node, "floods")
    with watched(cluster) as prober:
        insist(cluster, "a", "standby", "a")
        prober.wait_for_answer("b")
        cluster.wait(runs(cluster, web="b"), 10, "web to run on b")
        asked = cluster.layout.disk("b") / "asked"
        cluster.wait(lambda: asked.exists() and len(asked.read_text()) > 20, 20, "ten more monitors")
    assert "group-failed" not in kinds(cluster, "b")
    assert {"paused", "node-dead", "link-down"} & set(kinds(cluster, "b")) == set()
    assert left_of(cluster, "b"), "a service goes on when its script ended"
    pid = cluster.layout.daemon_pid("b").read_text().strip()
    memory = cluster.node("b").exec(["grep", "VmHWM", f"/proc/{pid}/status"]).stdout.split()
    assert int(memory[1]) < 100_000, "kB at most, ever"


def test_a_status_that_is_killed_is_a_failure_and_the_signal_is_named(cluster: Lab) -> None:
    with watched(cluster) as prober:
        set_mood(cluster, "a", "is-killed")
        prober.wait_for_answer("b")
        cluster.wait(runs(cluster, web="b"), 10, "web to run on b")
    assert "service status was killed by SIGSEGV" in said(cluster, "a")


def test_a_script_that_vanishes_while_it_runs_can_not_be_stopped_and_has_its_node_fenced(cluster: Lab) -> None:
    """What it started may well go on: nobody can say that it is stopped, but the power switch can."""
    with watched(cluster) as prober:
        (cluster.layout.disk("a") / "service").unlink()
        prober.wait_for_answer("b")
        cluster.wait(runs(cluster, web="b"), 10, "web to run on b")
    assert "service can't be run: No such file or directory" in said(cluster, "a")
    story = {event.kind: event.time for event in cluster.events("b")}
    assert story["fence-confirmed"] < story["group-started"]


def test_an_interface_that_is_gone_moves_the_group(lab: LabFactory) -> None:
    group = GROUP.replace('interface = "eth0"', 'interface = "svc0"').replace(VIP, "192.0.2.100")
    boot = f"{BOOT}; ip link add svc0 type veth peer name svc1; ip link set svc0 up; ip link set svc1 up"
    group = group.replace('kind = "vip"', 'kind = "vip"\nmonitor_interval = "200ms"')
    cluster = lab(**FAST, groups=group, boot=boot, scripts={"service": SERVICE})
    cluster.wait(runs(cluster, web="a"), 20, "web to run on a")
    cluster.node("a").exec(["ip", "link", "delete", "svc0"])
    cluster.wait(runs(cluster, web="b"), 30, "web to run on b")
    assert not is_on(cluster, "a")
    assert "svc0" in said(cluster, "a")
    assert "fence-asked" not in kinds(cluster, "b")


def test_a_full_state_disk_on_the_owner_keeps_nothing_from_moving(lab: LabFactory) -> None:
    """Its service fails twice while nothing can be written there."""
    small = "cp -a $HERE/state $HERE/kept; mount -t tmpfs -o size=1M small $HERE/state; cp -a $HERE/kept/. $HERE/state"
    cluster = lab(**FAST, groups=GROUP, boot=f"{BOOT}; {small}", scripts={"service": SERVICE})
    cluster.wait(runs(cluster, web="a"), 20, "web to run on a")
    fill = f"dd if=/dev/zero of={cluster.layout.here}/state/fill bs=4k 2>/dev/null; true"
    with watched(cluster) as prober:
        cluster.node("a").exec(["sh", "-c", fill])
        set_mood(cluster, "a", "hangs-at-start")
        (cluster.layout.disk("a") / "on").unlink()
        prober.wait_for_answer("b")
        cluster.wait(runs(cluster, web="b"), 20, "web to run on b")


DISK = f"""
[group.data]
nodes = ["a", "b"]
[[group.data.resource]]
kind = "filesystem"
device = "{SHARED_DISK}"
directory = "@HERE@/data"
fstype = "ext4"
force_unmount = FORCE
stop_timeout = "3s"
monitor_interval = "200ms"
"""


@pytest.mark.usefixtures("shared_disk")
@pytest.mark.parametrize("force", [True, False])
def test_a_busy_mount_is_freed_or_its_node_is_fenced(lab: LabFactory, force: bool) -> None:
    groups = DISK.replace("FORCE", "true" if force else "false")
    cluster = lab(**FAST, groups=groups, boot="mkdir -p $HERE/data", shared_disk="16M")
    cluster.wait(runs(cluster, data="a"), 20, "data to run on a")
    hold = f"cd {cluster.layout.here}/data && echo of a > file && sync && (setsid sleep 98765 >/dev/null 2>&1 &)"
    cluster.node("a").exec(["sh", "-ec", hold])
    insist(cluster, "b", "standby", "a")
    cluster.wait(runs(cluster, data="b"), 20, "data to run on b")
    assert cluster.node("b").exec(["cat", f"{cluster.layout.here}/data/file"]).stdout == "of a\n"
    if force:
        assert "data is busy: used by sleep (pid " in said(cluster, "a")
        assert "fence-asked" not in kinds(cluster, "b")
        assert left_of(cluster, "a") == ""
    else:
        assert "can't be unmounted: umount ended with 32" in said(cluster, "a")
        assert "used by sleep (pid " in said(cluster, "a")
        story = {event.kind: event.time for event in cluster.events("b")}
        assert story["fence-confirmed"] < story["group-started"]
