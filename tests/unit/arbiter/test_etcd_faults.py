"""Three real etcd members and two real hamgr-arbiter processes, and what breaks of them: votes go on, or are refused.

HAMGR_ETCD_ROUNDS: claims by both nodes under each fault (3).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from claimants import Claimant
from etcds import NEEDS_ETCD, EtcdCluster, etcd, free_ports

from arbiter.etcd import Etcd
from arbiter.etcdconfig import EtcdConfig
from hamgr.links.keyfile import write_key_file

pytestmark = NEEDS_ETCD

COMMAND = [str(Path(sys.executable).with_name("hamgr-arbiter"))]
ROUNDS = int(os.environ.get("HAMGR_ETCD_ROUNDS", "3"))
DEADLINE = 30.0
DISK = 160
"""Megabytes of a member's disk, when it is to be filled: etcd takes twice 64 for its log before it begins."""


class Arbiters:
    """Two processes, of a cluster "office"."""

    def __init__(self, directory: Path, members: EtcdCluster) -> None:
        self.ports = free_ports(2)
        self.key = directory / "office.key"
        write_key_file(self.key)
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self.configs = [directory / f"arbiter{number}.toml" for number in range(2)]
        quoted = ", ".join(f'"{endpoint}"' for endpoint in members.endpoints)
        for port, config in zip(self.ports, self.configs, strict=True):
            config.write_text(
                f'listen = "127.0.0.1:{port}"\nstate_dir = "{config.with_suffix("")}"\nstore = "etcd"\n'
                f'[etcd]\nendpoints = [{quoted}]\ntimeout = "1.5s"\n[cluster.office]\nkey_file = "{self.key}"\n'
            )
        for number in range(2):
            self.start(number)

    def start(self, number: int) -> None:
        words = [*COMMAND, "--config", str(self.configs[number])]
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        self._processes[number] = process
        assert process.stderr is not None
        for line in process.stderr:
            if "ready on" in line:
                break
        else:
            raise AssertionError("hamgr-arbiter did not start")

    def kill(self, number: int) -> None:
        self._processes[number].kill()
        self._processes[number].wait()

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.communicate()


class Bench:
    """All of it. votes: epoch -> who has it, as any node was ever told."""

    def __init__(self, members: EtcdCluster, arbiters: Arbiters) -> None:
        self.members = members
        self.arbiters = arbiters
        self.votes: dict[int, str] = {}
        self.epoch = 4
        # Each prefers another process.
        self.nodes = [
            Claimant("a", arbiters.key, arbiters.ports, self.votes),
            Claimant("b", arbiters.key, arbiters.ports[::-1], self.votes),
        ]

    async def reached(self, what: Callable[[], bool], within: float = DEADLINE) -> None:
        async with asyncio.timeout(within):
            while not what():  # noqa: ASYNC110  # the nodes' answers come from another task
                await asyncio.sleep(0.02)

    async def contest(self) -> str:
        """Both claim the next epoch until one has it."""
        self.epoch += 1
        for node in self.nodes:
            node.claim(self.epoch)
        with contextlib.suppress(TimeoutError):
            await self.reached(lambda: self.epoch in self.votes, within=5.0)
        while self.epoch not in self.votes:
            self.epoch += 1
            for node in self.nodes:
                node.claim(self.epoch)
            with contextlib.suppress(TimeoutError):
                # The vote of an unknown outcome may be spent: then, as a node does, the next one is claimed.
                await self.reached(lambda: self.epoch in self.votes, within=5.0)
        return self.votes[self.epoch]


@asynccontextmanager
async def bench(directory: Path, data: dict[int, Path] | None = None) -> AsyncIterator[Bench]:
    with ExitStack() as stack:
        members = stack.enter_context(etcd(directory / "etcd", 3, data))
        arbiters = Arbiters(directory, members)
        stack.callback(arbiters.close)
        made = Bench(members, arbiters)
        async with AsyncExitStack() as sessions:
            for node in made.nodes:
                await node.session.start()
                sessions.push_async_callback(node.session.close)
            tasks = [asyncio.create_task(node.keep_on()) for node in made.nodes]
            sessions.callback(lambda: [task.cancel() for task in tasks])
            await made.reached(lambda: all(node.answer is not None and node.answer.voter for node in made.nodes))
            yield made


async def contests(made: Bench, count: int = ROUNDS) -> None:
    async with asyncio.timeout(DEADLINE * count):
        for _ in range(count):
            await made.contest()


