"""Heartbeats over a serial line between two nodes: a null-modem cable needs no switch, no address and no driver.

8 data bits, no parity, one stop bit, no flow control: three wires are enough. The line is slow, so frames wait here and
not in the kernel: a newer frame takes the place of an older one that says the same, and heartbeats go first.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import stat
import termios
from contextlib import suppress

import serial

from hamgr.config.model import LinkConfig
from hamgr.links.codec import MAX_FRAME
from hamgr.links.framing import Deframer, enframe
from hamgr.links.kernel import Interfaces
from hamgr.links.link import LinkError, Listener, Local

log = logging.getLogger(__name__)

BITS_PER_BYTE = 10
"""A start bit, eight data bits, a stop bit."""

REOPEN = 1.0
"""Seconds between two attempts to open a device that is not there."""

WAITING = 64
"""Frames that wait for the line at most; the oldest gives way."""

READ_SIZE = 4096
FIRST_SLOT = "Heartbeat"


class SerialLink:
    """One device; what is sent to the peer goes out on it, what comes in is the peer's."""

    def __init__(self, config: LinkConfig, local: Local, listener: Listener) -> None:
        self._name = config.name
        self._device = config.devices[local.node]
        self._baud = config.baud
        self._listener = listener
        self._line: serial.Serial | None = None
        self._deframer = Deframer(MAX_FRAME)
        self._waiting: dict[str, bytes] = {}
        self._rest = b""
        """What the kernel did not take yet of the frame that is being sent."""
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._beat_was_last = False

    async def open(self) -> None:
        with suppress(OSError):
            if not stat.S_ISCHR(os.stat(self._device).st_mode):
                raise LinkError(f"link {self._name}: {self._device} is no device: name a serial line (/dev/ttyS0)")
        self._open()

    def _open(self) -> None:
        """Open the device, or try again later."""
        self._timer = None
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        try:
            # pyserial opens without waiting for a carrier, and then sets CLOCAL (termios(3)).
            line = serial.Serial(self._device, self._baud, timeout=0, write_timeout=0, exclusive=True)
            line.reset_input_buffer()
        except (OSError, ValueError, termios.error) as error:
            self._listener.changed(self._name, False, f"waits for {self._device}: {_reason(error)}")
            self._timer = loop.call_later(REOPEN, self._open)
            return
        self._line = line
        self._deframer = Deframer(MAX_FRAME)
        self._rest = b""
        loop.add_reader(line.fileno(), self._readable)
        self._listener.changed(self._name, True, f"{self._device} at {self._baud} baud")

    def _readable(self) -> None:
        line = self._line
        if line is None:
            return
        try:
            data = os.read(line.fileno(), READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(_reason(error))
            return
        if not data:
            self._lose("the device was taken away")
            return
        noise = self._deframer.noise
        for frame in self._deframer.feed(data):
            self._listener.received(self._name, frame, self._device)
        for _ in range(self._deframer.noise - noise):
            self._listener.received(self._name, b"", self._device)

    def _lose(self, reason: str) -> None:
        """The device went: an adapter was pulled, say. It is opened again when it is back."""
        loop = asyncio.get_running_loop()
        line, self._line = self._line, None
        if line is not None:
            loop.remove_reader(line.fileno())
            loop.remove_writer(line.fileno())
            with suppress(OSError, termios.error):
                line.close()
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        self._rest = b""
        self._listener.changed(self._name, False, f"lost {self._device}: {reason}")
        self._timer = loop.call_later(REOPEN, self._open)

    def send(self, to: str, frame: bytes, slot: str) -> None:
        if self._line is None:
            self._listener.failed(self._name, "the line is not open")
            return
        self._waiting[slot] = frame
        if len(self._waiting) > WAITING:
            del self._waiting[next(iter(self._waiting))]
        if self._timer is None and not self._rest:
            self._next()

    def _next(self) -> None:
        """Send the next frame, and come back when the line had time to carry it."""
        self._timer = None
        if self._line is None or not self._waiting:
            return
        slot = self._next_slot()
        self._rest = enframe(self._waiting.pop(slot))
        seconds = len(self._rest) * BITS_PER_BYTE / self._baud
        self._timer = asyncio.get_running_loop().call_later(seconds, self._sent)
        self._write()

    def _next_slot(self) -> str:
        """A heartbeat goes first, but not twice in a row while others wait: on a line that is too slow for its
        keepalive nothing else would ever be said."""
        others = (slot for slot in self._waiting if slot != FIRST_SLOT)
        beat = FIRST_SLOT in self._waiting and not self._beat_was_last
        slot = FIRST_SLOT if beat else next(others, FIRST_SLOT)
        self._beat_was_last = slot == FIRST_SLOT
        return slot

    def _write(self) -> None:
        line = self._line
        if line is None:
            return
        loop = asyncio.get_running_loop()
        try:
            count = os.write(line.fileno(), self._rest)
        except BlockingIOError:
            count = 0
        except OSError as error:
            self._lose(_reason(error))
            return
        self._rest = self._rest[count:]
        if self._rest:
            loop.add_writer(line.fileno(), self._write)
        else:
            loop.remove_writer(line.fileno())
            if self._timer is None:
                self._next()

    def _sent(self) -> None:
        """The time of the frame is over; a line that has stopped taking bytes is waited for by `_write`."""
        self._timer = None
        if not self._rest:
            self._next()

    def drop_waiting(self) -> None:
        self._waiting.clear()
        if self._line is not None:
            with suppress(OSError, termios.error):
                self._line.reset_output_buffer()

    def interfaces_changed(self, interfaces: Interfaces) -> None:
        """A serial line has none."""

    async def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        line, self._line = self._line, None
        if line is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(line.fileno())
            loop.remove_writer(line.fileno())
            with suppress(OSError, termios.error):
                line.close()


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EAGAIN or "exclusively lock" in str(error):
        return "another program uses it"
    return os.strerror(number) if isinstance(number, int) else str(error)
