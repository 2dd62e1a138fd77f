"""contrib/hamgr-arbiter.service as it is shipped, under a real systemd."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator

import pytest
from shipped import Shipped

pytestmark = pytest.mark.root

UNIT = "hamgr-arbiter"
DYNAMIC = range(61184, 65520)
"""Users that systemd makes up (systemd.exec(5), DynamicUser=)."""

NODES = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
from arbiter_host import REPORT, Member, joined, speaking
from hamgr.links.identity import read_identity

async def main(epoch, name, token=""):
    where = Path("/var/lib/nodes")
    where.mkdir(exist_ok=True)
    for node in "ab":
        if token:
            Member(where, await joined(token, node))
    members = [Member(where, read_identity(where / f"office-{node}-1.identity"), int(epoch)) for node in "ab"]
    reports = [replace(REPORT, alive=(node,), settle=0.05) for node in "ab"]
    async with asyncio.timeout(20), speaking(*members):
        voter = False
        while not voter:
            answers = [await member.answer(report) for member, report in zip(members, reports)]
            voter = all(answer.voter for answer in answers)
        at = "ab".index(name)
        answer = None
        while answer is None or not (answer.voted_for or answer.refused):
            answer = await members[at].answer(replace(reports[at], claim=int(epoch)))
            await asyncio.sleep(0.02)
    print(answer.vote_epoch, answer.voted_for, answer.refused)

asyncio.run(main(*sys.argv[1:]))
"""
"""Both nodes of a cluster, one of which claims an epoch; with a token, they join first. Prints the answer."""


@pytest.fixture
def arbiter(machine: Shipped) -> Iterator[Shipped]:
    """It is not started yet, has no state and no configuration."""
    yield machine
    machine.tries(f"systemctl stop {UNIT}")
    machine.tries(f"systemctl reset-failed {UNIT}")
    machine.says("sh -c 'rm -rf /var/lib/private /var/lib/hamgr-arbiter /var/lib/nodes /etc/hamgr/*'")
    machine.says(f"rm -rf /etc/systemd/system/{UNIT}.service.d")
    machine.says("systemctl daemon-reload")
    machine.forget_journal()


def claim(machine: Shipped, epoch: int, node: str, token: str = "") -> str:
    """What the arbiter answers to a node that claims an epoch, while it hears the other, too."""
    machine.place("/run/nodes.py", NODES)
    return machine.says(f"hamgr-python /run/nodes.py {epoch} {node} {token}").strip()


