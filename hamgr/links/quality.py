"""How well one link carries one peer's frames: loss, round trip and jitter, from what authenticated frames say.

Times are microseconds of a monotonic clock as int; what is told is seconds as float.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOW = 256
"""Frames over which the loss is told."""

LATE_SHARE = 8
"""A new round trip counts for an eighth of the smoothed one (RFC 6298, 2)."""

JITTER_SHARE = 16
"""A new difference counts for a sixteenth of the jitter (RFC 3550, 6.4.1)."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """What a heartbeat says on its link. stamp_us: the sender's clock when it was sealed. echo_us: the newest stamp of
    the receiver that the sender has from this link (0: none); held_us: how long ago it came."""

    stamp_us: int
    echo_us: int = 0
    held_us: int = 0


class Quality:
    """One link to one peer, both directions."""

    def __init__(self) -> None:
        self.frames_in = self.bytes_in = self.frames_out = self.bytes_out = 0
        self.heard_us = 0
        self.round_trip: float | None = None
        """Seconds, smoothed; None before the first."""
        self._life = 0
        self._first, self._newest, self._received = 1, 0, 0
        self._seen = 0
        self._transit: int | None = None
        self._jitter_us = 0.0
        self._stamp_us = 0
        self._stamped_at_us = 0

    def sent(self, size: int) -> None:
        self.frames_out += 1
        self.bytes_out += size

    def clocks(self, now_us: int) -> Clocks:
        """What the next heartbeat on this link shall say."""
        if not self._stamp_us:
            return Clocks(now_us)
        return Clocks(now_us, self._stamp_us, now_us - self._stamped_at_us)

    def arrived(self, now_us: int, size: int, life: int, sequence: int, clocks: Clocks | None) -> None:
        """Note an authenticated frame that is no replay. life: the sender's incarnation."""
        self.frames_in += 1
        self.bytes_in += size
        self.heard_us = now_us
        if life != self._life:
            self._life = life
            self._first, self._newest, self._received, self._seen = sequence, sequence - 1, 0, 0
            self._transit, self._stamp_us = None, 0
        self._count(sequence)
        if clocks is not None:
            self._measure(now_us, clocks)

    def _count(self, sequence: int) -> None:
        if sequence > self._newest:
            self._seen = (self._seen << min(sequence - self._newest, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self._newest = sequence
        elif sequence < self._first:
            return  # sent before the first that came: nothing was expected of it
        elif self._newest - sequence < WINDOW:
            self._seen |= 1 << (self._newest - sequence)
        self._received += 1

    def _measure(self, now_us: int, clocks: Clocks) -> None:
        if clocks.stamp_us > self._stamp_us:
            self._stamp_us, self._stamped_at_us = clocks.stamp_us, now_us
        transit = now_us - clocks.stamp_us
        if self._transit is not None:
            self._jitter_us += (abs(transit - self._transit) - self._jitter_us) / JITTER_SHARE
        self._transit = transit
        took_us = now_us - clocks.echo_us - clocks.held_us
        if clocks.echo_us and took_us >= 0:
            took = took_us / 1e6
            old = self.round_trip
            self.round_trip = took if old is None else old + (took - old) / LATE_SHARE

    @property
    def loss(self) -> float | None:
        """The share of the newest frames that never came, from 0 to 1; None before the first."""
        span = min(self._newest - self._first + 1, WINDOW)
        return None if span <= 0 else 1 - (self._seen & ((1 << span) - 1)).bit_count() / span

    @property
    def lost(self) -> int:
        """Frames of the peer's present life that never came."""
        return max(0, self._newest - self._first + 1 - self._received)

    @property
    def jitter(self) -> float | None:
        """Seconds by which the way of a frame varies; None before two heartbeats came."""
        return None if self._transit is None else self._jitter_us / 1e6
