"""How punctual the heartbeats of a real hamgrd are, and what they cost: four links, keepalive 20 ms and 50 ms.

    python bench/links.py [--seconds 60] [--json]

Lateness: the daemon's own histogram (`hamgr links --json`) over the time of the measurement, keepalive 20 ms on two UDP
links; on an idle machine and with 4 busy processes a core, without and with `realtime = true`. CPU: the share of a core
that hamgrd takes at keepalive 50 ms on four links (UDP, multicast, IPv6, gRPC).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hamgr.lab.lab import Lab
from hamgr.lab.plan import Fencing, Options
from hamgr.lateness import percentile

BUSY_PER_CORE = 4
SETTLE = 3.0
"""Seconds before a measurement: boot and election are over."""


def _spin() -> None:
    while True:
        pass


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """That many processes that take all the time they can get."""
    spinning = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(processes)]
    for process in spinning:
        process.start()
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.join()


def counts(lab: Lab) -> list[int]:
    return list(report(lab)["lateness"]["counts"])


def report(lab: Lab) -> dict[str, Any]:
    socket = str(lab.layout.admin_socket("b"))
    done = lab.node("b").exec(["hamgr", "--socket", socket, "links", "--json"], timeout=120)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def cpu(lab: Lab, seconds: float) -> float:
    """The share of one core that hamgrd of b takes."""
    pid = lab.layout.daemon_pid("b").read_text().strip()

    def ticks() -> int:
        fields = lab.node("b").exec(["cat", f"/proc/{pid}/stat"]).stdout.rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(seconds)
    return (ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds


def lateness(realtime: bool, load: int, seconds: float) -> dict[str, float]:
    """Percentiles in ms. The deadtime is long: this measures lateness, not what comes of it."""
    options = Options(
        keepalive="20ms", warntime="5s", deadtime="10s", lease="40s", initdead="10s", settle="20ms",
        fencing=Fencing.NONE, links=("ha", "udp-lan"), realtime=realtime,
    )  # fmt: skip
    with Lab(options) as lab:
        lab.wait_for_owner("a", 60)
        time.sleep(SETTLE)
        with busy(load):
            time.sleep(0.5)
            before = counts(lab)
            time.sleep(seconds)
            after = counts(lab)
        if realtime:
            assert report(lab)["lateness"]["realtime"], "SCHED_RR is refused here"
    late = [new - old for new, old in zip(after, before, strict=True)]
    return {name: percentile(late, share) * 1000 for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement (%(default)s)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results: dict[str, object] = {}
    load = BUSY_PER_CORE * (os.cpu_count() or 1)
    for realtime in (False, True):
        for processes in (0, load):
            name = f"{'busy' if processes else 'idle'}, {'realtime' if realtime else 'ordinary'}"
            results[name] = late = lateness(realtime, processes, options.seconds)
            if not options.json:
                print(f"{name:16} late by " + ", ".join(f"{k} {v:.2f} ms" for k, v in late.items()), flush=True)
    links = ("ha", "mcast", "udp6", "lan")
    with Lab(Options(keepalive="50ms", warntime="500ms", deadtime="1s", links=links, fencing=Fencing.NULL)) as lab:
        lab.wait_for_owner("a", 60)
        time.sleep(SETTLE)
        results["cpu_share_four_links"] = share = cpu(lab, options.seconds)
        if not options.json:
            print(f"keepalive 50 ms on {', '.join(links)}: {share * 100:.2f} % of a core", flush=True)
    if options.json:
        print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
