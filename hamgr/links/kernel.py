"""The machine's network interfaces as the kernel reports them over netlink, at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface. carrier: up, and something at the other end of the cable. addresses: IPv4 and IPv6, without the
    prefix, as `ipaddress` writes them. broadcast: its IPv4 broadcast address, "" without one."""

    name: str
    index: int
    carrier: bool
    addresses: frozenset[str] = frozenset()
    broadcast: str = ""


Interfaces: TypeAlias = Mapping[str, Interface]
"""By name."""
