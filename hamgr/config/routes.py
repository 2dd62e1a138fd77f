"""Routes that nodes always have, in no group: `[route.NAME]`, in place of rc.local and static-routes files."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterator
from typing import Any

from hamgr.config.addresses import ADDRESS, check_address, check_interface, check_name
from hamgr.config.kinds import Fact
from hamgr.config.model import LinkConfig, RouteConfig
from hamgr.config.problems import describe
from hamgr.config.table import Table, did_you_mean, either

TARGET = '"default", a network as "10.0.0.0/8", or an address'
MAIN_TABLE = 254
LARGEST = 0xFFFFFFFF


def check_target(value: str) -> str:
    if value == "default":
        return ""
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return TARGET
    if "/" in value and str(ipaddress.ip_interface(value).ip) != str(network.network_address):
        return f'{TARGET}; "{network}" is the network'
    return "" if not network.is_multicast else TARGET


def check_way(value: str) -> str:
    return check_address(value)


def check_metric(value: int) -> str:
    return "" if 0 <= value <= LARGEST else f"0 to {LARGEST}"


def check_table(value: int) -> str:
    return "" if 1 <= value <= LARGEST else f"the number of a routing table, 1 to {LARGEST} (main is {MAIN_TABLE})"


def what_is_wrong(to: str, via: str, interface: str, source: str) -> Iterator[Fact]:
    """What no option shows alone. Each as key, what was found, what is allowed."""
    if not via and not interface:
        yield "interface", "nothing", "an interface, or `via` with a gateway"
    families = {":" in text for text in (to if to != "default" else "", via, source) if text}
    if len(families) > 1:
        yield "to", describe(to), "IPv4 or IPv6 in `to`, `via` and `source` alike"


def read(root: Table, nodes: Collection[str], links: Collection[LinkConfig]) -> tuple[RouteConfig, ...]:
    """All of them, each for every node that has it."""
    found: list[RouteConfig] = []
    for name, table in root.tables("route").items():
        if allowed := check_name(name):
            root.mistakes.note(table.path, describe(name), allowed)
        found += _of_table(name, table, nodes, links)
        table.finish()
    return tuple(found)


def _of_table(name: str, table: Table, nodes: Collection[str], links: Collection[LinkConfig]) -> Iterator[RouteConfig]:
    given = table.texts("nodes", (), "an array of node names")
    for node in given:
        if node not in nodes:
            table.mistakes.note(table.key("nodes"), describe(node), either(nodes) + did_you_mean(node, nodes))
    link_name = table.choice("link", "", [link.name for link in links])
    to = _per_node(table, "to", nodes, check_target)
    via = _per_node(table, "via", nodes, check_way)
    interface = _per_node(table, "interface", nodes, check_interface)
    source = _per_node(table, "source", nodes, check_way)
    metric = table.number("metric", 0, 0, LARGEST)
    number = table.number("table", MAIN_TABLE, 1, LARGEST)
    replace = table.flag("replace", False)
    if ("to" in table.values) == ("link" in table.values):
        both = "to" in table.values
        found, allowed = ("both", "one of the two") if both else ("nothing", f"{TARGET}; or `link`, for its peers")
        table.mistakes.note(table.key("to"), found, allowed)
    link = next((link for link in links if link.name == link_name), None)
    for node in given or nodes:
        targets = [to[node]] if node in to else _peers(link, node)
        for target in targets:
            way = via.get(node, ""), interface.get(node, ""), source.get(node, "")
            for key, wrong, allowed in what_is_wrong(target, *way):
                table.mistakes.note(table.key(key), f"{wrong} for node {node}", allowed)
            yield RouteConfig(name, node, target, *way, metric, number, replace)


def _peers(link: LinkConfig | None, node: str) -> list[str]:
    """Where the others are on a link."""
    return [link.addresses[peer] for peer in link.peers(node) if peer in link.addresses] if link is not None else []


def _per_node(table: Table, key: str, nodes: Collection[str], check: Callable[[str], str]) -> dict[str, str]:
    """One text for all nodes, or a table with one for each."""

    def one(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(check("") or ADDRESS)
        if allowed := check(value):
            raise ValueError(allowed)
        return value

    def convert(value: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            return dict.fromkeys(nodes, one(value))
        if strange := [node for node in value if node not in nodes]:
            raise ValueError(f"{either(nodes)} as keys{did_you_mean(strange[0], nodes)}")
        return {node: one(text) for node, text in value.items()}

    nothing: dict[str, str] = {}
    return table.take(key, nothing, convert)
