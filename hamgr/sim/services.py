"""The truth about one group on one machine: whether anything of it is active, whatever any daemon believes."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from hamgr.core.cluster import GroupSpec, GroupState

if TYPE_CHECKING:
    from hamgr.sim.machine import Machine, Process

MONITOR = 1.0
"""Seconds until a monitor finds a failed group."""


class Trouble(enum.Enum):
    """How the operations of a group misbehave while it lasts."""

    NONE = "none"
    STOP_HANGS = "stop-hangs"
    START_FAILS = "start-fails"


class Service:
    """Active from the moment a start begins until a stop has come to its end or the power is gone.

    A new operation of the same daemon ends the one that is under way, whose end is never reported. What a killed
    daemon had begun goes on.
    """

    def __init__(self, machine: Machine, spec: GroupSpec) -> None:
        self._machine = machine
        self._world = machine.world
        self.spec = spec
        self.active = False
        self.broken = False
        self.trouble = Trouble.NONE
        self.last_active = float("-inf")
        """When it was last seen to be active, in true time; only meaningful while it is not."""
        self._operation = 0
        self._owner: Process | None = None
        self._reported = GroupState.UNKNOWN

    def power_lost(self) -> None:
        self._operation += 1
        self._deactivate()
        self.broken = False

    def start(self, process: Process) -> None:
        operation = self._begin(process)
        self._world.checker.group_starts(self._machine, self.spec.name)
        if not self.active:
            self.active = True
            self.broken = False
            self._world.checker.activated(self._machine, self.spec.name)
        conditions, rng = self._world.conditions, self._world.service_rng
        fails = self.trouble is Trouble.START_FAILS
        fails = fails or (conditions.start_fails > 0 and rng.random() < conditions.start_fails)
        took = self._time(conditions.start, self.spec.start_timeout)
        self._world.engine.after(took, self._started, operation, process, fails)

    def _started(self, operation: int, process: Process, fails: bool) -> None:
        if operation != self._operation:
            return
        if fails:
            self.broken = True
            self._report(process, operation, GroupState.FAILED, "the start failed")
        else:
            self._report(process, operation, GroupState.STARTED, "")
            if self.broken:
                self.fail()

    def stop(self, process: Process) -> None:
        operation = self._begin(process)
        conditions, rng = self._world.conditions, self._world.service_rng
        hangs = self.trouble is Trouble.STOP_HANGS
        hangs = hangs or (conditions.stop_fails > 0 and rng.random() < conditions.stop_fails)
        took = self.spec.stop_timeout if hangs else self._time(conditions.stop, self.spec.stop_timeout)
        self._world.engine.after(took, self._stopped, operation, process, hangs)

    def _stopped(self, operation: int, process: Process, hangs: bool) -> None:
        if operation != self._operation:
            return
        if hangs and self.active:
            self._report(process, operation, GroupState.STOP_FAILED, "the stop did not end in time")
            return
        self._deactivate()
        self.broken = False
        if self._machine.process is process:
            self._report(process, operation, GroupState.STOPPED, "")
        else:
            self._monitor_soon(self._operation)

    def probe(self, process: Process) -> None:
        # A stop that a killed daemon had begun is not ended by the next daemon's look.
        operation = self._begin(process) if self._owner in (None, process) else self._operation
        took = self._time(self._world.conditions.probe, self.spec.start_timeout)
        self._world.engine.after(took, self._probed, operation, process)

    def _probed(self, operation: int, process: Process) -> None:
        if operation != self._operation:
            return
        if not self.active:
            self._report(process, operation, GroupState.STOPPED, "")
        elif self.broken:
            self._report(process, operation, GroupState.FAILED, "found half running")
        else:
            self._report(process, operation, GroupState.STARTED, "")

    def fail(self) -> None:
        """The service dies under its daemon; what is left of it (an address, say) is still active."""
        if self.active:
            self.broken = True
            self._monitor_soon(self._operation)

    def _monitor_soon(self, operation: int) -> None:
        self._world.engine.after(MONITOR * self._world.service_rng.random(), self._monitored, operation)

    def _monitored(self, operation: int) -> None:
        if operation != self._operation or self._reported is not GroupState.STARTED:
            return
        process = self._machine.process
        if process is not None and (self.broken or not self.active):
            self._report(process, operation, GroupState.FAILED, "the monitor found it dead")

    def _begin(self, process: Process) -> int:
        self._operation += 1
        self._owner = process
        self._reported = GroupState.UNKNOWN
        return self._operation

    def _report(self, process: Process, operation: int, state: GroupState, detail: str) -> None:
        if self._machine.process is process:
            self._reported = state
            process.group_reported(self.spec.name, state, detail)

    def _deactivate(self) -> None:
        if self.active:
            self.active = False
            self.last_active = self._world.engine.now
            self._world.checker.deactivated(self._machine, self.spec.name)

    def _time(self, span: tuple[float, float], limit: float) -> float:
        slow, rng = self._world.conditions.operation_slow, self._world.service_rng
        if slow and rng.random() < slow:
            return limit * rng.random()
        low, high = span
        return low if low == high else rng.uniform(low, high)
