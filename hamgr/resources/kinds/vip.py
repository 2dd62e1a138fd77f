"""`kind = "vip"`: an address that moves."""

from __future__ import annotations

import ipaddress

from hamgr.config.addresses import check_interface
from hamgr.config.model import ResourceConfig
from hamgr.resources.resource import Option, Resource, ResourceKind, Surroundings


def _check_interface_address(value: str) -> str:
    try:
        interface = ipaddress.ip_interface(value)
    except ValueError:
        return 'an IPv4 or IPv6 address, with its prefix or without, as "192.0.2.10/24" or "192.0.2.10"'
    if interface.ip.is_multicast or interface.ip.is_unspecified or interface.ip.is_loopback:
        return "an address that clients can reach"
    return ""


def _check_count(value: int) -> str:
    return "" if 0 <= value <= 1000 else "0 to 1000"


def _build(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    from hamgr.resources.vip import Vip

    return Vip(config)


KIND = ResourceKind(
    (
        Option("address", str, required=True, check=_check_interface_address),
        Option("interface", str, check=check_interface),
        Option("announcements", int, default=5, check=_check_count),
    ),
    _build,
)
