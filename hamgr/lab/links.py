"""The heartbeat links that a lab's nodes can have, each as lines of hamgr.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

LAN, HA, WIRE, DISK = "lan", "ha", "wire", "disk"
"""Networks of the nodes that links run over. The wire is a serial line between a and b, the disk one that all share."""


@dataclass(frozen=True, slots=True)
class LabLink:
    """lines: of its table, without the name. network: what it runs over. family: of its addresses; 0 for none."""

    lines: tuple[str, ...]
    network: str
    family: int = 0


LINKS: Mapping[str, LabLink] = MappingProxyType(
    {
        "lan": LabLink(('kind = "grpc"', "port = 5411"), LAN, 4),
        "ha": LabLink(('kind = "udp"', "port = 694", 'interface = "eth1"'), HA, 4),
        "udp-lan": LabLink(('kind = "udp"', "port = 694", 'interface = "eth0"'), LAN, 4),
        "udp6": LabLink(('kind = "udp"', "port = 695"), LAN, 6),
        "grpc6": LabLink(('kind = "grpc"', "port = 5412"), LAN, 6),
        "bcast": LabLink(('kind = "broadcast"', "port = 696", 'interface = "eth1"'), HA),
        "mcast": LabLink(('kind = "multicast"', "port = 697", 'interface = "eth1"', 'group = "239.77.0.1"'), HA),
        "mcast6": LabLink(('kind = "multicast"', "port = 698", 'interface = "eth0"', 'group = "ff02::4477"'), LAN),
        "serial": LabLink(('kind = "serial"', 'nodes = ["a", "b"]'), WIRE),
        "disk": LabLink(('kind = "disk"', 'device = "@DISK@"', 'reset = "@HERE@/reset"'), DISK),
    }
)
"""By name; the names are what `hamgr lab up --links` takes."""
