"""A shared disk as a heartbeat link, and poison pills on it: failover, freezing disks, frozen and powerless victims."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clusters import FAST, kinds, watched
from disk_array import array
from hung_disk import why_no_hung_disk

from hamgr.config.toml import load
from hamgr.core.events import FenceOutcome
from hamgr.disk.device import Device, header_for
from hamgr.disk.records import Lease, encode_lease, lease_place
from hamgr.fencing.runner import FenceRunner
from hamgr.lab.lab import Lab
from hamgr.lab.plan import VIP

pytestmark = [pytest.mark.lab, pytest.mark.root]

TABLES = """
[link.array]
kind = "disk"
device = {{ a = "{a}", b = "{b}" }}

[group.web]
[[group.web.resource]]
kind = "vip"
address = "{vip}/24"
interface = "eth0"
"""


CLUSTER = """
[cluster]
name = "lab"
key_file = "/etc/hamgr/cluster.key"
[link.ha]
kind = "broadcast"
interface = "eth1"
[node.a]
[node.b]
[group.web]
[[group.web.resource]]
kind = "vip"
address = "10.77.1.100/24"
"""


def test_a_disk_alone_carries_a_whole_failover(lab: Callable[..., Lab], shared_disk: None) -> None:
    cluster = lab(**FAST, links=("disk",))
    cluster.wait_for_owner("a", 30)
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").power_off()
        prober.wait_for_answer("b", 20)
        assert "fence-confirmed" in kinds(cluster, "b")
        cluster.node("a").power_on()
        prober.wait_for_answer("a", 40)
        cluster.wait_for_owner("a")


def array_link(cluster: Lab, node: str) -> tuple[bool, str]:
    """Whether the node's own link works, and what it says of itself."""
    socket = str(cluster.layout.admin_socket(node))
    report = json.loads(cluster.node(node).exec(["hamgr", "--socket", socket, "links", "--json"]).stdout)
    link = next(link for link in report["links"] if link["link"] == "array")
    return link["up"], link["detail"]


def test_a_disk_that_freezes_or_is_slow_is_told_of_and_makes_no_heartbeat_of_other_links_late(
    lab: Callable[..., Lab], shared_disk: None, tmp_path: Path
) -> None:
    if why_no_hung_disk():
        pytest.skip(why_no_hung_disk())
    with array(tmp_path) as disk:
        cluster = lab(**FAST, links=("ha",), groups=TABLES.format(**disk.devices, vip=VIP))
        cluster.wait_for_owner("a", 30)
        for node in "ab":
            cluster.wait(lambda node=node: array_link(cluster, node)[0], 10, f"{node} to use the disk")  # type: ignore[misc]
        disk.hung.hang()
        cluster.wait(lambda: not array_link(cluster, "a")[0], 10, "a to tell that the disk hangs")
        assert "has not answered for" in array_link(cluster, "a")[1]
        assert array_link(cluster, "b")[0], "b's way to the disk is another"
        disk.hung.go_on()
        cluster.wait(lambda: array_link(cluster, "a")[0], 10, "a to use the disk again")
        until = time.monotonic() + 1.5
        while time.monotonic() < until:  # Slow: each read and write may wait for 200 ms.
            disk.hung.hang()
            time.sleep(0.2)
            disk.hung.go_on()
            time.sleep(0.02)
        for node in "ab":
            happened = kinds(cluster, node)
            assert "node-dead" not in happened
            assert "late" not in happened


PILLS = "".join(
    f"""
[fence.pill-{node}]
node = "{node}"
agent = "fence_hamgr_disk"
attempts = 1
options = {{ device = "@DISK@", cluster = "lab", power_timeout = "1" }}
"""
    for node in "ab"
)


@contextmanager
def reset_button(cluster: Lab, node: str) -> Iterator[None]:
    """A "b" that the node writes to its `reset` takes its power, as a real reset would end all that runs there."""
    trigger = cluster.layout.disk(node) / "reset"
    os.mkfifo(trigger)
    pipe = os.open(trigger, os.O_RDWR)

    def wait() -> None:
        if os.read(pipe, 1) == b"b":
            cluster.node(node).power_off()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        os.write(pipe, b"-")
        thread.join()
        os.close(pipe)


def test_a_node_whose_hamgrd_is_frozen_swallows_the_pill_before_its_address_starts_elsewhere(
    lab: Callable[..., Lab], shared_disk: None
) -> None:
    cluster = lab(**FAST, links=("disk", "ha"), fences=PILLS)
    cluster.wait_for_owner("a", 30)
    with watched(cluster) as prober, reset_button(cluster, "a"):
        prober.wait_for_answer("a")
        cluster.node("a").kill_daemon(signal.SIGSTOP)
        prober.wait_for_answer("b", 20)
        assert "fence-confirmed" in kinds(cluster, "b")


def test_a_node_without_power_swallows_no_pill_and_nothing_of_it_is_taken_over(
    lab: Callable[..., Lab], shared_disk: None
) -> None:
    cluster = lab(**FAST, links=("disk", "ha"), fences=PILLS)
    cluster.wait_for_owner("a", 30)
    cluster.node("a").power_off()
    cluster.wait(lambda: "fence-failed" in kinds(cluster, "b"), 15, "b to find out that nobody knows what a does")
    assert "fence-confirmed" not in kinds(cluster, "b")
    assert "b" not in cluster.owners()


async def test_a_frozen_disk_leaves_the_outcome_of_a_fencing_unknown(shared_disk: None, tmp_path: Path) -> None:
    if why_no_hung_disk():
        pytest.skip(why_no_hung_disk())
    with array(tmp_path) as disk:
        file = tmp_path / "hamgr.toml"
        file.write_text(
            CLUSTER + PILLS.replace("@DISK@", disk.devices["a"]).replace("attempts", 'timeout = "1s"\nattempts')
        )
        with Device(disk.devices["b"]) as device:
            uuid = header_for(device, "lab").uuid
            device.write(lease_place(0), encode_lease(Lease(uuid, 0, b"l" * 16, b"b" * 16, 1, 0, 0, 100)))
        runner = FenceRunner(load(file), "b")
        await runner.start()
        try:
            disk.hung.hang()
            result = await runner.fence("a", 0)
        finally:
            disk.hung.go_on()
            await runner.close()
    assert result.outcome is FenceOutcome.UNKNOWN, result.detail
