"""A whole directory of Heartbeat's, read into tables, and those into the one validated model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hamgr.config import toml
from hamgr.config.durations import show
from hamgr.config.heartbeat import authkeys, directives, haresources, media, stonith, unicast
from hamgr.config.heartbeat.draft import Draft, nowhere
from hamgr.config.heartbeat.here import Here
from hamgr.config.heartbeat.lines import Line, joined_lines_of, lines_of
from hamgr.config.heartbeat.reading import Medium, Reading
from hamgr.config.heartbeat.values import free_name, table_name
from hamgr.config.kinds import Kinds
from hamgr.config.links import MIN_NODES
from hamgr.config.model import Config
from hamgr.config.problems import ConfigError, NotYet, Problem
from hamgr.config.table import key_of
from hamgr.core.cluster import MAX_NODES

HA_CF, HARESOURCES, AUTHKEYS, MORE = "ha.cf", "haresources", "authkeys", "hamgr.toml"
"""The files. The last holds what Heartbeat had no word for, such as [arbiter]; it may be missing."""

CLUSTER = "linux-ha"
"""The name of a cluster without one."""

_MISSING = {
    "link": "at least one way to the other nodes: bcast, mcast, ucast or serial",
    "node": f"{MIN_NODES} to {MAX_NODES} nodes: `node NAME NAME`",
}
"""What the tables' reader misses, in the words of ha.cf."""

KEEPALIVE, DEADTIME = 1.0, 30.0
"""Seconds: Heartbeat's own defaults."""

SHORTEST_WATCHDOG = 2
"""Seconds, whole as the kernel counts them: it is fed four times in that."""


def config_of(directory: Path, here: Here, kinds: Kinds | None = None) -> tuple[Config, Draft]:
    """The model, and the draft that it comes from. Raises ConfigError with every mistake, NotYet when
    the network of this machine must be up first."""
    draft = draft_of(directory, here)
    problems = list(draft.problems)
    try:
        config = toml.build(directory, draft.tables, kinds, _digest(draft))
    except ConfigError as error:
        # A link that was left out because of a mistake is missed by the tables' reader too.
        told = {one.key for one in (*draft.problems, *draft.waiting)}
        left_out = any(key.endswith(f"({way})") for key in told for way in media.WAYS)
        problems += [draft.located(one) for one in error.problems if not (one.key == "link" and left_out)]
    if problems:
        found = [
            Problem(directory / HA_CF, one.key, one.found, _MISSING.get(one.key, one.allowed))
            if one.file == directory
            else one
            for one in problems
        ]
        raise ConfigError((*found, *draft.waiting))
    if draft.waiting:
        raise NotYet(tuple(draft.waiting))
    return config, draft


def _digest(draft: Draft) -> str:
    """Of what the files mean: each node's own may name the others alone, and mean the same."""
    order = [*draft.tables.get("node", {})]
    return toml.digest(json.dumps([order, draft.tables], sort_keys=True, default=str).encode())


def draft_of(directory: Path, here: Here) -> Draft:
    """The tables of all files. Raises ConfigError when one can't be read at all."""
    draft = Draft()
    reading = Reading(draft, here, directory)
    _put_cluster(reading)
    for line in lines_of(directory / HA_CF):
        directives.take(reading, line)
    _put_timing(reading)
    _put_nodes(reading)
    _put_watchdogs(reading)
    _put_links(reading)
    media.put_pings(reading)
    stonith.put_devices(reading)
    if reading.auto_failback is None:
        text = "not given: a group goes home when its node is back, as with `auto_failback on`"
        reading.note(nowhere(directory / HA_CF, "auto_failback"), text)
    haresources.put_groups(reading, list(joined_lines_of(directory / HARESOURCES)))
    authkeys.check(draft, directory / AUTHKEYS)
    if (directory / MORE).exists():
        _add(draft, directory / MORE)
    return draft


def _put_cluster(reading: Reading) -> None:
    """What holds without a directive; a directive puts another value in its place."""
    default = nowhere(reading.directory / HA_CF, "default")
    reading.draft.put(default, "cluster", "name", value=CLUSTER)
    reading.draft.put(
        nowhere(reading.directory / AUTHKEYS, "authkeys"), "cluster", "key_file", value=str(_keys(reading))
    )
    reading.draft.put(default, "cluster", "realtime", value=True)


