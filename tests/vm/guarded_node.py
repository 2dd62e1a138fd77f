"""A program that has hamgr's guard, as hamgrd has it: it feeds it until /run/quiet is there, and ends with /run/end.

DEVICE TIMEOUT PRETIMEOUT TRIGGER ("" for none of it). It says "guard PID" whenever there is one, else why there is
none; then "ended" after a clean end.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from hamgr.guard.orders import address
from hamgr.guarding import Guarding, GuardSettings

SOCKET = Path("/run/guard")
QUIET, END = Path("/run/quiet"), Path("/run/end")
VIP = "10.9.9.9"
FEED_EVERY, LEASE = 0.5, 5.0
"""Seconds; an emulated machine on a busy one may stand still for some."""


async def main() -> None:
    device, timeout, pretimeout, trigger = sys.argv[1:]
    settings = GuardSettings(SOCKET, device, float(timeout or 0), float(pretimeout or 0), True, trigger)

    def changed(reason: str) -> None:
        print(reason or f"guard {guarding.pid}", flush=True)

    guarding = Guarding(settings, [address(VIP)], changed)
    await guarding.start()
    loop = asyncio.get_running_loop()
    while not END.exists():
        if not QUIET.exists():
            guarding.feed(loop.time() + LEASE)
        await asyncio.sleep(FEED_EVERY)
    guarding.release()
    await guarding.close()
    print("ended", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
