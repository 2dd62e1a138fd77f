"""The shape of a simulated cluster: drawn from a seed, or read from a scenario's small cluster.toml."""

from __future__ import annotations

import enum
import random
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from hamgr.core.cluster import (
    Algorithm,
    ClusterSpec,
    GroupSpec,
    LinkSpec,
    Mode,
    NodeSpec,
    Placement,
    QuorumLoss,
    Timing,
)
from hamgr.core.electorate import LOWEST

LINKS = (LinkSpec("link1"), LinkSpec("link2"))
NAMES = "abcdefghijklmnop"

BRISK = Timing(keepalive=1.0, warntime=2.5, deadtime=4.0, initdead=8.0, lease=8.0, settle=1.0)
_MODES = (Mode.AUTOMATIC,) * 8 + (Mode.ASK, Mode.MANUAL)
BRISK_GROUP: dict[str, Any] = {"start_timeout": 4.0, "stop_timeout": 4.0, "failure_timeout": 60.0}
"""What a scenario's cluster.toml need not say."""


class ShapeError(Exception):
    """A cluster.toml that says something else than the simulator knows."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line fixes; None leaves it to the seed."""

    nodes: int | None = None
    arbiter: bool | None = None
    arbiter_on_disk: bool | None = None
    two_node: bool | None = None
    watchdog: bool | None = None
    voters: bool = False
    """Two to five nodes whose voters change as often as can be."""
    forgetful: bool = False
    """Four or five nodes, of which one loses its record in the middle of an election, or the arbiter does."""


def random_spec(rng: random.Random, wanted: Wanted) -> ClusterSpec:
    """Mostly two nodes with an arbiter, at times anything up to sixteen."""
    count, arbiter, two_node = _members(rng, wanted)
    keepalive = 1.0
    deadtime = rng.choice((3.0, 4.0, 5.0))
    settle = rng.choice((0.5, 1.0))
    least = deadtime + 2 * keepalive + settle
    timing = Timing(
        keepalive=keepalive,
        warntime=(keepalive + deadtime) / 2,
        deadtime=deadtime,
        initdead=deadtime + rng.choice((0.0, 3.0)),
        lease=least + rng.choice((0.0, 1.0, deadtime)),
        settle=settle,
    )
    watchdog = rng.random() < 0.15 if wanted.watchdog is None else wanted.watchdog
    nodes = tuple(
        NodeSpec(
            name,
            fence_levels=rng.choice((0, 1)) if watchdog else rng.choice((1, 1, 1, 2)),
            watchdog_timeout=rng.choice((3.0, 5.0)) if watchdog and rng.random() < 0.9 else None,
        )
        for name in NAMES[:count]
    )
    return ClusterSpec(
        name="sim",
        nodes=nodes,
        groups=_related(rng, [_group(rng, index, NAMES[:count]) for index in range(rng.choice((1, 1, 2, 3)))]),
        timing=timing,
        links=LINKS,
        arbiter=arbiter,
        two_node=two_node,
        wait_for_all=rng.random() < 0.8,
        on_quorum_loss=QuorumLoss.FREEZE if rng.random() < 0.15 else QuorumLoss.STOP,
        tie_breaker=rng.choice(("", NAMES[0], NAMES[1])),
        fence_delay=rng.choice((1.0, 2.0)),
        fence_retry=rng.choice((1.0, 3.0)),
        watchdog_margin=rng.choice((0.5, 1.0)),
        health_delay=rng.choice((0.5, 4.0)),
    )


def with_policy(rng: random.Random, spec: ClusterSpec) -> ClusterSpec:
    """At times a cluster in which a human must say more; his answers come with the peace."""
    mode = rng.choice(_MODES)
    return replace(
        spec,
        fence_delay_random=rng.choice((0.0, 0.0, 1.0)),
        fence_limit=rng.choice((0, 0, 0, 1, 2)),
        fence_limit_all=rng.choice((0, 0, 0, 3)),
        mode=mode,
        takeover_delay=rng.choice((0.0, 0.0, 5.0)),
        groups=tuple(
            replace(group, mode=rng.choice((mode, mode, *_MODES)), takeover_delay=rng.choice((0.0, 0.0, 0.0, 10.0)))
            for group in spec.groups
        ),
        nodes=tuple(replace(node, fence_delays=rng.choice(((), (), (), (1.5,), (0.0, 2.0)))) for node in spec.nodes),
    )


def with_votes(rng: random.Random, spec: ClusterSpec) -> ClusterSpec:
    """At times a cluster whose nodes have different numbers of votes, or none; and one whose arbiter has many."""
    if spec.arbiter and rng.random() < 0.35:
        spec = replace(spec, algorithm=Algorithm.LAST_MAN_STANDING)
    if spec.two_node or rng.random() < 0.75:
        return spec
    nodes = tuple(replace(node, votes=rng.choice((0, 1, 1, 1, 1, 2, 2, 3))) for node in spec.nodes)
    return replace(spec, nodes=nodes) if any(node.votes for node in nodes) else spec


