"""How long a takeover by a poison pill on a shared disk takes, and what the arbiter's part of the disk costs.

    python bench/disk.py [--runs 10] [--poll 100ms] [--proven 2s] [--json]

As root: real loop devices, the real process that a victim has at the disk, and the real fence agent in its worker.
The victim's hamgrd is frozen: it renews its lease no more. Takeover: from that last renewal until the taker's fence
is confirmed. Goal: the lease (here the disk's proven time, for which the victim must be silent) and one poll. Beside
it, what a cluster without any fence device would wait, by a watchdog: lease, watchdog and one poll.
Votes: both nodes claim at once, by their real sessions; from the claim to the answer, and writes a second at rest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from hamgr.config import durations
from hamgr.config.toml import load
from hamgr.core.events import FenceOutcome
from hamgr.core.messages import ArbiterAnswer, ArbiterReport
from hamgr.disk.device import Device
from hamgr.disk.making import make
from hamgr.disk.records import State
from hamgr.disk.worker import RENEW, Place
from hamgr.fencing.runner import FenceRunner
from hamgr.lab.shareddisk import attach, detach

NODES = ("a", "b")
WATCHDOG = 10.0
"""Seconds: what docs/fencing.md shows."""

CONFIG = """
[cluster]
name = "bench"
key_file = "/etc/hamgr/cluster.key"
[link.ha]
kind = "broadcast"
interface = "lo"
[node.a]
[node.b]
[fence.pill-a]
node = "a"
agent = "fence_hamgr_disk"
attempts = 1
options = {{ device = "{device}", cluster = "bench" }}
"""

REST = 3.0
"""Seconds for which a cluster at rest is watched."""


@contextmanager
def two_ends(directory: Path, proven: float) -> Iterator[tuple[str, str]]:
    """One disk, initialised, as two machines see it."""
    image = directory / "disk.img"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    with ExitStack() as stack:
        ends = []
        for _ in NODES:
            ends.append(attach(image))
            stack.callback(detach, ends[-1])
        with Device(ends[0]) as device:
            make(device, "bench", NODES, round(proven * 1000), force=False)
        yield ends[0], ends[1]


class Victim:
    """The process that node a has at the disk. A "b" in its reset kills it, as a reset would. renewed: when last."""

    def __init__(self, device: str, directory: Path, poll: float) -> None:
        trigger = directory / f"reset-{secrets.token_hex(4)}"
        os.mkfifo(trigger)
        self._pipe = os.open(trigger, os.O_RDWR)
        place = Place(device, "bench", "a", secrets.token_bytes(16), poll, str(trigger))
        self._ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            command = [sys.executable, "-m", "hamgr.disk.worker", str(its.fileno()), *place.words()]
            self._process = subprocess.Popen(command, pass_fds=[its.fileno()])
        self.renewed = 0.0
        self._reset = threading.Thread(target=self._wait_for_reset)
        self._reset.start()

    def _wait_for_reset(self) -> None:
        if os.read(self._pipe, 1) == b"b":
            self._process.send_signal(signal.SIGKILL)

    def renew(self) -> None:
        """As hamgrd does, until it is frozen: returns when the lease is written."""
        self._ours.settimeout(10.0)
        while self._ours.recv(1 << 16)[:1] != b"U":
            pass
        self._ours.send(RENEW.pack(State.RUNNING))
        while self._ours.recv(1 << 16)[:1] != b"W":
            pass
        self.renewed = time.monotonic()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.write(self._pipe, b"-")
        self._reset.join()
        os.close(self._pipe)
        self._ours.close()


async def takeovers(runs: int, poll: float, proven: float) -> list[float]:
    """Seconds from the last renewal until the fence is confirmed."""
    found = []
    with tempfile.TemporaryDirectory() as place, two_ends(Path(place), proven) as (a, b):
        file = Path(place) / "hamgr.toml"
        file.write_text(CONFIG.format(device=b))
        runner = FenceRunner(load(file), "b")
        await runner.start()
        try:
            for _ in range(runs):
                victim = Victim(a, Path(place), poll)
                try:
                    await asyncio.to_thread(victim.renew)
                    result = await runner.fence("a", 0)
                    if result.outcome is not FenceOutcome.CONFIRMED:
                        raise SystemExit(f"not confirmed: {result.detail}")
                    found.append(time.monotonic() - victim.renewed)
                finally:
                    victim.close()
        finally:
            await runner.close()
    return found


class Claimant:
    """A node's session; what it was answered, and when."""

    def __init__(self, name: str, device: str, directory: Path) -> None:
        from hamgr.diskarbiter import DiskSession

        (directory / name).mkdir()
        self.name = name
        self.claim = 0
        self.answer = ArbiterAnswer(0, False, 0)
        self.changed = asyncio.Event()
        life = secrets.randbits(63) | 1
        self.session = DiskSession(
            device, "bench", name, life, directory / name, 5.0, self._answered, lambda reason: None
        )

    def _answered(self, answer: ArbiterAnswer, _where: str) -> None:
        self.answer = answer
        self.changed.set()

    async def until_it_votes(self) -> None:
        while not self.answer.voter:
            self.changed.clear()
            await self.changed.wait()

    def report(self) -> None:
        now = round(asyncio.get_running_loop().time() * 1e6)
        epoch = max(1, self.answer.epoch)
        self.session.send(
            ArbiterReport(
                now, epoch, claim=self.claim, alive=(self.name,), nodes=NODES, tie_breaker="a", deadtime=2.0, settle=0.2
            )
        )

    async def go_on(self, keepalive: float) -> None:
        while True:
            self.report()
            await asyncio.sleep(keepalive)


