"""One arbiter for 2,000 clusters of two nodes: how quickly it answers and votes, and what that costs.

    python bench/arbiter.py [--clusters 2000] [--seconds 20] [--etcd] [--json]

A real hamgr-arbiter process, and a TCP connection with a stream of its own for each node, from a few load processes. A
node reports once a second (steady); then 100 clusters' nodes claim an epoch in the same moment, some times (votes);
then all clusters within one second (mass). With --etcd the votes are kept by three etcd members on this machine, too.
CPU is the arbiter process's own. The load takes the other core: times suffer on a machine with two, and CPU does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc

from hamgr.core.messages import ArbiterReport, Packet
from hamgr.links.arbiter import ARBITER, CLUSTER, LINK
from hamgr.links.caller import channel_options
from hamgr.links.codec import Codec
from hamgr.links.keyfile import write_key_file
from hamgr.links.keys import load_keys
from hamgr.links.stream import REDIAL
from hamgr.v1 import arbiter_pb2_grpc as pb_grpc
from hamgr.v1 import cluster_pb2 as pb

GOALS = {
    "steady, answer p99": (50.0, "ms"),
    "steady, CPU": (100.0, "% of a core"),
    "steady, memory": (500.0, "MB"),
    "100 votes at once, p99": (20.0, "ms"),
    "all clusters within 1 s, last answer": (5000.0, "ms"),
    "etcd: 100 votes at once, p99": (50.0, "ms"),
}
LOADERS = 4
AT_ONCE = 100
ROUNDS = 10
NODES = ("a", "b")
CONNECTING = 10
"""Streams that a load process opens at a time."""


@dataclass(slots=True)
class Stream:
    """One node of one cluster."""

    codec: Codec
    node: str
    call: Any
    channel: grpc.aio.Channel
    arbiter_life: int = 0
    number: int = 0
    epoch: int = 4
    voted: int = 0

    def report(self, claim: int = 0) -> ArbiterReport:
        self.number += 1
        return ArbiterReport(
            self.number, self.epoch, nodes=NODES, alive=(self.node,), deadtime=10.0, settle=0.0, claim=claim
        )

    async def ask(self, report: ArbiterReport) -> float:
        """Seconds until the answer to this report; to a claim: until the answer that tells the vote."""
        began = time.perf_counter()
        packet = Packet(self.node, self.codec.incarnation, ARBITER, self.arbiter_life, report)
        await self.call.write(pb.Frame(data=self.codec.seal(LINK, packet)))
        while True:
            frame = await self.call.read()
            if not isinstance(frame, pb.Frame):
                raise RuntimeError(f"the arbiter ended a stream: {await self.call.details()}")
            found = self.codec.open(LINK, frame.data)
            answer: Any = found.body
            if found.incarnation != self.arbiter_life:
                self.arbiter_life = found.incarnation
                return await self.ask(report)
            if answer.echo_us == report.sent_us and (not report.claim or answer.vote_epoch == report.claim):
                return time.perf_counter() - began


class Loader:
    """The nodes of some clusters, in a process of its own."""

    def __init__(self, target: str, key: Path, clusters: list[str]) -> None:
        self._target = target
        self._keys = load_keys(key)
        self._clusters = clusters
        self.streams: dict[str, list[Stream]] = {}

    async def connect(self) -> None:
        gate = asyncio.Semaphore(CONNECTING)

        async def one(cluster: str, node: str) -> Stream:
            async with gate:
                channel = grpc.aio.insecure_channel(self._target, options=channel_options(10.0))
                codec = Codec(cluster, node, self._keys.keys, self._keys.active, secrets.randbits(63) | 1)
                while True:
                    call = pb_grpc.ArbiterStub(channel).Session(None, metadata=((CLUSTER, cluster),))
                    stream = Stream(codec, node, call, channel)
                    try:
                        await stream.ask(stream.report())
                    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                        await asyncio.sleep(REDIAL)
                    else:
                        return stream

        for cluster in self._clusters:
            self.streams[cluster] = []
        wanted = [(cluster, node) for cluster in self._clusters for node in NODES]
        for (cluster, _node), stream in zip(wanted, await asyncio.gather(*(one(*w) for w in wanted)), strict=True):
            self.streams[cluster].append(stream)

    async def steady(self, seconds: float) -> list[float]:
        """Each node once a second, spread evenly."""
        everybody = [stream for pair in self.streams.values() for stream in pair]
        found: list[float] = []
        begin = time.perf_counter() + 0.1

        async def keep_on(stream: Stream, turn: float) -> None:
            due = begin + turn
            while due < begin + seconds:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                found.append(await stream.ask(stream.report()))
                due += 1.0

        await asyncio.gather(*(keep_on(one, at / len(everybody)) for at, one in enumerate(everybody)))
        return found

    async def votes(self, clusters: list[str], within: float) -> list[float]:
        """The first nodes of these clusters claim a new epoch, within so many seconds."""
        streams = [self.streams[cluster][0] for cluster in clusters if cluster in self.streams]

        async def claim(stream: Stream, after: float) -> float:
            await asyncio.sleep(after)
            stream.epoch += 1
            return await stream.ask(stream.report(claim=stream.epoch))

        spread = within / max(1, len(streams))
        return list(await asyncio.gather(*(claim(one, at * spread) for at, one in enumerate(streams))))

    async def close(self) -> None:
        for pair in self.streams.values():
            for stream in pair:
                stream.call.cancel()


def load(pipe: Connection, target: str, key: Path, clusters: list[str]) -> None:
    """A load process: does what the pipe says, and tells what it measured."""

    async def serve() -> None:
        loader = Loader(target, key, clusters)
        while (order := await asyncio.to_thread(pipe.recv)) is not None:
            verb, *rest = order
            began = time.perf_counter()
            done = await getattr(loader, verb)(*rest)
            pipe.send((done, time.perf_counter() - began))
        await loader.close()

    asyncio.run(serve())


class Loaders:
    def __init__(self, target: str, key: Path, clusters: list[str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for number in range(LOADERS):
            ours, theirs = context.Pipe()
            process = context.Process(target=load, args=(theirs, target, key, clusters[number::LOADERS]), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def do(self, *order: object) -> tuple[list[float], float]:
        """Have all do it at once: what they measured, and the seconds of the slowest."""
        for pipe in self._pipes:
            pipe.send(order)
        found: list[float] = []
        longest = 0.0
        for pipe in self._pipes:
            done, took = pipe.recv()
            found += done or []
            longest = max(longest, took)
        return found, longest

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()


@contextmanager
def arbiter(directory: Path, clusters: list[str], more: str = "") -> Iterator[tuple[str, Path, int]]:
    """A real process that serves these clusters: its address, the key of all of them, and its process id."""
    key = directory / "cluster.key"
    write_key_file(key)
    config = directory / "arbiter.toml"
    port = free_port()
    lines = [f'listen = "127.0.0.1:{port}"', f'state_dir = "{directory}/state"', more]
    lines += [line for cluster in clusters for line in (f"[cluster.{cluster}]", f'key_file = "{key}"')]
    config.write_text("\n".join(lines))
    command = [str(Path(sys.executable).with_name("hamgr-arbiter")), "--config", str(config)]
    log = (directory / "log").open("w")
    with subprocess.Popen(command, stderr=log) as process:
        try:
            while "ready on" not in (directory / "log").read_text():
                assert process.poll() is None, (directory / "log").read_text()
                time.sleep(0.05)
            yield f"127.0.0.1:{port}", key, process.pid
        finally:
            process.terminate()


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def ticks(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024


def percentile(found: list[float], share: float) -> float:
    """In milliseconds."""
    return sorted(found)[min(len(found) - 1, int(len(found) * share))] * 1000


def measure(directory: Path, count: int, seconds: float, more: str = "") -> dict[str, float]:
    clusters = [f"c{number}" for number in range(count)]
    found: dict[str, float] = {}
    with arbiter(directory, clusters, more) as (target, key, pid):
        loaders = Loaders(target, key, clusters)
        try:
            loaders.do("connect")
            used = ticks(pid)
            steady, _ = loaders.do("steady", seconds)
            # Of each report, times those of a second: a load that comes too late must not make it look better.
            found["steady, CPU"] = (ticks(pid) - used) / len(steady) * len(NODES) * count * 100
            found["steady, answer p50"] = percentile(steady, 0.5)
            found["steady, answer p99"] = percentile(steady, 0.99)
            found["steady, memory"] = megabytes(pid)
            votes: list[float] = []
            for turn in range(ROUNDS):
                some = clusters[turn * AT_ONCE % count :][:AT_ONCE]
                votes += loaders.do("votes", some, 0.0)[0]
            found["100 votes at once, p50"] = percentile(votes, 0.5)
            found["100 votes at once, p99"] = percentile(votes, 0.99)
            began = time.perf_counter()
            mass, _ = loaders.do("votes", clusters, 1.0)
            assert len(mass) == count
            found["all clusters within 1 s, last answer"] = (time.perf_counter() - began) * 1000
        finally:
            loaders.close()
    return found


def with_etcd(directory: Path, seconds: float) -> dict[str, float]:
    """The votes alone, of as many clusters as vote at once."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit" / "arbiter"))
    from etcds import etcd

    with etcd(directory / "etcd", 3) as members:
        endpoints = ", ".join(f'"{endpoint}"' for endpoint in members.endpoints)
        more = f'store = "etcd"\n[etcd]\nendpoints = [{endpoints}]'
        measured = measure(directory, AT_ONCE, seconds, more)
    return {f"etcd: {name}": value for name, value in measured.items() if "within" not in name}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the steady load (%(default)s)")
    parser.add_argument("--etcd", action="store_true", help="measure the etcd store, too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hamgr-bench-")))
        (directory / "sqlite").mkdir()
        found = measure(directory / "sqlite", options.clusters, options.seconds)
        if options.etcd:
            (directory / "shared").mkdir()
            found |= with_etcd(directory / "shared", min(5.0, options.seconds))
    if options.json:
        print(json.dumps(found))
        return 0
    missed = 0
    for name, value in found.items():
        goal, unit = GOALS.get(name, (None, "% of a core" if "CPU" in name else "MB" if "memory" in name else "ms"))
        verdict = "" if goal is None else f"   goal {goal:g} {unit}: {'reached' if value <= goal else 'MISSED'}"
        missed += goal is not None and value > goal
        print(f"{name:42} {value:8.1f} {unit}{verdict}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
