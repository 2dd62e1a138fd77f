"""The Ethernet frames that tell and ask neighbours where an address is: ARP (RFC 826, 5227) and ND (RFC 4861, 4862)."""

from __future__ import annotations

import ipaddress
import struct

from hamgr.resources.kernel import IPAddress

ETHERTYPE_ARP, ETHERTYPE_IPV6 = 0x0806, 0x86DD
BROADCAST = b"\xff" * 6
NOBODY = b"\0" * 6
ARP_REQUEST, ARP_REPLY = 1, 2
ICMPV6 = 58
NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 135, 136
ALL_NODES = ipaddress.IPv6Address("ff02::1")
UNSPECIFIED = ipaddress.IPv6Address("::")
SOLICITED_NODE = int(ipaddress.IPv6Address("ff02::1:ff00:0"))
OVERRIDE = 0x20000000
TARGET_LINK_LAYER_ADDRESS = 2
HOP_LIMIT = 255
"""Of all neighbour discovery: such a packet has passed no router (RFC 4861, 7.1)."""

_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ADVERTISEMENT = struct.Struct("!BBHI16s")


def announcements(mac: bytes, address: IPAddress) -> list[bytes]:
    """Frames by which `mac` says to all that it has the address now."""
    if isinstance(address, ipaddress.IPv4Address):
        # The request form is what RFC 5227 calls an announcement; some switches and old stacks learn from replies only.
        return [arp_frame(operation, mac, address, address) for operation in (ARP_REQUEST, ARP_REPLY)]
    head = _ADVERTISEMENT.pack(NEIGHBOUR_ADVERTISEMENT, 0, 0, OVERRIDE, address.packed)
    option = struct.pack("!BB6s", TARGET_LINK_LAYER_ADDRESS, 1, mac)
    return [icmpv6_frame(mac, address, ALL_NODES, head + option)]


def question(mac: bytes, address: IPAddress) -> bytes:
    """A frame that whoever has the address answers, and that changes nobody's tables: the probe of RFC 5227 (2.1.1),
    the solicitation of RFC 4862 (5.4.2). Both come from no address, so that no router answers as a proxy."""
    if isinstance(address, ipaddress.IPv4Address):
        return arp_frame(ARP_REQUEST, mac, ipaddress.IPv4Address(0), address)
    group = ipaddress.IPv6Address(SOLICITED_NODE | (int(address) & 0xFFFFFF))
    return icmpv6_frame(mac, UNSPECIFIED, group, _ADVERTISEMENT.pack(NEIGHBOUR_SOLICITATION, 0, 0, 0, address.packed))


def arp_frame(operation: int, mac: bytes, sender: ipaddress.IPv4Address, target: ipaddress.IPv4Address) -> bytes:
    """To all. A reply names a target that nobody is, for it answers nobody."""
    target_mac = BROADCAST if operation == ARP_REPLY else NOBODY
    ethernet = BROADCAST + mac + struct.pack("!H", ETHERTYPE_ARP)
    return ethernet + _ARP.pack(1, 0x0800, 6, 4, operation, mac, sender.packed, target_mac, target.packed)


def arp_sender(arp: bytes) -> tuple[bytes, ipaddress.IPv4Address] | None:
    """Who says in this ARP packet that it has which address; None for what is no Ethernet and IPv4."""
    if len(arp) < _ARP.size:
        return None
    hardware, protocol, length, plength, _operation, mac, sender, _, _ = _ARP.unpack_from(arp)
    return (mac, ipaddress.IPv4Address(sender)) if (hardware, protocol, length, plength) == (1, 0x0800, 6, 4) else None


def icmpv6_frame(mac: bytes, source: ipaddress.IPv6Address, group: ipaddress.IPv6Address, body: bytes) -> bytes:
    """To a multicast group. body: with a checksum of zero."""
    pseudo = source.packed + group.packed + struct.pack("!II", len(body), ICMPV6)
    whole = body[:2] + checksum(pseudo + body).to_bytes(2, "big") + body[4:]
    ethernet = b"\x33\x33" + group.packed[12:] + mac + struct.pack("!H", ETHERTYPE_IPV6)  # RFC 2464, 7
    header = struct.pack("!IHBB", 6 << 28, len(whole), ICMPV6, HOP_LIMIT)
    return ethernet + header + source.packed + group.packed + whole


def advertiser(body: bytes) -> tuple[bytes, ipaddress.IPv6Address] | None:
    """Who says in this neighbour advertisement that it has which address; None when it does not say its MAC."""
    if len(body) < _ADVERTISEMENT.size:
        return None
    kind, _code, _checksum, _flags, target = _ADVERTISEMENT.unpack_from(body)
    offset = _ADVERTISEMENT.size
    while kind == NEIGHBOUR_ADVERTISEMENT and offset + 8 <= len(body):
        option, units = body[offset], body[offset + 1]
        if option == TARGET_LINK_LAYER_ADDRESS and units == 1:
            return body[offset + 2 : offset + 8], ipaddress.IPv6Address(target)
        if units == 0:
            break
        offset += 8 * units
    return None


def checksum(packet: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(word for (word,) in struct.iter_unpack("!H", packet + b"\0" * (len(packet) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