def written(device: str) -> int:
    """Sectors of 512 bytes, as the kernel counts them."""
    return int(Path(f"/sys/block/{Path(device).name}/stat").read_text().split()[6])


async def race(nodes: list[Claimant]) -> float:
    """Seconds from the claims of all until one has the vote."""
    epoch = max(node.answer.epoch for node in nodes) + 1
    began = time.monotonic()
    for node in nodes:
        node.claim = epoch
        node.report()
    while not any((node.answer.vote_epoch, node.answer.voted_for) == (epoch, node.name) for node in nodes):
        for node in nodes:
            node.changed.clear()
        waits = [asyncio.create_task(node.changed.wait()) for node in nodes]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    return time.monotonic() - began


async def votes(runs: int) -> tuple[list[float], float]:
    """Seconds of each vote that two nodes claim at once; bytes a second that a node writes at rest (keepalive 200 ms,
    deadtime 2 s)."""
    found = []
    with tempfile.TemporaryDirectory() as place, two_ends(Path(place), 2.0) as ends:
        nodes = [Claimant(name, end, Path(place)) for name, end in zip(NODES, ends, strict=True)]
        tasks = []
        for node in nodes:
            await node.session.start()
            tasks.append(asyncio.create_task(node.go_on(0.2)))
        try:
            for node in nodes:
                await node.until_it_votes()
            before = written(ends[0])
            await asyncio.sleep(REST)
            rest = (written(ends[0]) - before) * 512 / REST
            for _ in range(runs):
                found.append(await race(nodes))
                for node in nodes:
                    node.claim = 0
                await asyncio.sleep(0.3)
        finally:
            for task in tasks:
                task.cancel()
            for node in nodes:
                with suppress(OSError):
                    await node.session.close()
    return found, rest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--poll", type=durations.parse, default=0.1, help="of the victim (100ms)")
    parser.add_argument("--proven", type=durations.parse, default=2.0, help="the disk's lease (2s)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("bench/disk.py: loop devices need root", file=sys.stderr)
        return 2
    # The package `arbiter` is meant, not bench/arbiter.py beside this file.
    sys.path[:] = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]
    # A reset that comes late, as no machine's does, is a victim that lives.
    os.nice(-20)
    taken = asyncio.run(takeovers(options.runs, options.poll, options.proven))
    voted, rest = asyncio.run(votes(options.runs))
    goal = options.proven + options.poll
    by_watchdog = options.proven + WATCHDOG + options.poll
    facts = {
        "takeover_median": statistics.median(taken),
        "takeover_worst": max(taken),
        "goal": goal,
        "watchdog": by_watchdog,
        "vote_median": statistics.median(voted),
        "vote_worst": max(voted),
        "rest_bytes_a_second": rest,
    }
    if options.json:
        print(json.dumps(facts))
        return 0
    print(
        f"takeover by the disk, poll {options.poll * 1000:g} ms, lease (proven time) {options.proven:g} s:"
        f" median {facts['takeover_median']:.3f} s, worst {facts['takeover_worst']:.3f} s\n"
        f"  goal: lease + one poll = {goal:.3f} s; median {(facts['takeover_median'] - goal) * 1000:+.0f} ms,"
        f" worst {(facts['takeover_worst'] - goal) * 1000:+.0f} ms\n"
        f"  by a watchdog of {WATCHDOG:g} s alone it would be lease + watchdog + one poll = {by_watchdog:.3f} s\n"
        f"the arbiter's vote on the disk, both claim at once: median {facts['vote_median'] * 1000:.1f} ms,"
        f" worst {facts['vote_worst'] * 1000:.1f} ms\n"
        f"  at rest a node writes {rest:.0f} bytes a second (keepalive 200 ms, deadtime 2 s)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
