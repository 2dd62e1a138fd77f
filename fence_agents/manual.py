"""fence_hamgr_manual: asks a human to switch a machine off, and never says by itself that it was done.

hamgrd calls it without a terminal: it fails at once, with what is to be done, so that the plan shows it and
`hamgr fence ack` ends it. Called by hand on a terminal, it asks and takes the machine's name for a yes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from fence_agents.agent import Agent, FenceError, Power, UsageError, Warn, run_from_process
from fence_agents.options import Action, Option, OptionKind


class Human:
    """Who can walk up to the machine."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._name = values.get("plug") or values.get("nodename") or ""
        check = values.get("check", "").strip()
        self._check = f": {check}" if check else ""

    def status(self) -> Power:
        raise AssertionError("not an action of this agent")

    def on(self) -> None:
        raise AssertionError("not an action of this agent")

    def off(self) -> str:
        if not self._name:
            raise UsageError("option plug is missing: the name of the machine")
        if not sys.stdin.isatty():
            raise FenceError(
                f"waits for a human: switch {self._name} off and make sure of it{self._check}; then: "
                f"hamgr fence ack {self._name}"
            )
        print(
            f"Switch {self._name} off, and make sure with your own eyes that it is off{self._check}.\n"
            "If it still runs, two machines will run the same services and may destroy their data.\n"
            "Type the machine's name to confirm that it is off: ",
            end="",
            file=sys.stderr,
            flush=True,
        )
        if sys.stdin.readline().strip() != self._name:
            raise FenceError("not confirmed")
        return "by the word of a human"

    def reboot(self, warn: Warn) -> str:
        raise AssertionError("not an action of this agent")

    def monitor(self) -> None:
        """A human is always taken to be there."""


AGENT = Agent(
    name="fence_hamgr_manual",
    shortdesc="Asks a human to switch the machine off",
    longdesc=(
        "Started by a cluster it fails at once, and its error says what a human has to do; with hamgr, `hamgr fence "
        "ack NODE` then confirms it. On a terminal it asks, and takes the machine's name for a yes. For the last "
        "level, behind devices that work by themselves; alone, nothing is ever taken over without a human."
    ),
    options=(
        Option(
            "plug",
            OptionKind.STRING,
            "Name of the machine; else the cluster's name for it",
            ("-n", "--plug"),
            aliases=("port",),
        ),
        Option(
            "check",
            OptionKind.STRING,
            'Where it is and what to check, such as "rack 3, unit 12: both cords out"',
            ("--check",),
        ),
    ),
    actions=(Action.OFF, Action.MONITOR, Action.METADATA, Action.VALIDATE_ALL),
    open=Human,
)


def main() -> int:
    return run_from_process(AGENT)
