"""`kind = "vip"`: an address that moves."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping

from hamgr.config.addresses import check_interface
from hamgr.config.model import OptionValue, ResourceConfig
from hamgr.resources.resource import Option, Resource, ResourceKind, Surroundings

REFUSE, ALERT = "refuse", "alert"
LONGEST_PROBE = 5.0
SHORTEST_ANNOUNCE_INTERVAL = 1.0
LONGEST_LABEL = 15
"""Characters (IFNAMSIZ)."""


def _check_address(value: str) -> str:
    try:
        interface = ipaddress.ip_interface(value)
    except ValueError:
        return 'an IPv4 or IPv6 address, with its prefix or without, as "192.0.2.10/24" or "192.0.2.10"'
    if interface.ip.is_multicast or interface.ip.is_unspecified or interface.ip.is_loopback:
        return "an address that clients can reach"
    return ""


def _check_count(value: int) -> str:
    return "" if 0 <= value <= 1000 else "0 to 1000"


def _check_probe(value: float) -> str:
    return "" if 0 <= value <= LONGEST_PROBE else f"0 to {LONGEST_PROBE:g} s"


def _check_interval(value: float) -> str:
    return "" if value == 0 or value >= SHORTEST_ANNOUNCE_INTERVAL else "0 (never), or 1 s and more"


def _check_conflict(value: str) -> str:
    return "" if value in (REFUSE, ALERT) else f'"{REFUSE}" or "{ALERT}"'


def _check_label(value: str) -> str:
    right = 0 < len(value.encode()) <= LONGEST_LABEL and ":" in value and value.isprintable() and " " not in value
    return "" if right else f'the interface, ":" and a word, as "eth0:0", up to {LONGEST_LABEL} characters'


def _check_broadcast(value: str) -> str:
    try:
        ipaddress.IPv4Address("0.0.0.0" if value == "none" else value)
    except ValueError:
        return 'an IPv4 address, or "none"'
    return ""


def _warnings_here(options: Mapping[str, OptionValue]) -> Iterable[tuple[str, str]]:
    interface, here = options.get("interface"), [name for _, name in socket.if_nameindex()]
    if isinstance(interface, str) and interface not in here:
        text = f"{interface} is not here (there is {', '.join(sorted(here))}): until it comes the group can't run here"
        yield "interface", text


def _build(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    from hamgr.resources.vip import Vip

    return Vip(config, surroundings)


KIND = ResourceKind(
    (
        Option("address", str, required=True, check=_check_address),
        Option("interface", str, check=check_interface),
        Option("conflict", str, default=REFUSE, check=_check_conflict),
        Option("probe", float, default=0.010, check=_check_probe),
        Option("announcements", int, default=5, check=_check_count),
        Option("announce_interval", float, default=60.0, check=_check_interval),
        Option("label", str, check=_check_label),
        Option("broadcast", str, check=_check_broadcast),
        Option("nodad", bool, default=True),
        Option("deprecated", bool),
        Option("source", bool, default=False),
    ),
    _build,
    warnings_here=_warnings_here,
)
