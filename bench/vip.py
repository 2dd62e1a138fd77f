"""How long a virtual address takes: add with the first announcement, and remove, in microseconds.

    python bench/vip.py [--runs 200]

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
from hamgr.resources.vip import Vip

INSIDE = "HAMGR_BENCH_VIP"


async def measure(runs: int) -> None:
    for address in ("192.0.2.100/24", "2001:db8::100/64"):
        vip = Vip(ResourceConfig("vip", "vip", {"address": address, "interface": "vip0"}))
        await vip.prepare()
        times: dict[str, list[float]] = {"start": [], "stop": []}
        for _ in range(runs):
            for word, found in times.items():
                began = time.perf_counter()
                await getattr(vip, word)()
                found.append((time.perf_counter() - began) * 1e6)
        await vip.close()
        for word, found in times.items():
            print(f"{address:18} {word:5} median {statistics.median(found):6.0f} us, worst {max(found):6.0f} us")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    if INSIDE not in os.environ:
        command = ["unshare", "--net", sys.executable, *sys.argv]
        return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode
    for words in ("link add name vip0 type veth peer name vip1", "link set vip0 up", "link set vip1 up"):
        subprocess.run(["ip", *words.split()], check=True)
    asyncio.run(measure(options.runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
