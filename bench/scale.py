"""What a cluster costs by its number of nodes: real daemons in the lab, and the simulator.

    python bench/scale.py [--nodes 2,4,8,16] [--runs 3] [--keepalive 200ms] [--deadtime 2] [--json]

In the lab, with one UDP link and no arbiter beyond two nodes: the CPU time of a node's hamgrd while nothing happens, in
milliseconds a second; memory; and how long the cluster needs from a node's power-off until its group is started
elsewhere, minus deadtime. In the simulator: events and simulated seconds a second, also of 32 nodes, which no
configuration may have. All daemons share this machine's cores: where their sum comes near these, take the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from hamgr.core.cluster import ClusterSpec, GroupSpec, NodeSpec, Timing
from hamgr.lab.lab import Lab
from hamgr.lab.plan import Fencing, Options

WINDOW = 20.0
SIMULATED = 60.0


@dataclass(frozen=True)
class Scale:
    """cpu_ms: of one node, a second. failover: seconds beyond deadtime."""

    nodes: int
    cpu_ms: float
    memory_mb: float
    failover: tuple[float, ...]
    up: float


def options(nodes: int, keepalive: str, deadtime: float) -> Options:
    return Options(
        nodes=nodes,
        keepalive=keepalive,
        warntime=f"{deadtime / 2:g}s",
        deadtime=f"{deadtime:g}s",
        lease=f"{3 * deadtime:g}s",
        initdead="10s",
        fencing=Fencing.NULL,
        arbiter=nodes == 2,
        links=("ha",),
        fence_check_interval="0",
    )


def _stat(lab: Lab, node: str) -> tuple[float, float]:
    """CPU seconds and megabytes of a node's hamgrd."""
    pid = lab.layout.daemon_pid(node).read_text().strip()
    found = lab.node(node).exec(["cat", f"/proc/{pid}/stat"], timeout=120).stdout.rsplit(")", 1)[1].split()
    ticks, pages = int(found[11]) + int(found[12]), int(found[21])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _online(lab: Lab, node: str) -> int:
    return sum(1 for found in lab.status(node)["nodes"] if found["state"] in ("online", "self"))


def measure(nodes: int, runs: int, keepalive: str, deadtime: float) -> Scale:
    began = time.monotonic()
    with Lab(options(nodes, keepalive, deadtime)) as lab:
        names = lab.options.node_names
        lab.wait(lambda: _online(lab, "b") == nodes, 120, "all to be heard")
        lab.wait_for_owner("a", 60)
        up = time.monotonic() - began
        time.sleep(3)
        before = {name: _stat(lab, name) for name in names}
        since = time.monotonic()
        time.sleep(WINDOW)
        window = time.monotonic() - since
        after = {name: _stat(lab, name) for name in names}
        cpu = [1000 * (after[name][0] - before[name][0]) / window for name in names]
        failover = []
        for _ in range(runs):
            with lab.watch_vip() as prober:
                prober.wait_for_answer("a")
                lost = time.monotonic()
                lab.node("a").power_off()
                prober.wait_for_answer("b", 60)
                failover.append(time.monotonic() - lost - deadtime)
            lab.node("a").power_on()
            lab.wait_for_owner("a", 60)
            lab.wait(lambda: _online(lab, "b") == nodes, 60, "all to be heard")
            time.sleep(2)
        return Scale(
            nodes,
            round(statistics.median(cpu), 1),
            round(max(memory for _, memory in after.values()), 1),
            tuple(round(value, 3) for value in failover),
            round(up, 1),
        )


def simulate(nodes: int) -> tuple[float, float]:
    """Events and simulated seconds, a second."""
    # The package `arbiter` is meant, not bench/arbiter.py beside this file.
    sys.path[:] = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]
    from hamgr.sim.conditions import CALM
    from hamgr.sim.shape import LINKS
    from hamgr.sim.world import World

    names = [f"n{number:02}" for number in range(nodes)]
    timing = Timing(keepalive=1.0, warntime=2.5, deadtime=4.0, initdead=8.0, lease=12.0, settle=1.0)
    groups = tuple(GroupSpec(f"g{number}") for number in range(3))
    spec = ClusterSpec("scale", tuple(NodeSpec(name) for name in names), groups, timing, LINKS, two_node=nodes == 2)
    world = World(spec, CALM, 1)
    world.begin((), names)
    began = time.process_time()
    world.engine.run_until(SIMULATED / 2)
    world.machines[names[0]].power_off("bench")
    world.engine.run_until(SIMULATED)
    took = time.process_time() - began
    assert all(len(world.checker.owners(group.name)) == 1 for group in groups)
    return world.engine.handled / took, SIMULATED / took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="2,4,8,16")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keepalive", default="200ms")
    parser.add_argument("--deadtime", type=float, default=2.0, metavar="S")
    parser.add_argument("--simulate", default="2,4,8,16,32")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = []
    for nodes in filter(None, given.nodes.split(",")):
        scale = measure(int(nodes), given.runs, given.keepalive, given.deadtime)
        found.append(scale)
        if not given.json:
            worst = max(scale.failover, default=0.0)
            print(
                f"{scale.nodes:2} nodes: {scale.cpu_ms:6.1f} ms CPU a second and node, {scale.memory_mb:5.1f} MB,"
                f" failover {statistics.median(scale.failover or (0.0,)) * 1000:.0f} ms after deadtime"
                f" (worst {worst * 1000:.0f}), up in {scale.up} s",
                flush=True,
            )
    simulated = {}
    for nodes in filter(None, given.simulate.split(",")):
        events, seconds = simulated[int(nodes)] = simulate(int(nodes))
        if not given.json:
            print(
                f"{int(nodes):2} nodes simulated: {events:,.0f} events a second, {seconds:,.1f} simulated s a s",
                flush=True,
            )
    if given.json:
        print(json.dumps({"lab": [asdict(scale) for scale in found], "simulator": simulated}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
