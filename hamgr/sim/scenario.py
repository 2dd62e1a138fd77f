"""A case without code: a folder with a cluster, a timeline of faults and expectations, and the log expected of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hamgr.core.cluster import ClusterSpec
from hamgr.sim import faults
from hamgr.sim.conditions import CALM, Conditions
from hamgr.sim.faults import ARBITER, USAGE, Fault, TimelineError
from hamgr.sim.invariants import Violation
from hamgr.sim.peace import peace
from hamgr.sim.power import FenceMode
from hamgr.sim.run import Plan
from hamgr.sim.shape import known_table, read_spec
from hamgr.sim.trace import Trace
from hamgr.sim.world import World

CLUSTER, TIMELINE, EXPECTED = "cluster.toml", "timeline.txt", "expected.txt"

ASKS = {
    "absent": "absent NODE",
    "expect": "expect GROUP|coordinator|fenced|off NODE|none",
    "peace": "peace",
}
"""What a timeline says besides the faults: a node that is not started at 0 s; what must be the case; and, at the very
end, that all faults are over and everything has to run within the bound."""

PEACE = ("peace",)

_TIME = re.compile(r"\d+(\.\d+)?s")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the timeline. number: in its file, from 1. at: seconds."""

    number: int
    at: float
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """seed: of the generators (in calm weather it changes next to nothing). started: the nodes that run from 0 s on."""

    path: Path
    spec: ClusterSpec
    conditions: Conditions
    seed: int
    started: tuple[str, ...]
    lines: tuple[Line, ...]
    arbiter_on_disk: bool = False


@dataclass(frozen=True, slots=True)
class Played:
    """log: what happened, a line an event. failure: the expectation or invariant that did not hold, "" if none."""

    log: tuple[str, ...]
    failure: str


# -- reading ------------------------------------------------------------------------------------------------------


def read(path: Path) -> Scenario:
    """Raises ShapeError, TimelineError."""
    cluster = path / CLUSTER
    spec, run, conditions = read_spec(cluster)
    known_table(f"{cluster}: [run]", run, {"seed", "arbiter_on_disk"})
    known_table(f"{cluster}: [conditions]", conditions, {field.name for field in dataclasses.fields(Conditions)})
    weather: dict[str, Any] = {
        key: tuple(found) if isinstance(found, list) else found for key, found in conditions.items()
    }
    lines = _read_timeline(path / TIMELINE, spec)
    absent = {line.words[1] for line in lines if line.words[0] == "absent"}
    return Scenario(
        path,
        spec,
        dataclasses.replace(CALM, **weather),
        run.get("seed", 1),
        tuple(name for name in spec.names if name not in absent),
        tuple(line for line in lines if line.words[0] != "absent"),
        run.get("arbiter_on_disk", False),
    )


def _read_timeline(path: Path, spec: ClusterSpec) -> tuple[Line, ...]:
    try:
        text = path.read_text()
    except OSError as error:
        raise TimelineError(f"{path}: {error.strerror}") from error
    found: list[Line] = []
    at = 0.0
    for number, written in enumerate(text.splitlines(), 1):
        words = tuple(written.split("#")[0].split())
        if words and _TIME.fullmatch(words[0]):
            time, words = float(words[0].removesuffix("s")), words[1:]
            if time < at:
                raise TimelineError(f"{path}:{number}: {time:g} s is before the line above it, {at:g} s")
            at = time
        if not words:
            continue
        if found and found[-1].words == PEACE:
            raise TimelineError(f"{path}:{number}: {' '.join(words)}: nothing comes after peace")
        wrong = _wrong(words, spec)
        if wrong:
            raise TimelineError(f"{path}:{number}: {' '.join(words)}: {wrong}")
        found.append(Line(number, at, words))
    return tuple(found)


def _wrong(words: tuple[str, ...], spec: ClusterSpec) -> str:
    """What is wrong with these words, in a sentence; "" if nothing is."""
    verb, *rest = words
    usage = USAGE.get(verb) or ASKS.get(verb)
    if usage is None:
        return f"unknown; allowed are {', '.join(sorted({*USAGE, *ASKS}))}"
    allowed = f"allowed is {usage}, with the nodes {', '.join(spec.names)}"
    for place in usage.split()[1:]:
        if not rest and place.startswith("["):
            continue
        if not rest:
            return f"{place} is missing; {allowed}"
        word = rest[0]
        if not _fits(place.strip("[]"), rest, spec):
            return f"{word!r} does not fit; {allowed}"
    return f"{' '.join(rest)!r} is too much; {allowed}" if rest else ""


