"""Whether the arbiter is on a third host, as far as its addresses tell."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from hamgr.config.model import Config


def warnings(config: Config) -> Iterator[tuple[str, str]]:
    """An arbiter that is lost with a node, or is another one for each of them, decides nothing."""
    if config.arbiter is None:
        return
    nodes = {str(ip): node for link in config.links for node, ip in link.addresses.items()}
    groups = {
        str(resource.options.get("address", "")).partition("/")[0]: group.name
        for group in config.groups
        for resource in group.resources
        if resource.kind == "vip"
    }
    key = "arbiter.addresses" if config.arbiter.more else "arbiter.address"
    for address, _port in config.arbiter.places:
        if ipaddress.ip_address(address).is_loopback:
            yield key, f"{address} is another machine on each node: every node would ask an arbiter of its own"
        elif node := nodes.get(address):
            yield key, f"{address} is node {node}: when that is lost, so is the arbiter's vote; put it on a third host"
        elif group := groups.get(address):
            yield key, f"{address} is the address of group {group}, which moves; put the arbiter on a third host"