def _keys(reading: Reading) -> Path:
    return (reading.directory / AUTHKEYS).absolute()


def _put_timing(reading: Reading) -> None:
    times = reading.times
    default = nowhere(reading.directory / HA_CF, "default")
    keepalive = times.get("keepalive", (KEEPALIVE, default))
    deadtime = times.get("deadtime", (DEADTIME, default))
    warntime = times.get("warntime", (deadtime[0] / 2, deadtime[1]))
    initdead = times.get("initdead", (2 * deadtime[0], deadtime[1]))
    found = {"keepalive": keepalive, "warntime": warntime, "deadtime": deadtime, "initdead": initdead}
    for name, (seconds, line) in found.items():
        reading.draft.put(line, "timing", name, value=show(seconds))


def _put_nodes(reading: Reading) -> None:
    for node, line in reading.nodes.items():
        reading.draft.put(line, "node", node, value={})


def _put_watchdogs(reading: Reading) -> None:
    """Every node has one, and a dead node is reset no later than the others miss it."""
    if reading.watchdog is None:
        return
    device, line = reading.watchdog
    deadtime, _ = reading.times.get("deadtime", (DEADTIME, line))
    timeout = show(float(max(SHORTEST_WATCHDOG, int(deadtime))))
    for node in reading.nodes:
        reading.draft.put(line, "node", node, "watchdog", value=device)
        reading.draft.put(line, "node", node, "watchdog_timeout", value=timeout)
    reading.note(line, f"its time-out is {timeout} (Heartbeat had none of its own); until it is fed no group runs here")


def _put_links(reading: Reading) -> None:
    for medium in reading.media:
        if medium.kind == "udp":
            for table in unicast.addresses(reading, medium):
                _put_unicast(reading, medium, table)
        elif medium.kind == "serial" and len(reading.nodes) > 2:
            reading.note(
                medium.line,
                "left out: with more than two nodes hamgr must be told which two a cable joins: [link.NAME] with nodes "
                f"= [...] in {reading.directory / MORE} (docs/links.md)",
            )
        else:
            reading.draft.put(medium.line, "link", _free_link(reading, medium), value=_table(medium))


def _put_unicast(reading: Reading, medium: Medium, addresses: dict[str, str]) -> None:
    name = _free_link(reading, medium)
    table = _table(medium)
    if len(addresses) < len(reading.nodes):
        table["nodes"] = [node for node in reading.nodes if node in addresses]
    reading.draft.put(medium.line, "link", name, value=table)
    for node, address in addresses.items():
        reading.draft.put(unicast.line_of(medium, address), "node", node, "address", name, value=address)


def _table(medium: Medium) -> dict[str, Any]:
    return {"kind": medium.kind, **medium.table}


def _free_link(reading: Reading, medium: Medium) -> str:
    """The device's name, so that `cl_status hblinkstatus NODE eth1` goes on."""
    return free_name(table_name(medium.device, medium.kind), reading.draft.tables.get("link", {}))


def _add(draft: Draft, file: Path) -> None:
    """What hamgr.toml says beside Heartbeat's files; what both say, it says."""
    _merge(draft, draft.tables, toml.tables_in(file), "", file)


def cluster_word(directory: Path, key: str, default: str) -> str:
    """A text in [cluster] of the directory's hamgr.toml, without a look at the rest. Raises ConfigError."""
    if not (directory / MORE).exists():
        return default
    cluster = toml.tables_in(directory / MORE).get("cluster")
    word = cluster.get(key) if isinstance(cluster, dict) else None
    return word if isinstance(word, str) and word else default


def _merge(draft: Draft, into: dict[str, Any], more: Mapping[str, Any], where: str, file: Path) -> None:
    for name, value in more.items():
        key = key_of(where, name)
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(draft, into[name], value, key, file)
            continue
        into[name] = value
        draft.origins[key] = Line(file, 0, key)