def _fits(place: str, rest: list[str], spec: ClusterSpec) -> bool:
    """Take the words for this place from the rest; False if they don't fit."""
    word = rest.pop(0)
    if place == "PAIR":
        pair = word.split("->") if "->" in word else [word, rest.pop(0) if rest else ""]
        ends = (*spec.names, ARBITER)
        return len(pair) == 2 and all(end in ends for end in pair)
    return any(_is_a(kind, word, spec) for kind in place.split("|"))


def _is_a(kind: str, word: str, spec: ClusterSpec) -> bool:
    match kind:
        case "NODE":
            return word in spec.names
        case "GROUP":
            return any(group.name == word for group in spec.groups)
        case "LINK":
            return word in spec.link_names
        case "MODE":
            return any(mode.value == word for mode in FenceMode)
        case "TIME":
            return _TIME.fullmatch(word.lstrip("+-")) is not None
        case "SCORE":
            return word.removeprefix("-").isdecimal()
        case "PART":
            return re.fullmatch(r"[01](\.\d+)?", word) is not None
        case _:
            return word == kind


# -- playing ------------------------------------------------------------------------------------------------------


def play(scenario: Scenario, show: Callable[[str], None] | None = None) -> Played:
    """Let it happen; the first expectation or invariant that does not hold ends it."""
    trace = Trace(show)
    world = World(scenario.spec, scenario.conditions, scenario.seed, trace, scenario.arbiter_on_disk)
    failure = ""
    try:
        world.begin((), scenario.started)
        for line in scenario.lines:
            if line.words != PEACE:
                world.engine.at(line.at, _take, world, line)
        if scenario.lines:
            world.engine.run_until(scenario.lines[-1].at)
            if scenario.lines[-1].words == PEACE:
                peace(world)
    except Violation as violation:
        failure = f"{scenario.path / TIMELINE}: at {world.engine.now:.3f} s: {violation.name}: {violation}"
    return Played(tuple(f"{at:7.1f}s  {who:7}  {text}" for at, who, text in trace.story), failure)


def _take(world: World, line: Line) -> None:
    verb, *args = line.words
    if verb != "expect":
        faults.apply(world, Fault(line.at, line.words))
        return
    what, who = args
    found = _found(world, what)
    if found != ([] if who == "none" else [who]):
        text = f"line {line.number}: {' '.join(line.words)}: it is {' and '.join(found) or 'none'}"
        raise Violation("expectation", text)
    world.trace.tell(world.engine.now, "---", " ".join(line.words))


def _found(world: World, what: str) -> list[str]:
    """The nodes for which this holds now."""
    match what:
        case "off":
            return [name for name, machine in world.machines.items() if not machine.powered]
        case "fenced":
            return sorted(world.power.fenced)
        case "coordinator":
            return [
                name
                for name, machine in world.machines.items()
                if (process := machine.process) is not None
                and not (process.muted or process.paused)
                and process.node.coordinator is not None
                and process.node.quorate(machine.local_now())
            ]
        case _:
            return world.checker.owners(what)


# -- writing ------------------------------------------------------------------------------------------------------


def expected(scenario: Scenario) -> tuple[str, ...]:
    """The log that its folder holds; empty if there is none yet."""
    file = scenario.path / EXPECTED
    return tuple(file.read_text().splitlines()) if file.exists() else ()


def accept(scenario: Scenario, played: Played) -> None:
    """Make this log the expected one."""
    (scenario.path / EXPECTED).write_text("".join(f"{line}\n" for line in played.log))


def cluster_tables(plan: Plan) -> str:
    """What a cluster.toml says besides the cluster, to make a scenario begin as this run did."""
    lines = ["[run]", f"seed = {plan.seed}"]
    lines += ["arbiter_on_disk = true"] if plan.arbiter_on_disk else []
    lines += ["", "[conditions]"]
    for field in dataclasses.fields(Conditions):
        found: Any = getattr(plan.conditions, field.name)
        if found is not None:
            lines.append(f"{field.name} = {list(found) if isinstance(found, tuple) else found}")
    return "\n".join(lines)


def timeline(plan: Plan, some: Iterable[Fault]) -> str:
    """The timeline of this run with these of its faults."""
    lines = [f"absent {name}" for name in plan.spec.names if name not in plan.started]
    lines += [str(fault) for fault in some]
    return "\n".join([*lines, f"{plan.duration:g}s peace"])
