"""The links between the nodes: packets get lost, late, doubled, overtaken, or cut off in one direction."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable

from hamgr.core.messages import Packet
from hamgr.sim.conditions import Conditions
from hamgr.sim.engine import Engine

RECORDED = 5000
"""Packets that whoever listens on the wires keeps, to send them again."""

Deliver = Callable[[str, Packet], None]


class Network:
    """Directed: a cut of (a, b) on a link leaves (b, a) alone. What is already on its way arrives in spite of a cut."""

    def __init__(
        self,
        engine: Engine,
        links: Iterable[str],
        conditions: Conditions,
        rng: random.Random,
        deliver: Deliver,
    ) -> None:
        self._engine = engine
        self.links = tuple(links)
        self.conditions = conditions
        self._rng = rng
        self._deliver = deliver
        self._cuts: set[tuple[str, str, str]] = set()
        self._recorded: deque[Packet] = deque(maxlen=RECORDED)
        self.extra_loss = 0.0
        self.sent = 0

    def send(self, packet: Packet) -> None:
        conditions, rng = self.conditions, self._rng
        self._recorded.append(packet)
        for link in self.links:
            if self._cuts and (packet.sender, packet.to, link) in self._cuts:
                continue
            self.sent += 1
            loss = conditions.loss + self.extra_loss
            if loss and rng.random() < loss:
                continue
            self._carry(link, packet)
            if conditions.duplicate and rng.random() < conditions.duplicate:
                self._carry(link, packet)

    def _carry(self, link: str, packet: Packet) -> None:
        conditions, rng = self.conditions, self._rng
        low, high = conditions.latency
        delay = low if low == high else low + (high - low) * rng.random()
        if conditions.tail or conditions.very_late:
            chance = rng.random()
            if chance < conditions.very_late:
                delay += rng.random() * conditions.very_late_time
            elif chance < conditions.very_late + conditions.tail:
                delay += rng.random() * conditions.tail_time
        if conditions.slow_link and link == self.links[-1]:
            delay += conditions.slow_link
        self._engine.after(delay, self._deliver, link, packet)

    def replay(self, sender: str) -> None:
        """Everything that was recorded of this sender, former lives too, comes once more to those it was meant for.

        The daemon's replay window would drop it; the core must do without.
        """
        for packet in list(self._recorded):
            if packet.sender == sender:
                self._carry(self._rng.choice(self.links), packet)

    def joins(self, one: str, other: str) -> bool:
        """Some link carries something both ways."""
        ways = ((one, other), (other, one))
        return all(any((*way, link) not in self._cuts for link in self.links) for way in ways)

    def cut(self, sender: str, to: str, link: str = "") -> None:
        """Let nothing more through from `sender` to `to` on this link ("" for all)."""
        for name in (link,) if link else self.links:
            self._cuts.add((sender, to, name))

    def heal(self, sender: str = "", to: str = "") -> None:
        """Undo the cuts from `sender` to `to` ("" for any)."""
        self._cuts = {cut for cut in self._cuts if (sender and cut[0] != sender) or (to and cut[1] != to)}
