"""What one node does with its own groups: it obeys orders, recovers failures on the spot, and knows what runs.

The rule that keeps two owners apart on this side: a group is started only under an order of the current epoch, and
every order ends with the epoch, with the lease, or with a newer order.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from hamgr.core.cluster import GroupSpec, GroupState
from hamgr.core.effects import Announce, Effect, Kind, Probe, StartGroup, StopGroup
from hamgr.core.messages import GroupReport

STOP_GRACE = 5.0
"""Seconds beyond a group's stop time-out after which a host that reports nothing counts as a failed stop."""


class Instruction(enum.Enum):
    """What the coordinator of this epoch said about a group.

    NONE: nothing yet; leave it as it is. KEEP: it may go on running, but not be started.
    """

    NONE = "none"
    RUN = "run"
    KEEP = "keep"
    RELEASE = "release"


class Busy(enum.Enum):
    IDLE = "idle"
    PROBE = "probe"
    START = "start"
    STOP = "stop"


_ENDS: dict[Busy, frozenset[GroupState]] = {
    Busy.IDLE: frozenset({GroupState.FAILED}),
    Busy.PROBE: frozenset({GroupState.STARTED, GroupState.STOPPED, GroupState.FAILED}),
    Busy.START: frozenset({GroupState.STARTED, GroupState.FAILED}),
    Busy.STOP: frozenset({GroupState.STOPPED, GroupState.STOP_FAILED}),
}
"""Which reports end which operation; any other belongs to one that was superseded."""


@dataclass(slots=True)
class LocalGroup:
    spec: GroupSpec
    state: GroupState = GroupState.UNKNOWN
    busy: Busy = Busy.IDLE
    instruction: Instruction = Instruction.NONE
    probed: bool = False
    """Its state was found by probing or by an action in the current epoch."""
    restarts: int = 0
    failed_at: float = float("-inf")
    barred: bool = False
    stop_by: float = float("inf")
    detail: str = ""
    unready: str = ""
    """Why it can't be started here yet; "" when it can."""
    soon: bool = False

    @property
    def active(self) -> bool:
        """May anything of it be running? Only STOPPED says no."""
        return self.state is not GroupState.STOPPED