def status(machine: Shipped) -> dict[str, str]:
    lines = machine.there(f"/proc/{machine.pid(UNIT)}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def is_back(machine: Shipped, restarts: int) -> None:
    machine.until(lambda: machine.shown(UNIT, "NRestarts") == str(restarts), f"restart {restarts}")
    machine.until(lambda: machine.shown(UNIT, "ActiveState") == "active", "it to be ready")


def test_it_is_ready_when_systemctl_says_so_and_may_do_nothing_but_its_work(arbiter: Shipped) -> None:
    arbiter.says(f"systemctl start {UNIT}")
    assert "ready on 0.0.0.0:5412" in arbiter.journal(UNIT)
    listening = arbiter.says("ss --listening --tcp --numeric")
    assert ":5412" in listening
    assert ":5413" in listening
    found = status(arbiter)
    assert int(found["Uid"].split()[0]) in DYNAMIC
    assert (found["CapEff"], found["NoNewPrivs"], found["Seccomp"]) == ("0" * 16, "1", "2")
    arbiter.says("hamgr-arbiter enroll office --address 127.0.0.1")  # as root, beside it
    directory = arbiter.there("/var/lib/private/hamgr-arbiter")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {file.stat().st_uid for file in directory.iterdir()} == {directory.stat().st_uid}
    assert arbiter.shown(UNIT, "WatchdogUSec") == "10s"


def test_what_it_voted_outlives_kill_9_a_stop_and_a_start(arbiter: Shipped) -> None:
    arbiter.says(f"systemctl start {UNIT}")
    token = arbiter.says("hamgr-arbiter enroll office --address 127.0.0.1").split()[2]
    assert claim(arbiter, 5, "b", token) == "5 b"
    first = arbiter.pid(UNIT)
    arbiter.says(f"systemctl kill --signal=KILL {UNIT}")
    is_back(arbiter, restarts=1)
    assert arbiter.pid(UNIT) != first
    assert claim(arbiter, 5, "a").startswith("5 b the vote of epoch 5 is given to b")
    arbiter.says(f"systemctl stop {UNIT}")
    assert arbiter.shown(UNIT, "ActiveState") == "inactive"
    assert arbiter.shown(UNIT, "Result") == "success"
    # Another user may be made up for it now: its files are its own all the same.
    arbiter.says(f"systemctl start {UNIT}")
    shown = json.loads(arbiter.says("hamgr-arbiter show office --json"))
    assert (shown["vote_epoch"], shown["voted_for"]) == (5, "b")


def test_it_is_tried_again_for_as_long_as_its_disk_can_not_be_used(arbiter: Shipped) -> None:
    arbiter.says("sh -c 'umask 077; mkdir -p /var/lib/private/hamgr-arbiter/votes.db'")
    assert arbiter.tries(f"systemctl start {UNIT}").returncode != 0
    assert arbiter.shown(UNIT, "ExecMainStatus") == "1"
    assert arbiter.shown(UNIT, "StartLimitIntervalUSec") == "0"
    assert "hamgr-arbiter: /var/lib/hamgr-arbiter/votes.db: unable to open" in arbiter.journal(UNIT)
    arbiter.says("rmdir /var/lib/private/hamgr-arbiter/votes.db")
    arbiter.until(lambda: arbiter.shown(UNIT, "ActiveState") == "active", "it to be ready")


def test_one_that_hangs_is_restarted(arbiter: Shipped) -> None:
    arbiter.place(f"/etc/systemd/system/{UNIT}.service.d/quick.conf", "[Service]\nWatchdogSec=600ms\n")
    arbiter.says("systemctl daemon-reload")
    arbiter.says(f"systemctl start {UNIT}")
    # It tells that it lives: three times the time allowed go by.
    began = time.monotonic()
    arbiter.until(lambda: time.monotonic() - began > 1.8, "the time to go by")
    assert arbiter.shown(UNIT, "NRestarts") == "0"
    arbiter.says(f"systemctl kill --signal=STOP {UNIT}")
    is_back(arbiter, restarts=1)


def test_a_reload_takes_new_keys_and_keeps_the_old_ones_if_a_file_is_wrong(arbiter: Shipped) -> None:
    """Clusters with key files, and so with a user who is there for good."""
    arbiter.says("useradd --system hamgr-arbiter")
    key, config = "/etc/hamgr/office.key", "/etc/hamgr/arbiter.toml"
    arbiter.place(config, f'[cluster.office]\nkey_file = "{key}"\n')
    arbiter.says(f"hamgr key new {key}")
    arbiter.says(f"chown hamgr-arbiter {key}")
    try:
        arbiter.says(f"systemctl start {UNIT}")
        running = arbiter.pid(UNIT)
        assert int(status(arbiter)["Uid"].split()[0]) not in DYNAMIC
        assert "ready on 0.0.0.0:5410" in arbiter.journal(UNIT)
        arbiter.says(f"hamgr key new {key}")
        arbiter.says(f"systemctl reload {UNIT}")
        arbiter.until(lambda: "keys read again: office: " in arbiter.journal(UNIT), "the new key")
        good = arbiter.there(key).read_text()
        arbiter.place(key, "nonsense\n", 0o600)
        arbiter.says(f"systemctl reload {UNIT}")
        arbiter.until(lambda: "the keys stay as they were" in arbiter.journal(UNIT), "the mistake to be told")
        assert (arbiter.pid(UNIT), arbiter.shown(UNIT, "ActiveState")) == (running, "active")
        # A start with it is a mistake that no second try mends.
        arbiter.says(f"systemctl stop {UNIT}")
        assert arbiter.tries(f"systemctl start {UNIT}").returncode != 0
        assert arbiter.shown(UNIT, "ExecMainStatus") == "2"
        assert arbiter.shown(UNIT, "ActiveState") == "failed"
        assert f"{config}: cluster.office.key_file: found" in arbiter.journal(UNIT)
        arbiter.place(key, good, 0o600)
        arbiter.says(f"systemctl start {UNIT}")
    finally:
        arbiter.says(f"systemctl stop {UNIT}")
        arbiter.says("userdel hamgr-arbiter")
