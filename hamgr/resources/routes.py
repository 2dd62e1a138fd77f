"""The routes of this machine, as the kernel has them now, and what changes them: one view for a whole daemon."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from hamgr import netlink
from hamgr.netlink import Message, Netlink
from hamgr.resources.kernel import IPAddress
from hamgr.resources.shared import Shared

log = logging.getLogger(__name__)

IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE = 0x40, 0x400
LOOK_INTERVAL = 0.05
"""Seconds between two looks at tables that go on changing: a router's may have a million routes."""

MAIN = 254
IPV6_METRIC = 1024
"""What the kernel makes of an IPv6 route without a metric."""

OURS, COPY = 104, 105
"""Protocols (rtnetlink(7), rtm_protocol), by which we know our own: routes that were asked for, and halves of others'
routes with another source address."""

_HEAD = struct.Struct("=BBBBBBBBI")
_UNIVERSE, _LINK, _NOWHERE = 0, 253, 255
_UNICAST = 1
_ONLINK = 4
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_METRICS, RTA_TABLE, RTA_VIA = 1, 4, 5, 6, 7, 8, 15, 18
RTA_ENCAP_TYPE, RTA_ENCAP = 21, 22
_COPIED = (RTA_METRICS, RTA_VIA, RTA_ENCAP_TYPE, RTA_ENCAP)
SOL_NETLINK, NETLINK_GET_STRICT_CHK = 270, 12


@dataclass(frozen=True, slots=True)
class Route:
    """index: of the interface; 0 when the kernel shall find it, or when it goes over several. more: what else the
    kernel told of it."""

    to: IPNetwork
    via: IPAddress | None = None
    index: int = 0
    source: IPAddress | None = None
    metric: int = 0
    table: int = MAIN
    protocol: int = OURS
    onlink: bool = False
    more: tuple[tuple[int, bytes], ...] = ()

    @property
    def key(self) -> tuple[IPNetwork, int]:
        """What the routes of a table are told apart by."""
        return self.to, self.metric

    def same(self, other: Route) -> bool:
        """They lead to the same place by the same way."""
        return dataclasses.replace(self, protocol=0, onlink=False, more=()) == dataclasses.replace(
            other, protocol=0, onlink=False, more=()
        )


class Routes(Shared):
    """Asked for a table, it reads it only if something changed since."""

    def __init__(self) -> None:
        """Raises OSError when the machine has no sockets left."""
        self._loop = asyncio.get_running_loop()
        self._events = Netlink(RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE)
        self._asking = Netlink()
        # The kernel itself leaves other tables out, and the clones in its cache (4.20).
        self._asking.socket.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        self._tables: dict[tuple[int, int], list[Route]] = {}
        self._watchers: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._looked_at = float("-inf")
        self._loop.add_reader(self._events.socket, self._readable)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._events.socket)
        self._events.close()
        self._asking.close()

    def table(self, version: int, table: int = MAIN) -> list[Route]:
        """Its unicast routes. Raises OSError."""
        self._drain()
        found = self._tables.get((version, table))
        if found is None:
            head = _HEAD.pack(_family(version), 0, 0, 0, table if table < 256 else 0, 0, 0, 0, 0)
            body = head + netlink.packed({RTA_TABLE: struct.pack("=I", table)})
            read = [_parsed(message) for message in self._asking.dump(netlink.RTM_GETROUTE, body)]
            found = [route for route in read if route is not None and route.table == table]
            self._tables[version, table] = found
        return found

    def add(self, route: Route) -> None:
        """Raises OSError: EEXIST when there is one with its key."""
        self._asking.ask(netlink.RTM_NEWROUTE, netlink.CREATE | netlink.EXCL, _packed(route))

    def replace(self, route: Route) -> None:
        """In the place of the one with its key, in one step. Raises OSError."""
        self._asking.ask(netlink.RTM_NEWROUTE, netlink.CREATE | netlink.REPLACE, _packed(route))

    def remove(self, route: Route) -> None:
        """Raises OSError: ESRCH when it is gone already."""
        self._asking.ask(netlink.RTM_DELROUTE, 0, _packed(route, removal=True))

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called when any route changed."""
        self._watchers.append(changed)

    def unwatch(self, changed: Callable[[], None]) -> None:
        if changed in self._watchers:
            self._watchers.remove(changed)

    def _drain(self) -> bool:
        """Forget what was read, if the kernel tells of a change; it does before who made it goes on."""
        fresh = True
        try:
            for _ in self._events.events():
                fresh = False
        except OSError:  # more than the socket could hold
            fresh = False
        if not fresh:
            self._tables.clear()
        return not fresh

    def _readable(self) -> None:
        self._drain()
        if self._timer is None:
            due = max(self._looked_at + LOOK_INTERVAL, self._loop.time())
            self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        self._looked_at = self._loop.time()
        for changed in list(self._watchers):
            changed()


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _parsed(message: Message) -> Route | None:
    """None for what is no route to a host or a network of the world: local and broadcast addresses, and the like."""
    family, length, _slength, _tos, table, protocol, _scope, kind, flags = _HEAD.unpack_from(message.body)
    if kind != _UNICAST or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    values = netlink.attributes(message.body, _HEAD.size)
    size = 4 if family == socket.AF_INET else 16

    def address(key: int) -> IPAddress | None:
        return ipaddress.ip_address(values[key]) if key in values else None

    def number(key: int, default: int) -> int:
        return int(struct.unpack("=I", values[key])[0]) if key in values else default

    to = ipaddress.ip_network((values.get(RTA_DST, b"\0" * size), length), strict=False)
    more = tuple((key, values[key]) for key in _COPIED if key in values)
    return Route(
        to,
        address(RTA_GATEWAY),
        number(RTA_OIF, 0),
        address(RTA_PREFSRC),
        number(RTA_PRIORITY, 0),
        number(RTA_TABLE, table),
        protocol,
        bool(flags & _ONLINK),
        more,
    )


def _packed(route: Route, removal: bool = False) -> bytes:
    near = route.via is None and RTA_VIA not in dict(route.more)
    scope = _NOWHERE if removal else _LINK if near and route.to.version == 4 else _UNIVERSE
    values = {RTA_TABLE: struct.pack("=I", route.table)}
    if route.to.prefixlen:
        values[RTA_DST] = route.to.network_address.packed
    if route.via is not None:
        values[RTA_GATEWAY] = route.via.packed
    if route.index:
        values[RTA_OIF] = struct.pack("=I", route.index)
    if route.source is not None:
        values[RTA_PREFSRC] = route.source.packed
    if route.metric:
        values[RTA_PRIORITY] = struct.pack("=I", route.metric)
    if not removal:
        values.update(route.more)
    table = route.table if route.table < 256 else 0
    flags = _ONLINK if route.onlink and not removal else 0
    head = _HEAD.pack(
        _family(route.to.version), route.to.prefixlen, 0, 0, table, route.protocol, scope, _UNICAST, flags
    )
    return head + netlink.packed(values)
