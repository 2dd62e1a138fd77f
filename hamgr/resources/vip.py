"""A virtual address: a secondary address on an interface, which no other machine may have, announced when it comes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
from collections.abc import Callable

from hamgr.config.model import ResourceConfig
from hamgr.core.effects import Kind
from hamgr.guard import orders
from hamgr.resources.findif import parse, place
from hamgr.resources.inquiry import who_answers
from hamgr.resources.keeper import Habits, Keeper
from hamgr.resources.kernel import IFA_F_DADFAILED, IFA_F_NODAD, IFA_F_TENTATIVE, Card, Extra, Held, IPInterface, Kernel
from hamgr.resources.kinds.vip import REFUSE
from hamgr.resources.mends import Mends
from hamgr.resources.neighbours import Neighbours
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings
from hamgr.resources.routes import Routes
from hamgr.resources.source import SourceRoutes
from hamgr.spawn import our_turn

log = logging.getLogger(__name__)

REFUSE_PATIENCE = 1.0
"""Seconds for which another machine is asked before the start is refused: one that is just ending still answers."""

DETECTION_LOOK = 0.25
"""Seconds between two looks at what the kernel's own detection found, if it says nothing by itself."""

GONE = (errno.EADDRNOTAVAIL, errno.ENODEV)
"""What the kernel says of an address, or of an interface, that went away by itself."""


