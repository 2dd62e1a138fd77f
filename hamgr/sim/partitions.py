"""Every way in which the nodes of a small cluster can fail to hear each other: who goes on, and does it last?

A case is a set of directed cuts that come at once and stay. Two nodes are *linked* when both directions work. Nodes
that are fenced come back after a while, behind the same cuts. What must come of it:

- if some nodes that are all linked to each other are a quorum, every group runs within such a set, the coordinator too;
- else, if some node is linked to as many as make a quorum, every group runs on it or on one of those;
- else nothing runs;
- after that nothing more happens: no fencing, no new coordinator, no start or stop. (A part that the arbiter could make
  a quorum goes on asking it, in vain.)
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hamgr.core.cluster import Algorithm, ClusterSpec, GroupSpec, LinkSpec, NodeSpec, Timing
from hamgr.core.effects import Kind
from hamgr.sim.conditions import Conditions
from hamgr.sim.faults import Fault
from hamgr.sim.invariants import Violation
from hamgr.sim.shape import NAMES
from hamgr.sim.trace import Trace
from hamgr.sim.world import World

TIMING = Timing(keepalive=1.0, warntime=2.0, deadtime=3.0, initdead=6.0, lease=6.5, settle=0.5)

CUT_AT = 9.0
"""Seconds: by then everything runs."""

SETTLED_AFTER = 16 * TIMING.deadtime
"""Seconds from the cuts until all must be as it shall be."""

LASTS = 8 * TIMING.deadtime
"""Seconds for which it must stay so."""

WEATHER = Conditions(repower=(4.0, 4.0))

LINKS = (LinkSpec("link1"),)

NEWS = (Kind.FENCE_ASKED, Kind.COORDINATOR, Kind.GROUP_STARTING, Kind.GROUP_STOPPING)
"""What must not be announced anymore once all is settled."""

FEWEST, MANY = 3, 5
"""Nodes: of two nothing can be partial, and from so many on not every direction is cut alone."""

Cuts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """cuts: (sender, receiver), nothing goes through from the one to the other. many: the arbiter has many votes
    (`Algorithm.LAST_MAN_STANDING`): any node is a quorum with it, and one of the largest sets must go on."""

    nodes: int
    arbiter: bool
    cuts: Cuts
    many: bool = False

    @property
    def cluster(self) -> str:
        arbiter = " and the arbiter" if self.arbiter else ""
        return f"{self.nodes} nodes{arbiter}{' with many votes' if self.many else ''}"

    def __str__(self) -> str:
        cuts = " ".join(f"{sender}->{to}" for sender, to in self.cuts) or "none"
        return f"{self.cluster}, cuts: {cuts}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """wrong: what did not come as it must, in a sentence; "" if all did. settled: seconds from the cuts to the last
    news. fenced: how many machines."""

    case: Case
    wrong: str
    settled: int = 0
    fenced: int = 0


# -- the cases ----------------------------------------------------------------------------------------------------


def every_directed(nodes: int, arbiter: bool) -> Iterator[Case]:
    """Every subset of the directed links: 2^6 for three nodes, 2^12 for four."""
    ways = list(itertools.permutations(NAMES[:nodes], 2))
    for mask in range(1 << len(ways)):
        yield Case(nodes, arbiter, tuple(way for index, way in enumerate(ways) if mask >> index & 1))


def every_symmetric(nodes: int, arbiter: bool) -> Iterator[Case]:
    """Every subset of the pairs, both directions of each: 2^10 for five nodes."""
    pairs = list(itertools.combinations(NAMES[:nodes], 2))
    for mask in range(1 << len(pairs)):
        cut = [pair for index, pair in enumerate(pairs) if mask >> index & 1]
        yield Case(nodes, arbiter, tuple(way for one, other in cut for way in ((one, other), (other, one))))


def all_cases(nodes: int, arbiter: bool) -> Iterator[Case]:
    """Every way that it pays to try."""
    return every_directed(nodes, arbiter) if nodes < MANY else every_symmetric(nodes, arbiter)


def some_directed(nodes: int, arbiter: bool, count: int, seed: int) -> Iterator[Case]:
    """So many by chance, with few cuts and with many."""
    rng = random.Random(f"{seed}/{nodes}/{arbiter}")
    ways = list(itertools.permutations(NAMES[:nodes], 2))
    for _ in range(count):
        share = rng.random()
        yield Case(nodes, arbiter, tuple(way for way in ways if rng.random() < share))


# -- what must come of one ----------------------------------------------------------------------------------------


def spec_of(case: Case) -> ClusterSpec:
    """As many groups as nodes; each prefers another one, so that every node that may run something does."""
    names = NAMES[: case.nodes]
    return ClusterSpec(
        "partitions",
        tuple(NodeSpec(name) for name in names),
        tuple(
            GroupSpec(f"g{turn}", nodes=(*names[turn:], *names[:turn]), start_timeout=2.0, stop_timeout=2.0)
            for turn in range(case.nodes)
        ),
        TIMING,
        LINKS,
        arbiter=case.arbiter,
        algorithm=Algorithm.LAST_MAN_STANDING if case.many else Algorithm.FFSPLIT,
    )


def linked(case: Case, some: Iterable[str]) -> bool:
    """All of these hear each other."""
    return not any(way in case.cuts for way in itertools.permutations(some, 2))


def _wrong(case: Case, world: World) -> str:
    spec = world.spec
    needed = spec.electorate.majority - spec.electorate.arbiter
    names = spec.names
    owners = {group.name: world.checker.owners(group.name) for group in spec.groups}
    told = "; ".join(f"{group} on {' and '.join(on) or 'no node'}" for group, on in owners.items())
    whole = any(linked(case, some) for some in itertools.combinations(names, needed))
    star = any(sum(linked(case, {centre, name}) for name in names) >= needed for centre in names)
    leaders = [
        name
        for name, machine in world.machines.items()
        if (process := machine.process) is not None
        and process.node.quorate(machine.local_now())
        and process.node.coordinator is not None
    ]
    if not star:
        return f"nobody can be a quorum, and {told}" if any(owners.values()) else ""
    if len(leaders) != 1:
        return f"coordinators with a quorum: {', '.join(leaders) or 'none'}; {told}"
    if any(len(on) != 1 for on in owners.values()):
        return told
    runs = {leaders[0], *(on[0] for on in owners.values())}
    if whole and not linked(case, runs):
        return f"{leaders[0]} leads, {told}: not all of them hear each other"
    sizes = range(1, len(names) + 1)
    largest = max(size for size in sizes if any(linked(case, some) for some in itertools.combinations(names, size)))
    if case.many and len(runs) < largest:
        return f"{told}: {largest} nodes hear each other"
    if not all(linked(case, {leaders[0], name}) for name in runs):
        return f"{leaders[0]} leads, and does not hear all of: {told}"
    return ""


def _news(world: World) -> int:
    return sum(world.trace.counts[kind.value] for kind in NEWS)


def judge(case: Case, show: bool = False) -> Verdict:
    """Let it happen, and see what came of it."""
    spec = spec_of(case)
    world = World(spec, WEATHER, 1, Trace(print if show else None))
    second = last = 0
    try:
        world.begin([Fault(CUT_AT, ("cut", f"{sender}->{to}")) for sender, to in case.cuts], spec.names)
        world.engine.run_until(CUT_AT)
        news = _news(world)
        while second < last + LASTS and last <= SETTLED_AFTER:
            second += 1
            world.engine.run_until(CUT_AT + second)
            if _news(world) != news:
                news, last = _news(world), second
    except Violation as violation:
        return Verdict(case, f"{violation.name}: {violation}")
    fenced = world.trace.counts["fenced"]
    wrong = _wrong(case, world)
    if last > SETTLED_AFTER:
        wrong = f"it does not come to rest: {last} s after the cuts something was still done"
    return Verdict(case, wrong, last, fenced)