async def test_votes_go_on_when_a_member_its_leader_or_an_arbiter_is_killed_or_freezes(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        members = made.members
        await contests(made)
        lost = members.leader()
        members.kill(lost)
        await contests(made)
        members.start(lost)
        await asyncio.to_thread(members.ready)
        made.arbiters.kill(0)
        await contests(made)
        made.arbiters.start(0)
        await contests(made, 1)
        lost = members.leader()
        members.freeze(lost)
        await contests(made)
        # Two of three: nobody can vote, and nobody says so by mistake.
        second = next(member for member in range(3) if member != lost)
        members.kill(second)
        before = dict(made.votes)
        for node in made.nodes:
            node.losses.clear()
            node.claim(made.epoch + 1)
        # They turn from one process to the other; either ends the session, or says nothing in time.
        await made.reached(lambda: all(len(node.losses) > 4 for node in made.nodes))
        assert made.votes == before
        members.thaw(lost)
        members.start(second)
        await contests(made, 1)
        told = {node.answer.store for node in made.nodes if node.answer is not None}
        assert len(told) == 1, "one store, whoever answers"


async def test_a_member_that_is_gone_without_a_sign_is_hardly_waited_for(tmp_path: Path) -> None:
    with etcd(tmp_path / "etcd", 3) as members:
        leader = members.leader()
        gone = next(member for member in range(3) if member != leader)
        client = Etcd(EtcdConfig(members.endpoints, "127.0.0.1:1", timeout=5.0))
        await client.get(b"/key")
        members.freeze(gone)
        for _ in range(2):
            client._at = gone
            began = time.monotonic()
            await client.get(b"/key")
            assert time.monotonic() - began < 2.5
            assert client._at != gone
        await client.close()


def test_an_arbiter_that_is_up_before_etcd_waits_for_it_and_says_so_once(tmp_path: Path) -> None:
    with etcd(tmp_path / "etcd") as members:
        members.kill(0)
        key, config = tmp_path / "office.key", tmp_path / "arbiter.toml"
        write_key_file(key)
        config.write_text(
            f'listen = "127.0.0.1:{free_ports(1)[0]}"\nstate_dir = "{tmp_path}/state"\nstore = "etcd"\n'
            f'[etcd]\nendpoints = ["{members.endpoints[0]}"]\n[cluster.office]\nkey_file = "{key}"\n'
        )
        command = [*COMMAND, "--config", str(config)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as waits:
            assert waits.stderr is not None
            told = [next(waits.stderr)]
            with subprocess.Popen(command, stderr=subprocess.DEVNULL) as ends:
                ends.terminate()
                assert ends.wait(10) in (0, -signal.SIGTERM)
            members.start(0)
            while "ready on" not in told[-1]:
                told.append(next(waits.stderr))
            waits.kill()
        assert "waiting, no cluster is served yet: etcd does not answer (127.0.0.1:" in told[0]
        assert sum("waiting" in line for line in told) <= 2, "once for each reason"


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "none", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def fill_up(members: EtcdCluster, member: int) -> None:
    """Write until this member needs a new file for its log, and ends."""
    value = "x" * 1_000_000
    for _ in range(200):
        members.put("/filler", value)
        if not members.runs(member):
            return
    raise AssertionError("a full disk did not stop the member")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
async def test_a_member_with_a_full_disk_is_done_without(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        async with bench(tmp_path, {1: disk / "m1"}) as made:
            await contests(made, 1)
            with contextlib.suppress(OSError), (disk / "filler").open("wb") as filler:
                while True:
                    filler.write(bytes(1 << 16))
                    filler.flush()
            await asyncio.to_thread(fill_up, made.members, 1)
            await contests(made)


async def test_commands_look_into_etcd_and_let_a_new_record_vote(tmp_path: Path) -> None:
    with etcd(tmp_path / "etcd") as members:
        arbiters = Arbiters(tmp_path, members)
        try:
            config = str(arbiters.configs[0])

            def say(*words: str) -> subprocess.CompletedProcess[str]:
                return subprocess.run([*COMMAND, *words, "--config", config], capture_output=True, text=True)

            assert "office: has not learned the epoch" in say("list").stdout
            assert say("init", "office").returncode == 0
            assert "votes already" in say("init", "office").stderr
            assert '"votes": true' in say("show", "office", "--json").stdout
            assert "hamgr join hamgr-join-" in say("enroll", "shop", "--address", "127.0.0.1").stdout
            assert "etcdctl snapshot" in say("backup", str(tmp_path / "backup")).stderr
            assert say("check").returncode == 0
            members.kill(0)
            done = say("list")
            assert done.returncode == 2
            assert "etcd does not answer" in done.stderr
        finally:
            arbiters.close()
