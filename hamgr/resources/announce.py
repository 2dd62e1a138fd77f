"""Tells the neighbours where an address is now: gratuitous ARP (RFC 5227, 3) and unsolicited NA (RFC 4861, 7.2.6)."""

from __future__ import annotations

import ipaddress
import socket
import struct

from hamgr.resources.kernel import Card, IPAddress

ETHERTYPE_ARP = 0x0806
BROADCAST = b"\xff" * 6
ARP_REQUEST, ARP_REPLY = 1, 2
ALL_NODES = "ff02::1"
NEIGHBOUR_ADVERTISEMENT = 136
OVERRIDE = 0x20000000
TARGET_LINK_LAYER_ADDRESS = 2
HOP_LIMIT = 255


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

    def __init__(self, address: IPAddress) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._card: Card | None = None

    def open(self, card: Card) -> None:
        """Have a socket for the interface. Raises OSError."""
        same = self._card is not None and self._card.index == card.index
        self._card = card
        if self._socket is not None and (self._address.version == 4 or same):
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
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, card.index)
        except OSError:
            opened.close()
            raise
        self._socket = opened

    def announce(self) -> None:
        """Say it once. Raises OSError."""
        assert self._socket is not None, "announce before open"
        assert self._card is not None
        mac = self._card.mac
        if isinstance(self._address, ipaddress.IPv4Address):
            for operation in (ARP_REQUEST, ARP_REPLY):
                self._socket.sendto(arp_frame(operation, mac, self._address), (self._card.name, ETHERTYPE_ARP))
        else:
            self._socket.sendto(advertisement(mac, self._address), (ALL_NODES, 0, 0, self._card.index))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
