"""`python -m hamgr.sim`: runs seeds, sums up, and shows and shrinks what fails."""

from __future__ import annotations

import argparse
import difflib
import gc
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from hamgr.core.cluster import MAX_NODES, ClusterSpec, GroupSpec, NodeSpec, Timing
from hamgr.sim.conditions import CALM
from hamgr.sim.faults import TimelineError
from hamgr.sim.partitions import FEWEST, Case, all_cases, judge, some_directed
from hamgr.sim.run import Outcome, Plan, plan, run
from hamgr.sim.scenario import CLUSTER, TIMELINE, Scenario, accept, cluster_tables, expected, play, read, timeline
from hamgr.sim.shape import LINKS, ShapeError, Wanted, spec_to_toml
from hamgr.sim.shrink import shrink
from hamgr.sim.trace import LAST
from hamgr.sim.world import World

VIOLATION = 1
BENCH_SECONDS = 1000.0
TOLD = 20
"""Failing seeds that are told one by one."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hamgr.sim",
        description="The deterministic simulator of hamgr: whole clusters with faults, and promises that are checked"
        " after every event. Ends with 1 if one is broken, and prints its seed and shortest timeline.",
        epilog="examples: --seeds 300 · --seed 17 --trace · --voters --seeds 100 · --partitions 4 ·"
        " --scenario tests/scenarios/takeover --trace (docs/simulator.md)",
    )
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="how many seeds to run (20)")
    parser.add_argument("--first", type=int, default=1, metavar="S", help="the first of them (1)")
    parser.add_argument("--seed", type=int, metavar="S", help="run this one only")
    parser.add_argument("--nodes", type=int, metavar="N", help="that many nodes (else: as the seed says)")
    parser.add_argument("--no-arbiter", action="store_true", help="never an arbiter")
    parser.add_argument("--arbiter", choices=("host", "disk"), help="always an arbiter, of this kind")
    parser.add_argument("--two-node", action="store_true", help="two nodes without an arbiter, fencing decides")
    parser.add_argument("--watchdog", action="store_true", help="nodes with watchdogs")
    parser.add_argument(
        "--voters", action="store_true", help="voters who come and go: last_man_standing, ties, rolling losses"
    )
    parser.add_argument(
        "--forgetful", action="store_true", help="voters who lose their record in the middle of an election, and apart"
    )
    parser.add_argument("--duration", type=float, metavar="S", help="seconds of faults in each run")
    parser.add_argument("--trace", action="store_true", help="print every event")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (2)")
    parser.add_argument("--no-shrink", action="store_true", help="don't look for the minimal timeline of a failure")
    parser.add_argument("--bench", action="store_true", help="measure the speed with three nodes and no faults")
    parser.add_argument(
        "--partitions",
        type=int,
        metavar="N",
        help="cut the links between N nodes in every way (from 5 on: both directions), with and without arbiter",
    )
    parser.add_argument("--sample", type=int, metavar="K", help="(--partitions) K ways by chance, of all directions")
    parser.add_argument(
        "--lms", action="store_true", help="(--partitions) with an arbiter that has many votes: last man standing"
    )
    parser.add_argument("--scenario", type=Path, nargs="+", metavar="FOLDER", help="play these scenarios instead")
    parser.add_argument("--accept", action="store_true", help="make what the scenarios show the expected log")
    return parser


class _Job:
    """Runs a seed in a worker process."""

    def __init__(self, wanted: Wanted, duration: float | None) -> None:
        self.wanted = wanted
        self.duration = duration

    def __call__(self, seed: int) -> Outcome:
        outcome = run(plan(seed, self.wanted, self.duration))
        gc.collect()
        return outcome


def _outcomes(job: _Job, seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    if jobs == 1:
        yield from map(job, seeds)
        return
    with multiprocessing.Pool(jobs, initializer=gc.disable) as pool:
        yield from pool.imap(job, seeds, chunksize=4)


def main(argv: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    if options.nodes is not None and not 2 <= options.nodes <= MAX_NODES:
        parser.error(f"--nodes {options.nodes}: allowed are 2 to {MAX_NODES}")
    if options.two_node and options.nodes not in (None, 2):
        parser.error(f"--two-node with --nodes {options.nodes}: it means exactly 2")
    if options.arbiter and (options.no_arbiter or options.two_node):
        parser.error(f"--arbiter {options.arbiter}: not with --no-arbiter or --two-node")
    for name in ("seeds", "jobs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: at least 1")
    if options.duration is not None and options.duration <= 0:
        parser.error(f"--duration {options.duration:g}: more than 0")
    if options.sample is not None and options.sample < 1:
        parser.error(f"--sample {options.sample}: at least 1")
    if options.lms and (options.partitions is None or options.no_arbiter):
        parser.error("--lms: only with --partitions, and not with --no-arbiter")
    if options.accept and not options.scenario:
        parser.error("--accept: only with --scenario")
    if options.scenario:
        try:
            scenarios = [read(folder) for folder in options.scenario]
        except (ShapeError, TimelineError) as error:
            parser.error(str(error))
        return max([_play(scenario, options.trace, options.accept) for scenario in scenarios])
    if options.bench:
        return _bench()
    if options.partitions is not None:
        if not FEWEST <= options.partitions <= MAX_NODES:
            parser.error(f"--partitions {options.partitions}: allowed are {FEWEST} to {MAX_NODES}")
        return _partitions(_cases(options.partitions, options), options.jobs)
    wanted = Wanted(
        nodes=options.nodes,
        arbiter=False if options.no_arbiter else True if options.arbiter else None,
        arbiter_on_disk=options.arbiter == "disk" if options.arbiter else None,
        two_node=True if options.two_node else None,
        watchdog=True if options.watchdog else None,
        voters=options.voters,
        forgetful=options.forgetful,
    )
    job = _Job(wanted, options.duration)
    if options.seed is not None:
        return _one(job, options.seed, options.trace, not options.no_shrink)
    return _many(job, range(options.first, options.first + options.seeds), options.jobs, not options.no_shrink)


def _play(scenario: Scenario, trace: bool, accepts: bool) -> int:
    played = play(scenario, print if trace else None)
    name = scenario.path.name
    if played.failure:
        print("\n".join(played.log[-LAST:]))
        print(f"{name}: {played.failure}")
        return VIOLATION
    if accepts:
        accept(scenario, played)
    difference = list(difflib.unified_diff(expected(scenario), played.log, "expected", "played", lineterm="", n=2))
    print("\n".join([f"{name}: {'another log than expected' if difference else 'as expected'}", *difference]))
    return VIOLATION if difference else 0


def _cases(nodes: int, options: argparse.Namespace) -> Iterator[list[Case]]:
    """Those without an arbiter, and those with one."""
    for arbiter in (True,) if options.lms else (False,) if options.no_arbiter else (False, True):
        sample = options.sample
        some = all_cases(nodes, arbiter) if sample is None else some_directed(nodes, arbiter, sample, options.first)
        yield [replace(case, many=options.lms) for case in some]


def _partitions(runs: Iterable[list[Case]], jobs: int) -> int:
    wrong = 0
    for cases in runs:
        began = time.monotonic()
        with multiprocessing.Pool(jobs) as pool:
            verdicts = list(pool.imap(judge, cases, chunksize=4))
        bad = [verdict for verdict in verdicts if verdict.wrong]
        for verdict in bad[:TOLD]:
            print(f"{verdict.case}: {verdict.wrong}")
        wrong += len(bad)
        print(
            f"{cases[0].cluster}: {len(verdicts)} partitions, {len(bad)} wrong;"
            f" at rest after {max(verdict.settled for verdict in verdicts):g} s at most,"
            f" {max(verdict.fenced for verdict in verdicts)} machines fenced at most;"
            f" {time.monotonic() - began:.0f} s",
            flush=True,
        )
    return VIOLATION if wrong else 0


def _one(job: _Job, seed: int, trace: bool, shrinks: bool) -> int:
    what = plan(seed, job.wanted, job.duration)
    outcome = run(what, show=print if trace else None)
    _sum_up([outcome], 0.0)
    print(f"trace {outcome.trace_hash}")
    if outcome.failure is None:
        return 0
    _tell(what, outcome, shrinks)
    return VIOLATION


def _many(job: _Job, seeds: range, jobs: int, shrinks: bool) -> int:
    began = time.monotonic()
    outcomes = []
    failed = []
    for outcome in _outcomes(job, seeds, jobs):
        outcomes.append(outcome)
        if outcome.failure is not None:
            failed.append(outcome)
            if len(failed) <= TOLD:
                print(f"seed {outcome.seed}: {outcome.failure.name}: {outcome.failure.text}", flush=True)
    _sum_up(outcomes, time.monotonic() - began)
    if not failed:
        return 0
    first = failed[0]
    _tell(plan(first.seed, job.wanted, job.duration), first, shrinks)
    more = ", ..." if len(failed) > TOLD else ""
    names = ", ".join(str(outcome.seed) for outcome in failed[:TOLD])
    print(f"{len(failed)} of {len(outcomes)} seeds failed: {names}{more}")
    return VIOLATION


def _sum_up(outcomes: list[Outcome], took: float) -> None:
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts += outcome.counts
    simulated = sum(outcome.simulated for outcome in outcomes)
    faults = {name.removeprefix("fault "): n for name, n in sorted(counts.items()) if name.startswith("fault ")}
    speed = f", {simulated / took:.0f} a second" if took else ""
    print(f"{len(outcomes)} seeds, {simulated:.0f} simulated seconds{speed}")
    print("faults: " + (", ".join(f"{name} {n}" for name, n in faults.items()) or "none"))
    print(
        f"starts {sum(outcome.starts for outcome in outcomes)}, coordinators {counts['coordinator']},"
        f" fences asked {counts['fence-asked']}, confirmed {counts['fence-confirmed']},"
        f" machines fenced {counts['fenced']}, watchdog resets {counts['watchdog-reset']},"
        f" voters changed {counts['voters']}"
    )


def _tell(what: Plan, outcome: Outcome, shrinks: bool) -> None:
    failure = outcome.failure
    assert failure is not None
    print(f"\nseed {what.seed} breaks the invariant {failure.name} at {failure.at:.3f} s: {failure.text}")
    print("the last events:")
    for line in failure.last:
        print(f"  {line}")
    if not shrinks:
        return
    print("\nshrinking ...", flush=True)

    def fails(faults: object) -> bool:
        again = run(what, faults).failure  # type: ignore[arg-type]
        return again is not None and again.name == failure.name

    faults = shrink(what.faults, fails)
    print(f"{len(faults)} of {len(what.faults)} faults are enough. As a scenario, {CLUSTER}:\n")
    print(f"{spec_to_toml(what.spec)}\n\n{cluster_tables(what)}\n\nand {TIMELINE}:\n\n{timeline(what, faults)}")


def _bench() -> int:
    timing = Timing(keepalive=1.0, warntime=3.0, deadtime=5.0, initdead=10.0, lease=15.0)
    nodes = tuple(NodeSpec(name) for name in "abc")
    spec = ClusterSpec("bench", nodes, (GroupSpec("web"),), timing, LINKS)
    world = World(spec, CALM, 1)
    world.begin((), spec.names)
    began = time.perf_counter()
    world.engine.run_until(BENCH_SECONDS)
    took = time.perf_counter() - began
    print(
        f"three nodes, two links, keepalive 1 s, no faults: {BENCH_SECONDS / took:.0f} simulated seconds a second"
        f" ({world.engine.handled / took:.0f} events a second); goal: 300"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