def with_placement(rng: random.Random, spec: ClusterSpec) -> ClusterSpec:
    """At times groups that are spread, and at times nodes that have not room for all."""
    chance = rng.random()
    if chance < 0.15:
        spread = tuple(replace(group, placement=Placement.SPREAD) for group in spec.groups)
        return replace(spec, groups=spread)
    if chance > 0.3 or any(group.leaders or group.asks for group in spec.groups):
        return spec
    nodes = tuple(
        replace(node, capacity=(("cpu", rng.randint(2, 8)), ("memory", rng.randint(1, 6)))) for node in spec.nodes
    )
    groups = tuple(
        replace(group, needs=(("memory", rng.randint(1, 4)),), placement=rng.choice(list(Placement)))
        for group in spec.groups
    )
    return replace(spec, nodes=nodes, groups=groups)


def with_voters(rng: random.Random, spec: ClusterSpec, often: bool) -> ClusterSpec:
    """At times a cluster whose voters become fewer, or one of whose halves is a quorum."""
    if spec.two_node:
        return spec
    standing = rng.choice((1.0, 3.0)) if rng.random() < (0.9 if often else 0.35) else None
    tie = rng.choice((LOWEST, *spec.names)) if not spec.arbiter and rng.random() < (0.6 if often else 0.4) else ""
    return replace(spec, last_man_standing=standing, auto_tie_breaker=tie)


def _members(rng: random.Random, wanted: Wanted) -> tuple[int, bool, bool]:
    """Nodes, arbiter, two_node."""
    chance = rng.random()
    count = rng.choice((6, 7, 9, 16)) if chance < 0.02 else rng.choice((2, 2, 2, 2, 3, 3, 3, 4, 5))
    arbiter = rng.random() < (0.8 if count == 2 else 0.4)
    if wanted.nodes is not None:
        count = wanted.nodes
    if wanted.arbiter is not None:
        arbiter = wanted.arbiter
    if wanted.forgetful and wanted.nodes is None:
        count = rng.choice((4, 5)) if arbiter else 5
    elif wanted.voters and wanted.nodes is None:
        count = rng.choice((2, 3, 4, 5))
    if wanted.two_node:
        return 2, False, True
    two_node = count == 2 and not arbiter and not wanted.voters and wanted.two_node is not False
    return count, arbiter, two_node


def _related(rng: random.Random, groups: list[GroupSpec]) -> tuple[GroupSpec, ...]:
    """Some groups look at the first: they run where it runs, or never, or come after it."""
    first, *others = groups
    found = [first]
    apart = False
    for group in others:
        chance = rng.random()
        if chance < 0.2:
            after = (first.name,) if rng.random() < 0.5 else ()
            group = replace(group, nodes=first.nodes, together_with=(first.name,), after=after)
        elif chance < 0.3 and not apart:
            apart = True
            group = replace(group, apart_from=(first.name,))
        elif chance < 0.45:
            group = replace(group, after=(first.name,))
        found.append(group)
    rng.shuffle(found)
    return tuple(found)


def _group(rng: random.Random, index: int, names: str) -> GroupSpec:
    some = rng.sample(names, rng.randint(min(2, len(names)), len(names)))
    return GroupSpec(
        name=("web", "db", "mail")[index],
        nodes=tuple(some) if rng.random() < 0.7 else (),
        auto_failback=rng.random() < 0.5,
        priority=rng.randint(1, 10),
        restarts=rng.randint(0, 2),
        failure_timeout=20.0,
        start_timeout=4.0,
        stop_timeout=rng.choice((2.0, 4.0)),
        stickiness=rng.choice((0, 0, 0, 1, 2)),
        enabled=index == 0 or rng.random() < 0.95,
    )


# -- cluster.toml -----------------------------------------------------------------------------------------------

_OF_NODES = ("fence_levels", "watchdog", "votes", "fence_delays", "capacity")
"""Tables with a value a node."""

_TIMING = {field.name for field in fields(Timing)}
_GROUP = {field.name for field in fields(GroupSpec)} - {"name"}
_TOP = {
    "arbiter",
    "two_node",
    "wait_for_all",
    "auto_tie_breaker",
    "last_man_standing",
    "on_quorum_loss",
    "tie_breaker",
    "algorithm",
    "fence_delay",
    "fence_delay_random",
    "fence_limit",
    "mode",
    "takeover_delay",
    "fence_limit_all",
    "fence_retry",
    "health_delay",
    "watchdog_margin",
}


def known_table(where: str, table: dict[str, Any], allowed: set[str]) -> dict[str, Any]:
    """The table; raises ShapeError for a key that is not allowed."""
    for key in table:
        if key not in allowed:
            raise ShapeError(f"{where}: unknown key {key!r}; allowed: {', '.join(sorted(allowed))}")
    return table


