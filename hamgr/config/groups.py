"""Resource groups as the file tells them: `[group.NAME]` and `[[group.NAME.resource]]`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from hamgr.config import capacity, durations
from hamgr.config.addresses import check_name
from hamgr.config.kinds import Kind, Kinds, Option
from hamgr.config.model import GroupConfig, ResourceConfig
from hamgr.config.problems import describe
from hamgr.config.table import Table, did_you_mean, either
from hamgr.core.cluster import SELECTIONS, ClusterSpec, GroupSpec, Mode, Placement

HIGHEST_PRIORITY = 1000
MOST_RESTARTS = 1000
HIGHEST_STICKINESS = 1_000_000
_COMMON = ("kind", "name", "start_timeout", "stop_timeout", "monitor_interval", "monitor_timeout")
_WINDOW = re.compile(r"((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII)
_TYPES = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    list: "an array of texts",
    dict: "a table of texts, numbers and booleans",
    float: durations.FORM,
}
_TIMEOUTS = {"start_timeout": 20.0, "stop_timeout": 20.0, "monitor_interval": 10.0, "monitor_timeout": 20.0}
"""Seconds, where neither the file nor the kind says anything."""


def read(
    root: Table, nodes: Mapping[str, capacity.Amounts], kinds: Kinds | None, mode: Mode, placement: Placement
) -> tuple[tuple[GroupSpec, ...], tuple[GroupConfig, ...]]:
    """All groups: their policies for the core, and their resources. nodes: with their capacities. kinds None: options
    are taken as they are. mode, placement: of groups that say nothing."""
    specs: list[GroupSpec] = []
    groups: list[GroupConfig] = []
    for name, table in root.tables("group").items():
        if allowed := check_name(name):
            root.mistakes.note(table.path, describe(name), allowed)
        if name in SELECTIONS:
            allowed = f"a name that is no word of `hamgr takeover`: {either(SELECTIONS)}"
            root.mistakes.note(table.path, describe(name), allowed)
        where = table.texts("nodes", (), "an array of node names")
        for node in where:
            if node not in nodes:
                table.mistakes.note(table.key("nodes"), describe(node), either(nodes) + did_you_mean(node, nodes))
        resources = _resources(table, kinds)
        needs = capacity.read(table, "needs", 1)
        capacity.check(table, needs, where, nodes)
        decides = Mode(table.choice("mode", mode.value, [one.value for one in Mode]))
        specs.append(
            GroupSpec(
                name=name,
                nodes=where,
                auto_failback=table.flag("auto_failback", True),
                priority=table.number("priority", 1, 0, HIGHEST_PRIORITY),
                restarts=_restarts(table),
                failure_timeout=table.duration("failure_timeout", 600.0),
                start_timeout=sum(resource.start_timeout for resource in resources),
                stop_timeout=sum(resource.stop_timeout for resource in resources),
                together_with=_others(table, "together_with", name, root),
                apart_from=_others(table, "apart_from", name, root),
                after=_others(table, "after", name, root),
                stickiness=table.number("stickiness", 0, 0, HIGHEST_STICKINESS),
                enabled=table.flag("enabled", True),
                mode=decides,
                takeover_delay=takeover_delay(table, decides),
                placement=Placement(table.choice("placement", placement.value, [one.value for one in Placement])),
                needs=needs,
            )
        )
        groups.append(GroupConfig(name, resources, _window(table)))
        table.finish()
    _check_order(root, specs)
    return tuple(specs), tuple(groups)


def takeover_delay(table: Table, mode: Mode) -> float:
    """Of a group, or of the cluster."""
    delay = table.duration("takeover_delay", 0.0, 0.0)
    if delay and mode is not Mode.AUTOMATIC:
        table.wrong("takeover_delay", f'none with mode = "{mode.value}": a human is waited for as long as it takes')
    return delay


def _restarts(table: Table) -> int:
    """`restarts`, or Pacemaker's `migration_threshold`: the failure with this number moves the group."""
    restarts = table.number("restarts", 1, 0, MOST_RESTARTS)
    threshold = table.number("migration_threshold", restarts + 1, 1, MOST_RESTARTS + 1)
    if "restarts" in table.values and "migration_threshold" in table.values:
        table.wrong("migration_threshold", "restarts or migration_threshold (one more than restarts), not both")
    return threshold - 1


