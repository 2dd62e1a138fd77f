"""Tells systemd how the service does (sd_notify(3)): a datagram to the socket that it names, if it names one."""

from __future__ import annotations

import asyncio
import os
import socket


def notify(state: str) -> None:
    """Such as "READY=1". Silent without systemd."""
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where.startswith(("/", "@")):
        return
    address = "\0" + where[1:] if where.startswith("@") else where
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.sendto(state.encode(), address)
    except OSError:
        pass  # it watches, but it is nobody that we need


async def keep_telling() -> None:
    """Say that the loop lives, twice as often as systemd wants to hear it (WatchdogSec=)."""
    period = int(os.environ.get("WATCHDOG_USEC", "0")) / 2_000_000
    while period:
        notify("WATCHDOG=1")
        await asyncio.sleep(period)
