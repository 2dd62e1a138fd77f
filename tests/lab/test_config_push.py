"""Pushing a configuration over real daemons: all nodes switch to it, or none, whoever dies; the service goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from contextlib import suppress

import pytest
from clusters import FAST, kinds, watched
from conftest import LabFactory

from hamgr.lab.lab import Lab, LabError
from hamgr.lab.plan import Fencing, node_address

pytestmark = pytest.mark.lab

NOTICED = 0.25
"""Seconds without an answer that a restart of the group would take, and a busy machine would not."""

KILLS = int(os.environ.get("HAMGR_PUSH_KILLS", "4"))
"""Daemons killed in the middle of a push; more by hand."""

SECOND = """
[group.mail]
nodes = ["b", "a"]

[[group.mail.resource]]
kind = "lsb"
name = "mail"
script = "@HERE@/mail"
"""

MAIL = """#!/bin/sh
# A service that is a file.
case $1 in
  start) touch @HERE@/mail.runs ;;
  stop) rm -f @HERE@/mail.runs ;;
  status) [ -e @HERE@/mail.runs ] || exit 3 ;;
esac
"""


def config_of(lab: Lab, node: str) -> str:
    return (lab.layout.disk(node) / lab.layout.config.name).read_text()


def give_mail(lab: Lab, *nodes: str) -> None:
    for node in nodes:
        script = lab.layout.disk(node) / "mail"
        script.write_text(lab.layout.placed(MAIL))
        script.chmod(0o755)


def push(lab: Lab, node: str, text: str, *words: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    """`hamgr config push` of this text on a node."""
    file = lab.layout.disk(node) / "new.toml"
    file.write_text(text)
    here = str(lab.layout.here / "new.toml")
    return hamgr(lab, node, "config", "push", here, *words, timeout=timeout)


def hamgr(lab: Lab, node: str, *words: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    command = ["hamgr", "--config", str(lab.layout.config_of(lab.options)), *words]
    return lab.node(node).exec(command, check=False, timeout=timeout)


def settled(lab: Lab, *nodes: str) -> bool:
    """Every node runs what is in its file, nobody is in maintenance, and all is decided."""
    found = [lab.status(node) for node in nodes]
    return len({status["coordinator"] for status in found}) == 1 and all(
        status["coordinator"] and not status["maintenance"] and not status["pushing"] for status in found
    )


def test_a_push_reaches_all_nodes_and_the_client_notices_nothing(lab: LabFactory) -> None:
    cluster = lab(**FAST, own_file=True)
    cluster.wait_for_owner("a")
    give_mail(cluster, "a", "b")
    new = config_of(cluster, "a") + cluster.layout.placed(SECOND)
    with watched(cluster) as prober:
        done = push(cluster, "b", new)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[:2] == ["b: ok", "a: ok"]
        assert [config_of(cluster, node) for node in "ab"] == [new, new]
        cluster.wait(lambda: (cluster.layout.disk("b") / "mail.runs").exists(), 10, "the new group to run")
        cluster.wait(lambda: settled(cluster, "a", "b"), 10, "the end of the push")
    assert prober.outages(NOTICED) == []
    assert cluster.owners() == ["a"]
    assert all("fence-asked" not in kinds(cluster, node) for node in "ab")
    assert (cluster.layout.disk("a") / "hamgr.toml.previous").read_text() == new.removesuffix(
        cluster.layout.placed(SECOND)
    )
    assert push(cluster, "a", new).returncode == 0, "nothing to do is done"


def test_a_push_that_one_node_refuses_changes_nothing(lab: LabFactory) -> None:
    cluster = lab(**FAST, own_file=True)
    cluster.wait_for_owner("a")
    give_mail(cluster, "a")
    old = config_of(cluster, "a")
    for words in ((), ("--check",)):
        done = push(cluster, "a", old + cluster.layout.placed(SECOND), *words)
        assert done.returncode == 1
        assert "a: ok" in done.stdout
        assert done.stderr.startswith("b: ")
        assert "group.mail.resource.mail.script" in done.stderr
    changed = push(cluster, "b", old.replace("10.77.1.100/24", "10.77.1.101/24"))
    assert changed.returncode == 1
    assert "enabled = false" in changed.stderr
    broken = push(cluster, "b", old + "[nonsense]\n")
    assert broken.returncode == 2
    assert [config_of(cluster, node) for node in "ab"] == [old, old]
    assert "config" not in kinds(cluster, "a")
    withdrawn = hamgr(cluster, "a", "config", "withdraw")
    assert (withdrawn.returncode, withdrawn.stderr) == (
        1,
        "hamgr config withdraw: refused: no configuration is being pushed\n",
    )


def test_of_two_nodes_alone_none_is_given_a_file_that_the_other_one_misses(lab: LabFactory) -> None:
    cluster = lab(**FAST, own_file=True, arbiter=False)
    cluster.wait_for_owner("a")
    old = config_of(cluster, "a")
    cluster.node("b").power_off()
    cluster.wait(lambda: cluster.status("a")["nodes"][1]["state"] == "fenced", 20, "b to be fenced")
    missing = push(cluster, "a", old + "# more\n")
    assert missing.returncode == 1
    assert "b: it is fenced: of two nodes without an arbiter each is a quorum by its own file" in missing.stderr
    assert config_of(cluster, "a") == old


def test_whichever_daemon_dies_at_any_moment_of_a_push_all_nodes_end_with_one_file(lab: LabFactory) -> None:
    # A daemon that starts anew at once is not dead for the others.
    cluster = lab(keepalive="200ms", warntime="1s", deadtime="4s", lease="9s", initdead="5s", own_file=True)
    cluster.wait_for_owner("a")
    first = config_of(cluster, "a")
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    ends = []
    with watched(cluster):
        for turn in range(KILLS):
            new = f"{first}# push {turn}\n"
            pusher, victim = chance.choice("ab"), chance.choice("ab")
            pushing = threading.Thread(target=push, args=(cluster, pusher, new))
            pushing.start()
            cluster.client.exec(["sleep", f"{chance.uniform(0.2, 2.2):.3f}"])
            with suppress(LabError, FileNotFoundError):  # it may be dead already
                cluster.node(victim).kill_daemon(signal.SIGKILL)
            cluster.node(victim).start_daemon()
            pushing.join(150)
            cluster.wait(lambda: settled(cluster, "a", "b"), 60, f"turn {turn} to end")
            assert config_of(cluster, "a") == config_of(cluster, "b")
            assert len({node["config"] for node in cluster.status("a")["nodes"]}) == 1
            ends.append("new" if config_of(cluster, "a") == new else "old")
    print(f"{ends.count('new')} pushes ended with the new file, {ends.count('old')} with the old one")
    assert cluster.owners() == ["a"]
    assert all("fence-asked" not in kinds(cluster, node) for node in "ab")


def test_a_push_over_a_serial_line_alone(lab: LabFactory) -> None:
    slow = {"keepalive": "1s", "warntime": "3s", "deadtime": "8s", "lease": "20s", "initdead": "10s"}
    cluster = lab(**slow, own_file=True, links=("serial",), baud=9600)
    cluster.wait_for_owner("a", 60)
    new = config_of(cluster, "a") + "# over nine thousand six hundred baud\n"
    with watched(cluster) as prober:
        done = push(cluster, "a", new, timeout=120)
        assert done.returncode == 0, done.stderr
    assert prober.outages(NOTICED) == []
    assert [config_of(cluster, node) for node in "ab"] == [new, new]
    assert all("node-dead" not in kinds(cluster, node) for node in "ab")


@pytest.mark.parametrize("arbiter", [True, False], ids=["with an arbiter", "without"])
def test_a_node_is_removed_and_added_again_while_the_service_runs(lab: LabFactory, arbiter: bool) -> None:
    cluster = lab(**FAST, own_file=True, nodes=3, arbiter=arbiter)
    cluster.wait_for_owner("a")
    three = config_of(cluster, "a")
    with watched(cluster) as prober:
        removed = hamgr(cluster, "b", "node", "remove", "c")
        assert removed.returncode == 0, removed.stderr
        assert "c: ok; it leaves the cluster, and its hamgrd ends" in removed.stdout
        assert "-[node.c]" in removed.stdout
        cluster.wait(lambda: not cluster.layout.daemon_pid("c").exists(), 10, "the daemon of c to end")
        assert "c belongs to cluster lab no more" in cluster.node("c").log()
        assert [node["name"] for node in cluster.status("a")["nodes"]] == ["a", "b"]
        cluster.wait(lambda: settled(cluster, "a", "b"), 10, "two nodes to go on")

        addresses = [f"--address={link}={node_address('c', link)}" for link in ("lan", "ha")]
        with_power = ["--fence=fence_hamgr_null"]
        added = hamgr(cluster, "a", "node", "add", "c", *addresses, *with_power)
        assert added.returncode == 0, added.stderr
        assert "+[node.c]" in added.stdout
        cluster.wait(lambda: settled(cluster, "a", "b"), 10, "the push to end without c")
        waiting = {node["name"]: node["state"] for node in cluster.status("a")["nodes"]}
        assert waiting["c"] == "left", "nobody waits for it, and nobody fences it"
        (cluster.layout.disk("c") / "hamgr.toml").write_text(config_of(cluster, "a"))
        cluster.node("c").start_daemon()
        cluster.wait(lambda: settled(cluster, "a", "b", "c"), 20, "c to join")
    assert prober.outages(NOTICED) == []
    assert push(cluster, "c", three).returncode == 0
    cluster.wait(lambda: settled(cluster, "a", "b", "c"), 20, "c to be there for the group again")
    assert hamgr(cluster, "b", "takeover", "web", "--node", "c").returncode == 0
    cluster.wait_for_owner("c")
    assert all("fence-asked" not in kinds(cluster, node) for node in "abc")


def test_a_node_that_runs_something_or_may_be_running_something_is_not_removed(lab: LabFactory) -> None:
    cluster = lab(**FAST, own_file=True, nodes=3, fencing=Fencing.NONE)
    cluster.wait_for_owner("a")
    busy = hamgr(cluster, "b", "node", "remove", "a")
    assert busy.returncode == 1
    assert "hamgr standby a" in busy.stderr
    cluster.node("c").power_off()
    cluster.wait(lambda: cluster.status("a")["nodes"][2]["state"] == "dead", 10, "c to be dead")
    lost = hamgr(cluster, "b", "node", "remove", "c")
    assert lost.returncode == 1
    assert "c: it is dead" in lost.stderr
    assert hamgr(cluster, "b", "fence", "ack", "c", "--yes").returncode == 0
    gone = hamgr(cluster, "b", "node", "remove", "c")
    assert gone.returncode == 0, gone.stderr
    assert cluster.owners() == ["a"]
    # It comes back with the old file: nobody listens to it, and alone it is no quorum.
    cluster.node("c").power_on()
    cluster.wait(lambda: cluster.status("c")["coordinator"] == "", 10, "c to start alone")
    assert [node["name"] for node in cluster.status("b")["nodes"]] == ["a", "b"]
    assert hamgr(cluster, "b", "takeover", "web", "--node", "b").returncode == 0
    cluster.wait_for_owner("b")
