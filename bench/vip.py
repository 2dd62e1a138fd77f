"""How long a virtual address takes: add with the first announcement, and remove, in microseconds; and many at once.

    python bench/vip.py [--runs 200] [--together 200]

With a probe, the wait for another owner's answer is a part of the start.

Runs as root in a network namespace of its own (unshare(1)), on a virtual interface.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time

from hamgr.config.model import ResourceConfig
from hamgr.resources.resource import Surroundings
from hamgr.resources.vip import Vip

INSIDE = "HAMGR_BENCH_VIP"


async def measure(runs: int, probe: float) -> None:
    print(f"probe {probe * 1000:g} ms")
    for address in ("192.0.2.100/24", "2001:db8::100/64"):
        options = {"address": address, "interface": "vip0", "probe": probe}
        vip = Vip(ResourceConfig("vip", "vip", dict(options)), Surroundings())
        await vip.prepare()
        times: dict[str, list[float]] = {"start": [], "stop": []}
        for _ in range(runs):
            for word, found in times.items():
                began = time.perf_counter()
                await getattr(vip, word)()
                found.append((time.perf_counter() - began) * 1e6)
        await vip.close()
        for word, found in times.items():
            print(f"  {address:18} {word:5} median {statistics.median(found):6.0f} us, worst {max(found):6.0f} us")


async def together(count: int) -> None:
    """All of them at once, as groups that start together do."""
    options = [{"address": f"10.9.{n // 250}.{n % 250 + 1}/16", "interface": "vip0"} for n in range(count)]
    vips = [Vip(ResourceConfig("vip", "vip", dict(one)), Surroundings()) for one in options]
    for vip in vips:
        await vip.prepare()
    for word in ("start", "status", "stop"):
        began = time.perf_counter()
        await asyncio.gather(*(getattr(vip, word)() for vip in vips))
        print(f"{count} addresses together: {word} {(time.perf_counter() - began) * 1000:.0f} ms")
    for vip in vips:
        await vip.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--together", type=int, default=200, help="addresses that start at once (%(default)s)")
    options = parser.parse_args()
    if INSIDE not in os.environ:
        command = ["unshare", "--net", sys.executable, *sys.argv]
        return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode
    for words in ("link add name vip0 type veth peer name vip1", "link set vip0 up", "link set vip1 up"):
        subprocess.run(["ip", *words.split()], check=True)
    for probe in (0.0, 0.010):
        asyncio.run(measure(options.runs, probe))
    asyncio.run(together(options.together))
    return 0


if __name__ == "__main__":
    sys.exit(main())
