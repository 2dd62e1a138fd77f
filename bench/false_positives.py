"""How often a healthy node is suspected or called dead over bad links.

    python bench/false_positives.py [--minutes 30] [--loss 30] [--json]

In the lab: real daemons, keepalive 100 ms, deadtime 1 s, two UDP links on networks of their own; each loses that share
of its frames, by itself (nftables).
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from hamgr.lab.lab import Lab
from hamgr.lab.plan import Fencing, Options

REPORT = 60.0
"""Seconds between two looks."""

KINDS = ("node-suspected", "node-dead", "quorum-lost", "fence-asked", "link-down")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--loss", type=int, default=30, help="percent, of each link (%(default)s)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    shape = Options(
        keepalive="100ms", warntime="500ms", deadtime="1s", lease="3s", initdead="3s", settle="100ms",
        fencing=Fencing.NULL, links=("ha", "udp-lan"),
    )  # fmt: skip
    with Lab(shape) as lab:
        lab.wait_for_owner("a", 60)
        for network in ("ha", "lan"):
            lab.lose(network, options.loss)
        # The client's and the arbiter's networks lose too: only what the nodes say of each other counts.
        began, seen = time.monotonic(), dict.fromkeys(KINDS, 0)
        while (passed := time.monotonic() - began) < options.minutes * 60:
            time.sleep(min(REPORT, options.minutes * 60 - passed))
            events = [event for node in "ab" for event in lab.events(node) if event.time >= began]
            seen = {kind: sum(event.kind == kind for event in events) for kind in KINDS}
            if not options.json:
                print(f"{(time.monotonic() - began) / 60:5.1f} min: {seen}", flush=True)
    result = {"minutes": options.minutes, "loss_percent": options.loss, **seen}
    if options.json:
        print(json.dumps(result))
    return 1 if seen["node-dead"] else 0


if __name__ == "__main__":
    sys.exit(main())
