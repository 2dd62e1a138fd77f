"""The history of all fencings, the same on every node: what this one did, and what the others tell of theirs.

Nodes tell one another how much they know, and send what the other does not know, one fencing at a time, the oldest
first: again when that changed something, and once in a while, since packets get lost.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from hamgr.admin.peers import Links
from hamgr.config.model import Config
from hamgr.core.effects import ACKNOWLEDGED, FenceRecord, HistoryRecord, Record
from hamgr.core.messages import FenceNews, Packet, PastFence
from hamgr.core.status import Status

KEPT = 200
"""Fencings that a node keeps, of the whole cluster: the newest."""

REPEAT = 15.0
"""Seconds between two times that a node tells all others how much it knows."""

LONGEST = 300
"""Characters of a reason or a detail: each fencing goes over every link, a serial line too."""

HEARD = ("online", "suspect", "joining")


class Core(Protocol):
    def status(self) -> Status: ...


class Disk(Protocol):
    def write(self, record: Record, done: Callable[[str], None]) -> None: ...


class FenceHistory:
    """One node's copy. kept: what its disk has of it. wall: the time of day, for people to read."""

    def __init__(
        self,
        config: Config,
        node: str,
        core: Core,
        links: Links,
        disk: Disk,
        kept: Iterable[PastFence] = (),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._node = node
        self._core = core
        self._links = links
        self._disk = disk
        self._wall = wall
        self._fences: dict[tuple[str, int], PastFence] = {}
        self._known: dict[str, int] = {}
        """Of each node, the number of its newest fencing that was ever here: also of those that are kept no more."""
        self._theirs: dict[str, tuple[int, dict[str, int]]] = {}
        """Of each peer, its life and what it said to know."""
        self._met: dict[str, int] = {}
        """Of each peer, the life that was told how much is known here."""
        self._under_way: dict[int, tuple[FenceRecord, float]] = {}
        self._teller: asyncio.Task[None] | None = None
        for fence in kept:
            self._keep(fence)

    def start(self) -> None:
        self._teller = asyncio.create_task(self._tell_again(), name="fence history")

    async def close(self) -> None:
        if self._teller is not None:
            self._teller.cancel()
            await asyncio.gather(self._teller, return_exceptions=True)

    def of(self, node: str = "") -> list[PastFence]:
        """The fencings of one node, or all, the oldest first."""
        found = [fence for fence in self._fences.values() if node in ("", fence.node)]
        return sorted(found, key=lambda fence: (fence.asked_at, fence.number, fence.by))

    # -- what this node does ------------------------------------------------------------------------------------

    def note(self, record: FenceRecord) -> None:
        """A record of the core: it is on disk."""
        now = self._wall()
        if not record.outcome:
            self._under_way[record.fence] = (record, now)
            return
        intent, asked_at = self._under_way.pop(record.fence, (record, now))
        self.add(intent, record, asked_at, now)

    def add(self, intent: FenceRecord, result: FenceRecord, asked_at: float, finished_at: float) -> None:
        """A fencing of this node came to its end."""
        by_device = result.outcome != ACKNOWLEDGED
        # It grows with every fencing of this node, whatever somebody does to the clock or to the state directory.
        number = max(self._known.get(self._node, 0) + 1, int(finished_at * 1_000_000))
        fence = PastFence(
            by=self._node,
            number=number,
            node=intent.node,
            epoch=intent.epoch,
            reason=intent.reason[:LONGEST],
            outcome=result.outcome,
            detail=result.detail[:LONGEST],
            operator=intent.operator,
            votes=intent.votes,
            level=intent.level + 1 if by_device else 0,
            devices=self._devices(intent) if by_device else (),
            attempts=result.attempts,
            asked_at=asked_at,
            finished_at=finished_at,
        )
        self._keep(fence)
        self._disk.write(HistoryRecord((fence,), KEPT), _whether_or_not)
        for peer, (life, _known) in list(self._theirs.items()):
            self._send(peer, life)

    def recover(self, records: Iterable[tuple[FenceRecord, float]]) -> None:
        """What this node's last life began, and did not bring into the history."""
        for record, asked_at in records:
            detail = record.detail or "hamgrd ended before the result was known"
            result = dataclasses.replace(record, outcome=record.outcome or "unknown", detail=detail)
            if not record.outcome:
                self._disk.write(result, _whether_or_not)
            self.add(record, result, asked_at, self._wall())

    def _devices(self, intent: FenceRecord) -> tuple[str, ...]:
        try:
            return tuple(device.name for device in self._config.devices(intent.node, intent.level))
        except IndexError:
            return ()

    def _keep(self, fence: PastFence) -> bool:
        """False if it was here before."""
        if fence.number <= self._known.get(fence.by, 0):
            return False
        self._known[fence.by] = fence.number
        self._fences[fence.by, fence.number] = fence
        while len(self._fences) > KEPT:
            del self._fences[min(self._fences, key=lambda key: (key[1], key[0]))]
        return True

    # -- what nodes tell one another ----------------------------------------------------------------------------

    def takes(self, packet: Packet) -> bool:
        """Is the packet this desk's? If so, it is dealt with."""
        if self._met.get(packet.sender) != packet.incarnation:
            self._met[packet.sender] = packet.incarnation
            self._send(packet.sender, packet.incarnation)
        news = packet.body
        if not isinstance(news, FenceNews):
            return False
        new = tuple(fence for fence in news.fences if self._keep(fence))
        if new:
            self._disk.write(HistoryRecord(new, KEPT), _whether_or_not)
        life, before = self._theirs.get(packet.sender, (0, {}))
        # In one life a node only learns: what comes late, over a slow link, must not make it seem to have forgotten.
        known = dict(before) if life == packet.incarnation else {}
        for name, number in news.known:
            known[name] = max(known.get(name, 0), number)
        self._theirs[packet.sender] = (packet.incarnation, known)
        # Only to what is new: of every packet there is a copy for each link.
        changed = life != packet.incarnation or known != before
        if new or (changed and self._lacks(known) is not None):
            self._send(packet.sender, packet.incarnation)
        return True

    def _lacks(self, known: Mapping[str, int]) -> PastFence | None:
        """The oldest fencing that is here, and not where so much is known."""
        missing = [fence for fence in self._fences.values() if fence.number > known.get(fence.by, 0)]
        return min(missing, key=lambda fence: fence.number, default=None)

    def _send(self, peer: str, life: int) -> None:
        known_life, known = self._theirs.get(peer, (0, {}))
        missing = self._lacks(known) if known_life == life else None
        fences = () if missing is None else (missing,)
        self._links.send(peer, life, FenceNews(tuple(sorted(self._known.items())), fences))

    async def _tell_again(self) -> None:
        while True:
            for node in self._core.status().nodes:
                if node.state in HEARD:
                    self._send(node.name, node.incarnation)
            await asyncio.sleep(REPEAT)


def _whether_or_not(reason: str) -> None:
    """A disk that can't be written is told of by the core; the others have the fencing all the same."""
