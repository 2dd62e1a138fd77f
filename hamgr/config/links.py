"""The heartbeat links of a configuration: `[link.NAME]`, and each node's addresses on them.

Which keys a link has depends on its kind; what each carrier makes of them is said in docs/protocol.md.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from hamgr.config import addresses
from hamgr.config.durations import show
from hamgr.config.model import DEFAULT_BAUD, DEFAULT_LINK_PORT, LinkConfig
from hamgr.config.problems import describe
from hamgr.config.table import MISSING, Table, either
from hamgr.core.cluster import MAX_NODES, Timing

MIN_NODES = 2
SHORTEST_POLL = 0.01
HIGHEST_TTL = 255
BAUD_RATES = (9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)
"""What termios(3) and real UARTs agree on. Slower lines can't carry a takeover beside the heartbeats."""

ANYWHERE = "0.0.0.0"
"""What broadcast sockets are bound to: they hear whatever comes to their port."""

DEVICES = {
    "serial": 'a serial device, such as "/dev/ttyS0"',
    "disk": 'a disk that all nodes reach, or a partition of one, such as "/dev/disk/by-id/..."',
}

LINK_KINDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "udp": frozenset({"address", "port", "interface"}),
        "broadcast": frozenset({"port", "interface"}),
        "multicast": frozenset({"port", "interface", "group", "ttl", "loop"}),
        "serial": frozenset({"device", "baud"}),
        "grpc": frozenset({"address", "port"}),
        "disk": frozenset({"device", "poll", "reset"}),
    }
)
"""Kind -> what its links are configured with. "address" is a key of the nodes."""


def read(root: Table, tables: dict[str, Table], nodes: dict[str, Table], times: Timing) -> tuple[LinkConfig, ...]:
    """All links. Notes every mistake."""
    if "link" in root.values and not tables:
        root.mistakes.note("link", MISSING, "at least one table [link.NAME]")
    if "node" in root.values and not MIN_NODES <= len(nodes) <= MAX_NODES:
        root.mistakes.note("node", f"{len(nodes)} nodes", f"{MIN_NODES} to {MAX_NODES} tables [node.NAME]")
    _check_names(root, nodes)
    kinds = {name: table.choice("kind", "", LINK_KINDS, required=True) for name, table in tables.items()}
    joined = {name: _joined(table, nodes, kinds[name]) for name, table in tables.items()}
    of_node = {node: _addresses(table, node, kinds, joined) for node, table in nodes.items()}
    links: list[LinkConfig] = []
    for name, table in tables.items():
        if allowed := addresses.check_name(name):
            root.mistakes.note(table.path, describe(name), allowed)
        link = _link(table, name, kinds[name], joined[name], of_node, times)
        for other in links:
            _check_apart(table, link, other)
        if len({":" in address for address in link.addresses.values()}) > 1:
            root.mistakes.note(table.path, "IPv4 and IPv6 addresses", "one family on one link")
        links.append(link)
    _check_different(root, links)
    return tuple(links)


def _check_names(root: Table, nodes: dict[str, Table]) -> None:
    seen: dict[str, str] = {}
    for name, table in nodes.items():
        if allowed := addresses.check_node_name(name):
            root.mistakes.note(table.path, describe(name), allowed)
        if (other := seen.setdefault(name.lower(), name)) != name:
            root.mistakes.note(table.path, f"the name of node {other}", "different names (host names ignore case)")


def _joined(table: Table, nodes: dict[str, Table], kind: str) -> tuple[str, ...]:
    """The nodes that a link joins: all, or those that it names."""
    every = tuple(nodes)
    names = table.texts("nodes", every, "an array of nodes")
    for name in names:
        if name not in nodes:
            table.mistakes.note(table.key("nodes"), describe(name), either(every))
    if kind == "serial" and len(names) != 2:
        table.mistakes.note(table.key("nodes"), f"{len(names)} nodes", "the two nodes that the cable joins")
    elif len(names) < MIN_NODES:
        table.mistakes.note(table.key("nodes"), f"{len(names)} nodes", f"{MIN_NODES} nodes or more")
    return tuple(name for name in names if name in nodes)


