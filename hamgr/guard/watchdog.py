"""A watchdog device: once opened, the machine is reset unless it is fed in time (Documentation/watchdog of Linux)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

IDENTITY = struct.Struct("=II32s")
"""struct watchdog_info: options, firmware version, identity."""

GETSUPPORT, KEEPALIVE = 0x80285700, 0x80045705
SETTIMEOUT, GETTIMEOUT = 0xC0045706, 0x80045707
SETPRETIMEOUT = 0xC0045708
"""ioctls of linux/watchdog.h, as most architectures number them."""

CAN_SET_TIMEOUT, MAGIC_CLOSE, CAN_PING = 0x0080, 0x0100, 0x8000
"""Options (WDIOF_...)."""

MEALS = 4
"""Feeds in one time-out: two may be late."""


class Unusable(Exception):
    """The device does not do what was configured; the text says what, and what would help."""


class Watchdog:
    """An open device. timeout, pretimeout: seconds, as configured. ioctls: False for what can only be written to: its
    time-out is then believed."""

    def __init__(self, path: str, timeout: float, pretimeout: float = 0.0, ioctls: bool = True) -> None:
        self.path = path
        self.interval = timeout / MEALS
        self.identity = "fed by writing only; its time-out is believed"
        self._pings = False
        try:
            # A pipe that nobody reads must not be waited for.
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            why = "another program feeds it (wd_keepalive? systemd's RuntimeWatchdogSec?)"
            raise Unusable(f"{path}: {why if error.errno == errno.EBUSY else error.strerror}") from None
        if not ioctls:
            return
        try:
            self._set_up(timeout, pretimeout)
        except Unusable:
            self.disarm()
            raise

    def _set_up(self, timeout: float, pretimeout: float) -> None:
        try:
            answer = fcntl.ioctl(self._descriptor, GETSUPPORT, bytes(IDENTITY.size))
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL):
                text = "knows no ioctl of a watchdog; what can only be written to needs watchdog_ioctl = false"
                raise Unusable(f"{self.path} {text}") from None
            raise Unusable(f"{self.path}: {error.strerror}") from None
        options, _firmware, identity = IDENTITY.unpack(answer)
        self.identity = identity.rstrip(b"\0").decode(errors="replace")
        self._pings = bool(options & CAN_PING)
        if not options & MAGIC_CLOSE and not self._no_way_out():
            text = "is stopped by the death of the program that feeds it: load its driver with nowayout=1"
            raise Unusable(f"{self.path} ({self.identity}) {text}")
        if options & CAN_SET_TIMEOUT:
            self._ask(SETTIMEOUT, int(timeout), f"takes no time-out of {timeout:g} s")
        got = self._ask(GETTIMEOUT, 0, "does not tell its time-out")
        if got > timeout:
            # Others take over when the configured time has passed: the machine must be reset by then.
            raise Unusable(f"{self.path} ({self.identity}) resets after {got} s, and not after {timeout:g} s")
        self.interval = got / MEALS
        if pretimeout:
            # Not by its options: the kernel itself (WATCHDOG_HRTIMER_PRETIMEOUT) has it for drivers that don't name it.
            self._ask(SETPRETIMEOUT, int(pretimeout), f"takes no pretimeout of {pretimeout:g} s")

    def _ask(self, request: int, value: int, otherwise: str) -> int:
        try:
            answer = fcntl.ioctl(self._descriptor, request, struct.pack("=i", value))
        except OSError as error:
            raise Unusable(f"{self.path} ({self.identity}) {otherwise}: {error.strerror}") from None
        found: int = struct.unpack("=i", answer)[0]
        return found

    def _no_way_out(self) -> bool:
        name = os.path.basename(os.path.realpath(self.path))
        try:
            with open(f"/sys/class/watchdog/{'watchdog0' if name == 'watchdog' else name}/nowayout") as file:
                return file.read().strip() == "1"
        except OSError:
            return False

    def feed(self) -> None:
        """Raises OSError."""
        if self._pings:
            fcntl.ioctl(self._descriptor, KEEPALIVE, 0)
        else:
            os.write(self._descriptor, b".")

    def disarm(self) -> None:
        """The magic close: the machine goes on without it, unless the driver has nowayout=1."""
        try:
            os.write(self._descriptor, b"V")
        finally:
            os.close(self._descriptor)
