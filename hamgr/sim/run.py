"""One run of one seed: faults for a while, then peace, then every group must run on exactly one node."""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hamgr.core.cluster import ClusterSpec
from hamgr.sim.conditions import Conditions, random_conditions
from hamgr.sim.faults import Fault
from hamgr.sim.invariants import Violation
from hamgr.sim.peace import peace
from hamgr.sim.schedule import random_faults
from hamgr.sim.shape import Wanted, random_spec, with_placement, with_policy, with_voters, with_votes
from hamgr.sim.trace import Trace
from hamgr.sim.world import World

DURATION = 60.0
"""Seconds of faults in a run, unless told."""

ON_DISK = 0.35
"""The share of the arbiters that are disks."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that makes a run, drawn from its seed."""

    seed: int
    spec: ClusterSpec
    conditions: Conditions
    faults: tuple[Fault, ...]
    started: tuple[str, ...]
    duration: float
    arbiter_on_disk: bool = False


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
    spec = with_policy(random.Random(f"{seed}/policy"), random_spec(rng, wanted))
    spec = with_votes(random.Random(f"{seed}/votes"), spec)
    spec = with_placement(random.Random(f"{seed}/placement"), spec)
    spec = with_voters(random.Random(f"{seed}/voters"), spec, wanted.voters)
    conditions = random_conditions(rng)
    long = 2.0 if wanted.voters or wanted.forgetful else 1.0
    length = duration or DURATION * (0.5 if len(spec.nodes) > 5 else 1.0) * long
    started = spec.names
    if rng.random() < 0.15:
        started = tuple(name for name in spec.names if rng.random() < 0.6) or spec.names[:1]
    faults = tuple(random_faults(rng, spec, length, wanted))
    on_disk = random.Random(f"{seed}/arbiter kind").random() < ON_DISK
    if wanted.arbiter_on_disk is not None:
        on_disk = wanted.arbiter_on_disk
    return Plan(seed, spec, conditions, faults, started, length, spec.arbiter and on_disk)


def run(what: Plan, faults: Sequence[Fault] | None = None, show: Callable[[str], None] | None = None) -> Outcome:
    """Run it, with other faults than its own if some are given."""
    trace = Trace(show)
    world = World(what.spec, what.conditions, what.seed, trace, what.arbiter_on_disk)
    failure = None
    try:
        world.begin(what.faults if faults is None else faults, what.started)
        world.engine.run_until(what.duration)
        peace(world)
    except Violation as violation:
        failure = Failure(violation.name, str(violation), world.engine.now, tuple(trace.last))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno} {where.name})"
        failure = Failure("exception", text, world.engine.now, tuple(trace.last))
    return Outcome(what.seed, failure, world.engine.now, trace.hexdigest(), trace.counts, world.checker.starts)
