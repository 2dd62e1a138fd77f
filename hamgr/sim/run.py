"""One run of one seed: faults for a while, then peace, then every group must run on exactly one node."""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hamgr.core.cluster import ClusterSpec, GroupState
from hamgr.core.events import Verb
from hamgr.core.placement import candidates_of
from hamgr.sim.conditions import CALM, Conditions, random_conditions
from hamgr.sim.faults import Fault
from hamgr.sim.invariants import Violation
from hamgr.sim.schedule import random_faults
from hamgr.sim.shape import Wanted, random_spec
from hamgr.sim.trace import Trace
from hamgr.sim.world import World

DURATION = 60.0
"""Seconds of faults in a run, unless told."""

STEADY = 3.0
"""Seconds for which everything must run before the run counts as well ended."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that makes a run, drawn from its seed."""

    seed: int
    spec: ClusterSpec
    conditions: Conditions
    faults: tuple[Fault, ...]
    started: tuple[str, ...]
    duration: float


@dataclass(frozen=True, slots=True)
class Failure:
    name: str
    text: str
    at: float
    last: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """simulated: seconds of virtual time. counts: announcements by kind, faults by verb ("fault ...")."""

    seed: int
    failure: Failure | None
    simulated: float
    trace_hash: str
    counts: Counter[str] = field(default_factory=Counter)
    starts: int = 0


def plan(seed: int, wanted: Wanted, duration: float | None = None) -> Plan:
    """Draw a run from its seed."""
    rng = random.Random(f"{seed}/plan")
    spec = random_spec(rng, wanted)
    conditions = random_conditions(rng)
    length = duration or DURATION * (0.5 if len(spec.nodes) > 5 else 1.0)
    started = spec.names
    if rng.random() < 0.15:
        started = tuple(name for name in spec.names if rng.random() < 0.6) or spec.names[:1]
    return Plan(seed, spec, conditions, tuple(random_faults(rng, spec, length)), started, length)


def run(what: Plan, faults: Sequence[Fault] | None = None, show: Callable[[str], None] | None = None) -> Outcome:
    """Run it, with other faults than its own if some are given."""
    trace = Trace(show)
    world = World(what.spec, what.conditions, what.seed, trace)
    failure = None
    try:
        world.begin(what.faults if faults is None else faults, what.started)
        world.engine.run_until(what.duration)
        _peace(world)
    except Violation as violation:
        failure = Failure(violation.name, str(violation), world.engine.now, tuple(trace.last))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno} {where.name})"
        failure = Failure("exception", text, world.engine.now, tuple(trace.last))
    return Outcome(
        what.seed, failure, world.engine.now, trace.hexdigest(), trace.counts, world.checker.starts
    )


def liveness_bound(spec: ClusterSpec) -> float:
    """Seconds of peace after which everything must run: generously, all that may have to come one after another."""
    timing = spec.timing
    stops = sum(group.stop_timeout + group.start_timeout for group in spec.groups)
    watchdogs = max((node.watchdog_timeout or 0.0 for node in spec.nodes), default=0.0)
    turns = 2 * len(spec.nodes) * timing.keepalive
    return 60.0 + timing.initdead + 3 * timing.lease + 3 * timing.deadtime + 2 * stops + watchdogs + 2 * turns


def _peace(world: World) -> None:
    world.repair(CALM)
    bound = world.engine.now + liveness_bound(world.spec)
    next_words = world.engine.now
    steady_since = None
    while world.engine.now < bound:
        world.engine.run_until(world.engine.now + 1.0)
        if world.engine.now >= next_words:
            next_words = world.engine.now + 10.0
            world.tend()
            _encourage(world)
        if _not_running(world):
            steady_since = None
        elif steady_since is None:
            steady_since = world.engine.now
        elif world.engine.now >= steady_since + STEADY:
            return
    missing = "; ".join(_not_running(world)) or "it does not stay so"
    raise Violation("liveness", f"{liveness_bound(world.spec):g} s after the last fault: {missing}")


def _encourage(world: World) -> None:
    """The operators take back what keeps groups from running."""
    for name, machine in world.machines.items():
        process = machine.process
        if process is None:
            continue
        if process.node.standby:
            world.operators.ask(Verb.ONLINE, name)
        member = process.node.member
        if member.stop_failed or any(group.barred for group in member.groups.values()):
            world.operators.ask(Verb.CLEANUP, name)


def _not_running(world: World) -> list[str]:
    """What is not as it should be, in sentences."""
    found = []
    for name, machine in world.machines.items():
        if machine.process is None:
            found.append(f"{name} has no daemon")
        elif not machine.process.node.election.following:
            found.append(f"{name} follows no coordinator")
    for group in world.spec.groups:
        owners = world.checker.owners(group.name)
        if len(owners) != 1 or owners[0] not in candidates_of(world.spec, group):
            found.append(f"{group.name} is active on {' and '.join(owners) or 'no node'}")
            continue
        process = world.machines[owners[0]].process
        if process is not None and process.node.member.groups[group.name].state is not GroupState.STARTED:
            found.append(f"{group.name} is not started on {owners[0]}")
    return found
