"""Frames on a line that carries bytes and nothing else: where one begins, where it ends, and whether noise hit it.

A frame with its CRC-32 is written so that it has no zero byte (COBS, Cheshire and Baker 1999), between two zero
bytes. Whatever happens on the line, the next zero byte begins anew. The CRC tells noise from forgery: what passes it
and has no valid key was made by somebody.
"""

from __future__ import annotations

import zlib

from cobs import cobs

DELIMITER = b"\0"
CRC_BYTES = 4


def enframe(frame: bytes) -> bytes:
    """The bytes to send. The first delimiter ends whatever noise came before."""
    encoded: bytes = cobs.encode(frame + _crc(frame))
    return DELIMITER + encoded + DELIMITER


def _crc(frame: bytes) -> bytes:
    return zlib.crc32(frame).to_bytes(CRC_BYTES, "big")


class Deframer:
    """Finds frames in bytes as they come. longest: what no frame exceeds; more than that is noise, and not kept."""

    def __init__(self, longest: int) -> None:
        self._most = longest + CRC_BYTES + (longest + CRC_BYTES) // 254 + 1
        self._pending = bytearray()
        self._overflowed = False
        self.noise = 0
        """Pieces between delimiters that were no frame."""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete now."""
        found = []
        *ended, rest = data.split(DELIMITER)
        for piece in ended:
            self._add(piece)
            if (frame := self._end()) is not None:
                found.append(frame)
        self._add(rest)
        return found

    def _add(self, piece: bytes) -> None:
        if len(self._pending) + len(piece) > self._most:
            self._overflowed = True
            self._pending.clear()
        elif not self._overflowed:
            self._pending += piece

    def _end(self) -> bytes | None:
        piece, self._pending = bytes(self._pending), bytearray()
        overflowed, self._overflowed = self._overflowed, False
        if not piece and not overflowed:
            return None  # two delimiters in a row: the end of one frame and the beginning of the next
        try:
            found = b"" if overflowed else cobs.decode(piece)
        except cobs.DecodeError:
            found = b""
        frame, crc = found[:-CRC_BYTES], found[-CRC_BYTES:]
        if len(found) <= CRC_BYTES or crc != _crc(frame):
            self.noise += 1
            return None
        return frame
