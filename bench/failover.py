"""How long a client goes without an answer: power-off with and without fencing, at two deadtimes, and standby.

    python bench/failover.py [--runs 10] [--json]

Runs in the lab (see docs/lab.md): real daemons, a real IPMI simulator, a client that asks the address every 2 ms.
The first column is what a client sees, the second is that minus `deadtime`. One line a setting: median and worst.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass

from hamgr.lab.lab import Lab
from hamgr.lab.plan import Fencing, Options
from hamgr.lab.watch import Prober

SETTLED = 1.0
"""Seconds between two faults: every window of the failure detector is filled again."""

CPU_WINDOW = 10.0


@dataclass(frozen=True)
class Setting:
    name: str
    deadtime: float
    options: Options


def settings() -> list[Setting]:
    slow = {"keepalive": "200ms", "warntime": "500ms", "deadtime": "1s", "lease": "3s", "initdead": "3s"}
    fast = {"keepalive": "40ms", "warntime": "100ms", "deadtime": "150ms", "lease": "1s", "initdead": "2s"}
    return [
        Setting("deadtime 1 s, IPMI", 1.0, Options(**slow, fencing=Fencing.IPMI)),
        Setting("deadtime 1 s, none", 1.0, Options(**slow, fencing=Fencing.NULL)),
        Setting("deadtime 150 ms, IPMI", 0.15, Options(**fast, settle="50ms", fencing=Fencing.IPMI)),
        Setting("deadtime 150 ms, none", 0.15, Options(**fast, settle="50ms", fencing=Fencing.NULL)),
    ]


def longest_gap(prober: Prober, since: float) -> float:
    """The longest time between two answers to the client after `since` (seconds)."""
    times = sorted(a.received for a in prober.answers() if a.kind == "udp" and a.received >= since)
    return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)


def power_off(lab: Lab, runs: int) -> list[float]:
    gaps = []
    for _ in range(runs):
        lab.wait_for_owner("a", 30)
        lab.wait(lambda: lab.status("b")["nodes"][0]["state"] == "online", 30, "b to trust a")
        time.sleep(SETTLED)
        with lab.watch_vip() as prober:
            prober.wait_for_answer("a")
            began = time.monotonic()
            lab.node("a").power_off()
            prober.wait_for_answer("b", 30)
            gaps.append(longest_gap(prober, began - 0.1))
        assert prober.owners_overlapping() == []
        lab.node("a").power_on()
    lab.wait_for_owner("a", 30)
    return gaps


def standby(lab: Lab, runs: int) -> list[float]:
    gaps = []
    socket = str(lab.layout.admin_socket("a"))
    for _ in range(runs):
        for word, owner in (("standby", "b"), ("online", "a")):
            time.sleep(SETTLED)
            with lab.watch_vip() as prober:
                prober.wait_for_answer("a" if owner == "b" else "b")
                began = time.monotonic()
                lab.node("a").exec(["hamgr", "--socket", socket, word, "a"])
                prober.wait_for_answer(owner)
                gaps.append(longest_gap(prober, began - 0.1))
            assert prober.owners_overlapping() == []
    return gaps


def footprint(lab: Lab) -> dict[str, float]:
    """Resident memory of hamgrd in MB, its share of one core over CPU_WINDOW, and how long `hamgr status` takes."""
    pid = lab.layout.daemon_pid("b").read_text().strip()

    def read(name: str) -> str:
        return lab.node("b").exec(["cat", f"/proc/{pid}/{name}"]).stdout

    def ticks() -> int:
        fields = read("stat").rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(CPU_WINDOW)
    used = (ticks() - before) / os.sysconf("SC_CLK_TCK") / CPU_WINDOW
    resident = next(line for line in read("status").splitlines() if line.startswith("VmRSS"))
    socket = str(lab.layout.admin_socket("b"))
    times = []
    for _ in range(5):
        began = time.monotonic()
        lab.node("b").exec(["hamgr", "--socket", socket, "status"])
        times.append(time.monotonic() - began)
    return {
        "hamgrd_rss_mb": int(resident.split()[1]) / 1024,
        "hamgrd_cpu_percent": used * 100,
        "hamgr_status_s": statistics.median(times),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print one JSON object with all figures")
    options = parser.parse_args()
    results: dict[str, object] = {}

    def note(name: str, gaps: list[float], deadtime: float) -> None:
        over = [gap - deadtime for gap in gaps]
        results[name] = {"outages_ms": [round(gap * 1000, 1) for gap in gaps], "deadtime_ms": deadtime * 1000}
        if not options.json:
            print(
                f"{name:24} outage median {statistics.median(gaps) * 1000:7.1f} ms worst {max(gaps) * 1000:7.1f} ms;"
                f" over deadtime median {statistics.median(over) * 1000:6.1f} ms worst {max(over) * 1000:6.1f} ms",
                flush=True,
            )

    for setting in settings():
        with Lab(setting.options) as lab:
            lab.wait_for_owner("a", 30)
            note(setting.name, power_off(lab, options.runs), setting.deadtime)
            if setting.options.keepalive == "200ms" and setting.options.fencing is Fencing.IPMI:
                note("standby, online", standby(lab, max(1, options.runs // 2)), 0.0)
                results["footprint"] = footprint(lab)
                if not options.json:
                    print("footprint", {key: round(value, 3) for key, value in footprint(lab).items()}, flush=True)
    if options.json:
        print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
