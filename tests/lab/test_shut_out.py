"""A fence device that shuts a node out of its disks and leaves it running: the node ends by itself what it runs."""

from __future__ import annotations

import signal

import pytest
from clusters import FAST, kinds, watched

from hamgr.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.root]

# The keys of a disk, as files. An off takes a while, in which the victim can find out.
AGENT = """#!/bin/sh
while read -r line; do
  case $line in action=*) action=${line#action=} ;; nodename=*) node=${line#nodename=} ;; esac
done
key=@LAB@/key-of-$node
case $action in
  on) touch $key ;;
  off) rm -f $key; sleep 3; [ ! -e $key ] ;;
  status) [ -e $key ] || exit 2 ;;
esac
"""

DEVICES = "".join(
    f"""
[fence.san-{node}]
node = "{node}"
agent = "@LAB@/fence_san"
unfence = true
unfence_check = "500ms"
"""
    for node in "ab"
)


def with_disk(lab) -> Lab:
    cluster: Lab = lab(**FAST, fences=DEVICES, scripts={"fence_san": AGENT})
    cluster.wait_for_owner("a")
    return cluster


def test_a_healthy_node_that_is_shut_out_gives_its_address_up_and_comes_back_by_a_new_hamgrd(lab) -> None:
    cluster = with_disk(lab)
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("b").exec(["rm", str(cluster.layout.directory / "key-of-a")])
        prober.wait_for_answer("b")
        assert "self-fence" in kinds(cluster, "a")
    assert cluster.node("a").is_on()
    cluster.node("a").kill_daemon()
    cluster.node("a").start_daemon()
    cluster.wait_for_owner("a")


def test_the_guard_ends_what_a_node_runs_whose_hamgrd_can_not_find_out(lab) -> None:
    cluster = with_disk(lab)
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").kill_daemon(signal.SIGSTOP)
        prober.wait_for_answer("b")
    assert cluster.node("a").is_on()
