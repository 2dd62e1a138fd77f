"""What hamgr itself adds to a fencing: until the device is asked, and around what the device takes.

    python bench/fencing.py [--runs 10] [--json]

In the lab, with a real IPMI simulator. A daemon is stopped (SIGSTOP), so that its machine still runs and must be
switched off. Decision: from what entitles to the fencing (the node is dead, and who says so is coordinator) to
`fence-asked`. Around an IPMI off: from `fence-asked` to `fence-confirmed`, against the same agent, loaded already,
called by hand on the same machine.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import time

from hamgr.lab.files import BMC_USER
from hamgr.lab.lab import Lab
from hamgr.lab.observe import EventRecord
from hamgr.lab.plan import Options, bmc_address

DECISION_GOAL, AROUND_GOAL = 5.0, 30.0
"""Milliseconds."""

TIMES = {"keepalive": "200ms", "warntime": "500ms", "deadtime": "1s", "lease": "3s", "initdead": "3s"}

SETTLED = 1.0
"""Seconds between two rounds."""

BARE = """
import io, os, sys, time
from fence_agents.agent import run
from fence_agents.ipmi import AGENT
def call(action):
    return run(AGENT, [], io.StringIO(sys.argv[1] + "action=" + action), io.StringIO(), sys.stderr, os.environ)
began = time.monotonic()
code = call("off")
took = time.monotonic() - began
assert (code, call("status"), call("on")) == (0, 2, 0)
print(took)
"""


def say(lab: Lab, *words: str) -> None:
    """A command of hamgr on b, until it is accepted."""
    command = ["hamgr", "--socket", str(lab.layout.admin_socket("b")), *words]
    lab.wait(lambda: lab.node("b").exec(command, check=False).returncode == 0, 30, " ".join(words))


def online(lab: Lab, but: str = "") -> str:
    """Wait for b to hear a, in another life than `but`; which one it is."""
    lab.wait(lambda: lab.status("b")["nodes"][0]["state"] == "online", 30, "b to trust a")
    lab.wait(lambda: lab.status("b")["nodes"][0]["incarnation"] != but, 30, "a to live anew")
    return str(lab.status("b")["nodes"][0]["incarnation"])


def bare(lab: Lab) -> float:
    """Seconds of an off by the agent alone, which reads it back, on the same machine in the same state; in a
    maintenance, so that nobody else fences it. It is on again afterwards."""
    lab.wait_for_owner("a", 30)
    life = online(lab)
    say(lab, "maintenance", "on")
    lab.node("a").kill_daemon(signal.SIGSTOP)
    given = {"ip": bmc_address("a"), "username": BMC_USER, "password_file": lab.layout.bmc_password}
    options = "".join(f"{name}={value}\n" for name, value in given.items())
    took = float(lab.node("b").exec([sys.executable, "-c", BARE, options]).stdout)
    online(lab, but=life)
    say(lab, "maintenance", "off")
    return took


def last(events: list[EventRecord], kind: str) -> float:
    return max(event.time for event in events if event.kind == kind)


def fence(lab: Lab) -> tuple[float, float]:
    """Seconds from the decision to the order, and from the order to the confirmation."""
    lab.wait_for_owner("a", 30)
    online(lab)
    time.sleep(SETTLED)
    lab.node("a").kill_daemon(signal.SIGSTOP)
    lab.wait_for_owner("b", 30)
    events = lab.events("b")
    asked = last(events, "fence-asked")
    entitled = max(last(events, "node-dead"), last(events, "coordinator"))
    lab.node("a").power_on()
    return asked - entitled, last(events, "fence-confirmed") - asked


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print one JSON object with all figures")
    options = parser.parse_args()
    alone, decisions, offs = [], [], []
    with Lab(Options(**TIMES)) as lab:
        for _ in range(options.runs):
            decision, off = fence(lab)
            decisions.append(decision)
            offs.append(off)
            alone.append(bare(lab))
    around = [off - statistics.median(alone) for off in offs]
    figures = {"agent_alone": alone, "decision": decisions, "asked_to_confirmed": offs, "around": around}
    if options.json:
        told = {f"{name}_ms": [round(value * 1000, 3) for value in found] for name, found in figures.items()}
        print(json.dumps(told))
        return 0
    goals = {"decision": f"(goal: under {DECISION_GOAL:g} ms)", "around": f"(goal: under {AROUND_GOAL:g} ms)"}
    for name, found in figures.items():
        middle, worst = statistics.median(found) * 1000, max(found) * 1000
        print(f"{name:20} median {middle:7.2f} ms  worst {worst:7.2f} ms  {goals.get(name, '')}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
