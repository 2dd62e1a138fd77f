"""A program that has hamgr's guard, as hamgrd has it: it feeds it until /run/quiet is there, and ends with /run/end.

DEVICE TIMEOUT PRETIMEOUT TRIGGER ("" for none of it) LEASE. It says "guard PID" whenever there is one, else why there
is none; then "ended" after a clean end.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from hamgr import guarding
from hamgr.guard.orders import address
from hamgr.guarding import Guarding, GuardSettings

SOCKET = Path("/run/guard")
QUIET, END = Path("/run/quiet"), Path("/run/end")
VIP = "10.9.9.9"
FEED_EVERY = 0.5
"""Seconds; each is good for LEASE."""

# An emulated machine on a busy one may stand still for some seconds, which is nothing to be shown here.
guarding.START_WAIT, guarding.SILENCE = 120.0, 5.0


async def main() -> None:
    device, timeout, pretimeout, trigger, lease = sys.argv[1:]
    settings = GuardSettings(SOCKET, device, float(timeout or 0), float(pretimeout or 0), True, trigger)

    def changed(reason: str) -> None:
        print(reason or f"guard {ours.pid}", flush=True)

    ours = Guarding(settings, [address(VIP)], changed)
    await ours.start()
    loop = asyncio.get_running_loop()
    while not END.exists():
        if not QUIET.exists():
            ours.feed(loop.time() + float(lease))
        await asyncio.sleep(FEED_EVERY)
    ours.release()
    await ours.close()
    print("ended", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
