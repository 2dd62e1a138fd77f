"""An arbiter that is a disk, and no third host: splits, a disk that hangs for one node, daemons that are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from clusters import FAST, kinds, one_owner_at_a_time, watched
from disk_array import array
from hung_disk import why_no_hung_disk

from hamgr.lab.lab import Lab
from hamgr.lab.namespaces import LabError

pytestmark = [pytest.mark.lab, pytest.mark.root]

SETTINGS = {**FAST, "settle": "100ms"}
RACES = int(os.environ.get("HAMGR_DISK_SPLITS", "1"))


def brought_up(lab: Callable[..., Lab], disk: str = '"@DISK@"') -> Lab:
    cluster = lab(**SETTINGS, arbiter_disk=disk)
    cluster.wait_for_owner("a", 30)
    for node in "ab":
        wait_for_vote(cluster, node)
    return cluster


def wait_for_vote(cluster: Lab, node: str) -> None:
    def votes() -> bool:
        arbiter = cluster.status(node)["arbiter"]
        return bool(arbiter["connected"] and arbiter["voter"])

    cluster.wait(votes, 15, f"the arbiter to vote, as {node} sees it")


def by_the_arbiter(cluster: Lab, node: str) -> bool:
    return any(e.kind == "coordinator" and "the arbiter" in e.text for e in cluster.events(node))


def test_whom_the_disk_votes_for_fences_the_other_and_goes_on_or_takes_over(
    lab: Callable[..., Lab], shared_disk: None
) -> None:
    cluster = brought_up(lab)
    for _ in range(RACES):
        with watched(cluster) as prober:
            prober.wait_for_answer("a", 40)
            cluster.wait(lambda: cluster.status("a")["nodes"][1]["state"] == "online", 40, "a to trust b")
            cluster.separate("a", "b")
            cluster.wait(lambda: not cluster.node("b").is_on(), 20, "b to be fenced")
            assert by_the_arbiter(cluster, "a")
            why = cluster.node("a").exec(["hamgr", "--config", str(cluster.layout.config), "arbiter", "explain"])
            assert "a gets the vote of epoch" in why.stdout
            cluster.heal()
            cluster.node("b").power_on()
        wait_for_vote(cluster, "b")
    cluster.wait(lambda: cluster.status("b")["nodes"][0]["state"] == "online", 40, "b to trust a")
    with watched(cluster) as prober:
        cluster.node("a").power_off()
        prober.wait_for_answer("b", 20)
    assert by_the_arbiter(cluster, "b")


def test_a_disk_that_hangs_holds_up_no_heartbeat_and_not_the_end_of_hamgrd(
    lab: Callable[..., Lab], shared_disk: None, tmp_path: Path
) -> None:
    if why_no_hung_disk():
        pytest.skip(why_no_hung_disk())
    with array(tmp_path) as disk:
        cluster = brought_up(lab, json.dumps(disk.devices).replace(":", " ="))
        disk.hung.hang()
        cluster.wait(lambda: "has not answered for" in cluster.status("a")["arbiter"]["detail"], 10, "a to miss it")
        assert cluster.owners() == ["a"], "two nodes are a majority without it"
        for node in "ab":
            assert "node-dead" not in kinds(cluster, node)
            assert "late" not in kinds(cluster, node)
        began = time.monotonic()
        cluster.node("a").kill_daemon(signal.SIGTERM)
        cluster.wait_for_owner("b", 15)
        cluster.wait(lambda: not cluster.layout.daemon_pid("a").exists(), 10, "hamgrd of a to end")
        assert time.monotonic() - began < 12
        disk.hung.go_on()


def test_a_node_whose_disk_is_taken_away_has_no_vote_and_stops_when_it_is_alone(
    lab: Callable[..., Lab], shared_disk: None, tmp_path: Path
) -> None:
    if why_no_hung_disk():
        pytest.skip(why_no_hung_disk())
    with array(tmp_path) as disk:
        cluster = brought_up(lab, json.dumps(disk.devices).replace(":", " ="))
        disk.hung.die()
        cluster.wait(lambda: "Input/output error" in cluster.status("a")["arbiter"]["detail"], 10, "a to miss it")
        with watched(cluster) as prober:
            prober.wait_for_answer("a")
            cluster.separate("a", "b")
            prober.wait_for_answer("b", 20)
        assert by_the_arbiter(cluster, "b")
        assert not cluster.node("a").is_on()


def test_daemons_that_are_killed_in_a_split_forget_no_vote(lab: Callable[..., Lab], shared_disk: None) -> None:
    rng = random.Random(7)
    cluster = brought_up(lab)
    with cluster.watch_vip() as prober:
        cluster.separate("a", "b")
        for node in rng.sample("ab", 2):
            time.sleep(rng.uniform(0.5, 0.8))
            with suppress(LabError):  # The other may have fenced it just now.
                cluster.node(node).kill_daemon(signal.SIGKILL)
                cluster.node(node).start_daemon()
        cluster.wait(lambda: sum(cluster.node(node).is_on() for node in "ab") == 1, 30, "one to be fenced")
        winner = next(node for node in "ab" if cluster.node(node).is_on())
        cluster.wait_for_owner(winner, 30)
    one_owner_at_a_time(prober)
