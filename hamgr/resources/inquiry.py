"""Asks whether another machine has an address, before it is added here (RFC 5227, 2.1; RFC 4862, 5.4)."""

from __future__ import annotations

import asyncio
import logging

from hamgr.resources.kernel import Card, IPAddress, Kernel
from hamgr.resources.neighbours import Neighbours

log = logging.getLogger(__name__)

QUESTIONS = 2
"""Spread over the wait: a single one may be lost."""


async def who_answers(
    kernel: Kernel, neighbours: Neighbours, card: Card, address: IPAddress, wait: float, patience: float
) -> bytes | None:
    """The MAC of another machine that answers within `wait` seconds; None when nobody does.

    RFC 5227 waits for seconds, which clients of a service that fails over have not; who is slower is heard later. One
    that answers is asked again, for `patience` seconds: it may be just ending.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + patience
    while True:
        mac = await _once(kernel, neighbours, card, address, wait)
        if mac is None or clock() >= until:
            return mac
        await asyncio.sleep(wait)


async def _once(
    kernel: Kernel, neighbours: Neighbours, card: Card, address: IPAddress, wait: float
) -> bytes | None:
    found: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def heard(index: int, mac: bytes) -> None:
        if index == card.index and mac not in kernel.macs() and not found.done():
            found.set_result(mac)

    neighbours.listen(address, heard)
    try:
        for _ in range(QUESTIONS):
            try:
                neighbours.ask(card, address)
            except OSError as error:
                log.warning("vip %s: can't ask on %s: %s", address, card.name, error.strerror)
                return None
            await asyncio.wait([found], timeout=wait / QUESTIONS)
            if found.done():
                return found.result()
    finally:
        neighbours.unlisten(address, heard)
    return None
