"""The addresses and interfaces of this machine, as the kernel has them now: one view for all resources of a daemon."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from hamgr import netlink
from hamgr.netlink import Message, Netlink
from hamgr.resources.shared import Shared

log = logging.getLogger(__name__)

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IPInterface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface

RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100

IFF_UP, IFF_LOOPBACK, IFF_LOWER_UP = 0x1, 0x8, 0x10000
_LINK = struct.Struct("=BxHiII")
IFLA_ADDRESS, IFLA_IFNAME, IFLA_EXT_MASK, IFLA_CARRIER, IFLA_PERM_ADDRESS = 1, 3, 29, 33, 54
_NO_STATISTICS = struct.pack("=I", 1 << 3)

IFA_F_SECONDARY, IFA_F_NODAD, IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE = 0x01, 0x02, 0x08, 0x20, 0x40
_ADDRESS = struct.Struct("=BBBBI")
IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_BROADCAST, IFA_CACHEINFO, IFA_FLAGS = 1, 2, 3, 4, 6, 8
FOREVER = 0xFFFFFFFF

_NEIGHBOUR = struct.Struct("=BxxxiHBB")
NDA_DST, NDA_LLADDR = 1, 2


@dataclass(frozen=True, slots=True)
class Card:
    """A network interface. carrier: it is up, and something is at the other end of the cable. macs: its hardware
    address, and the one that it was made with (a slave of a bond has another's)."""

    index: int
    name: str
    up: bool
    carrier: bool
    loopback: bool = False
    mac: bytes = b""
    macs: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Held:
    """An address on an interface. One interface can have it under several prefixes."""

    index: int
    address: IPInterface
    flags: int = 0

    @property
    def key(self) -> tuple[int, IPInterface]:
        return self.index, self.address


@dataclass(frozen=True, slots=True)
class Extra:
    """What an address can be added with. deprecated: not chosen as the source of connections (RFC 4862, 5.5.4)."""

    broadcast: ipaddress.IPv4Address | None = None
    label: str = ""
    flags: int = 0
    deprecated: bool = False


class Kernel(Shared):
    """A view that is exact whenever it is asked."""

    def __init__(self) -> None:
        """Raises OSError when the machine has no sockets left."""
        self._loop = asyncio.get_running_loop()
        self._events = Netlink(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR)
        self._asking = Netlink()
        self._cards: dict[int, Card] = {}
        self._held: dict[IPAddress, dict[tuple[int, IPInterface], Held]] = {}
        self._watchers: dict[IPAddress, list[Callable[[], None]]] = {}
        self._card_watchers: list[Callable[[], None]] = []
        self._touched: set[IPAddress] = set()
        self._cards_touched = False
        self._read_all()
        self._loop.add_reader(self._events.socket, self._readable)

    def close(self) -> None:
        self._loop.remove_reader(self._events.socket)
        self._events.close()
        self._asking.close()

    # -- what there is ------------------------------------------------------------------------------------------

    def cards(self) -> list[Card]:
        """Every interface."""
        self._catch_up()
        return list(self._cards.values())

    def card(self, name: str) -> Card | None:
        return next((card for card in self.cards() if card.name == name), None)

    def held(self, address: IPAddress) -> list[Held]:
        """Every place where the machine has the address."""
        self._catch_up()
        return list(self._held.get(address, {}).values())

    def everything(self) -> Iterator[Held]:
        """Every address of the machine. To be read to its end at once."""
        self._catch_up()
        for places in self._held.values():
            yield from places.values()

    def name(self, index: int) -> str:
        card = self._cards.get(index)
        return card.name if card is not None else f"interface {index}"

    def macs(self) -> frozenset[bytes]:
        """Every hardware address of this machine."""
        return frozenset().union(*(card.macs for card in self.cards()))

    def who(self, index: int, mac: bytes, besides: IPAddress) -> str:
        """A neighbour as operators may know it: its MAC, with what other addresses it is known by."""
        others = ", ".join(str(address) for address in self.known_by(index, mac) if address != besides)
        return f"{mac.hex(':')} ({others})" if others else mac.hex(":")

    def known_by(self, index: int, mac: bytes) -> list[IPAddress]:
        """The addresses that this neighbour had when the kernel last asked for them."""
        try:
            table = self._asking.dump(netlink.RTM_GETNEIGH, _NEIGHBOUR.pack(0, 0, 0, 0, 0))
        except OSError:
            table = []
        known = []
        for message in table:
            _family, there, _state, _flags, _type = _NEIGHBOUR.unpack_from(message.body)
            values = netlink.attributes(message.body, _NEIGHBOUR.size)
            if there == index and values.get(NDA_LLADDR) == mac and len(values.get(NDA_DST, b"")) in (4, 16):
                known.append(ipaddress.ip_address(values[NDA_DST]))
        return known

    def watch(self, address: IPAddress, changed: Callable[[], None]) -> None:
        """Have `changed` called when the address came or went somewhere, or when any interface changed."""
        self._watchers.setdefault(address, []).append(changed)

    def watch_cards(self, changed: Callable[[], None]) -> None:
        """Have `changed` called when any interface changed."""
        self._card_watchers.append(changed)

    def unwatch_cards(self, changed: Callable[[], None]) -> None:
        if changed in self._card_watchers:
            self._card_watchers.remove(changed)

    def unwatch(self, address: IPAddress, changed: Callable[[], None]) -> None:
        watchers = self._watchers.get(address, [])
        if changed in watchers:
            watchers.remove(changed)
            if not watchers:
                del self._watchers[address]

    # -- what is changed ----------------------------------------------------------------------------------------

    def add(self, index: int, address: IPInterface, extra: Extra) -> None:
        """Raises OSError: EEXIST when the interface has it already."""
        values = {IFA_LOCAL: address.packed, IFA_ADDRESS: address.packed}
        if extra.broadcast is not None:
            values[IFA_BROADCAST] = extra.broadcast.packed
        if extra.label:
            values[IFA_LABEL] = extra.label.encode() + b"\0"
        if extra.flags:
            values[IFA_FLAGS] = struct.pack("=I", extra.flags)
        if extra.deprecated:
            values[IFA_CACHEINFO] = struct.pack("=IIII", 0, FOREVER, 0, 0)
        self._asking.ask(
            netlink.RTM_NEWADDR, netlink.CREATE | netlink.EXCL, _address_head(index, address) + netlink.packed(values)
        )
        # The event of an IPv6 address may come only when the kernel has come to its duplicate address detection.
        tentative = IFA_F_TENTATIVE if address.version == 6 and not extra.flags & IFA_F_NODAD else 0
        self._note(Held(index, address, extra.flags | tentative))

    def remove(self, held: Held) -> None:
        """Raises OSError: EADDRNOTAVAIL or ENODEV when it is gone already."""
        values = {IFA_LOCAL: held.address.packed, IFA_ADDRESS: held.address.packed}
        body = _address_head(held.index, held.address) + netlink.packed(values)
        self._asking.ask(netlink.RTM_DELADDR, 0, body)

    # -- events -------------------------------------------------------------------------------------------------

    def _read_all(self) -> None:
        self._cards.clear()
        self._held.clear()
        body = _LINK.pack(0, 0, 0, 0, 0) + netlink.packed({IFLA_EXT_MASK: _NO_STATISTICS})
        for message in self._asking.dump(netlink.RTM_GETLINK, body):
            self._take(message)
        for message in self._asking.dump(netlink.RTM_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0)):
            self._take(message)

    def _catch_up(self) -> None:
        """Take what the kernel has told: it tells of a change before who made it goes on, so the view is exact then."""
        try:
            for message in self._events.events():
                self._take(message)
        except OSError as error:
            log.info("netlink: %s; reading all addresses anew", error.strerror)
            self._read_all()
            self._touched.update(self._watchers)
            self._cards_touched = True

    def _readable(self) -> None:
        self._catch_up()
        cards_touched, self._cards_touched = self._cards_touched, False
        for changed in list(self._card_watchers) if cards_touched else ():
            changed()
        touched, self._touched = self._touched, set()
        for address in touched:
            for changed in list(self._watchers.get(address, ())):
                changed()

    def _take(self, message: Message) -> None:
        if message.kind in (netlink.RTM_NEWADDR, netlink.RTM_DELADDR):
            self._take_address(message)
        elif message.kind in (netlink.RTM_NEWLINK, netlink.RTM_DELLINK):
            self._take_link(message)

    def _take_address(self, message: Message) -> None:
        family, prefixlen, flags, _scope, index = _ADDRESS.unpack_from(message.body)
        if family not in (socket.AF_INET, socket.AF_INET6):
            return
        values = netlink.attributes(message.body, _ADDRESS.size)
        # Of a point-to-point interface IFA_ADDRESS is the peer's (rtnetlink(7)).
        raw = values.get(IFA_LOCAL) or values[IFA_ADDRESS]
        if IFA_FLAGS in values:
            (flags,) = struct.unpack("=I", values[IFA_FLAGS])
        held = Held(index, ipaddress.ip_interface((raw, prefixlen)), flags)
        if message.kind == netlink.RTM_NEWADDR:
            self._note(held)
        else:
            places = self._held.get(held.address.ip, {})
            places.pop(held.key, None)
            if not places:
                self._held.pop(held.address.ip, None)
        self._touched.add(held.address.ip)

    def _note(self, held: Held) -> None:
        self._held.setdefault(held.address.ip, {})[held.key] = held

    def _take_link(self, message: Message) -> None:
        family, _type, index, flags, _change = _LINK.unpack_from(message.body)
        if family != socket.AF_UNSPEC:
            return  # a bridge tells of its ports under a family of its own
        self._touched.update(self._watchers)
        self._cards_touched = True
        if message.kind == netlink.RTM_DELLINK:
            self._cards.pop(index, None)
            for address, places in list(self._held.items()):
                for key in [key for key in places if key[0] == index]:
                    del places[key]
                if not places:
                    del self._held[address]
            return
        values = netlink.attributes(message.body, _LINK.size)
        lower_up = values[IFLA_CARRIER] != b"\0" if IFLA_CARRIER in values else bool(flags & IFF_LOWER_UP)
        macs = {values[kind] for kind in (IFLA_ADDRESS, IFLA_PERM_ADDRESS) if kind in values}
        up = bool(flags & IFF_UP)
        self._cards[index] = Card(
            index,
            values[IFLA_IFNAME].rstrip(b"\0").decode(errors="replace"),
            up,
            up and lower_up,
            bool(flags & IFF_LOOPBACK),
            values.get(IFLA_ADDRESS, b""),
            frozenset(macs),
        )


def _address_head(index: int, address: IPInterface) -> bytes:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return _ADDRESS.pack(family, address.network.prefixlen, 0, 0, index)
