"""What hamgr adds to an agent's own time in a start and in a stop, kind by kind.

    python bench/agents.py [--rounds 40] [--json]

Each round runs the agent's programs directly, as a shell would, then starts and stops a group of one such resource; the
difference is hamgr's. `heartbeat` asks for the status before a start, as Heartbeat did: so does the direct run. A vip
has no program: what is shown is all of its time, with `announcements = 0`. It needs root, for a network of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hamgr.config.model import GroupConfig, OptionValue, ResourceConfig
from hamgr.core.cluster import GroupState
from hamgr.resources.group import GroupRunner
from hamgr.resources.heartbeat import environment
from hamgr.resources.program import ENVIRONMENT
from hamgr.resources.resource import Surroundings

LIMIT_MS = 10.0
CLONE_NEWNET = 0x40000000
OCF_DUMMY = Path("/usr/lib/ocf/resource.d/heartbeat/Dummy")

SCRIPT = """#!/bin/sh
on={dir}/${{1%.*}}.on
for action; do :; done
case $action in
  start) : >$on ;;
  stop) rm -f $on ;;
  status) if [ -e $on ]; then echo running; else echo stopped; exit 3; fi ;;
esac
"""


@dataclass(frozen=True)
class Agent:
    """A kind with its options, and the programs that a start and a stop come to when they are run by hand."""

    kind: str
    options: Mapping[str, OptionValue]
    start: Sequence[Sequence[str]] = ()
    stop: Sequence[Sequence[str]] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)


def agents(directory: Path) -> list[Agent]:
    script = directory / "resource.d/service"
    script.parent.mkdir()
    script.write_text(SCRIPT.format(dir=directory))
    script.chmod(0o755)
    service = str(script)
    on = str(directory / "command.on")
    found = [
        Agent("lsb", {"script": service, "args": ["lsb"]}, [[service, "lsb", "start"]], [[service, "lsb", "stop"]]),
        Agent(
            "command",
            {"start": ["touch", on], "stop": ["rm", "-f", on], "check": ["test", "-e", on], "stopped_code": 3},
            [["touch", on]],
            [["rm", "-f", on]],
        ),
        Agent(
            "heartbeat",
            {"script": "service", "args": ["hb"], "directory": str(directory)},
            [[service, "hb", "status"], [service, "hb", "start"]],
            [[service, "hb", "stop"]],
            environment(str(directory), "a"),
        ),
    ]
    if OCF_DUMMY.exists():
        given = {"OCF_ROOT": "/usr/lib/ocf", "OCF_RA_VERSION_MAJOR": "1", "OCF_RESOURCE_INSTANCE": "bench"}
        given["OCF_RESKEY_state"] = str(directory / "dummy.state")
        options: dict[str, OptionValue] = {
            "agent": "ocf:heartbeat:Dummy",
            "parameters": {"state": given["OCF_RESKEY_state"]},
            "check_level": 0,
            "ocf_root": "/usr/lib/ocf",
        }
        dummy = str(OCF_DUMMY)
        found.append(Agent("ocf", options, [[dummy, "start"]], [[dummy, "stop"]], {**ENVIRONMENT, **given}))
    if os.geteuid() == 0:
        found.append(Agent("vip", {"address": "192.0.2.1/24", "interface": "bench0", "announcements": 0}))
    return found


def by_hand(commands: Sequence[Sequence[str]], given: Mapping[str, str]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    for command in commands:
        subprocess.run(command, env=given, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return (time.perf_counter() - began) * 1000


class Runner:
    """A group of one resource, whose operations are waited for."""

    def __init__(self, agent: Agent, directory: Path) -> None:
        self._reported: asyncio.Queue[tuple[GroupState, str]] = asyncio.Queue()
        resource = ResourceConfig(agent.kind, agent.kind, dict(agent.options), monitor_interval=3600.0)
        surroundings = Surroundings("bench", "a", ("a", "b"), agent.kind, directory / "state")
        self.group = GroupRunner(GroupConfig(agent.kind, (resource,)), self._report, surroundings)

    def _report(self, group: str, state: GroupState, detail: str) -> None:
        self._reported.put_nowait((state, detail))

    async def timed(self, operation: str, wanted: GroupState) -> float:
        """Milliseconds from the order to the report."""
        began = time.perf_counter()
        getattr(self.group, operation)()
        state, detail = await self._reported.get()
        took = (time.perf_counter() - began) * 1000
        if state is not wanted:
            sys.exit(f"{operation} of {self.group} ended as {state.value}: {detail}")
        return took


async def measure(agent: Agent, directory: Path, rounds: int) -> dict[str, object]:
    runner = Runner(agent, directory)
    await runner.group.prepare()
    await runner.timed("stop", GroupState.STOPPED)
    times: dict[str, list[float]] = {name: [] for name in ("start", "stop", "start by hand", "stop by hand")}
    for _ in range(rounds):
        times["start by hand"].append(by_hand(agent.start, agent.environment))
        times["stop by hand"].append(by_hand(agent.stop, agent.environment))
        times["start"].append(await runner.timed("start", GroupState.STARTED))
        times["stop"].append(await runner.timed("stop", GroupState.STOPPED))
    await runner.group.close()
    took = {name: statistics.median(values) for name, values in times.items()}
    return {
        "kind": agent.kind,
        "start_ms": took["start"],
        "stop_ms": took["stop"],
        "start_added_ms": took["start"] - took["start by hand"],
        "stop_added_ms": took["stop"] - took["stop by hand"],
    }


async def all_of(rounds: int) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory(prefix="hamgr-agents-") as directory:
        (Path(directory) / "state").mkdir()
        return [await measure(agent, Path(directory), rounds) for agent in agents(Path(directory))]


def own_network() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        sys.exit("no network namespace here")
    for words in ("link set lo up", "link add bench0 type veth peer name bench1", "link set bench0 up"):
        subprocess.run(["ip", *words.split()], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if os.geteuid() == 0:
        own_network()
    results = asyncio.run(all_of(options.rounds))
    if options.json:
        print(json.dumps(results))
    else:
        for one in results:
            print(
                "{kind:10} start {start_ms:6.1f} ms, of which hamgr {start_added_ms:5.1f};"
                "   stop {stop_ms:6.1f} ms, of which hamgr {stop_added_ms:5.1f}".format(**one)
            )
    slow = [one["kind"] for one in results if max(one["start_added_ms"], one["stop_added_ms"]) >= LIMIT_MS]  # type: ignore[type-var]
    if slow:
        print(f"more than {LIMIT_MS:g} ms: {', '.join(map(str, slow))}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