class Member:
    """The groups of this node. Effects go to the list that each call is given; `changed` asks for a new report."""

    def __init__(self, me: str, groups: tuple[GroupSpec, ...]) -> None:
        self.me = me
        self.groups = {group.name: LocalGroup(group) for group in groups}
        self.changed = False
        self.may_start = False
        """Set by the node before each step: it holds its lease and is fit to run something."""
        self.hands_off = False
        """In maintenance, as it is on disk here, nothing is started or stopped, whatever fails."""

    @property
    def load(self) -> int:
        running = (GroupState.STARTED, GroupState.STARTING)
        return sum(group.spec.priority for group in self.groups.values() if group.state in running)

    @property
    def running(self) -> tuple[str, ...]:
        return tuple(name for name, group in self.groups.items() if group.state is GroupState.STARTED)

    @property
    def all_stopped(self) -> bool:
        return not any(group.active for group in self.groups.values())

    @property
    def stop_failed(self) -> list[str]:
        return [name for name, group in self.groups.items() if group.state is GroupState.STOP_FAILED]

    @property
    def probed(self) -> bool:
        return all(group.probed for group in self.groups.values())

    def may_mend(self, name: str) -> bool:
        """It runs here by an order of this epoch, and it is not in hands of ours that stop or probe it."""
        group = self.groups[name]
        ordered = group.instruction is Instruction.RUN and not group.barred
        return ordered and not self.hands_off and group.state is GroupState.STARTED and group.busy is Busy.IDLE

    def reports(self) -> tuple[GroupReport, ...]:
        return tuple(
            GroupReport(name, group.state, group.barred, group.detail, group.unready, group.soon)
            for name, group in self.groups.items()
        )

    def unready(self, name: str, reason: str, soon: bool) -> None:
        group = self.groups[name]
        self.changed |= (group.unready, group.soon) != (reason, soon)
        group.unready, group.soon = reason, soon

    def new_epoch(self, out: list[Effect]) -> None:
        """Orders of the earlier epoch end; every group is probed anew (what runs keeps running)."""
        for name, group in self.groups.items():
            group.instruction = Instruction.NONE
            group.probed = False
            if group.busy in (Busy.IDLE, Busy.PROBE) and group.state is not GroupState.STOP_FAILED:
                group.busy = Busy.PROBE
                out.append(Probe(name))
            elif group.state is GroupState.STOP_FAILED:
                group.probed = True
        self.changed = True

    def void_orders(self) -> None:
        """The lease ran out, or no coordinator is followed: nothing may be started anymore."""
        for group in self.groups.values():
            group.instruction = Instruction.NONE

    def order(self, now: float, run: Collection[str], keep: Collection[str], out: list[Effect]) -> None:
        for name, group in self.groups.items():
            if name in run:
                group.instruction = Instruction.RUN
            else:
                group.instruction = Instruction.KEEP if name in keep else Instruction.RELEASE
            self._reconcile(now, name, group, out)
        self.changed = True

    def give_up(self, now: float, reason: str, out: list[Effect]) -> None:
        """Stop everything, whatever its state: each group after those that were started after it. To be called again
        until all is stopped."""
        if self.hands_off:
            return
        for name, group in self.groups.items():
            group.instruction = Instruction.RELEASE
            busy = group.busy is Busy.STOP or group.state is GroupState.STOP_FAILED
            if group.active and not busy and not self._needed(name):
                self._stop(now, name, group, reason, out)

    def _needed(self, name: str) -> bool:
        """A group that was started after this one still runs here. One that can't be stopped is not waited for."""
        return any(
            name in other.spec.after and other.active and other.state is not GroupState.STOP_FAILED
            for other in self.groups.values()
        )

    def leave_alone(self, hands_off: bool, out: list[Effect]) -> None:
        """The maintenance begins or ends here. At its end every group is looked at, since orders that came meanwhile
        were not obeyed, and humans were at work.

        Nothing is started by such an order: our reports may have let the coordinator give the group to another since.
        """
        ends = self.hands_off and not hands_off
        self.hands_off = hands_off
        for name, group in self.groups.items() if ends else ():
            if group.state is GroupState.STOPPED and group.instruction is Instruction.RUN:
                group.instruction = Instruction.NONE
            if group.busy in (Busy.IDLE, Busy.PROBE) and group.state is not GroupState.STOP_FAILED:
                group.busy = Busy.PROBE
                out.append(Probe(name))

    def cleanup(self, now: float, name: str, out: list[Effect]) -> None:
        """An operator mended what was broken: forget the failures, try a failed stop again."""
        group = self.groups[name]
        group.barred = False
        group.restarts = 0
        group.detail = ""
        self.changed = True
        if group.state is GroupState.STOP_FAILED and not self.hands_off:
            self._stop(now, name, group, "an operator asked for another try", out)
        else:
            self._reconcile(now, name, group, out)

    def reported(self, now: float, name: str, state: GroupState, detail: str, out: list[Effect]) -> None:
        """The host came to the end of a probe, start or stop, or a monitor found the group failed."""
        group = self.groups[name]
        if state not in _ENDS[group.busy]:
            return
        if group.busy is Busy.IDLE and group.state is not GroupState.STARTED:
            return
        was_start = group.busy is Busy.START
        was_stop = group.busy is Busy.STOP
        before = group.state
        group.busy = Busy.IDLE
        group.stop_by = float("inf")
        group.state = state
        group.probed = True
        group.detail = detail
        self.changed = True
        if state is GroupState.STARTED and was_start:
            out.append(Announce(Kind.GROUP_STARTED, f"{name} runs on {self.me}", self.me, name))
        elif state is GroupState.STOPPED and was_stop:
            out.append(Announce(Kind.GROUP_STOPPED, f"{name} is stopped on {self.me}", self.me, name))
        elif state is GroupState.STOP_FAILED:
            text = f"{name} can't be stopped on {self.me}: {detail}; this node must be fenced"
            out.append(Announce(Kind.GROUP_FAILED, text, self.me, name))
        elif state is GroupState.FAILED and (was_start or before is GroupState.STARTED):
            self._failed(now, name, group, out)
        self._reconcile(now, name, group, out)

    def _failed(self, now: float, name: str, group: LocalGroup, out: list[Effect]) -> None:
        if now - group.failed_at > group.spec.failure_timeout:
            group.restarts = 0
        group.failed_at = now
        text = f"{name} failed on {self.me}: {group.detail}"
        if self.hands_off:
            out.append(Announce(Kind.GROUP_FAILED, f"{text}; it is left as it is (maintenance)", self.me, name))
            return
        if group.instruction is Instruction.KEEP:
            text += "; it is stopped until the takeover rule lets it be started"
        elif group.restarts < group.spec.restarts:
            group.restarts += 1
            text += f"; restarting it here ({group.restarts} of {group.spec.restarts})"
        else:
            group.barred = True
            until = f"for {group.spec.failure_timeout:g} s, or until `hamgr cleanup {name}`"
            text += f"; it moves, and stays away from {self.me} {until}"
        out.append(Announce(Kind.GROUP_FAILED, text, self.me, name))

    def _reconcile(self, now: float, name: str, group: LocalGroup, out: list[Effect]) -> None:
        if self.hands_off:
            return
        run = group.instruction is Instruction.RUN and not group.barred and self.may_start
        if group.state is GroupState.STOPPED and group.instruction is Instruction.RUN and not run:
            # Our report of it lets the coordinator give the group to another: only a new order may start it here.
            group.instruction = Instruction.NONE
        if group.busy is Busy.STOP or group.state is GroupState.STOP_FAILED:
            return
        if group.busy is Busy.START:
            if group.instruction is Instruction.RELEASE:
                self._stop(now, name, group, "the coordinator asked for it", out)
            return
        if group.state is GroupState.STOPPED and run:
            self._start(name, group, out)
        elif group.busy is Busy.PROBE:
            if group.instruction is Instruction.RELEASE and group.state in (GroupState.STARTED, GroupState.FAILED):
                self._stop(now, name, group, "the coordinator asked for it", out)
        elif group.state is GroupState.FAILED:
            # Nothing of a failed group is left half running, whoever is to run it next.
            self._stop(now, name, group, "it failed", out)
        elif group.state is GroupState.STARTED and (group.instruction is Instruction.RELEASE or group.barred):
            self._stop(now, name, group, "the coordinator asked for it", out)

    def _start(self, name: str, group: LocalGroup, out: list[Effect]) -> None:
        group.busy = Busy.START
        group.state = GroupState.STARTING
        self.changed = True
        out.append(Announce(Kind.GROUP_STARTING, f"starting {name} on {self.me}", self.me, name))
        out.append(StartGroup(name))

    def _stop(self, now: float, name: str, group: LocalGroup, reason: str, out: list[Effect]) -> None:
        group.busy = Busy.STOP
        group.state = GroupState.STOPPING
        group.stop_by = now + group.spec.stop_timeout + STOP_GRACE
        self.changed = True
        out.append(Announce(Kind.GROUP_STOPPING, f"stopping {name} on {self.me}: {reason}", self.me, name))
        out.append(StopGroup(name))

    def expire(self, now: float, out: list[Effect]) -> None:
        for name, group in self.groups.items():
            if now >= group.stop_by:
                self.reported(now, name, GroupState.STOP_FAILED, "the stop did not come to an end", out)
            if group.barred and now >= group.failed_at + group.spec.failure_timeout:
                group.barred = False
                group.restarts = 0
                self.changed = True

    def deadlines(self) -> Iterator[float]:
        for group in self.groups.values():
            if group.busy is Busy.STOP:
                yield group.stop_by
            if group.barred:
                yield group.failed_at + group.spec.failure_timeout
