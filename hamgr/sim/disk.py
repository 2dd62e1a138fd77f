"""A node's state directory: records that are on it stay, records on their way to it may get lost."""

from __future__ import annotations

import random

from hamgr.core.durable import Durable
from hamgr.core.effects import InitialisedRecord, Record
from hamgr.sim.conditions import Conditions

SLOW = 2.0
"""Seconds that a write may take at worst, when the disk is slow."""


class Disk:
    """full: writes fail. slow: writes take up to `SLOW`. starts: how many lives it has seen."""

    def __init__(self, conditions: Conditions, rng: random.Random) -> None:
        self._conditions = conditions
        self._rng = rng
        self.durable = Durable().apply(InitialisedRecord(0))
        self.full = False
        self.slow = False
        self._starts = 0

    def latency(self) -> float:
        low, high = self._conditions.disk
        if self.slow or (self._conditions.disk_slow and self._rng.random() < self._conditions.disk_slow):
            return self._rng.random() * SLOW
        return low if low == high else self._rng.uniform(low, high)

    def write(self, record: Record) -> str:
        """The write ends now: "" when the record is on disk, else why it failed (and yet it may be there)."""
        if self.full:
            if self._rng.random() < 0.1:
                self.durable = self.durable.apply(record)
            return "no space left on device"
        self.durable = self.durable.apply(record)
        return ""

    def torn(self, record: Record) -> None:
        """The process or the machine ended while this record was being written."""
        if not self.full and self._rng.random() < 0.5:
            self.durable = self.durable.apply(record)

    def next_incarnation(self) -> int:
        self._starts += 1
        return self._starts << 32 | self._rng.getrandbits(32)

    def repair(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self.full = self.slow = False

    def wipe(self) -> None:
        self.durable = Durable()
        self._starts = 0
