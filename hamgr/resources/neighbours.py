"""Speaks with the machines on the same wires about our addresses: tells where they are, and hears who else has them.

One pair of sockets serves all addresses of a daemon: closing a packet socket blocks for 16 ms.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from collections.abc import Callable, Iterable
from typing import TypeAlias

from hamgr.resources.kernel import Card, IPAddress
from hamgr.resources.packets import (
    ETHERTYPE_ARP,
    HOP_LIMIT,
    NEIGHBOUR_ADVERTISEMENT,
    advertiser,
    announcements,
    arp_sender,
    question,
)
from hamgr.resources.shared import Shared

Heard: TypeAlias = Callable[[int, bytes], None]
"""Called with the index of our interface and the MAC of a machine that says there that it has the address."""

READ_SIZE = 2048
READS_A_WAKE_UP = 64
ETHERNET_HEADER = 14

SO_ATTACH_FILTER = 26
ICMP6_FILTER = 1
IPV6_RECVPKTINFO, IPV6_PKTINFO, IPV6_RECVHOPLIMIT, IPV6_HOPLIMIT = 49, 50, 51, 52

_INSTRUCTION = struct.Struct("=HBBI")
_LOAD_WORD, _LOAD_BYTE, _EQUAL, _RETURN = 0x20, 0x30, 0x15, 0x06
_NETWORK_HEADER, _PACKET_TYPE = 0xFFF00000, 0xFFFFF004
"""SKF_NET_OFF and SKF_AD_OFF + SKF_AD_PKTTYPE (linux/filter.h)."""
_PACKET_OUTGOING = 4
_SENDER = 14
"""Where the sender's IPv4 address stands in an ARP packet (RFC 826)."""
MOST_FILTERED = 1000
"""Addresses in one filter, which has up to 4096 instructions."""


class Neighbours(Shared):
    """Of all interfaces, for all addresses."""

    def __init__(self) -> None:
        """Raises OSError, without CAP_NET_RAW for example."""
        self._loop = asyncio.get_running_loop()
        self._listeners: dict[IPAddress, list[Heard]] = {}
        self._stale = False
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self._packets = socket.socket(socket.AF_PACKET, kind, socket.htons(ETHERTYPE_ARP))
        self._icmp: socket.socket | None = None
        try:
            self._filter()
            self._icmp = _advertisements()
        except OSError:
            self._packets.close()
            raise
        self._loop.add_reader(self._packets, self._arp)
        if self._icmp is not None:
            self._loop.add_reader(self._icmp, self._advertisement)

    def close(self) -> None:
        for opened in (self._packets, self._icmp):
            if opened is not None:
                self._loop.remove_reader(opened)
                opened.close()

    # -- telling and asking -------------------------------------------------------------------------------------

    def announce(self, card: Card, address: IPAddress) -> None:
        """Say to all that the address is here. Raises OSError."""
        for frame in announcements(card.mac, address):
            self._send(card, frame)

    def ask(self, card: Card, address: IPAddress) -> None:
        """Ask whoever has the address to answer, to us or to all: its listeners hear it. Raises OSError."""
        if self._stale:
            self._filter()  # the answer may be here before the loop turns
        self._send(card, question(card.mac, address))

    def _send(self, card: Card, frame: bytes) -> None:
        (ethertype,) = struct.unpack_from("!H", frame, ETHERNET_HEADER - 2)
        self._packets.sendto(frame, (card.name, ethertype))

    # -- hearing ------------------------------------------------------------------------------------------------

    def listen(self, address: IPAddress, heard: Heard) -> None:
        self._listeners.setdefault(address, []).append(heard)
        self._refilter()

    def unlisten(self, address: IPAddress, heard: Heard) -> None:
        listeners = self._listeners.get(address, [])
        if heard in listeners:
            listeners.remove(heard)
            if not listeners:
                del self._listeners[address]
            self._refilter()

    def _refilter(self) -> None:
        """Once a turn of the loop: hundreds of addresses come together."""
        if not self._stale:
            self._stale = True
            self._loop.call_soon(self._filter)

    def _filter(self) -> None:
        """Let the kernel wake us only for what another says of our addresses: a busy network has much other ARP."""
        self._stale = False
        if self._packets.fileno() < 0:
            return
        addresses = [address for address in self._listeners if address.version == 4]
        program = _every_arp() if len(addresses) > MOST_FILTERED else _arp_from(map(int, addresses))
        memory = ctypes.create_string_buffer(program, len(program))
        loaded = struct.pack("HL", len(program) // _INSTRUCTION.size, ctypes.addressof(memory))
        self._packets.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, loaded)

    def _arp(self) -> None:
        for _ in range(READS_A_WAKE_UP):
            try:
                frame, (name, _protocol, kind, *_) = self._packets.recvfrom(READ_SIZE)
                index = socket.if_nametoindex(name)
            except BlockingIOError:
                return
            except OSError:  # the interface went down or away
                continue
            found = arp_sender(frame[ETHERNET_HEADER:])
            if found is not None and kind != _PACKET_OUTGOING:
                self._tell(found[1], index, found[0])

    def _advertisement(self) -> None:
        assert self._icmp is not None
        for _ in range(READS_A_WAKE_UP):
            try:
                body, ancillary, _flags, _source = self._icmp.recvmsg(READ_SIZE, 256)
            except BlockingIOError:
                return
            except OSError:
                continue
            said = {kind: data for level, kind, data in ancillary if level == socket.IPPROTO_IPV6}
            found = advertiser(body)
            if found is None or struct.unpack_from("=i", said.get(IPV6_HOPLIMIT, b"\0" * 4)) != (HOP_LIMIT,):
                continue
            (index,) = struct.unpack_from("=16xI", said[IPV6_PKTINFO])
            self._tell(found[1], index, found[0])

    def _tell(self, address: IPAddress, index: int, mac: bytes) -> None:
        for heard in list(self._listeners.get(address, ())):
            heard(index, mac)


def _advertisements() -> socket.socket | None:
    """Hears neighbour advertisements alone (RFC 3542, 3.2); None on a machine without IPv6."""
    try:
        opened = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6)
    except OSError:
        if socket.has_ipv6 and _speaks_ipv6():
            raise
        return None
    blocked = [0xFFFFFFFF] * 8
    blocked[NEIGHBOUR_ADVERTISEMENT >> 5] &= ~(1 << (NEIGHBOUR_ADVERTISEMENT & 31))
    opened.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("=8I", *blocked))
    opened.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    opened.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
    return opened


def _speaks_ipv6() -> bool:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def _arp_from(senders: Iterable[int]) -> bytes:
    """A filter (socket(7), SO_ATTACH_FILTER): ARP that comes in, and whose sender has one of these addresses."""
    program = [
        _INSTRUCTION.pack(_LOAD_BYTE, 0, 0, _PACKET_TYPE),
        _INSTRUCTION.pack(_EQUAL, 0, 1, _PACKET_OUTGOING),
        _INSTRUCTION.pack(_RETURN, 0, 0, 0),
        _INSTRUCTION.pack(_LOAD_WORD, 0, 0, _NETWORK_HEADER + _SENDER),
    ]
    for sender in senders:
        program.append(_INSTRUCTION.pack(_EQUAL, 0, 1, sender))
        program.append(_INSTRUCTION.pack(_RETURN, 0, 0, 0xFFFF))
    program.append(_INSTRUCTION.pack(_RETURN, 0, 0, 0))
    return b"".join(program)


def _every_arp() -> bytes:
    return _INSTRUCTION.pack(_RETURN, 0, 0, 0xFFFF)