def _take_word(where: str, table: dict[str, Any], key: str, words: type[enum.Enum]) -> None:
    if key in table:
        try:
            table[key] = words(table[key])
        except ValueError as error:
            allowed = ", ".join(word.value for word in words)
            raise ShapeError(f"{where}: {key}: {error}; allowed: {allowed}") from error


def read_spec(path: Path) -> tuple[ClusterSpec, dict[str, Any], dict[str, Any]]:
    """`nodes = ["a", "b"]`, the keys of `ClusterSpec`, `[timing]`, `[fence_levels]`, `[watchdog]`, `[votes]`,
    `[capacity]`, `[group.NAME]`; also the tables `[run]` and `[conditions]`, which say nothing of the cluster.

    Raises ShapeError.
    """
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ShapeError(f"{path}: {error}") from error
    run, conditions = table.pop("run", {}), table.pop("conditions", {})
    names = table.pop("nodes", ["a", "b"])
    timing = known_table(f"{path}: [timing]", table.pop("timing", {}), _TIMING)
    levels, watchdogs, votes, delays, capacities = (table.pop(key, {}) for key in _OF_NODES)
    groups = table.pop("group", {"web": {}})
    for name, group in groups.items():
        known_table(f"{path}: [group.{name}]", group, _GROUP)
        _take_word(f"{path}: [group.{name}]", group, "mode", Mode)
        _take_word(f"{path}: [group.{name}]", group, "placement", Placement)
        if "needs" in group:
            group["needs"] = tuple(sorted(group["needs"].items()))
    top = known_table(str(path), table, _TOP)
    _take_word(str(path), top, "mode", Mode)
    for name in (*levels, *watchdogs, *votes, *delays, *capacities):
        if name not in names:
            where = f"{path}: {', '.join(f'[{key}]' for key in _OF_NODES)}"
            raise ShapeError(f"{where}: {name!r} is no node; allowed: {', '.join(names)}")
    _take_word(str(path), top, "on_quorum_loss", QuorumLoss)
    _take_word(str(path), top, "algorithm", Algorithm)
    spec = ClusterSpec(
        name="scenario",
        nodes=tuple(
            NodeSpec(
                name,
                levels.get(name, 1),
                watchdogs.get(name),
                votes.get(name, 1),
                tuple(delays.get(name, ())),
                tuple(sorted(capacities.get(name, {}).items())),
            )
            for name in names
        ),
        groups=tuple(
            GroupSpec(name, **BRISK_GROUP | {k: tuple(v) if isinstance(v, list) else v for k, v in group.items()})
            for name, group in groups.items()
        ),
        timing=replace(BRISK, **timing),
        links=LINKS,
        **top,
    )
    return spec, run, conditions


def spec_to_toml(spec: ClusterSpec) -> str:
    """The cluster.toml from which `read_spec` makes this cluster again."""

    def value(found: object) -> str:
        if isinstance(found, bool):
            return str(found).lower()
        if isinstance(found, Mode | Algorithm | Placement):
            found = found.value
        if isinstance(found, dict):
            return "{ " + ", ".join(f"{key} = {amount}" for key, amount in found.items()) + " }"
        if isinstance(found, str):
            return f'"{found}"'
        if isinstance(found, tuple):
            return "[" + ", ".join(value(item) for item in found) + "]"
        return str(found)

    lines = [f"nodes = {value(spec.names)}"]
    keys = [key for key in sorted(_TOP - {"on_quorum_loss"}) if getattr(spec, key) is not None]
    lines += [f"{key} = {value(getattr(spec, key))}" for key in keys]
    lines.append(f"on_quorum_loss = {value(spec.on_quorum_loss.value)}")
    lines += ["", "[timing]", *(f"{key} = {value(getattr(spec.timing, key))}" for key in sorted(_TIMING))]
    lines += ["", "[fence_levels]", *(f"{node.name} = {node.fence_levels}" for node in spec.nodes)]
    watched = [node for node in spec.nodes if node.watchdog_timeout is not None]
    if watched:
        lines += ["", "[watchdog]", *(f"{node.name} = {node.watchdog_timeout}" for node in watched)]
    if any(node.votes != 1 for node in spec.nodes):
        lines += ["", "[votes]", *(f"{node.name} = {node.votes}" for node in spec.nodes)]
    if any(node.fence_delays for node in spec.nodes):
        lines += ["", "[fence_delays]", *(f"{node.name} = {list(node.fence_delays)}" for node in spec.nodes)]
    if any(node.capacity for node in spec.nodes):
        lines += ["", "[capacity]", *(f"{node.name} = {value(dict(node.capacity))}" for node in spec.nodes)]
    for group in spec.groups:
        lines += ["", f"[group.{group.name}]"]
        lines += [f"{key} = {value(getattr(group, key))}" for key in sorted(_GROUP - {"needs"})]
        lines += [f"needs = {value(dict(group.needs))}"] if group.needs else []
    return "\n".join(lines)
