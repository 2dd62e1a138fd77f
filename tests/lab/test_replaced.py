"""A machine burns down: it is taken out while it is away, the others go on by their own quorum, and a new one comes."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from clusters import FAST, kinds, watched
from conftest import LabFactory

from hamgr.lab.lab import Lab
from hamgr.lab.plan import node_address

pytestmark = pytest.mark.lab


def hamgr(lab: Lab, node: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["hamgr", "--config", str(lab.layout.config_of(lab.options)), *words]
    return lab.node(node).exec(command, check=False, timeout=60)


def config_of(lab: Lab, node: str) -> str:
    return (lab.layout.disk(node) / "hamgr.toml").read_text()


def state_of(lab: Lab, asked: str, node: str) -> str:
    return {one["name"]: one["state"] for one in lab.status(asked)["nodes"]}[node]


def votes(lab: Lab, asked: str) -> tuple[list[str], int, int]:
    """The nodes that vote, all votes with the arbiter's, and how many are a quorum."""
    found = json.loads(hamgr(lab, asked, "quorum", "--json").stdout)
    return [name for name, count in found["voters"].items() if count], found["all_votes"], found["majority"]


def test_a_dead_machine_is_removed_the_rest_goes_on_and_a_new_one_comes_while_another_is_away(lab: LabFactory) -> None:
    cluster = lab(**FAST, own_file=True, nodes=3)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        cluster.node("c").power_off()
        cluster.wait(lambda: state_of(cluster, "b", "c") == "fenced", 10, "c to be fenced")
        removed = hamgr(cluster, "b", "node", "remove", "c")
        assert removed.returncode == 0, removed.stderr
        assert "c: ok; it is fenced, and belongs to the cluster no more" in removed.stdout
        cluster.wait(lambda: votes(cluster, "b") == (["a", "b"], 3, 2), 10, "c to be no voter")
        assert prober.outages(0.25) == [], "nobody noticed that"

        cluster.node("a").power_off()
        cluster.wait_for_owner("b")
        assert state_of(cluster, "b", "a") == "fenced"

        addresses = [f"--address={link}={node_address('c', link)}" for link in ("lan", "ha")]
        added = hamgr(cluster, "b", "node", "add", "c", *addresses, "--fence=fence_hamgr_null")
        assert added.returncode == 0, added.stderr
        assert "a: ok; it is fenced: it is brought there when it is back" in added.stdout
        disk = cluster.layout.disk("c")  # of a new machine: nothing is on it but what is copied
        shutil.rmtree(disk / "state")
        (disk / "hamgr.toml").write_text(config_of(cluster, "b"))
        cluster.node("c").power_on()
        cluster.wait(lambda: votes(cluster, "b") == (["a", "b", "c"], 4, 3), 10, "the new c to vote")

        missed = config_of(cluster, "a")
        assert missed != config_of(cluster, "b")
        cluster.node("a").power_on()
        cluster.wait(lambda: config_of(cluster, "a") == config_of(cluster, "b"), 15, "a to be brought what it missed")
        cluster.wait(lambda: state_of(cluster, "b", "a") == "online", 15, "a to be back")
        assert votes(cluster, "a") == (["a", "b", "c"], 4, 3)
    assert (cluster.layout.disk("a") / "hamgr.toml.previous").read_text() == missed
    assert "fence-asked" not in kinds(cluster, "c")
