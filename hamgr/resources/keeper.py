"""Looks after an address while it is here: has the neighbours know it, and puts it back when someone takes it away."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass

from hamgr.core.effects import Kind
from hamgr.resources.conflict import Conflicts
from hamgr.resources.kernel import Card, Extra, IPInterface, Kernel
from hamgr.resources.mends import Mends
from hamgr.resources.neighbours import Neighbours
from hamgr.resources.resource import Surroundings

log = logging.getLogger(__name__)

BURST_INTERVAL = 0.2
"""Seconds between two announcements when the address comes."""

ASK_INTERVAL = 10.0
"""Seconds between two questions whether another machine has it too: one that only answers is not heard otherwise."""


@dataclass(frozen=True, slots=True)
class Habits:
    """announcements: how many when the address comes. announce_interval: seconds between two after that; 0: none."""

    announcements: int
    announce_interval: float


class Keeper:
    """Of one address. failed: called with the reason when the address is lost for good; the keeper has ended then."""

    def __init__(
        self,
        kernel: Kernel,
        neighbours: Neighbours | None,
        habits: Habits,
        surroundings: Surroundings,
        failed: Callable[[str], None],
    ) -> None:
        self._kernel = kernel
        self._neighbours = neighbours
        self._habits = habits
        self._tell = surroundings.tell
        self._nodes = surroundings.node_addresses
        self._may_mend = surroundings.may_mend
        self._failed = failed
        self._card: Card | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._mends = Mends()

    @property
    def card(self) -> Card | None:
        """Where the address is; None when it is not here."""
        return self._card

    def begin(self, card: Card, address: IPInterface, extra: Extra, announce: bool) -> None:
        """It is on this interface now. announce: it was not, until now."""
        self.end()
        self._card, self._address, self._extra = card, address, extra
        self._conflicts = Conflicts()
        if self._neighbours is None:
            return
        self._neighbours.listen(address.ip, self._heard)
        self._repeat(self._habits.announcements if announce else 0)
        self._tasks["ask"] = asyncio.create_task(self._ask(), name=f"conflicts of {address.ip}")

    def end(self) -> None:
        """It is about to go, or gone."""
        if self._card is None:
            return
        self._card = None
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        if self._neighbours is not None:
            self._neighbours.unlisten(self._address.ip, self._heard)

    # -- the neighbours -----------------------------------------------------------------------------------------

    def _repeat(self, burst: int) -> None:
        """Announce it now (if at all), a few times more, and then from time to time."""
        if older := self._tasks.pop("announce", None):
            older.cancel()
        if burst:
            self._announce()
        if burst > 1 or self._habits.announce_interval:
            work = self._announce_on(burst - 1)
            self._tasks["announce"] = asyncio.create_task(work, name=f"announcements of {self._address.ip}")

    def _announce(self) -> None:
        assert self._card is not None
        assert self._neighbours is not None
        try:
            self._neighbours.announce(self._card, self._address.ip)
        except OSError as error:
            # The address is there; neighbours that still have the old place will find the new one when theirs fails.
            log.warning("vip %s: can't announce it on %s: %s", self._address, self._card.name, error.strerror)

    async def _announce_on(self, burst: int) -> None:
        for _ in range(burst):
            await asyncio.sleep(BURST_INTERVAL)
            self._announce()
        while self._habits.announce_interval:
            await asyncio.sleep(self._habits.announce_interval)
            self._announce()

    async def _ask(self) -> None:
        assert self._neighbours is not None
        # Each at a time of its own, so that hundreds don't ask together.
        await asyncio.sleep(ASK_INTERVAL * (int(self._address.ip) % 64 + 1) / 64)
        while self._card is not None:
            for mac in self._conflicts.ended(asyncio.get_running_loop().time()):
                who = self._kernel.who(self._card.index, mac, self._address.ip)
                text = f"{self._address.ip} on {self._card.name}: {who} no longer answers; the conflict is over"
                self._tell(Kind.ADDRESS_CONFLICT, text)
            try:
                self._neighbours.ask(self._card, self._address.ip)
            except OSError as error:
                log.info("vip %s: can't ask on %s: %s", self._address, self._card.name, error.strerror)
            await asyncio.sleep(ASK_INTERVAL)

    def _heard(self, index: int, mac: bytes) -> None:
        if self._card is None or index != self._card.index or mac in self._kernel.macs():
            return
        now = asyncio.get_running_loop().time()
        news = self._conflicts.heard(mac, now)
        if news:
            self._tell_of(self._card, mac, "has" if news == "new" else "still has")
        if self._conflicts.defend(now):
            self._announce()

    def _tell_of(self, card: Card, mac: bytes, has: str) -> None:
        """A node of this cluster is worse than a stranger: it may have the group's data, too."""
        known = self._kernel.known_by(card.index, mac)
        nodes = sorted({self._nodes[str(address)] for address in known if str(address) in self._nodes})
        who = self._kernel.who(card.index, mac, self._address.ip)
        if nodes:
            kind, whose = Kind.SPLIT_BRAIN, f"node {' and '.join(nodes)} of this cluster"
            what = "check the data; switch that node off, or stop there what nobody told it to start"
        else:
            kind, whose = Kind.ADDRESS_CONFLICT, "another machine"
            what = "take the address away from it, or switch it off"
        self._tell(kind, f"{whose} {has} {self._address.ip} on {card.name}: {who}. Clients may reach either; {what}")

    # -- the kernel ---------------------------------------------------------------------------------------------

    def look(self) -> None:
        """The address, or an interface, changed."""
        if self._card is None:
            return
        before, held = self._card, self._kernel.held(self._address.ip)
        card = next((card for card in self._kernel.cards() if card.index == before.index), None)
        if card is None:
            self._fail(f"interface {before.name} is gone")
            return
        self._card = card
        if not any(one.index == card.index for one in held):
            self._mend(card)
        elif card.carrier and not before.carrier:
            # Whatever the switch learned in the meantime, it is here.
            self._repeat(self._habits.announcements if self._neighbours is not None else 0)

    def _mend(self, card: Card) -> None:
        if not self._may_mend():
            # Not ours to decide now: maybe the machine slept, and the address is another's.
            self._fail(f"someone removed {self._address} from {card.name}")
            return
        if card.up and (how_often := self._mends.too_many(asyncio.get_running_loop().time())):
            self._fail(f"someone removes {self._address} from {card.name} again and again: {how_often}")
            return
        try:
            self._kernel.add(card.index, self._address, self._extra)
        except OSError as error:
            gone = error.errno == errno.ENODEV  # the interface itself goes, and its addresses were told of first
            why = f"someone removed {self._address} from {card.name}; putting it back: {error.strerror}"
            self._fail(f"interface {card.name} is gone" if gone else why)
            return
        if card.up:
            self._tell(Kind.WARNING, f"someone removed {self._address} from {card.name}; hamgr put it back")
        else:
            # An interface that goes down loses its IPv6 addresses, and comes up without them.
            log.info("vip %s: %s went down and lost it; it is there again", self._address, card.name)
        if self._neighbours is not None:
            self._repeat(self._habits.announcements)

    def _fail(self, why: str) -> None:
        self.end()
        self._failed(why)
