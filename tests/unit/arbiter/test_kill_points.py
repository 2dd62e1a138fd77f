"""The arbiter is killed at each point of a decision: before and after each write, each sync, each answer.

strace kills it as it enters a system call; so "after" a call is "before" the next one. HAMGR_KILL_POINTS=all: every
point; else some. And its clock jumps, which changes nothing.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from claimants import Claimant, speaking
from recorded import NEEDS_STRACE

from hamgr.links.keyfile import write_key_file

COMMAND = [str(Path(sys.executable).with_name("hamgr-arbiter"))]
DEADLINE = 20.0
EPOCH = 5

POINTS = [
    *(("pwrite64", number) for number in range(1, 6)),  # the log's frames and pages, then the mark
    ("fdatasync", 1),
    *(("sendmsg", number) for number in range(1, 5)),  # the answers
]
CHOSEN = POINTS if os.environ.get("HAMGR_KILL_POINTS") == "all" else [("pwrite64", 4), ("fdatasync", 1), ("sendmsg", 1)]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    write_key_file(tmp_path / "office.key")
    path = tmp_path / "arbiter.toml"
    path.write_text(
        f'listen = "127.0.0.1:{port}"\nstate_dir = "{tmp_path}/state"\n'
        f'[cluster.office]\nkey_file = "{tmp_path}/office.key"\n'
    )
    subprocess.run([*COMMAND, "init", "office", "--config", str(path)], check=True, stdout=subprocess.DEVNULL)
    return path


@contextmanager
def running(config: Path, environ: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    words = [*COMMAND, "--config", str(config)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environ or {})}) as process:
        try:
            assert process.stderr is not None
            assert any("ready on" in line for line in process.stderr)
            yield process
        finally:
            process.kill()


@contextmanager
def killed_at(process: subprocess.Popen[str], call: str, number: int) -> Iterator[None]:
    """strace kills the process as a thread of it enters this call for the nth time, from now on."""
    words = ["strace", "-f", "-p", str(process.pid), "-o", "/dev/null", "-e", f"trace={call}"]
    words += ["-e", f"inject={call}:signal=KILL:when={number}"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as tracer:
        try:
            assert tracer.stderr is not None
            assert any("attached" in line for line in tracer.stderr)
            yield
        finally:
            tracer.send_signal(signal.SIGINT)


def claimants(config: Path, votes: dict[int, str], life: int = 0) -> tuple[Claimant, Claimant]:
    port = int(config.read_text().splitlines()[0].rsplit(":", 1)[1].strip('"'))
    key = config.with_name("office.key")
    return Claimant("a", key, [port], votes, life), Claimant("b", key, [port], votes, life)


async def until(process: subprocess.Popen[str], *nodes: Claimant, claimed: int = 0) -> None:
    """All have an answer (to a claim: one that tells who got it), or the process is dead."""
    async with asyncio.timeout(DEADLINE):
        for _ in range(int(DEADLINE / 0.02)):
            answers = [node.answer for node in nodes]
            if process.poll() is not None:
                return
            if all(answer is not None and answer.vote_epoch >= claimed for answer in answers):
                return
            await asyncio.sleep(0.02)


@NEEDS_STRACE
@pytest.mark.parametrize(("call", "number"), CHOSEN)
async def test_killed_anywhere_in_a_decision_it_never_votes_twice(config: Path, call: str, number: int) -> None:
    votes: dict[int, str] = {}
    with running(config) as process:
        a, b = claimants(config, votes)
        async with speaking(a, b):
            await until(process, a, b)
            with killed_at(process, call, number):
                for node in (a, b):
                    node.report = replace(node.report, claim=EPOCH, load=3 if node is a else 0)
                await until(process, a, b, claimed=EPOCH)
                if call != "sendmsg":
                    await asyncio.to_thread(process.wait, DEADLINE)
                process.kill()
                process.wait()
    # It would choose the other one now, if it knew of no vote.
    with running(config) as process:
        a, b = claimants(config, votes, life=1)
        async with speaking(a, b):
            for node in (a, b):
                node.report = replace(node.report, claim=EPOCH, load=3 if node is b else 0)
            await until(process, a, b, claimed=EPOCH)
            assert process.poll() is None
    assert votes.get(EPOCH), "nobody got the vote, though both claimed it"


def faked(clock: Path) -> dict[str, str]:
    """The environment in which the wall clock is what this file says; time itself goes on as it does."""
    clock.write_text("+0d")
    library = subprocess.run(["faketime", "-f", "+0d", "printenv", "LD_PRELOAD"], capture_output=True, text=True)
    found = {"LD_PRELOAD": library.stdout.strip(), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    return found | {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.skipif(not shutil.which("faketime"), reason="needs faketime")
async def test_a_clock_that_jumps_changes_nothing(config: Path, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    votes: dict[int, str] = {}
    with running(config, faked(clock)) as process:
        a, b = claimants(config, votes)
        async with speaking(a, b):
            for epoch, shift in enumerate(("+0d", "-2000d", "+2000d"), EPOCH):
                clock.write_text(shift)
                before = dict(votes)
                a.answer = b.answer = None
                await until(process, a, b)
                assert votes == before, "who has the vote keeps it"
                a.claim(epoch)
                b.claim(epoch)
                await until(process, a, b, claimed=epoch)
                assert votes[epoch]
                lines = process.stderr
                assert lines is not None
                told = await asyncio.to_thread(next, (line for line in lines if f"vote of epoch {epoch}" in line))
                assert told.startswith(f"{datetime.now(UTC):%Y-}") is (shift == "+0d"), "the clock did not jump"
