"""A text on its way to another node, in parts that the slowest serial line carries between its heartbeats.

One part is under way at a time; the receiver says how many it has, and the last one is repeated until it says more. So
no link is flooded, and a part that is lost costs no more than a wait.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from hamgr.core.messages import ConfigPart

PART = 256
"""Bytes: with its packet about 0.35 s of a line at 9,600 baud."""

MOST_PARTS = 256
MAX_TEXT = 1 << 20
"""Bytes of a text, whatever it was compressed to: far above any configuration."""


class TooLong(Exception):
    """A text that no parcel takes; the text says how long it may be."""


def pack(push: int, text: bytes, check_only: bool) -> list[ConfigPart]:
    """The parts of a text, in order. Raises TooLong."""
    packed = zlib.compress(text, 9)
    if len(text) > MAX_TEXT or len(packed) > PART * MOST_PARTS:
        raise TooLong(f"{len(text)} bytes, {len(packed)} compressed; allowed {MAX_TEXT} and {PART * MOST_PARTS}")
    pieces = [packed[start : start + PART] for start in range(0, len(packed), PART)]
    return [ConfigPart(push, index, len(pieces), piece, check_only) for index, piece in enumerate(pieces)]


@dataclass(slots=True)
class Incoming:
    """What came so far of a parcel."""

    push: int
    count: int
    check_only: bool
    parts: list[bytes] = field(default_factory=list)

    def take(self, part: ConfigPart) -> bool:
        """Note a part; True if it was the last one that was missing."""
        if part.count != self.count or part.index != len(self.parts) or self.complete:
            return False
        self.parts.append(part.data)
        return self.complete

    @property
    def complete(self) -> bool:
        return len(self.parts) >= self.count

    def text(self) -> bytes:
        """The whole text. Raises ValueError for what is none."""
        unpacking = zlib.decompressobj()
        try:
            text = unpacking.decompress(b"".join(self.parts), MAX_TEXT)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if not unpacking.eof:
            raise ValueError(f"it is not whole, or longer than {MAX_TEXT} bytes")
        return text
