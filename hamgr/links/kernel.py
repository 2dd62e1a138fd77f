"""The machine's network interfaces as the kernel reports them over netlink, at once."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hamgr import netlink
from hamgr.netlink import Netlink

log = logging.getLogger(__name__)

RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
"""Multicast groups of rtnetlink(7)."""

IFF_UP = 0x1
IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x08, 0x40
"""An IPv6 address that can't be used, or not yet (RFC 4862, 5.4)."""

LOOK_INTERVAL = 0.02
"""Seconds between two looks while events come one after the other, as when hundreds of addresses are added."""

_LINK, _ADDRESS = struct.Struct("=BxHiII"), struct.Struct("=BBBBI")
IFLA_IFNAME, IFLA_EXT_MASK, IFLA_CARRIER = 3, 29, 33
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
_NO_STATISTICS = struct.pack("=I", 1 << 3)


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


class InterfaceMonitor:
    """Calls `changed` with all interfaces when one of them, or one of their addresses, came, went or changed."""

    def __init__(self, changed: Callable[[Interfaces], None]) -> None:
        self._changed = changed
        self._events: Netlink | None = None
        self._asking: Netlink | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looked_at = float("-inf")
        self.interfaces: Interfaces = {}

    async def start(self) -> None:
        """Look once, and then whenever the kernel says that something changed. Raises OSError."""
        self._events = Netlink(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR)
        self._asking = Netlink()
        asyncio.get_running_loop().add_reader(self._events.socket, self._readable)
        self._look()

    def _readable(self) -> None:
        """What the events say is looked up: so it does not matter if some of them were lost (netlink(7), ENOBUFS)."""
        assert self._events is not None
        try:
            for _ in self._events.events():
                pass
        except OSError as error:
            log.debug("netlink: %s; looking anew", error)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(self._looked_at + LOOK_INTERVAL, loop.time()), self._look)

    def _look(self) -> None:
        assert self._asking is not None
        self._timer = None
        self._looked_at = asyncio.get_running_loop().time()
        found = interfaces(self._asking)
        if found != self.interfaces:
            self.interfaces = found
            self._changed(found)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._events is not None:
            asyncio.get_running_loop().remove_reader(self._events.socket)
            self._events.close()
            self._events = None
        if self._asking is not None:
            self._asking.close()
            self._asking = None


def interfaces(asking: Netlink) -> dict[str, Interface]:
    """All interfaces with their usable addresses. Raises OSError."""
    addresses: dict[int, set[str]] = {}
    broadcasts: dict[int, str] = {}
    for message in asking.dump(netlink.RTM_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0)):
        family, _prefix, flags, _scope, index = _ADDRESS.unpack_from(message.body)
        values = netlink.attributes(message.body, _ADDRESS.size)
        if IFA_FLAGS in values:
            (flags,) = struct.unpack("=I", values[IFA_FLAGS])
        if family not in (socket.AF_INET, socket.AF_INET6) or flags & (IFA_F_DADFAILED | IFA_F_TENTATIVE):
            continue
        # Of a point-to-point interface `address` is the peer's (rtnetlink(7)).
        address = values.get(IFA_LOCAL) or values[IFA_ADDRESS]
        addresses.setdefault(index, set()).add(str(ipaddress.ip_address(address)))
        if broadcast := values.get(IFA_BROADCAST):
            broadcasts.setdefault(index, str(ipaddress.ip_address(broadcast)))
    found = {}
    body = _LINK.pack(0, 0, 0, 0, 0) + netlink.packed({IFLA_EXT_MASK: _NO_STATISTICS})
    for message in asking.dump(netlink.RTM_GETLINK, body):
        _family, _type, index, flags, _change = _LINK.unpack_from(message.body)
        values = netlink.attributes(message.body, _LINK.size)
        name = values[IFLA_IFNAME].rstrip(b"\0").decode(errors="replace")
        carrier = bool(flags & IFF_UP) and values.get(IFLA_CARRIER) != b"\0"
        found[name] = Interface(name, index, carrier, frozenset(addresses.get(index, ())), broadcasts.get(index, ""))
    return found
