"""How long a client of nginx, and one of MariaDB on a shared disk, goes without: power-off, a killed server, standby.

    python bench/services.py [--runs 10] [--json]

Runs in the lab (see docs/lab.md) with deadtime 1 s and IPMI. A page is asked for every 20 ms over a connection of its
own; rows are committed one after another. An outage is the longest time between two good answers. When a server is
killed, it has the monitor's interval in it (1 s for nginx, which is started again where it was; 300 ms for MariaDB,
which moves), and InnoDB's recovery when MariaDB did not end by itself.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hamgr.lab.lab import Lab
from hamgr.lab.plan import VIP, Options
from hamgr.lab.watch import Prober

LAB_TESTS = Path(__file__).parents[1] / "tests" / "lab"
sys.path.insert(0, str(LAB_TESTS))

from servers import DATABASE, DATABASE_FILES  # noqa: E402 - where the lab's tests keep them

SETTLED = 1.0
"""Seconds between two faults: every window of the failure detector is filled again."""

ANSWERS = 20
"""Good answers from the new owner after which an outage is over."""

TIMING = {"keepalive": "200ms", "warntime": "500ms", "deadtime": "1s", "lease": "3s", "initdead": "3s"}


@dataclass(frozen=True)
class Service:
    """program: what is killed. moves: a killed one is started on the other node, and not again where it was."""

    name: str
    group: str
    kind: str
    program: str
    moves: bool
    options: Options
    clients: Callable[[Lab], Prober]


def pages(lab: Lab) -> Prober:
    return lab.watch_vip(url=f"http://{VIP}/")


def commits(lab: Lab) -> Prober:
    writer = [sys.executable, str(LAB_TESTS / "sql_writer.py"), VIP, str(lab.layout.directory / "journal")]
    return Prober([lab.client.command(writer)], lab.environment, 0.005)


SERVICES = (
    Service("nginx", "web", "http", "nginx", False, Options(**TIMING, service=True, auto_failback=False), pages),
    Service(
        "MariaDB",
        "db",
        "sql",
        "mariadbd",
        True,
        Options(**TIMING, groups=DATABASE, scripts=DATABASE_FILES, shared_disk="192M"),
        commits,
    ),
)


class Cluster:
    """A lab with one service, and who runs it."""

    def __init__(self, lab: Lab, service: Service) -> None:
        self.lab = lab
        self.service = service
        self.owner = "a"
        self.wait_until_it_runs("a")

    @property
    def other(self) -> str:
        return "b" if self.owner == "a" else "a"

    def wait_until_it_runs(self, node: str) -> None:
        def runs() -> bool:
            groups = {group["name"]: group for group in self.lab.status(node)["groups"]}
            found = groups[self.service.group]
            return (found["owner"], found["state"]) == (node, "started")

        self.lab.wait(runs, 60, f"{self.service.name} to run on {node}")

    def say(self, node: str, *words: str) -> None:
        command = ["hamgr", "--config", str(self.lab.layout.config), *words]
        self.lab.wait(lambda: self.lab.node(node).exec(command, check=False).returncode == 0, 30, " ".join(words))

    @contextmanager
    def outage(self, moves: bool, gaps: list[float]) -> Iterator[None]:
        """The longest gap that a client sees from the fault in the block to ANSWERS answers of who serves then."""
        time.sleep(SETTLED)
        expected = self.other if moves else self.owner
        with self.service.clients(self.lab) as prober:
            self._served(prober, self.owner, 0.0)
            began = time.monotonic()
            yield
            self._served(prober, expected, began)
        good = sorted(a.received for a in prober.answers() if a.kind == self.service.kind and a.received > began - 0.2)
        gaps.append(max(later - earlier for earlier, later in itertools.pairwise(good)))
        self.owner = expected
        self.wait_until_it_runs(expected)

    def _served(self, prober: Prober, node: str, since: float) -> None:
        def enough() -> bool:
            good = [a for a in prober.answers() if a.kind == self.service.kind and a.sent > since and a.node == node]
            return len(good) >= ANSWERS

        self.lab.wait(enough, 60, f"{node} to serve {self.service.name}")


def measure(service: Service, runs: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"power-off": [], "killed": [], "standby": []}
    with Lab(service.options) as lab:
        cluster = Cluster(lab, service)
        for _ in range(runs):
            lost = cluster.owner
            with cluster.outage(True, found["power-off"]):
                lab.node(lost).power_off()
            lab.node(lost).power_on()
            lab.wait(lambda lost=lost: lab.status(lost)["quorate"], 30, f"{lost} to be back")
            victim = cluster.owner
            with cluster.outage(service.moves, found["killed"]):
                lab.node(victim).exec(["pkill", "-9", service.program])
            cluster.say(victim, "cleanup", service.group)
            left = cluster.owner
            with cluster.outage(True, found["standby"]):
                cluster.say(left, "standby", left)
            cluster.say(left, "online", left)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print one JSON object with all figures")
    options = parser.parse_args()
    results = {}
    for service in SERVICES:
        for fault, gaps in measure(service, options.runs).items():
            results[f"{service.name}, {fault}"] = [round(gap * 1000, 1) for gap in gaps]
            if not options.json:
                told = f"median {statistics.median(gaps) * 1000:7.1f} ms worst {max(gaps) * 1000:7.1f} ms"
                print(f"{service.name:8} {fault:10} outage {told} of {len(gaps)}", flush=True)
    if options.json:
        print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
