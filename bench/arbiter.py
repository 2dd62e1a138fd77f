"""One arbiter for 2,000 clusters of two nodes: how quickly it answers and votes, and what that costs.

    python bench/arbiter.py [--clusters 2000] [--seconds 20] [--tls] [--etcd] [--json]

A real hamgr-arbiter process, and a connection with a stream of its own for each node, from a few load processes. A node
reports once a second (steady); then 100 clusters' nodes claim an epoch in the same moment, some times (votes); then all
clusters within one second (mass). With --tls the clusters are enrolled ones, and each node shows its certificate. With
--etcd the votes of 100 clusters are kept by three etcd members on this machine, too.
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
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# The package `arbiter` is meant, not this file.
sys.path[:] = [*(place for place in sys.path if Path(place).resolve() != HERE), str(HERE)]

from streams import Stream, call  # noqa: E402

from arbiter.authority import certify, key_print, serial_of  # noqa: E402
from arbiter.registry import Registry  # noqa: E402
from hamgr.core.electorate import Electorate, Electorates  # noqa: E402
from hamgr.core.messages import ArbiterReport, ClusterState, Packet, RosterEntry, Stamp, Standing  # noqa: E402
from hamgr.links.arbiter import ARBITER, CLUSTER, LINK  # noqa: E402
from hamgr.links.codec import Codec  # noqa: E402
from hamgr.links.identity import ARBITER_NAME  # noqa: E402
from hamgr.links.issuing import new_secret, private_pem, public_pem  # noqa: E402
from hamgr.links.keyfile import write_key_file  # noqa: E402
from hamgr.links.keys import load_keys  # noqa: E402
from hamgr.links.seal import Key  # noqa: E402
from hamgr.links.stream import REDIAL  # noqa: E402

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

PATIENCE = 60.0
"""Seconds for an answer."""

EPOCH = 4
SESSION = "/hamgr.v1.Arbiter/Session"


@dataclass(frozen=True, slots=True)
class Pass:
    """What the nodes of one cluster show. certificates: a directory with NODE.pem and authorities.pem."""

    keys: dict[int, Key]
    certificates: Path | None = None

    def tls(self, node: str) -> ssl.SSLContext | None:
        if self.certificates is None:
            return None
        context = ssl.create_default_context(cafile=self.certificates.parent / "authorities.pem")
        context.load_cert_chain(self.certificates / f"{node}.pem")
        context.set_alpn_protocols(["h2"])
        return context


def state_of(cluster: str) -> ClusterState:
    """Of a cluster that works: both nodes are members, one leads, and an operator has moved a group."""
    roster = tuple(RosterEntry(node, 1_000_000 + rank, Standing.MEMBER) for rank, node in enumerate(NODES))
    voters = Electorates(Electorate(dict.fromkeys(NODES, 1)))
    return ClusterState(Stamp(EPOCH, 7), NODES[0], roster, ((f"web-{cluster}", NODES[1]),), electorates=voters)


class Node:
    """One node of one cluster, with a connection of its own."""

    def __init__(self, codec: Codec, node: str, state: ClusterState) -> None:
        self._codec = codec
        self._node = node
        self._state = state
        self._stream: Stream | None = None
        self._arbiter_life = 0
        self._number = 0
        self.epoch = EPOCH
        self._asked: tuple[ArbiterReport, asyncio.Future[None]] | None = None

    async def connect(self, target: str, tls: ssl.SSLContext | None) -> None:
        cluster = () if tls else ((CLUSTER, self._codec.cluster),)
        name = ARBITER_NAME if tls else ""
        self._stream = await call(target, SESSION, cluster, self._take, tls, name)
        await self.ask()

    async def ask(self, claim: int = 0) -> float:
        """Seconds until the answer to a report; to a claim: until the answer that tells the vote."""
        assert self._stream is not None
        began = time.perf_counter()
        self._number += 1
        report = ArbiterReport(
            self._number,
            self.epoch,
            "" if claim else NODES[0],
            claim=claim,
            alive=(self._node,) if claim else NODES,
            state=self._state,
            nodes=NODES,
            settle=0.0,
        )
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked = (report, answered)
        self._send(report)
        ends = {answered, self._stream.ended}
        done, _ = await asyncio.wait(ends, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if answered not in done:
            why = self._stream.ended.result() if done else f"no answer in {PATIENCE:g} s"
            raise ConnectionError(f"{self._node} of {self._codec.cluster}: {why}")
        return time.perf_counter() - began

    def _send(self, report: ArbiterReport) -> None:
        assert self._stream is not None
        packet = Packet(self._node, self._codec.incarnation, ARBITER, self._arbiter_life, report)
        self._stream.send(self._codec.seal(LINK, packet))

    def _take(self, data: bytes) -> None:
        found = self._codec.open(LINK, data)
        answer: Any = found.body
        assert self._asked is not None
        report, answered = self._asked
        if found.incarnation != self._arbiter_life:
            self._arbiter_life = found.incarnation
            self._send(report)
        elif answer.echo_us == report.sent_us and report.claim in (0, answer.vote_epoch) and not answered.done():
            answered.set_result(None)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


class Loader:
    """The nodes of some clusters, in a process of its own."""

    def __init__(self, target: str, clusters: Mapping[str, Pass]) -> None:
        self._target = target
        self._clusters = clusters
        self.nodes: dict[str, list[Node]] = {}

    async def connect(self) -> None:
        gate = asyncio.Semaphore(CONNECTING)

        async def one(cluster: str, name: str) -> Node:
            shown = self._clusters[cluster]
            async with gate:
                while True:
                    codec = Codec(cluster, name, shown.keys, 1, secrets.randbits(63) | 1)
                    node = Node(codec, name, state_of(cluster))
                    try:
                        await node.connect(self._target, shown.tls(name))
                    except (OSError, ssl.SSLError):
                        node.close()
                        await asyncio.sleep(REDIAL)
                    else:
                        return node

        wanted = [(cluster, node) for cluster in self._clusters for node in NODES]
        for (cluster, _node), node in zip(wanted, await asyncio.gather(*(one(*w) for w in wanted)), strict=True):
            self.nodes.setdefault(cluster, []).append(node)

    async def steady(self, seconds: float) -> list[float]:
        """Each node once a second, spread evenly."""
        everybody = [node for pair in self.nodes.values() for node in pair]
        found: list[float] = []
        begin = time.perf_counter() + 0.1

        async def keep_on(node: Node, turn: float) -> None:
            due = begin + turn
            while due < begin + seconds:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                found.append(await node.ask())
                due += 1.0

        await asyncio.gather(*(keep_on(one, at / len(everybody)) for at, one in enumerate(everybody)))
        return found

    async def votes(self, clusters: list[str], within: float) -> list[float]:
        """The first nodes of these clusters claim a new epoch, within so many seconds."""
        nodes = [self.nodes[cluster][0] for cluster in clusters if cluster in self.nodes]

        async def claim(node: Node, after: float) -> float:
            await asyncio.sleep(after)
            node.epoch += 1
            return await node.ask(claim=node.epoch)

        spread = within / max(1, len(nodes))
        return list(await asyncio.gather(*(claim(one, at * spread) for at, one in enumerate(nodes))))

    async def close(self) -> None:
        for pair in self.nodes.values():
            for node in pair:
                node.close()


def load(pipe: Connection, target: str, clusters: dict[str, Pass]) -> None:
    """A load process: does what the pipe says, and tells what it measured."""

    async def serve() -> None:
        loader = Loader(target, clusters)
        while (order := await asyncio.to_thread(pipe.recv)) is not None:
            verb, *rest = order
            began = time.perf_counter()
            done = await getattr(loader, verb)(*rest)
            pipe.send((done, time.perf_counter() - began))
        await loader.close()

    asyncio.run(serve())


class Loaders:
    def __init__(self, target: str, clusters: dict[str, Pass]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for number in range(LOADERS):
            ours, theirs = context.Pipe()
            share = dict(list(clusters.items())[number::LOADERS])
            process = context.Process(target=load, args=(theirs, target, share), daemon=True)
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
def arbiter(directory: Path, names: list[str], tls: bool, more: str = "") -> Iterator[tuple[str, dict[str, Pass], int]]:
    """A real process that serves these clusters: its address, what their nodes show, and its process id."""
    config, port, state = directory / "arbiter.toml", free_port(), directory / "state"
    lines = [f'state_dir = "{state}"', f'join_listen = "127.0.0.1:{free_port()}"']
    if tls:
        clusters = enrolled(state, names)
        lines += [f'tls_listen = "127.0.0.1:{port}"', more]
    else:
        key = directory / "cluster.key"
        write_key_file(key)
        clusters = dict.fromkeys(names, Pass(dict(load_keys(key).keys)))
        lines += [f'listen = "127.0.0.1:{port}"', f'tls_listen = "127.0.0.1:{free_port()}"', more]
        lines += [line for cluster in names for line in (f"[cluster.{cluster}]", f'key_file = "{key}"')]
    config.write_text("\n".join(lines))
    command = [str(Path(sys.executable).with_name("hamgr-arbiter")), "--config", str(config)]
    log = (directory / "log").open("w")
    with subprocess.Popen(command, stderr=log) as process:
        try:
            while "ready on" not in (directory / "log").read_text():
                assert process.poll() is None, (directory / "log").read_text()
                time.sleep(0.05)
            yield f"127.0.0.1:{port}", clusters, process.pid
        finally:
            process.terminate()


def enrolled(state: Path, names: list[str]) -> dict[str, Pass]:
    """Enrol the clusters as so many joins would have done, but in one piece. All nodes use one key, to save time."""
    state.mkdir()
    registry = Registry(state)
    authority = registry.ensure_authority()
    tables, secret, now = registry.dump(), new_secret(), time.time()
    directory = state.with_name("identities")
    directory.mkdir()
    (directory / "authorities.pem").write_text(authority.certificate)
    found: dict[str, Pass] = {}
    for name in names:
        seal = secrets.token_bytes(32)
        tables["clusters"].append([name, seal.hex(), now])
        (directory / name).mkdir()
        for node in NODES:
            made = certify(authority, secret.public_key(), name, node, timedelta(days=1))
            (directory / name / f"{node}.pem").write_bytes(private_pem(secret) + public_pem(made))
            numbers = [authority.number, authority.number, now, now + 86400]
            tables["certificates"].append(
                [serial_of(made), name, node, *numbers, key_print(secret.public_key()), "", ""]
            )
        found[name] = Pass({1: Key(seal)}, directory / name)
    registry.refill(tables)
    registry.close()
    return found


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


def measure(directory: Path, count: int, seconds: float, tls: bool = False, more: str = "") -> dict[str, float]:
    directory.mkdir()
    names = [f"c{number}" for number in range(count)]
    found: dict[str, float] = {}
    with arbiter(directory, names, tls, more) as (target, clusters, pid):
        loaders = Loaders(target, clusters)
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
                some = names[turn * AT_ONCE % count :][:AT_ONCE]
                votes += loaders.do("votes", some, 0.0)[0]
            found["100 votes at once, p50"] = percentile(votes, 0.5)
            found["100 votes at once, p99"] = percentile(votes, 0.99)
            began = time.perf_counter()
            mass, _ = loaders.do("votes", names, 1.0)
            assert len(mass) == count
            found["all clusters within 1 s, last answer"] = (time.perf_counter() - began) * 1000
        finally:
            loaders.close()
    return found


def with_etcd(directory: Path, seconds: float) -> dict[str, float]:
    """The votes alone, of as many clusters as vote at once."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from etcds import etcd

    with etcd(directory / "etcd", 3) as members:
        endpoints = ", ".join(f'"{endpoint}"' for endpoint in members.endpoints)
        more = f'store = "etcd"\n[etcd]\nendpoints = [{endpoints}]'
        measured = measure(directory / "arbiter", AT_ONCE, seconds, more=more)
    return {f"etcd: {name}": value for name, value in measured.items() if "within" not in name}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the steady load (%(default)s)")
    parser.add_argument("--tls", action="store_true", help="enrolled clusters, each node with a certificate")
    parser.add_argument("--etcd", action="store_true", help="measure the etcd store, too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hamgr-bench-")))
        found = measure(directory / "sqlite", options.clusters, options.seconds, options.tls)
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
