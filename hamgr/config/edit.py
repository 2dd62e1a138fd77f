"""Adds a node to the text of a configuration, or takes one out; comments, order and all else stay as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError

TWO = 2
"""Nodes: what a link joins at least, and what two_node is for."""


class EditError(Exception):
    """The text can't be changed like that; the error says why, in a sentence."""


@dataclass(frozen=True, slots=True)
class NewNode:
    """addresses, interfaces: by link. agent: of its fence device, "" for none; options: of that."""

    name: str
    addresses: Mapping[str, str] = field(default_factory=dict)
    interfaces: Mapping[str, str] = field(default_factory=dict)
    agent: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


def with_node(text: str, new: NewNode) -> str:
    """The text with one more node, which has the last rank. Raises EditError."""
    root = _parse(text)
    nodes = _table(root, "node")
    if new.name in nodes:
        raise EditError(f"node {new.name} is in the file already")
    links = _table(root, "link")
    for link in (*new.addresses, *new.interfaces):
        if link not in links:
            raise EditError(f"there is no link {link!r}; there are {', '.join(links)}")
    before = list(nodes)
    table = tomlkit.table()
    if new.addresses:
        addresses = tomlkit.inline_table()
        addresses.update(new.addresses)
        table["address"] = addresses
    nodes[new.name] = table
    for name in {**new.addresses, **new.interfaces}:
        link = links[name]
        if "nodes" in link and new.name not in link["nodes"]:
            link["nodes"].append(new.name)
    for name, interface in new.interfaces.items():
        _give_interface(links[name], before, new.name, interface)
    if new.agent:
        _add_device(root, new)
    _forget_two_node(root, len(nodes))
    return tomlkit.dumps(root)


def _give_interface(link: MutableMapping[str, Any], before: list[str], node: str, interface: str) -> None:
    found = link.get("interface")
    if found == interface:
        return
    if isinstance(found, Mapping):
        link["interface"][node] = interface
        return
    joined = [name for name in link.get("nodes", before) if name != node]
    each = tomlkit.inline_table()
    each.update(dict.fromkeys(joined, found) if found is not None else {})
    each[node] = interface
    link["interface"] = each


def _add_device(root: MutableMapping[str, Any], new: NewNode) -> None:
    if "fence" not in root:
        root["fence"] = tomlkit.table(is_super_table=True)
    devices = root["fence"]
    name = next(name for name in (new.name, f"fence-{new.name}", f"fence-of-{new.name}") if name not in devices)
    device = tomlkit.table()
    device["node"] = new.name
    device["agent"] = new.agent
    if new.options:
        options = tomlkit.inline_table()
        options.update(new.options)
        device["options"] = options
    devices[name] = device


def without_node(text: str, node: str) -> str:
    """The text without the node, wherever it is named. Raises EditError."""
    root = _parse(text)
    nodes = _table(root, "node")
    if node not in nodes:
        raise EditError(f"there is no node {node!r}; there are {', '.join(nodes)}")
    if len(nodes) <= TWO:
        raise EditError(f"{node} is one of the last two nodes: a cluster has two at least")
    del nodes[node]
    for group, name in _naming(root, "group", "nodes", node):
        if len(group["nodes"]) == 1:
            raise EditError(f"group {name} may run on {node} alone: first give it another node, or take it out")
        group["nodes"].remove(node)
    for link, name in _naming(root, "link", "nodes", node):
        link["nodes"].remove(node)
        if len(link["nodes"]) < TWO:
            del root["link"][name]
    for table in root.get("link", {}).values():
        for key in ("interface", "device"):
            if isinstance(table.get(key), Mapping) and node in table[key]:
                del table[key][node]
    for name in [name for name, device in root.get("fence", {}).items() if device.get("node") == node]:
        del root["fence"][name]
    if root.get("arbiter", {}).get("tie_breaker") == node:
        del root["arbiter"]["tie_breaker"]
    _forget_two_node(root, len(nodes))
    return tomlkit.dumps(root)


def with_arbiter(text: str, addresses: Sequence[str], identity: str) -> str:
    """The text with this arbiter in the place of any other. Raises EditError."""
    root = _parse(text)
    if "arbiter" not in root:
        root["arbiter"] = tomlkit.table()
    table = root["arbiter"]
    one = len(addresses) == 1
    for key in ("port", "addresses" if one else "address"):
        table.pop(key, None)
    table["address" if one else "addresses"] = addresses[0] if one else list(addresses)
    table["identity"] = identity
    if root.get("cluster", {}).get("two_node") is True:
        del root["cluster"]["two_node"]
    return tomlkit.dumps(root)


def _naming(root: Mapping[str, Any], kind: str, key: str, node: str) -> Iterator[tuple[Any, str]]:
    """The tables of a kind whose list has this node, with their names."""
    for name, table in list(root.get(kind, {}).items()):
        if node in table.get(key, ()):
            yield table, name


def _forget_two_node(root: MutableMapping[str, Any], nodes: int) -> None:
    """A `two_node = true` is right for two nodes only, and they imply it."""
    cluster = root.get("cluster", {})
    if nodes != TWO and cluster.get("two_node") is True:
        del cluster["two_node"]


def _parse(text: str) -> Any:
    try:
        return tomlkit.parse(text)
    except ParseError as error:
        raise EditError(f"the file is no TOML: {error}") from None


def _table(root: Mapping[str, Any], key: str) -> Any:
    found = root.get(key)
    if not isinstance(found, Mapping):
        raise EditError(f"the file has no tables [{key}.NAME]")
    return found
