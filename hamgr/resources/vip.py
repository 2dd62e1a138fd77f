"""A virtual address: a secondary address on an interface, announced to the neighbours when it comes."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from typing import Any

from pyroute2.iproute.linux import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from hamgr.config.model import ResourceConfig
from hamgr.resources.announce import Announcer
from hamgr.resources.resource import ResourceError, ResourceStatus

log = logging.getLogger(__name__)

ANNOUNCE_INTERVAL = 0.2
"""Seconds between two announcements of the same address."""

IFA_F_NODAD = 0x02
"""No duplicate address detection (RFC 4862, 5.4): the takeover rule has made sure, and clients wait."""


GONE = (errno.EADDRNOTAVAIL, errno.ENODEV)
"""What the kernel says of an address, or of an interface, that went away by itself."""


class Vip:
    """Options: address (with prefix), interface, announcements (how many; the first before `start` returns)."""

    def __init__(self, config: ResourceConfig) -> None:
        options = config.options
        self._address = ipaddress.ip_interface(str(options["address"]))
        self._interface = str(options["interface"])
        self._announcements = int(str(options.get("announcements", 5)))
        self._family = socket.AF_INET if self._address.version == 4 else socket.AF_INET6
        self._announcer = Announcer(self._address.ip, self._interface)
        self._netlink: Any = None
        self._repeating: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        try:
            await self._open_netlink()
            self._announcer.open(self._index())
        except (ResourceError, OSError) as error:
            log.warning("vip %s: %s; it is looked for again at the start", self._address, error)

    async def _open_netlink(self) -> Any:
        if self._netlink is None:
            netlink = AsyncIPRoute()
            await netlink.setup_endpoint()
            self._netlink = netlink
        return self._netlink

    def _index(self) -> int:
        try:
            return socket.if_nametoindex(self._interface)
        except OSError as error:
            raise ResourceError(f"interface {self._interface} does not exist") from error

    async def start(self) -> None:
        index = self._index()
        try:
            await self._change("add", index, self._address.network.prefixlen)
        except (NetlinkError, OSError) as error:
            if _code(error) != errno.EEXIST:
                raise ResourceError(f"can't add {self._address} to {self._interface}: {error.args[-1]}") from error
        self._end_repeating()
        if self._announcements:
            self._announce(index)
            self._repeating = asyncio.create_task(self._repeat(index))

    async def _change(self, command: str, index: int, prefixlen: int) -> None:
        netlink = await self._open_netlink()
        extra: dict[str, Any] = {}
        if self._address.version == 4:
            if command == "add" and self._address.network.prefixlen < 31:
                extra["broadcast"] = str(self._address.network.broadcast_address)
        elif command == "add":
            extra["flags"] = IFA_F_NODAD
        await netlink.addr(
            command,
            index=index,
            family=self._family,
            address=str(self._address.ip),
            prefixlen=prefixlen,
            **extra,
        )

    def _announce(self, index: int) -> None:
        try:
            self._announcer.open(index)
            self._announcer.announce()
        except OSError as error:
            # The address is there; neighbours that still have the old place will find the new one when theirs fails.
            log.warning("vip %s: can't announce it on %s: %s", self._address, self._interface, error)

    async def _repeat(self, index: int) -> None:
        for _ in range(self._announcements - 1):
            await asyncio.sleep(ANNOUNCE_INTERVAL)
            self._announce(index)

    def _end_repeating(self) -> None:
        if self._repeating is not None:
            self._repeating.cancel()
            self._repeating = None

    async def stop(self) -> None:
        self._end_repeating()
        try:
            index = self._index()
        except ResourceError:
            # With its interface gone, the address is gone.
            return
        try:
            # As it is held, not as it was added: under another prefix neighbours would go on being answered.
            for prefixlen in await self._held(index):
                await self._change("del", index, prefixlen)
        except (NetlinkError, OSError) as error:
            if _code(error) not in GONE:
                raise ResourceError(f"can't remove {self._address} from {self._interface}: {error.args[-1]}") from error

    async def status(self) -> ResourceStatus:
        try:
            index = self._index()
        except ResourceError:
            return ResourceStatus.STOPPED
        try:
            held = await self._held(index)
        except (NetlinkError, OSError) as error:
            if _code(error) in GONE:
                return ResourceStatus.STOPPED
            raise ResourceError(f"can't read the addresses of {self._interface}: {error.args[-1]}") from error
        return ResourceStatus.RUNNING if held else ResourceStatus.STOPPED

    async def _held(self, index: int) -> list[int]:
        """The lengths of the prefixes with which the interface has the address; none if it hasn't."""
        netlink = await self._open_netlink()
        found = []
        async for message in await netlink.addr("dump", index=index, family=self._family):
            held = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            if held is not None and ipaddress.ip_address(held) == self._address.ip:
                found.append(message["prefixlen"])
        return found

    async def close(self) -> None:
        self._end_repeating()
        self._announcer.close()
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None


def _code(error: NetlinkError | OSError) -> int | None:
    """The errno, under the name that each of the two libraries gives it."""
    return error.code if isinstance(error, NetlinkError) else error.errno