def _addresses(node: Table, name: str, kinds: dict[str, str], joined: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Link name -> the node's address on it, for the links that need one."""
    needed = [link for link, kind in kinds.items() if "address" in LINK_KINDS.get(kind, ()) and name in joined[link]]
    wanted = ", ".join(f'{link} = "..."' for link in needed)
    table = node.table("address", required=f"an address on each link: {{ {wanted} }}" if needed else "")
    found = {}
    for link in needed:
        required = addresses.ADDRESS if "address" in node.values else ""
        address = table.text(link, required=required, check=addresses.check_address)
        if address:
            found[link] = addresses.normal(address)
    if isinstance(node.values.get("address"), dict):
        table.finish()
    return found


def _link(
    table: Table, name: str, kind: str, nodes: tuple[str, ...], of_node: dict[str, dict[str, str]], times: Timing
) -> LinkConfig:
    keys = LINK_KINDS.get(kind, frozenset())
    shared_medium = kind in ("broadcast", "multicast")
    group = _group(table) if "group" in keys else ""
    link = LinkConfig(
        name=name,
        kind=kind,
        nodes=nodes,
        port=table.number("port", DEFAULT_LINK_PORT, 1, addresses.HIGHEST_PORT) if "port" in keys else 0,
        addresses={node: found[name] for node, found in of_node.items() if name in found},
        interfaces=per_node(table, "interface", nodes, addresses.check_interface, shared_medium)
        if "interface" in keys
        else {},
        group=group,
        ttl=table.number("ttl", 1, 0, HIGHEST_TTL) if "ttl" in keys else 1,
        loop=table.flag("loop", False) if "loop" in keys else False,
        devices=per_node(table, "device", nodes, check_device(kind), True) if "device" in keys else {},
        baud=_baud(table) if "baud" in keys else DEFAULT_BAUD,
        poll=_poll(table, times) if "poll" in keys else 0.0,
        reset=table.text("reset", check=_check_reset) if "reset" in keys else "",
    )
    if keys:
        table.finish()
    return link


def per_node(
    table: Table, key: str, nodes: tuple[str, ...], check: Callable[[str], str], required: bool
) -> dict[str, str]:
    """One text for all nodes, or a table with a text for each: { a = "eth0", b = "enp3s0" }."""
    if isinstance(table.values.get(key), dict):
        found = table.table(key)
        texts = {node: found.text(node, required="a text for each node of the link", check=check) for node in nodes}
        found.finish()
        return {node: text for node, text in texts.items() if text}
    # The check says what it wants, of a text that nobody wants.
    text = table.text(key, required=check("") if required else "", check=check)
    return dict.fromkeys(nodes, text) if text else {}


def check_device(kind: str) -> Callable[[str], str]:
    return lambda value: "" if value.startswith("/") else DEVICES[kind]


def _check_reset(value: str) -> str:
    return "" if value.startswith("/") else 'the absolute path of a file that resets the machine: "/proc/sysrq-trigger"'


def _poll(table: Table, times: Timing) -> float:
    """Two looks a heartbeat, unless told otherwise; with fewer than two a deadtime, one late look is a death."""
    poll = table.duration("poll", max(times.keepalive / 2, SHORTEST_POLL), SHORTEST_POLL)
    if poll > times.deadtime / 2:
        table.wrong("poll", f"up to half of the deadtime, {show(times.deadtime / 2)}")
    return poll


def _group(table: Table) -> str:
    wanted = 'a multicast group, such as "239.0.0.42" or "ff02::4242"'

    def check(value: str) -> str:
        try:
            return "" if ipaddress.ip_address(value).is_multicast else wanted
        except ValueError:
            return wanted

    text = table.text("group", required=wanted, check=check)
    return addresses.normal(text) if text else ""


def _baud(table: Table) -> int:
    rates = ", ".join(map(str, BAUD_RATES))

    def convert(value: Any) -> int:
        if isinstance(value, bool) or value not in BAUD_RATES:
            raise ValueError(f"one of {rates}")
        return int(value)

    return table.take("baud", DEFAULT_BAUD, convert)


def _check_apart(table: Table, link: LinkConfig, other: LinkConfig) -> None:
    """Two links never have the same place on a node: the one would take the other's frames."""
    for node in link.nodes:
        if node not in other.nodes:
            continue
        if link.kind == other.kind and link.devices:
            if node in link.devices and link.devices[node] == other.devices.get(node):
                found = f"{describe(link.devices[node])}, which link {other.name} has on node {node}"
                table.mistakes.note(table.key("device"), found, "a device of its own for each link")
                return
            continue
        if link.port != other.port or not link.port or (link.kind == "grpc") != (other.kind == "grpc"):
            continue
        where = _common_place(link, other, node)
        if where:
            table.mistakes.note(
                table.key("port"),
                f"{link.port}, as link {other.name} has on {where} of node {node}",
                "another port, or another address or interface, for each link",
            )
            return


def _common_place(link: LinkConfig, other: LinkConfig, node: str) -> str:
    """Where the sockets of both links on a node would get each other's datagrams; "" for nowhere."""
    one, another = _bound(link, node), _bound(other, node)
    if one is None or another is None or (":" in one) != (":" in another):
        return ""
    everywhere = ANYWHERE in (one, another)
    interfaces = {link.interfaces.get(node, ""), other.interfaces.get(node, "")}
    if (one != another and not everywhere) or (len(interfaces) == 2 and "" not in interfaces):
        return ""
    return (max(interfaces) or "every interface") if everywhere else one


def _bound(link: LinkConfig, node: str) -> str | None:
    """The address that a link's socket is bound to; None when it is missing, which is told of elsewhere."""
    if "address" in LINK_KINDS.get(link.kind, ()):
        return link.addresses.get(node)
    return link.group or ANYWHERE


def _check_different(root: Table, links: list[LinkConfig]) -> None:
    """Two nodes never have the same address, on whatever link."""
    owner: dict[str, str] = {}
    for link in links:
        for node, address in link.addresses.items():
            other = owner.setdefault(address, node)
            if other != node:
                root.mistakes.note(
                    f"node.{node}.address.{link.name}",
                    f"{describe(address)}, which node {other} has",
                    "an address that no other node has",
                )
