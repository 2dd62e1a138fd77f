"""The machine's network interfaces as the kernel reports them over netlink, at once."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pyroute2.iproute.linux import AsyncIPRoute

log = logging.getLogger(__name__)

RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
"""Multicast groups of rtnetlink(7)."""

IFF_UP = 0x1
IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x08, 0x40
"""An IPv6 address that can't be used, or not yet (RFC 4862, 5.4)."""

READ_SIZE = 65536


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
        self._events: socket.socket | None = None
        self._netlink: Any = None
        self._stale = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.interfaces: Interfaces = {}

    async def start(self) -> None:
        """Look once, and then whenever the kernel says that something changed. Raises OSError."""
        events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._events = events
        events.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
        self._netlink = AsyncIPRoute()
        await self._netlink.setup_endpoint()
        asyncio.get_running_loop().add_reader(events, self._readable)
        await self._look()
        self._task = asyncio.create_task(self._run(), name="the interface monitor")

    def _readable(self) -> None:
        """What the events say is looked up: so it does not matter if some of them were lost (netlink(7), ENOBUFS)."""
        assert self._events is not None
        try:
            while self._events.recv(READ_SIZE):
                self._stale.set()
        except BlockingIOError:
            return
        except OSError as error:
            log.debug("netlink: %s; looking anew", error)
            self._stale.set()

    async def _run(self) -> None:
        while True:
            await self._stale.wait()
            self._stale.clear()
            await self._look()

    async def _look(self) -> None:
        found = await interfaces(self._netlink)
        if found != self.interfaces:
            self.interfaces = found
            self._changed(found)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._events is not None:
            asyncio.get_running_loop().remove_reader(self._events)
            self._events.close()
            self._events = None
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None


async def interfaces(netlink: Any) -> dict[str, Interface]:
    """All interfaces with their usable addresses."""
    addresses: dict[int, set[str]] = {}
    broadcasts: dict[int, str] = {}
    async for message in await netlink.addr("dump"):
        if (message.get("flags") or 0) & (IFA_F_DADFAILED | IFA_F_TENTATIVE):
            continue
        # Of a point-to-point interface `address` is the peer's (rtnetlink(7)).
        address = message.get("local") or message.get("address")
        addresses.setdefault(message["index"], set()).add(str(address))
        if broadcast := message.get("broadcast"):
            broadcasts.setdefault(message["index"], str(broadcast))
    found = {}
    async for message in await netlink.link("dump"):
        name, index = message.get("ifname"), message["index"]
        carrier = bool(message["flags"] & IFF_UP) and message.get("carrier") != 0
        found[name] = Interface(name, index, carrier, frozenset(addresses.get(index, ())), broadcasts.get(index, ""))
    return found
