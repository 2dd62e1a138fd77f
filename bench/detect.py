"""How long after a power-off its peer says "dead", minus deadtime.

    python bench/detect.py [--runs 20] [--json]

In the lab: the machine's ports are dark and its processes killed at a moment that is known on the common monotonic
clock; the survivor's `node-dead` event carries its own time. The last heartbeat left up to one keepalive earlier, so
the difference is between minus a keepalive and zero when nothing is late.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

from hamgr.lab.lab import Lab
from hamgr.lab.plan import Fencing, Options

SETTINGS = {"deadtime 1 s": (1.0, "100ms", "400ms"), "deadtime 200 ms": (0.2, "20ms", "100ms")}
"""deadtime in seconds, keepalive, warntime"""


def measure(lab: Lab, runs: int, deadtime: float) -> list[float]:
    over = []
    for _ in range(runs):
        lab.wait(lambda: lab.status("b")["nodes"][0]["state"] == "online", 30, "b to hear a")
        lab.wait_for_owner("a", 30)
        time.sleep(1)
        heard = len([event for event in lab.events("b") if event.kind == "node-dead"])
        began = time.monotonic()
        lab.node("a").power_off()
        lab.wait(
            lambda heard=heard: len([e for e in lab.events("b") if e.kind == "node-dead"]) > heard, 30, "b to miss a"
        )
        dead = [event for event in lab.events("b") if event.kind == "node-dead"][-1]
        over.append(dead.time - began - deadtime)
        lab.node("a").power_on()
    return over


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = {}
    for name, (deadtime, keepalive, warntime) in SETTINGS.items():
        shape = Options(
            keepalive=keepalive, warntime=warntime, deadtime=f"{deadtime * 1000:.0f}ms", lease="3s", initdead="2s",
            settle="50ms", fencing=Fencing.NULL,
        )  # fmt: skip
        with Lab(shape) as lab:
            over = measure(lab, options.runs, deadtime)
        results[name] = [round(value * 1000, 2) for value in over]
        if not options.json:
            print(
                f"{name:16} dead after deadtime + {statistics.median(over) * 1000:.1f} ms (median),"
                f" {max(over) * 1000:.1f} ms (worst), keepalive {keepalive}",
                flush=True,
            )
    if options.json:
        print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
