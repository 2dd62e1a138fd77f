"""Tells the neighbours where an address is now: gratuitous ARP (RFC 5227, 3) and unsolicited NA (RFC 4861, 7.2.6)."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct

ETHERTYPE_ARP = 0x0806
BROADCAST = b"\xff" * 6
ARP_REQUEST, ARP_REPLY = 1, 2
ALL_NODES = "ff02::1"
NEIGHBOUR_ADVERTISEMENT = 136
OVERRIDE = 0x20000000
TARGET_LINK_LAYER_ADDRESS = 2
HOP_LIMIT = 255
SIOCGIFHWADDR = 0x8927


def arp_frame(operation: int, mac: bytes, address: ipaddress.IPv4Address) -> bytes:
    """An ARP packet (RFC 826) by which `mac` says that the address is its own.

    The request form is what RFC 5227 calls an announcement; some switches and old stacks learn from the reply only.
    """
    target = BROADCAST if operation == ARP_REPLY else b"\0" * 6
    ethernet = BROADCAST + mac + struct.pack("!H", ETHERTYPE_ARP)
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return ethernet + arp + mac + address.packed + target + address.packed


def advertisement(mac: bytes, address: ipaddress.IPv6Address) -> bytes:
    """An unsolicited neighbour advertisement that overrides what neighbours have; the kernel fills the checksum in."""
    head = struct.pack("!BBHI", NEIGHBOUR_ADVERTISEMENT, 0, 0, OVERRIDE)
    return head + address.packed + struct.pack("!BB", TARGET_LINK_LAYER_ADDRESS, 1) + mac


class Announcer:
    """Announces one address on one interface. The socket stays open: closing such a one blocks for milliseconds."""

    def __init__(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address, interface: str) -> None:
        self._address = address
        self._interface = interface
        self._socket: socket.socket | None = None
        self._index = 0

    def open(self, index: int) -> None:
        """Have a socket for the interface with this index. Raises OSError."""
        if self._socket is not None and self._index == index:
            return
        self.close()
        if self._address.version == 4:
            # Protocol 0: it only sends, so nothing of the network's traffic is queued for it (packet(7)).
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        else:
            opened = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6)
        try:
            if self._address.version == 6:
                # It only sends: an ICMPv6 filter that passes nothing (RFC 3542, 3.2).
                opened.setsockopt(socket.IPPROTO_ICMPV6, 1, b"\xff" * 32)
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        except OSError:
            opened.close()
            raise
        self._socket = opened
        self._index = index

    def _mac(self, asked: socket.socket) -> bytes:
        """The interface's hardware address. By ioctl (netdevice(7)): /sys may show another network namespace's."""
        request = struct.pack("16s16x", self._interface.encode())
        return fcntl.ioctl(asked, SIOCGIFHWADDR, request)[18:24]

    def announce(self) -> None:
        """Say it once. Raises OSError."""
        assert self._socket is not None, "announce before open"
        mac = self._mac(self._socket)
        if isinstance(self._address, ipaddress.IPv4Address):
            for operation in (ARP_REQUEST, ARP_REPLY):
                self._socket.sendto(arp_frame(operation, mac, self._address), (self._interface, ETHERTYPE_ARP))
        else:
            self._socket.sendto(advertisement(mac, self._address), (ALL_NODES, 0, 0, self._index))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
