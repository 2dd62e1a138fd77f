"""Fence agents and power switches: an *off* may work, fail, hang, or work after everybody has given it up.

A device may also lie: it reads off, and the machine runs on. Nothing can be safe then, and what comes of it is laid to
the device (`lying-device`), not to hamgr.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from hamgr.core.effects import Fence
from hamgr.core.events import FenceFinished, FenceOutcome

if TYPE_CHECKING:
    from hamgr.sim.machine import Machine, Process
    from hamgr.sim.world import World

AGENT_TIMEOUT = 4.0
"""Seconds after which an agent that hears nothing from its device gives up: the outcome is unknown."""


class FenceMode(enum.Enum):
    OK = "ok"
    FAIL = "fail"
    HANG = "hang"
    LATE = "late"
    LIE = "lie"


class Power:
    def __init__(self, world: World) -> None:
        self._world = world
        self.modes = dict.fromkeys(world.spec.names, FenceMode.OK)
        self.fenced: set[str] = set()
        """The nodes that a fence agent ever read as off."""

    def fence(self, process: Process, order: Fence) -> None:
        """Run the agents of one level. They go on when the daemon that began them is paused or dead."""
        world = self._world
        victim = world.machines[order.node]
        low, high = world.conditions.fence
        took = low if low == high else world.power_rng.uniform(low, high)
        mode = self._mode(order.node)
        process.note(f"fence {order.fence} of {order.node} at level {order.level + 1} begins ({mode.value})")
        match mode:
            case FenceMode.OK:
                world.engine.after(took * 0.8, self._off, victim)
                world.engine.after(took, self._read_back, process, order)
            case FenceMode.FAIL:
                world.engine.after(took, self._finished, process, order, FenceOutcome.FAILED, "the device refused")
            case FenceMode.HANG:
                self._give_up(process, order)
            case FenceMode.LATE:
                self._give_up(process, order)
                world.engine.after(AGENT_TIMEOUT + took, self._off, victim)

            case FenceMode.LIE:
                world.engine.after(took, self._lie, process, order)

    def _lie(self, process: Process, order: Fence) -> None:
        if self._world.machines[order.node].powered:
            self._world.checker.lied(order.node)
        self._finished(process, order, FenceOutcome.CONFIRMED, "the device reads off")

    def _mode(self, node: str) -> FenceMode:
        mode, conditions, rng = self.modes[node], self._world.conditions, self._world.power_rng
        if mode is FenceMode.OK and conditions.fence_fails and rng.random() < conditions.fence_fails:
            return rng.choice((FenceMode.FAIL, FenceMode.HANG))
        if mode is FenceMode.OK and conditions.fence_late and rng.random() < conditions.fence_late:
            return FenceMode.LATE
        return mode

    def _give_up(self, process: Process, order: Fence) -> None:
        self._world.engine.after(
            AGENT_TIMEOUT, self._finished, process, order, FenceOutcome.UNKNOWN, "the device did not answer"
        )

    def _off(self, victim: Machine) -> None:
        if victim.powered:
            self._world.trace.counts["fenced"] += 1
        victim.power_off("fenced")
        self._world.repower(victim)

    def _read_back(self, process: Process, order: Fence) -> None:
        if self._world.machines[order.node].powered:
            self._finished(process, order, FenceOutcome.FAILED, "the device reads on")
        else:
            self.fenced.add(order.node)
            self._world.checker.read_off(order.node)
            self._finished(process, order, FenceOutcome.CONFIRMED, "the device reads off")

    def _finished(self, process: Process, order: Fence, outcome: FenceOutcome, detail: str) -> None:
        if process.alive:
            process.note(f"fence {order.fence} of {order.node} ends: {outcome.value}, {detail}")
        process.post(FenceFinished(order.fence, order.node, outcome, detail))
