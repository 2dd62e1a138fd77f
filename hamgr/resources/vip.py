"""A virtual address: a secondary address on an interface, announced to the neighbours when it comes."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging

from hamgr.config.model import ResourceConfig
from hamgr.resources.announce import Announcer
from hamgr.resources.findif import parse, place
from hamgr.resources.kernel import IFA_F_NODAD, Card, Extra, Held, IPInterface, Kernel
from hamgr.resources.resource import ResourceError, ResourceStatus

log = logging.getLogger(__name__)

ANNOUNCE_INTERVAL = 0.2
"""Seconds between two announcements of the same address."""

GONE = (errno.EADDRNOTAVAIL, errno.ENODEV)
"""What the kernel says of an address, or of an interface, that went away by itself."""


class Vip:
    """Options: address, interface, announcements (how many; the first before `start` returns)."""

    def __init__(self, config: ResourceConfig) -> None:
        options = config.options
        self._address, self._prefixlen = parse(str(options["address"]))
        self._interface = str(options.get("interface", ""))
        self._announcements = int(str(options.get("announcements", 5)))
        self._announcer = Announcer(self._address)
        self._kernel: Kernel | None = None
        self._repeating: asyncio.Task[None] | None = None
        self.reason = ""

    async def prepare(self) -> None:
        try:
            self._announcer.open(self._place()[0])
        except (ResourceError, OSError) as error:
            log.warning("vip %s: %s; it is looked for again at the start", self._address, error)

    def _joined(self) -> Kernel:
        if self._kernel is None:
            try:
                self._kernel = Kernel.join()
            except OSError as error:
                raise ResourceError(f"can't ask the kernel for its addresses: {error.strerror}") from error
        return self._kernel

    def _place(self) -> tuple[Card, IPInterface]:
        kernel = self._joined()
        return place(self._address, self._prefixlen, self._interface, kernel.cards(), kernel.everything())

    async def start(self) -> None:
        card, address = self._place()
        kernel = self._joined()
        held = kernel.held(self._address)
        self._remove([elsewhere for elsewhere in held if elsewhere.index != card.index])
        try:
            kernel.add(card.index, address, self._extra(address))
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise ResourceError(f"can't add {address} to {card.name}: {error.strerror}") from error
        self._end_repeating()
        if self._announcements:
            self._announce(card)
            self._repeating = asyncio.create_task(self._repeat(card))

    def _extra(self, address: IPInterface) -> Extra:
        if isinstance(address, ipaddress.IPv6Interface):
            # Without duplicate address detection (RFC 4862, 5.4): the takeover rule has made sure, and clients wait.
            return Extra(flags=IFA_F_NODAD)
        return Extra(broadcast=address.network.broadcast_address if address.network.prefixlen < 31 else None)

    def _announce(self, card: Card) -> None:
        try:
            self._announcer.open(card)
            self._announcer.announce()
        except OSError as error:
            # The address is there; neighbours that still have the old place will find the new one when theirs fails.
            log.warning("vip %s: can't announce it on %s: %s", self._address, card.name, error)

    async def _repeat(self, card: Card) -> None:
        for _ in range(self._announcements - 1):
            await asyncio.sleep(ANNOUNCE_INTERVAL)
            self._announce(card)

    def _end_repeating(self) -> None:
        if self._repeating is not None:
            self._repeating.cancel()
            self._repeating = None

    async def stop(self) -> None:
        self._end_repeating()
        # As it is held, not as it was added: under another prefix, or on another interface, it would go on being
        # answered.
        self._remove(self._joined().held(self._address))

    def _remove(self, places: list[Held]) -> None:
        kernel = self._joined()
        for held in places:
            try:
                kernel.remove(held)
            except OSError as error:
                if error.errno not in GONE:
                    where = kernel.name(held.index)
                    raise ResourceError(f"can't remove {held.address} from {where}: {error.strerror}") from error

    async def status(self) -> ResourceStatus:
        kernel = self._joined()
        places = {kernel.name(held.index) for held in kernel.held(self._address)}
        wanted = {self._interface} if self._interface else places
        if not places:
            self.reason = f"{self._address} is on no interface"
            return ResourceStatus.STOPPED
        if places == wanted and len(places) == 1:
            self.reason = ""
            return ResourceStatus.RUNNING
        self.reason = f"{self._address} is on {' and '.join(sorted(places))}"
        if self._interface:
            self.reason += f", and should be on {self._interface} alone"
        return ResourceStatus.FAILED

    async def close(self) -> None:
        self._end_repeating()
        self._announcer.close()
        if self._kernel is not None:
            self._kernel.leave()
            self._kernel = None