def _check_order(root: Table, specs: list[GroupSpec]) -> None:
    for spec in specs:
        if both := set(spec.together_with) & set(spec.apart_from):
            found = f"{both.pop()} in together_with and in apart_from"
            root.mistakes.note(f"group.{spec.name}", found, "one or the other")
    try:
        ClusterSpec("", (), tuple(specs)).in_placing_order()
    except ValueError as error:
        found = f"a circle: {error} look at each other (together_with, apart_from, after)"
        root.mistakes.note("group", found, "groups of which one comes first")


def _window(table: Table) -> tuple[int, int] | None:
    """ "22:00-05:30" as minutes since midnight."""
    wanted = 'a time of day from and to, such as "22:00-05:30"'

    def convert(value: Any) -> tuple[int, int]:
        match = _WINDOW.fullmatch(value) if isinstance(value, str) else None
        if match is None or match[1] == match[2]:
            raise ValueError(wanted)
        begin, end = (int(time[:2]) * 60 + int(time[3:]) for time in match.groups())
        return begin, end

    nothing: tuple[int, int] | None = None
    found = table.take("failback_window", nothing, convert)
    if found is not None and table.values.get("auto_failback") is False:
        table.wrong("failback_window", "none with auto_failback = false")
    return found


def _others(table: Table, key: str, name: str, root: Table) -> tuple[str, ...]:
    """Other groups that this one looks at."""
    names = [other for other in root.tables("group") if other != name]
    others = table.texts(key, (), "an array of other groups")
    for other in others:
        if other not in names:
            allowed = (either(names) if names else "nothing, there is no other group") + did_you_mean(other, names)
            table.mistakes.note(table.key(key), describe(other), allowed)
    return tuple(other for other in others if other in names)


def _resources(group: Table, kinds: Kinds | None) -> tuple[ResourceConfig, ...]:
    found: list[ResourceConfig] = []
    names: set[str] = set()
    for table in group.array("resource", required=f"at least one resource [[{group.path}.resource]]"):
        kind = table.text("kind", required=either(kinds) if kinds is not None else "a resource kind")
        if kinds is not None and kind and kind not in kinds:
            table.wrong("kind", either(kinds) + did_you_mean(kind, kinds))
        name = table.text("name", _free_name(kind, names), check=check_name)
        if name in names:
            table.wrong("name", "a name that no other resource of the group has")
        names.add(name)
        said = {key: table.optional_duration(key) for key in _TIMEOUTS}
        timeouts = _TIMEOUTS
        if kinds is not None and kind in kinds:
            options = _options(table, kinds[kind])
            table.finish()
            if None in said.values():
                timeouts = {**timeouts, **kinds[kind].advised_timeouts(options)}
        else:
            options = {key: value for key, value in table.values.items() if key not in _COMMON}
        timeouts = {**timeouts, **{key: value for key, value in said.items() if value is not None}}
        found.append(ResourceConfig(name, kind, options, **timeouts))
    return tuple(found)


def _free_name(kind: str, taken: Collection[str]) -> str:
    """The kind, or with a second resource of that kind "vip-2", "vip-3"."""
    count = 1
    while (name := kind if count == 1 else f"{kind}-{count}") in taken:
        count += 1
    return name


def _options(table: Table, kind: Kind) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for option in kind.options:
        value = table.take(option.name, option.default, _converter(option), _required(option))
        if value is not None:
            options[option.name] = value
    return options


def _required(option: Option) -> str:
    return _TYPES[option.type] if option.required else ""


def _converter(option: Option) -> Any:
    def convert(value: Any) -> Any:
        if option.type is float:
            value = durations.parse(value)
        elif option.type is dict and isinstance(value, dict):
            value = {key: _plain(one) for key, one in value.items()}
        right = isinstance(value, option.type) and (option.type is bool or not isinstance(value, bool))
        if option.type is list and right:
            right = all(isinstance(item, str) for item in value)
        if not right:
            raise ValueError(_TYPES[option.type])
        if option.check is not None and (allowed := option.check(value)):
            raise ValueError(allowed)
        return value

    return convert


def _plain(value: Any) -> str:
    """A value of a table as programs read it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError(_TYPES[dict])
