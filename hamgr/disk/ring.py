"""Frames in the cells of a ring: a batch of them is written at once, and read by all nodes, each at its own pace.

The writer numbers its cells, and its lease tells the last number. A reader that was away for longer than a ring lasts
has lost what was overwritten, as on any other link.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from hamgr.disk.records import CELLS, PAYLOAD, Cell, Damaged, Lease, decode_cell, encode_cell

_FRAME = struct.Struct("<BI")
MOST_CELLS = CELLS // 2
"""Of one batch: the other half of the ring is for readers that are still at the one before."""

MOST_BYTES = MOST_CELLS * PAYLOAD
FRAME_HEAD = _FRAME.size


def pack(frames: Iterable[tuple[int, bytes]]) -> bytes:
    """Frames, each with the slot of the node that it is for, as one batch."""
    return b"".join(_FRAME.pack(to, len(frame)) + frame for to, frame in frames)


def unpack(batch: bytes) -> Iterator[tuple[int, bytes]]:
    """Raises Damaged if it is cut short."""
    offset = 0
    while offset < len(batch):
        if offset + _FRAME.size > len(batch):
            raise Damaged("a batch that ends within a frame")
        to, length = _FRAME.unpack_from(batch, offset)
        offset += _FRAME.size
        if offset + length > len(batch):
            raise Damaged("a batch that ends within a frame")
        yield to, batch[offset : offset + length]
        offset += length


def cells(batch: bytes, slot: int, life: bytes, first: int) -> list[bytes]:
    """The blocks of a batch; the first has number `first`."""
    assert 0 < len(batch) <= MOST_BYTES, f"a batch of {len(batch)} bytes"
    pieces = [batch[start : start + PAYLOAD] for start in range(0, len(batch), PAYLOAD)]
    return [encode_cell(slot, Cell(life, first + part, part, len(pieces), piece)) for part, piece in enumerate(pieces)]


class Follower:
    """Reads the ring of one other node. `lost` counts batches that were overwritten or damaged.

    lease: what was in its slot when the reading began; the frames up to there are old.
    """

    def __init__(self, slot: int, lease: Lease | None) -> None:
        self.slot = slot
        self.lost = 0
        self._life = lease.life if lease is not None else b""
        self._read = lease.newest if lease is not None else 0
        self._pieces: list[bytes] = []

    def wanted(self, lease: Lease) -> range:
        """The numbers of the cells to read now."""
        if lease.life != self._life:
            # What a new life wrote is all for us.
            self._life, self._read = lease.life, 0
            self._pieces = []
        first = max(self._read + 1, lease.newest - CELLS + 1)
        if first > self._read + 1:
            self.lost += 1
            self._pieces = []
        return range(first, lease.newest + 1)

    def take(self, number: int, block: bytes) -> list[tuple[int, bytes]]:
        """The frames that are complete with this cell. It is the next one of `wanted`."""
        self._read = number
        try:
            cell = decode_cell(block, self.slot, number)
            if cell.life != self._life or cell.part != len(self._pieces):
                raise Damaged("a part of another batch")
            self._pieces.append(cell.payload)
            if len(self._pieces) < cell.parts:
                return []
            batch, self._pieces = b"".join(self._pieces), []
            return list(unpack(batch))
        except Damaged:
            self.lost += 1
            self._pieces = []
            return []
