"""Heartbeats to everybody on an interface: broadcast (Heartbeat's `bcast`) and multicast (`mcast`, `mcast6`).

No node needs to know another's address. Everybody hears what is meant for the others, and drops it.
"""

from __future__ import annotations

import socket
import struct

from hamgr.config.model import LinkConfig
from hamgr.links.datagram import DatagramLink, Destination, NotYet, Place, new_socket
from hamgr.links.kernel import Interface, Interfaces
from hamgr.links.link import Listener, Local

EVERYBODY = "255.255.255.255"
"""The limited broadcast address (RFC 919, 7), for an interface without one of its own."""

IP_MULTICAST_ALL = 49
IPV6_MULTICAST_ALL = 29
"""Whether a socket gets what others on this machine joined (ip(7), ipv6(7)); `socket` has no names for them."""

_MREQN = struct.Struct("=4s4si")
"""ip_mreqn: group, local address, interface index (ip(7))."""
_MREQ6 = struct.Struct("=16sI")
"""ipv6_mreq: group, interface index (ipv6(7))."""


def _interface(interfaces: Interfaces, name: str) -> Interface:
    """Raises NotYet."""
    if name not in interfaces:
        raise NotYet(f"waits for interface {name}")
    return interfaces[name]


class Broadcast:
    """To the IPv4 broadcast address of an interface."""

    def __init__(self, config: LinkConfig, node: str) -> None:
        self._name = config.name
        self._interface = config.interfaces[node]
        self._port = config.port

    def place(self, interfaces: Interfaces) -> Place:
        interface = _interface(interfaces, self._interface)
        if not any(":" not in address for address in interface.addresses):
            raise NotYet(f"waits for an IPv4 address on {self._interface}")
        return Place(interface)

    def bind(self, place: Place) -> socket.socket:
        bound = new_socket(self._name, socket.AF_INET, self._interface)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            bound.bind(("", self._port))
        except OSError:
            bound.close()
            raise
        return bound

    def destination(self, to: str, place: Place) -> Destination:
        assert place.interface is not None
        return (place.interface.broadcast or EVERYBODY, self._port)


class Multicast:
    """To a multicast group, over one interface."""

    def __init__(self, config: LinkConfig, node: str) -> None:
        self._name = config.name
        self._interface = config.interfaces[node]
        self._group = config.group
        self._port = config.port
        self._ttl = config.ttl
        self._loop = config.loop
        self._family = socket.AF_INET6 if ":" in config.group else socket.AF_INET

    def place(self, interfaces: Interfaces) -> Place:
        interface = _interface(interfaces, self._interface)
        if not any((":" in address) == (self._family == socket.AF_INET6) for address in interface.addresses):
            version = "IPv6" if self._family == socket.AF_INET6 else "IPv4"
            raise NotYet(f"waits for an {version} address on {self._interface}")
        return Place(interface)

    def bind(self, place: Place) -> socket.socket:
        assert place.interface is not None
        bound = new_socket(self._name, self._family, self._interface)
        try:
            if self._family == socket.AF_INET6:
                self._join6(bound, place.interface.index)
            else:
                self._join4(bound, place.interface.index)
        except OSError:
            bound.close()
            raise
        return bound

    def _join4(self, bound: socket.socket, index: int) -> None:
        member = _MREQN.pack(socket.inet_aton(self._group), bytes(4), index)
        for option, value in (
            (IP_MULTICAST_ALL, 0),
            (socket.IP_MULTICAST_TTL, self._ttl),
            (socket.IP_MULTICAST_LOOP, int(self._loop)),
            (socket.IP_MULTICAST_IF, member),
            (socket.IP_ADD_MEMBERSHIP, member),
        ):
            bound.setsockopt(socket.IPPROTO_IP, option, value)
        # Bound to the group, the socket gets nothing that was sent to an address of ours.
        bound.bind((self._group, self._port))

    def _join6(self, bound: socket.socket, index: int) -> None:
        member = _MREQ6.pack(socket.inet_pton(socket.AF_INET6, self._group), index)
        for option, value in (
            (IPV6_MULTICAST_ALL, 0),
            (socket.IPV6_MULTICAST_HOPS, self._ttl),
            (socket.IPV6_MULTICAST_LOOP, int(self._loop)),
            (socket.IPV6_MULTICAST_IF, index),
            (socket.IPV6_JOIN_GROUP, member),
        ):
            bound.setsockopt(socket.IPPROTO_IPV6, option, value)
        bound.bind((self._group, self._port, 0, index))

    def destination(self, to: str, place: Place) -> Destination:
        assert place.interface is not None
        return (
            (self._group, self._port)
            if self._family == socket.AF_INET
            else (self._group, self._port, 0, place.interface.index)
        )


def broadcast_link(config: LinkConfig, local: Local, listener: Listener) -> DatagramLink:
    return DatagramLink(config, listener, Broadcast(config, local.node))


def multicast_link(config: LinkConfig, local: Local, listener: Listener) -> DatagramLink:
    return DatagramLink(config, listener, Multicast(config, local.node))
