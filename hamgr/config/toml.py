"""Reads hamgr.toml into the one validated model, with all mistakes at once."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hamgr.config import (
    addresses,
    alerts,
    capacity,
    groups,
    health_checks,
    links,
    pings,
    quorum,
    routes,
    selffence,
    shutout,
    sites,
    timing,
)
from hamgr.config.kinds import Kinds
from hamgr.config.model import (
    DEFAULT_ADMIN_SOCKET,
    DEFAULT_ARBITER_PORT,
    DEFAULT_ARBITER_TLS_PORT,
    DEFAULT_FENCE_DELAY,
    DEFAULT_STATE_DIR,
    DEFAULT_SYSRQ_TRIGGER,
    GUARD_SUFFIX,
    ArbiterConfig,
    Config,
    FenceDeviceConfig,
    GroupConfig,
    LinkConfig,
    SelfFence,
    TlsConfig,
)
from hamgr.config.problems import ConfigError, ConfigWarning, Problem, describe
from hamgr.config.table import Mistakes, Table, did_you_mean, either
from hamgr.config.warning import warnings
from hamgr.core.cluster import MAX_NODES, ClusterSpec, LinkSpec, Mode, NodeSpec, Placement, QuorumLoss

__all__ = ["ConfigError", "ConfigWarning", "Problem", "build", "digest", "load", "parse", "tables_in", "warnings"]

DIGEST_DIGITS = 16
MOST_ATTEMPTS = 100
HIGHEST_LEVEL = 9
SHORTEST_CHECK_INTERVAL = 1.0
"""Seconds; BMCs are slow machines."""
HIGHEST_PRIORITY = 99
FENCE_LIMIT, FENCE_LIMIT_ALL = 5, 20
"""How often one node, and all together, are fenced within an hour before a human must ask for more."""
MOST_FENCES = 100
LONGEST_SOCKET_PATH = 107 - len(GUARD_SUFFIX)
"""Bytes: `sun_path` without its final zero (unix(7)), and without what the guard's socket beside it has more."""

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *(f"local{number}" for number in range(8)),
)
"""Of syslog(3)."""

_AGENT_DIRS = (Path("/usr/sbin"), Path("/sbin"))
_TLS_FILES = ("ca", "certificate", "key")
_RESERVED_OPTIONS = ("action", "nodename")


def load(path: Path, kinds: Kinds | None = None) -> Config:
    """The configuration in `path`. kinds: the registry of resource kinds; without it, the options of resources
    are taken unchecked. Raises ConfigError with every mistake."""
    return parse(_content(path), path, kinds)


def parse(text: bytes, path: Path, kinds: Kinds | None = None) -> Config:
    """As `load`, of what is or shall be in `path`."""
    return build(path, _tables(text, path), kinds, digest(text))


def build(path: Path, tables: dict[str, Any], kinds: Kinds | None, digest_of_text: str) -> Config:
    """As `load`, from the tables of a file, or from tables that were made of files of another form."""
    mistakes = Mistakes(path)
    config = _read(Table(mistakes, "", tables), path, kinds, digest_of_text)
    if mistakes.problems:
        raise ConfigError(tuple(mistakes.problems))
    return config


