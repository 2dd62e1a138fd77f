"""Whom to fence, at which level, and how long to wait in between: the plans of one coordinator."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hamgr.core.cluster import ClusterSpec, Mode
from hamgr.core.events import FenceOutcome

if TYPE_CHECKING:
    from hamgr.core.requests import Requester


class PlanState(enum.Enum):
    """DELAYED -> RUNNING -> CONFIRMED, or RETRY -> RUNNING ..., level by level.

    LIMITED: it was fenced too often. ASKED: a human has not said yet that it shall be.
    """

    DELAYED = "delayed"
    RUNNING = "running"
    RETRY = "retry"
    CONFIRMED = "confirmed"
    LIMITED = "limited"
    ASKED = "asked"


_WAITING = (PlanState.DELAYED, PlanState.RETRY, PlanState.LIMITED)
"""It is begun, or gone on with, when it is due."""


@dataclass(slots=True)
class Plan:
    """The fencing of one node. incarnation: the life it is aimed at (0: one that we never heard).

    due: when to act next, seconds. attempts: level runs started. requests: operators who wait for the result.
    limit: why it is held back. results: level -> what came of it when it was tried last.
    """

    node: str
    incarnation: int
    reason: str
    state: PlanState
    due: float
    level: int = 0
    fence: int = 0
    attempts: int = 0
    limit: str = ""
    results: dict[int, str] = field(default_factory=dict)
    by_operator: bool = False
    operator: str = ""
    requests: list[Requester] = field(default_factory=list)
    earliest: float = 0.0
    """When it may begin if a human wants it at once."""
    began: float = 0.0
    """When the level that is tried now, or was last, began."""
    told: bool = False
    """That it waits for a human was announced."""

    def begin(self, now: float, fence: int) -> None:
        """A level is tried now."""
        self.fence, self.state, self.limit, self.began = fence, PlanState.RUNNING, "", now
        self.attempts += 1

    @property
    def detail(self) -> str:
        """Why it is held back, or else what came of every level that was tried."""
        if self.limit:
            return self.limit
        if len(self.results) > 1:
            return "; ".join(f"level {level + 1}: {self.results[level]}" for level in sorted(self.results))
        return "".join(self.results.values())

    def describe(self, now: float) -> str:
        """For the takeover rule's explanation."""
        tried = f" ({self.detail})" if self.detail else ""
        if self.state is PlanState.DELAYED:
            return f"fencing begins in {max(0.0, self.due - now):.1f} s"
        if self.state is PlanState.RUNNING:
            return f"fencing at level {self.level + 1} is under way{tried}"
        if self.state is PlanState.ASKED:
            return (
                f"nobody has said yet that it shall be fenced: hamgr fence {self.node},"
                f" or if you have made sure that it is off: hamgr fence ack {self.node}"
            )
        if self.state is PlanState.LIMITED:
            return (
                f"{self.limit}: no more before {max(0.0, self.due - now):.0f} s; hamgr fence {self.node} does it now,"
                f" or if you have made sure that it is off: hamgr fence ack {self.node}"
            )
        if self.state is PlanState.RETRY:
            return (
                f"fencing failed{tried}, next try in {max(0.0, self.due - now):.1f} s;"
                f" if you have made sure that it is off: hamgr fence ack {self.node}"
            )
        return "confirmed off"


def delay_before(spec: ClusterSpec, me: str, load: int, other: str, others_load: int, chance: float) -> float:
    """In a two_node cluster the side that runs less, or else has the lower rank, lets the other shoot first. chance:
    from 0 to 1."""
    if not spec.two_node:
        return 0.0
    first = load > others_load or (load == others_load and spec.rank(me) < spec.rank(other))
    return (0.0 if first else spec.fence_delay) + chance * spec.fence_delay_random


def too_slow(spec: ClusterSpec, me: str, node: str, took: float) -> str:
    """What to say of a fencing that took longer than the other of two nodes waits before it shoots back; "" if it did
    not. took: seconds."""
    lead = spec.lead(me, node)
    if not 0 < lead <= took:
        return ""
    return (
        f"it took {took:.1f} s to fence {node}, which waits {lead:g} s before it shoots: had it lived, both could have"
        " gone; make fence_delay longer than that, or add an arbiter"
    )