class Vip:
    """Options: as `hamgr.resources.kinds.vip` declares them."""

    def __init__(self, config: ResourceConfig, surroundings: Surroundings) -> None:
        options = config.options
        self._name = config.name
        self._address, self._prefixlen = parse(str(options["address"]))
        self._interface = str(options.get("interface", ""))
        self._probe = float(str(options.get("probe", 0.010)))
        self._refuse = options.get("conflict", REFUSE) == REFUSE
        self._label = str(options.get("label", ""))
        self._broadcast = str(options.get("broadcast", ""))
        self._nodad = bool(options.get("nodad", True))
        # A machine's own connections should not come from an address that may leave it. (IPv4 needs no telling: there
        # the first address of the network is taken.)
        self._is_source = bool(options.get("source", False))
        self._deprecated = bool(options.get("deprecated", self._address.version == 6 and not self._is_source))
        self._habits = Habits(
            int(str(options.get("announcements", 5))), float(str(options.get("announce_interval", 60.0)))
        )
        self._surroundings = surroundings
        self._failed: Callable[[str], None] = lambda why: None
        self._kernel: Kernel | None = None
        self._neighbours: Neighbours | None = None
        self._keeper: Keeper | None = None
        self._routes: Routes | None = None
        self._mends = Mends()
        self._hindrance = ""
        self.reason = ""

    def watch(self, failed: Callable[[str], None]) -> None:
        self._failed = failed

    async def prepare(self) -> None:
        try:
            self._open()
        except ResourceError as error:
            log.warning("vip %s: %s; tried again at the start", self._address, error)
            return
        self._changed()

    def _open(self) -> tuple[Kernel, Keeper]:
        if self._kernel is None or self._keeper is None:
            try:
                self._kernel = Kernel.join()
            except OSError as error:
                raise ResourceError(f"can't ask the kernel for its addresses: {error.strerror}") from error
            try:
                self._neighbours = Neighbours.join()
            except OSError as error:
                log.warning("vip %s: can't speak with the neighbours: %s", self._address, error.strerror)
            self._keeper = Keeper(
                self._kernel, self._neighbours, self._habits, self._surroundings, lambda why: self._failed(why)
            )
            self._kernel.watch(self._address, self._changed)
            if self._is_source:
                self._routes = Routes.join()
                self._routes.watch(self._routed)
        return self._kernel, self._keeper

    def _place(self) -> tuple[Card, IPInterface]:
        kernel, _ = self._open()
        return place(self._address, self._prefixlen, self._interface, kernel.cards(), kernel.everything())

    def emergency(self) -> list[orders.Order]:
        return [orders.address(str(self._address))]

    # -- operations ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        kernel, keeper = self._open()
        card, address = self._place()
        if not self._on(card):
            await self._make_sure(kernel, card)
            # Hundreds that start together have waited together: each goes on in a turn of its own, so heartbeats leave.
            await our_turn()
            self._remove([held for held in kernel.held(self._address) if held.index != card.index])
        extra = self._extra(address, card)
        try:
            kernel.add(card.index, address, extra)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise ResourceError(f"can't add {address} to {card.name}: {error.strerror}") from error
        keeper.begin(card, address, extra, announce=True)
        if not self._nodad:
            await self._detected(card)
        if self._routes is not None:
            try:
                SourceRoutes(self._routes, self._address).settle(card.index)
            except OSError as error:
                raise ResourceError(f"can't make {address} the source of connections: {error.strerror}") from error

    def _on(self, card: Card) -> bool:
        kernel, _ = self._open()
        return any(held.index == card.index for held in kernel.held(self._address))

    def _extra(self, address: IPInterface, card: Card) -> Extra:
        if isinstance(address, ipaddress.IPv6Interface):
            # Without duplicate address detection (RFC 4862, 5.4), which takes a second or two: we have asked ourselves.
            return Extra(flags=IFA_F_NODAD if self._nodad else 0, deprecated=self._deprecated)
        broadcast = address.network.broadcast_address if address.network.prefixlen < 31 else None
        if self._broadcast:
            broadcast = None if self._broadcast == "none" else ipaddress.IPv4Address(self._broadcast)
        return Extra(broadcast, self._label, 0, self._deprecated)

    async def _make_sure(self, kernel: Kernel, card: Card) -> None:
        """That no other machine has it. Raises ResourceError when one has, and that is not allowed."""
        if not self._probe or self._neighbours is None or card.loopback or not card.carrier:
            return
        patience = REFUSE_PATIENCE if self._refuse else 0.0
        mac = await who_answers(kernel, self._neighbours, card, self._address, self._probe, patience)
        if mac is None:
            return
        text = f"another machine has {self._address} on {card.name}: {kernel.who(card.index, mac, self._address)}"
        if self._refuse:
            what = (
                "Nothing is started beside it: take the address away from it, or switch it off, then"
                f' `hamgr cleanup {self._surroundings.group}`; conflict = "alert" would take it all the same'
            )
        else:
            what = (
                'It is taken all the same (conflict = "alert"), and clients may reach either: take the address away'
                " from it, or switch it off"
            )
        self._surroundings.tell(Kind.ADDRESS_CONFLICT, f"{text}. {what}")
        if self._refuse:
            raise ResourceError(text)

    async def _detected(self, card: Card) -> None:
        """The kernel's own duplicate address detection came to its end (nodad = false)."""
        kernel, _ = self._open()
        moved = asyncio.Event()
        kernel.watch(self._address, moved.set)
        try:
            while True:
                flags = [held.flags for held in kernel.held(self._address) if held.index == card.index]
                if not flags or flags[0] & IFA_F_DADFAILED:
                    raise ResourceError(f"another machine has {self._address} on {card.name} (found by the kernel)")
                if not flags[0] & IFA_F_TENTATIVE:
                    return
                moved.clear()
                # The kernel's word may have come, and been read by others, before we listened.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(DETECTION_LOOK):
                        await moved.wait()
        finally:
            kernel.unwatch(self._address, moved.set)

    async def stop(self) -> None:
        kernel, keeper = self._open()
        keeper.end()
        # As it is held, not as it was added: under another prefix, or on another interface, it would go on being
        # answered.
        if self._routes is not None:
            try:
                SourceRoutes(self._routes, self._address).remove()
            except OSError as error:
                log.warning("vip %s: can't remove its source routes: %s", self._address, error.strerror)
        self._remove(kernel.held(self._address))

    def _remove(self, places: list[Held]) -> None:
        kernel, _ = self._open()
        for held in places:
            try:
                kernel.remove(held)
            except OSError as error:
                if error.errno not in GONE:
                    where = kernel.name(held.index)
                    raise ResourceError(f"can't remove {held.address} from {where}: {error.strerror}") from error

    async def status(self) -> ResourceStatus:
        kernel, keeper = self._open()
        self._routed()
        held = kernel.held(self._address)
        self.reason = self._what_is_wrong(held)
        if not held:
            return ResourceStatus.STOPPED
        if self.reason:
            return ResourceStatus.FAILED
        if keeper.card is None:
            # A daemon that was restarted finds it running.
            card = next(card for card in kernel.cards() if card.index == held[0].index)
            keeper.begin(card, held[0].address, self._extra(held[0].address, card), announce=False)
        return ResourceStatus.RUNNING

    def _what_is_wrong(self, held: list[Held]) -> str:
        kernel, _ = self._open()
        places = sorted({kernel.name(one.index) for one in held})
        if not places:
            return f"{self._address} is on no interface"
        if any(one.flags & IFA_F_DADFAILED for one in held):
            return f"another machine has {self._address} too (duplicate address detection failed)"
        if self._interface and places != [self._interface]:
            return f"{self._address} is on {' and '.join(places)}, and should be on {self._interface} alone"
        if len(places) > 1:
            return f"{self._address} is on {' and '.join(places)}"
        return self._what_routes_lack(held[0].index)

    def _what_routes_lack(self, index: int) -> str:
        if self._routes is None:
            return ""
        try:
            missing = SourceRoutes(self._routes, self._address).missing(index)
        except OSError as error:
            raise ResourceError(f"can't read the routes: {error.strerror}") from error
        shown = " and ".join(str(route.to) for route in missing)
        return f"connections to {shown} have another source address than {self._address}" if missing else ""

    async def close(self) -> None:
        if self._kernel is not None and self._keeper is not None:
            self._keeper.end()
            self._kernel.unwatch(self._address, self._changed)
            self._kernel.leave()
        if self._neighbours is not None:
            self._neighbours.leave()
        if self._routes is not None:
            self._routes.unwatch(self._routed)
            self._routes.leave()
        self._kernel, self._neighbours, self._keeper, self._routes = None, None, None, None

    # -- events -------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        """An address or an interface came, went or changed."""
        if self._keeper is not None:
            self._keeper.look()
        hindrance = self._what_hinders() if self._surroundings.candidate else ""
        if hindrance != self._hindrance:
            self._hindrance = hindrance
            self._surroundings.hindered(self._name, hindrance)

    def _routed(self) -> None:
        """A route came, went or changed."""
        if self._keeper is None or self._keeper.card is None or self._routes is None:
            return
        index, now = self._keeper.card.index, asyncio.get_running_loop().time()
        try:
            lacks = self._what_routes_lack(index)
            if not lacks:
                return
            if not self._surroundings.may_mend():
                self._failed(lacks)
            elif how_often := self._mends.too_many(now):
                self._failed(f"{lacks}, again and again: {how_often}")
            else:
                SourceRoutes(self._routes, self._address).settle(index)
                log.info("vip %s: %s; mended", self._address, lacks)
        except (ResourceError, OSError) as error:
            self._failed(f"its source routes can't be mended: {error}")

    def _what_hinders(self) -> str:
        try:
            card, _ = self._place()
        except ResourceError as error:
            return str(error)
        if not card.up:
            return f"interface {card.name} is down"
        return "" if card.carrier else f"interface {card.name} has no carrier"