def digest(text: bytes) -> str:
    """By what nodes tell whether they run the same file: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(text).hexdigest()[:DIGEST_DIGITS]


def tables_in(path: Path) -> dict[str, Any]:
    """The tables of a TOML file, whatever they are. Raises ConfigError."""
    return _tables(_content(path), path)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unusable(path, error.strerror or str(error), "a file that can be read") from None


def _tables(text: bytes, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text.decode())
    except UnicodeDecodeError as error:
        raise _unusable(path, f"a byte that is not UTF-8 at {error.start}", "TOML, which is UTF-8") from None
    except RecursionError:
        raise _unusable(path, "tables or arrays nested too deeply", "TOML as in docs/example.toml") from None
    except ValueError as error:  # TOMLDecodeError says the line and the column; int() refuses huge numbers
        raise _unusable(path, str(error), "TOML 1.0") from None


def _unusable(path: Path, found: str, allowed: str) -> ConfigError:
    return ConfigError((Problem(path, "the file", found, allowed),))


def _read(root: Table, path: Path, kinds: Kinds | None, digest_of_text: str) -> Config:
    has_arbiter = "arbiter" in root.values
    cluster = root.table("cluster", required="a table [cluster]")
    arbiter_table = root.table("arbiter")
    times = timing.read(root.table("timing"), arbiter_table, has_arbiter)
    link_tables = root.tables("link", required="at least one table [link.NAME]")
    node_tables = root.tables("node", required=f"{links.MIN_NODES} to {MAX_NODES} tables [node.NAME]")
    all_links = links.read(root, link_tables, node_tables, times)
    devices = _fence_devices(root, node_tables)
    cluster_name = cluster.text("name", required=addresses.NAME, check=addresses.check_name)
    mode = Mode(cluster.choice("mode", "automatic", [mode.value for mode in Mode]))
    placement = Placement(cluster.choice("placement", "prefer", [placement.value for placement in Placement]))
    capacities = {name: capacity.read(table, "capacity", 0) for name, table in node_tables.items()}
    group_specs, group_configs = groups.read(root, capacities, kinds, mode, placement)
    quorum_table = root.table("quorum")
    algorithm = quorum.read_algorithm(quorum_table, has_arbiter)
    arbiter, tie_breaker = _arbiter(arbiter_table, node_tables) if has_arbiter else (None, "")
    tie, standing = quorum.read_ties(quorum_table, node_tables, has_arbiter)
    quorum_table.finish()
    on_quorum_loss = QuorumLoss(cluster.choice("on_quorum_loss", "stop", [policy.value for policy in QuorumLoss]))
    watchdogs = selffence.read_watchdogs(node_tables, on_quorum_loss)
    votes = quorum.read_votes(node_tables)
    nodes = tuple(
        NodeSpec(
            node,
            fence_levels=len({device.level for device in devices if device.node == node}),
            watchdog_timeout=watchdogs[node].timeout if node in watchdogs else None,
            votes=votes[node],
            fence_delays=_fence_delays(devices, node),
            capacity=capacities[node],
        )
        for node in node_tables
    )
    for table in node_tables.values():
        table.finish()
    config = Config(
        path=path,
        digest=digest_of_text,
        spec=ClusterSpec(
            name=cluster_name,
            nodes=nodes,
            groups=group_specs,
            timing=times,
            links=tuple(LinkSpec(link.name, link.nodes) for link in all_links),
            arbiter=has_arbiter,
            two_node=_two_node(cluster, votes, has_arbiter, tie),
            wait_for_all=cluster.flag("wait_for_all", True),
            auto_tie_breaker=tie,
            last_man_standing=standing,
            on_quorum_loss=on_quorum_loss,
            tie_breaker=tie_breaker,
            algorithm=algorithm,
            fence_delay=cluster.duration("fence_delay", DEFAULT_FENCE_DELAY, 0.0),
            fence_delay_random=cluster.duration("fence_delay_random", 0.0, 0.0),
            mode=mode,
            takeover_delay=groups.takeover_delay(cluster, mode),
            fence_limit=cluster.number("fence_limit", FENCE_LIMIT, 0, MOST_FENCES),
            fence_limit_all=cluster.number("fence_limit_all", FENCE_LIMIT_ALL, 0, MOST_FENCES),
            fence_retry=cluster.duration("fence_retry", 5.0),
            health_delay=cluster.duration("health_delay", times.deadtime),
        ),
        key_file=cluster.file_path("key_file", Path(), required="the absolute path of the key file"),
        links=all_links,
        fence_devices=devices,
        groups=group_configs,
        arbiter=arbiter,
        state_dir=cluster.file_path("state_dir", DEFAULT_STATE_DIR),
        admin_socket=_socket(cluster),
        agent_dirs=_agent_dirs(cluster),
        pings=pings.read(root, times),
        health_checks=health_checks.read(root),
        routes=routes.read(root, node_tables, all_links),
        sites=sites.read(root, node_tables, [device.name for device in devices]),
        tls=_tls(root),
        fence_check_interval=_fence_check_interval(cluster),
        alerts=alerts.read(root),
        fence_reboots=cluster.choice("fence_action", "off", ("off", "reboot")) == "reboot",
        self_fence=SelfFence(cluster.choice("self_fence", "stop", [choice.value for choice in SelfFence])),
        sysrq_trigger=cluster.file_path("sysrq_trigger", DEFAULT_SYSRQ_TRIGGER),
        watchdogs=watchdogs,
        log_file=cluster.optional_path("log_file"),
        syslog=cluster.choice("syslog", "", FACILITIES),
        realtime=cluster.flag("realtime", False),
        realtime_priority=cluster.number("realtime_priority", 1, 1, HIGHEST_PRIORITY),
    )
    _check_owned_addresses(root, all_links, group_configs)
    shutout.check(config, root.mistakes)
    cluster.finish()
    root.finish()
    return config


def _two_node(cluster: Table, votes: Mapping[str, int], has_arbiter: bool, tie: str) -> bool:
    """Implied by two nodes without an arbiter: who comes from Heartbeat expects two nodes to just work."""
    weighted = any(number != 1 for number in votes.values())
    possible = len(votes) == links.MIN_NODES and not has_arbiter and not weighted and not tie
    two_node = cluster.flag("two_node", possible)
    if two_node and not possible:
        why = "with an arbiter" if has_arbiter else f"with {len(votes)} nodes"
        if weighted:
            why = f"with {sum(votes.values())} votes"
        if tie:
            why = "with quorum.auto_tie_breaker"
        cluster.mistakes.note(
            cluster.key("two_node"),
            f"true {why}",
            "true only with exactly two nodes, of one vote each, and neither [arbiter] nor auto_tie_breaker",
        )
    return two_node


def _fence_check_interval(cluster: Table) -> float:
    interval = cluster.duration("fence_check_interval", 3600.0, 0.0)
    if 0 < interval < SHORTEST_CHECK_INTERVAL:
        cluster.wrong("fence_check_interval", f"{SHORTEST_CHECK_INTERVAL:g} s or more, or 0 for never")
    return interval


def _socket(cluster: Table) -> Path:
    path = cluster.file_path("admin_socket", DEFAULT_ADMIN_SOCKET)
    if len(str(path).encode()) > LONGEST_SOCKET_PATH:
        cluster.wrong("admin_socket", f"a path of up to {LONGEST_SOCKET_PATH} bytes (unix(7))")
    return path


def _agent_dirs(cluster: Table) -> tuple[Path, ...]:
    allowed = "an array of absolute paths"
    found = cluster.texts("agent_dirs", tuple(map(str, _AGENT_DIRS)), allowed)
    if not all(directory.startswith("/") for directory in found):
        cluster.wrong("agent_dirs", allowed)
    return tuple(map(Path, found))


def _tls(root: Table) -> TlsConfig | None:
    if "tls" not in root.values:
        return None
    table = root.table("tls")
    files = {key: table.file_path(key, Path(), required="the absolute path of a PEM file") for key in _TLS_FILES}
    table.finish()
    return TlsConfig(**files)


ARBITER_ADDRESSES = 'IP addresses, with a port if need be: ["10.0.9.10", "10.0.9.11:5411"]'


def _arbiter(table: Table, nodes: Collection[str]) -> tuple[ArbiterConfig, str]:
    if "disk" not in table.values:
        arbiter = _arbiter_host(table)
    else:
        for key in ("address", "addresses", "port", "identity"):
            table.take(key, None, _not_beside_a_disk)
        arbiter = ArbiterConfig("", disks=links.per_node(table, "disk", tuple(nodes), links.check_device("disk"), True))
    tie_breaker = table.choice("tie_breaker", "", nodes)
    table.finish()
    return arbiter, tie_breaker


def _not_beside_a_disk(value: Any) -> None:
    raise ValueError("a host (address, port) or a disk, not both")


def _arbiter_host(table: Table) -> ArbiterConfig:
    def convert(value: Any) -> tuple[str, int | None]:
        if not isinstance(value, str):
            raise ValueError(addresses.ADDRESS)
        return addresses.split_port(value)

    def convert_all(value: Any) -> list[tuple[str, int | None]]:
        if not isinstance(value, list) or not value:
            raise ValueError(ARBITER_ADDRESSES)
        found = [convert(one) for one in value]
        if len(set(found)) < len(found):
            raise ValueError(f"each address once; {ARBITER_ADDRESSES}")
        return found

    nothing: tuple[str, int | None] = ("", None)
    if "addresses" not in table.values:
        places = [table.take("address", nothing, convert, f"{addresses.ADDRESS}, or a `disk` in its place")]
    else:
        places = table.take("addresses", [nothing], convert_all, ARBITER_ADDRESSES)
        if "address" in table.values:
            table.take("address", nothing, convert)
            table.wrong("address", "address for one, or addresses for several, not both")
    if any(port is not None for _address, port in places) and "port" in table.values:
        table.wrong("port", "a port in the address or as key, not both")
    identity = table.optional_path("identity")
    usual = DEFAULT_ARBITER_PORT if identity is None else DEFAULT_ARBITER_TLS_PORT
    port = table.number("port", usual, 1, addresses.HIGHEST_PORT)
    first, *more = [(address, own or port) for address, own in places]
    return ArbiterConfig(*first, tuple(more), identity)


def _fence_devices(root: Table, nodes: Collection[str]) -> tuple[FenceDeviceConfig, ...]:
    devices: list[FenceDeviceConfig] = []
    for name, table in root.tables("fence").items():
        if allowed := addresses.check_name(name):
            root.mistakes.note(table.path, describe(name), allowed)
        unfence = table.flag("unfence", False)
        devices.append(
            FenceDeviceConfig(
                name=name,
                node=table.choice("node", "", nodes, required=True),
                agent=table.text("agent", required="a fence agent, by name or absolute path", check=_agent),
                level=table.number("level", 1, 1, HIGHEST_LEVEL),
                timeout=table.duration("timeout", 20.0),
                attempts=table.number("attempts", 3, 1, MOST_ATTEMPTS),
                options=_fence_options(table.table("options")),
                unfence=unfence,
                unfence_check=shutout.read_check(table, unfence),
                delay=table.duration("delay", 0.0, 0.0),
            )
        )
        table.finish()
    return tuple(devices)


def _fence_delays(devices: Collection[FenceDeviceConfig], node: str) -> tuple[float, ...]:
    """Of each fence level of the node: the longest of its devices, which are all to wait."""
    own = [device for device in devices if device.node == node]
    levels = sorted({device.level for device in own})
    return tuple(max(device.delay for device in own if device.level == level) for level in levels)


def _agent(value: str) -> str:
    return "" if "/" not in value or value.startswith("/") else "a fence agent, by name or absolute path"


def _fence_options(table: Table) -> dict[str, str]:
    """As the agent reads them on stdin, a line `name=value` each (ClusterLabs fence agent API)."""
    options: dict[str, str] = {}
    for name, value in table.values.items():
        if name in _RESERVED_OPTIONS:
            table.wrong(name, f"any option but {' and '.join(_RESERVED_OPTIONS)}, which hamgr itself hands over")
        elif not name.isprintable() or not name or "=" in name or name.startswith("#"):
            table.wrong(name, 'an option name without "=" and control characters')
        elif isinstance(value, bool):
            options[name] = "1" if value else "0"
        elif isinstance(value, (str, int, float)) and _fits_a_line(value):
            options[name] = str(value)
        else:
            table.wrong(name, "a text of one line, a number, true or false")
    return options


def _fits_a_line(value: str | int | float) -> bool:
    return value.isprintable() if isinstance(value, str) else abs(value) < 10**20


def _check_owned_addresses(root: Table, links: tuple[LinkConfig, ...], all_groups: tuple[GroupConfig, ...]) -> None:
    """An address that a group carries belongs to that group alone, and to no node."""
    owner = {address: f"node {node}" for link in links for node, address in link.addresses.items()}
    for group in all_groups:
        for resource in group.resources:
            option = resource.options.get("address")
            if resource.kind != "vip" or not isinstance(option, str):
                continue
            address = option.partition("/")[0]
            if addresses.check_address(address):
                continue
            address = addresses.normal(address)
            here = f"resource {group.name}/{resource.name}"
            if (other := owner.setdefault(address, here)) != here:
                root.mistakes.note(
                    f"group.{group.name}.resource.{resource.name}.address",
                    f"{describe(option)}, which {other} has",
                    "an address that nobody else has",
                )


def known_node(config: Config, node: str) -> Problem | None:
    """The mistake that `node` isn't in the file, or None."""
    names = config.spec.names
    if node in names:
        return None
    return Problem(config.path, "node", f"no [node.{node}]", either(names) + did_you_mean(node, names))