class Fencing:
    """The plans, one a victim. It says what to do next; the coordinator does it."""

    def __init__(self, spec: ClusterSpec) -> None:
        self._spec = spec
        self.plans: dict[str, Plan] = {}

    def want(self, now: float, node: str, incarnation: int, reason: str, delay: float = 0.0) -> Plan:
        """Have this node fenced; an unfinished plan for it stays as it is."""
        plan = self.plans.get(node)
        if plan is None or plan.state is PlanState.CONFIRMED:
            earliest = now + delay
            if self._spec.mode is Mode.AUTOMATIC:
                plan = Plan(node, incarnation, reason, PlanState.DELAYED, earliest + self._spec.takeover_delay)
            else:
                plan = Plan(node, incarnation, reason, PlanState.ASKED, float("inf"))
            plan.earliest = earliest
            self.plans[node] = plan
        return plan

    def open_questions(self) -> list[Plan]:
        """Those that a human can let begin."""
        return [
            plan
            for plan in self.plans.values()
            if plan.state in (PlanState.ASKED, PlanState.LIMITED)
            or (plan.state is PlanState.DELAYED and not plan.operator and self._spec.takeover_delay > 0)
        ]

    def question(self, plan: Plan) -> str:
        """What a human is told, in a sentence."""
        node = plan.node
        if self._spec.mode is Mode.AUTOMATIC:
            return (
                f"{plan.reason}; it is fenced in {self._spec.takeover_delay:g} s;"
                f" `hamgr confirm {node}` does it at once, `hamgr maintenance on` prevents it"
            )
        command = f"hamgr confirm {node}" if self._spec.mode is Mode.ASK else f"hamgr fence {node}"
        return f"{plan.reason}; it is fenced when somebody says `{command}`"

    def forget(self, node: str) -> None:
        """The node needs no fencing anymore; one that is under way runs on and is waited for."""
        plan = self.plans.get(node)
        if plan is not None and plan.state is not PlanState.RUNNING:
            del self.plans[node]

    def forget_automatic(self) -> None:
        """Nobody is fenced now but whom an operator wants to be."""
        for plan in list(self.plans.values()):
            if not plan.by_operator:
                self.forget(plan.node)

    def hold_back(self, plan: Plan, until: float, why: str) -> None:
        plan.state, plan.due, plan.limit = PlanState.LIMITED, until, why

    def asked_for(self, now: float, plan: Plan, operator: str) -> None:
        """An operator wants it: he knows how often it was done."""
        plan.by_operator = True
        self.confirmed(now, plan, operator)

    def confirmed(self, now: float, plan: Plan, operator: str) -> None:
        """A human has nothing against it: it begins as soon as it may."""
        plan.operator = plan.operator or operator
        if plan.state in (PlanState.ASKED, PlanState.LIMITED):
            plan.state, plan.due, plan.limit = PlanState.DELAYED, max(now, plan.earliest), ""
        elif plan.state is PlanState.DELAYED:
            plan.due = min(plan.due, max(now, plan.earliest))
        elif plan.state is PlanState.RETRY:
            plan.due = now

    def due(self, now: float) -> list[Plan]:
        return [
            plan
            for plan in self.plans.values()
            if plan.state in _WAITING and now >= plan.due and self._spec.node(plan.node).fence_levels > 0
        ]

    def finished(self, now: float, fence: int, node: str, outcome: FenceOutcome, detail: str) -> Plan | None:
        """A level came to an end: confirmed, or the next level (the first time after its own delay), or all again after
        `fence_retry`."""
        plan = self.plans.get(node)
        if plan is None or plan.fence != fence or plan.state is not PlanState.RUNNING:
            return None
        plan.results[plan.level] = detail
        if outcome is FenceOutcome.CONFIRMED:
            plan.state = PlanState.CONFIRMED
            return plan
        plan.state = PlanState.RETRY
        plan.level = (plan.level + 1) % max(1, self._spec.node(node).fence_levels)
        if plan.level == 0:
            plan.due = now + self._spec.fence_retry
        elif plan.by_operator or plan.level in plan.results:
            plan.due = now
        else:
            plan.due = now + self._spec.node(node).level_delay(plan.level)
        return plan

    def deadlines(self) -> Iterator[float]:
        for plan in self.plans.values():
            if plan.state in _WAITING and self._spec.node(plan.node).fence_levels > 0:
                yield plan.due
