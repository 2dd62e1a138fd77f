"""The lab's null-modem cable: two pseudo-terminals, and between them no more bytes a second than the line has.

`python -m hamgr.lab.wire DIRECTORY BAUD` makes DIRECTORY/a and DIRECTORY/b, says "ready", and takes a word a line on
its standard input: `cut` (what is sent is lost), `noise SHARE` (that share of the bytes is changed), `heal`. It ends
with its standard input.
"""

from __future__ import annotations

import os
import random
import select
import sys
import time
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

BITS_PER_BYTE = 10
"""8N1: a start bit, eight data bits, a stop bit."""

TURN = 0.005
"""Seconds between two turns of the cable."""

UART_FIFO = 16
"""Bytes that may pass in one go however slow the line is: what a 16550 holds."""


class Wire:
    """Carries bytes both ways, each way at the line's own rate."""

    def __init__(self, directory: Path, baud: int) -> None:
        self._rate = baud / BITS_PER_BYTE
        self._cut = False
        self._noise = 0.0
        self._rng = random.Random(baud)
        self._ends = [self._end(directory / name) for name in "ab"]
        self._credit = [0.0, 0.0]

    @staticmethod
    def _end(path: Path) -> int:
        """Our side of a pseudo-terminal that is found at `path`. The other side stays open here too: a line whose
        reader is away is no fault."""
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        path.symlink_to(os.ttyname(theirs))
        return ours

    def run(self) -> None:
        before = time.monotonic()
        commands = self._commands()
        while next(commands):
            now = time.monotonic()
            for way in (0, 1):
                most = max(UART_FIFO, self._rate * 2 * TURN)
                self._credit[way] = min(self._credit[way] + (now - before) * self._rate, most)
                self._carry(way)
            before = now

    def _carry(self, way: int) -> None:
        if self._credit[way] < 1:
            return
        try:
            found = os.read(self._ends[way], int(self._credit[way]))
        except BlockingIOError:
            return
        self._credit[way] -= len(found)
        if self._cut:
            return
        if self._noise:
            found = bytes(
                byte ^ self._rng.randrange(1, 256) if self._rng.random() < self._noise else byte for byte in found
            )
        with suppress(BlockingIOError):  # nobody reads at the other end: the bytes are lost, as on a real line
            os.write(self._ends[1 - way], found)

    def _commands(self) -> Iterator[bool]:
        """Yields True each TURN, False when the standard input has ended."""
        while True:
            if select.select([sys.stdin], [], [], TURN)[0]:
                line = sys.stdin.readline()
                if not line:
                    yield False
                    return
                match line.split():
                    case ["cut"]:
                        self._cut = True
                    case ["noise", share]:
                        self._noise = float(share)
                    case ["heal"]:
                        self._cut, self._noise = False, 0.0
            yield True


def main() -> None:
    wire = Wire(Path(sys.argv[1]), int(sys.argv[2]))
    print("ready", flush=True)
    wire.run()


if __name__ == "__main__":
    main()
