"""haresources: a line is a group, its first word the node that it prefers, the others its resources in start order."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from hamgr.config.addresses import check_address, check_interface, normal
from hamgr.config.heartbeat.lines import Line
from hamgr.config.heartbeat.reading import Reading
from hamgr.config.heartbeat.values import free_name, table_name
from hamgr.config.problems import describe
from hamgr.config.table import did_you_mean, either
from hamgr.core.cluster import SELECTIONS

_SCRIPT_TIMEOUT = "2min"
"""For scripts that Heartbeat let take for ever."""

_IPV4 = re.compile(r"[0-9]+(\.[0-9]+){3}(/.*)?", re.ASCII)
_VIPS = ("IPaddr", "IPaddr2", "IPv6addr", "IPaddr6addr")
_CARRIERS = (
    "drbddisk",
    "drbdupper",
    "Filesystem",
    "LVM",
    "Raid1",
    "portblock",
    "Delay",
    "MailTo",
    "SendArp",
    "IPsrcaddr",
)
"""Scripts that a group has for the sake of another one, which names it."""


def put_groups(reading: Reading, lines: list[Line]) -> None:
    """All groups. Notes every mistake."""
    found = []
    for line in lines:
        try:
            if not line.is_readable:
                raise ValueError("text in UTF-8 without control characters")
            _check_node(reading, line.word)
            found.append((line, _resources(reading, line)))
        except ValueError as error:
            reading.wrong(line, describe(line.text), str(error))
    vips = {_plain(resource): resource for _, resources in found for resource in resources if resource["kind"] == "vip"}
    for line, resources in found:
        resources = [one for one in resources if not _is_source(reading, line, one, vips)]
        _put(reading, line, resources)


def _check_node(reading: Reading, word: str) -> None:
    if word.lower() not in reading.nodes:
        allowed = f"a node of ha.cf in front: {either(reading.nodes)}" if reading.nodes else "a node of ha.cf in front"
        raise ValueError(allowed + did_you_mean(word.lower(), reading.nodes))


def _put(reading: Reading, line: Line, resources: list[dict[str, Any]]) -> None:
    if not resources:
        return
    name = free_name(_group_name(resources), (*SELECTIONS, *reading.draft.tables.get("group", {})))
    home = line.word.lower()
    nodes = [home, *(node for node in reading.nodes if node != home)]
    reading.draft.put(line, "group", name, value={"nodes": nodes})
    if reading.auto_failback is False:
        reading.draft.tables["group"][name]["auto_failback"] = False
    names: set[str] = set()
    for resource in resources:
        wanted = resource["script"] if resource["kind"] == "heartbeat" else resource["kind"]
        resource["name"] = free_name(table_name(str(wanted).rpartition("/")[2], resource["kind"]), names)
        names.add(resource["name"])
    reading.draft.tables["group"][name]["resource"] = resources


def _group_name(resources: list[dict[str, Any]]) -> str:
    """After the service that it is there for, else after its address: the same on all nodes."""
    scripts = [str(one["script"]).rpartition("/")[2] for one in resources if one["kind"] == "heartbeat"]
    services = [script for script in scripts if script not in _CARRIERS]
    addresses = [f"ip-{_plain(one)}" for one in resources if one["kind"] == "vip"]
    directories = [one["directory"].rpartition("/")[2] for one in resources if one["kind"] == "filesystem"]
    return next((table_name(word, "group") for word in (*services, *addresses, *directories, *scripts)), "group")


def _resources(reading: Reading, line: Line) -> list[dict[str, Any]]:
    words = line.rest.split()
    if not words:
        raise ValueError("a node and the resources that it prefers to run")
    return [_resource(reading, line, word) for word in words]


def _resource(reading: Reading, line: Line, word: str) -> dict[str, Any]:
    script, *args = word.split("::")
    if _IPV4.fullmatch(word) or not check_address(word.partition("/")[0]):
        return _vip(reading, line, word, [])
    if script in ("IPv6addr", "IPaddr6addr") and args:
        return _vip(reading, line, "::".join(args), [])  # Heartbeat's "::" is also IPv6's
    if script in _VIPS and args:
        return _vip(reading, line, args[0], args[1:])
    if script == "Filesystem":
        return _file_system(word, args)
    if not script or "/" in script:
        raise ValueError(f"the name of a script, an address, or SCRIPT::ARGUMENT in place of {describe(word)}")
    table: dict[str, Any] = {"kind": "heartbeat", "script": script}
    table |= {"args": args} if args else {}
    return {**table, "directory": str(reading.directory.absolute()), **_timeouts()}


def _timeouts() -> dict[str, str]:
    return {"start_timeout": _SCRIPT_TIMEOUT, "stop_timeout": _SCRIPT_TIMEOUT}


def _file_system(word: str, args: list[str]) -> dict[str, Any]:
    if not 2 <= len(args) <= 4 or not all(args):
        raise ValueError(f"Filesystem::DEVICE::DIRECTORY[::TYPE[::OPTIONS]] in place of {describe(word)}")
    keys = ("device", "directory", "fstype", "options")
    return {"kind": "filesystem", **dict(zip(keys, args, strict=False)), **_timeouts()}


def _vip(reading: Reading, line: Line, word: str, more: list[str]) -> dict[str, Any]:
    """ADDRESS[/PREFIX[/INTERFACE[/BROADCAST]]], or ADDRESS/PREFIX/BROADCAST, as Heartbeat's IPaddr."""
    address, *rest = word.split("/")
    if allowed := check_address(address):
        raise ValueError(f"{allowed} in place of {describe(address)}")
    prefix = rest.pop(0) if rest else ""
    interface = rest.pop(0) if rest and check_address(rest[0]) else ""
    sent_to = rest.pop(0) if rest else ""
    if rest or more or (sent_to and check_address(sent_to)):
        raise ValueError(f"ADDRESS/PREFIX/INTERFACE/BROADCAST in place of {describe(word)}")
    table = {"kind": "vip", "address": normal(address) + (f"/{_prefix(address, prefix)}" if prefix else "")}
    if interface:
        # "eth0:0" was how addresses were told apart once; the address is added to eth0 all the same.
        table["interface"] = interface.partition(":")[0]
        if allowed := check_interface(table["interface"]):
            raise ValueError(f"{allowed} in place of {describe(interface)}")
    if sent_to and not (prefix and str(ipaddress.ip_interface(table["address"]).network[-1]) == sent_to):
        if ":" in sent_to or ":" in address:
            raise ValueError(f"no BROADCAST with IPv6 in place of {describe(word)}")
        table["broadcast"] = sent_to
    return table


def _prefix(address: str, word: str) -> int:
    """A prefix length, also of a netmask such as 255.255.255.0."""
    try:
        return ipaddress.ip_interface(f"{address}/{word}").network.prefixlen
    except ValueError:
        raise ValueError(f"a prefix such as 24 after the address in place of {describe(word)}") from None


def _plain(vip: dict[str, Any]) -> str:
    return str(vip["address"]).partition("/")[0]


def _is_source(reading: Reading, line: Line, resource: dict[str, Any], vips: dict[str, dict[str, Any]]) -> bool:
    """IPsrcaddr becomes a key of the address that it names; one of an address that no group has stays a script."""
    if resource.get("script") != "IPsrcaddr" or len(resource.get("args", [])) != 1:
        return False
    address = resource["args"][0].partition("/")[0]
    vip = vips.get("" if check_address(address) else normal(address))
    if vip is not None:
        vip["source"] = True
    return vip is not None
