"""Has nodes fenced by a coordinator's plans: the intent is on record before the agent starts, and the result after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hamgr.core.coordinator import Coordinator
from hamgr.core.effects import ACKNOWLEDGED, Fence, FenceRecord, Kind
from hamgr.core.events import FenceFinished, FenceOutcome
from hamgr.core.fencing import PlanState, too_slow
from hamgr.core.membership import microseconds

if TYPE_CHECKING:
    from hamgr.core.node import Node


class Shooting:
    """The fencings of one node."""

    def __init__(self, node: Node, now: float) -> None:
        self._node = node
        self._next_fence = microseconds(now)
        self._results: list[FenceRecord] = []

    def run(self, now: float, coordinator: Coordinator) -> None:
        """Begin what is due, and ask what a human must be asked."""
        node = self._node
        for plan in coordinator.fencing.open_questions():
            if not plan.told and plan.state is not PlanState.LIMITED and node.spec.node(plan.node).fence_levels:
                plan.told = True
                node.tell(Kind.TAKEOVER_ASKED, coordinator.fencing.question(plan), plan.node)
        for plan in coordinator.fencing.due(now):
            until, why = coordinator.shots.held_back(now, plan.node)
            if why and not plan.operator:
                coordinator.fencing.hold_back(plan, until, why)
                text = f"{plan.node} is not fenced again by itself: {why}; find out why, then: hamgr fence {plan.node}"
                node.tell(Kind.FENCE_LIMITED, text, plan.node)
                continue
            self._next_fence += 1
            plan.begin(now, self._next_fence)
            record = FenceRecord(
                plan.fence,
                plan.node,
                plan.incarnation,
                plan.level,
                coordinator.epoch,
                plan.reason,
                operator=plan.operator,
                votes=coordinator.voters,
            )
            node.persist(record)
            text = f"fencing {plan.node} at level {plan.level + 1}: {plan.reason}"
            node.tell(Kind.FENCE_ASKED, text, plan.node, level=str(plan.level + 1), epoch=str(coordinator.epoch))
            node.out.append(Fence(plan.fence, plan.node, plan.level))

    def finished(self, now: float, event: FenceFinished) -> None:
        """An agent came to its end."""
        node = self._node
        confirmed = event.outcome is FenceOutcome.CONFIRMED
        coordinator = node.coordinator
        plan = None
        if coordinator is not None:
            plan = coordinator.fencing.finished(now, event.fence, event.node, event.outcome, event.detail)
        if confirmed:
            text = f"{event.node} is off, confirmed: {event.detail}"
            node.tell(Kind.FENCE_CONFIRMED, text, event.node)
        else:
            text = f"{event.node} is not fenced ({event.outcome.value}): {event.detail}"
            node.tell(Kind.FENCE_FAILED, text, event.node)
        if plan is not None and coordinator is not None and confirmed:
            node.membership.fenced(event.node, now)
            coordinator.fence_confirmed(now, event.node, plan.incarnation)
            levels = f" ({plan.detail})" if len(plan.results) > 1 else ""
            node.tell(Kind.NODE_FENCED, f"{event.node} counts as fenced{levels}", event.node)
            if slow := too_slow(node.spec, node.name, event.node, now - plan.began):
                node.tell(Kind.WARNING, slow, event.node)
            # At once: if the node's own vote was needed, this reign ends here, and the next one must know.
            node.renew_view(coordinator)
        if plan is not None and coordinator is not None:
            node.requests.fence_ended(plan, confirmed)
            if plan.by_operator and not confirmed and plan.level == 0 and node.membership.peers[plan.node].heard:
                # The operator has the answer; a living node is not shot later, when nobody thinks of it anymore.
                coordinator.fencing.forget(plan.node)
        node.dirty = True
        self._results.append(
            FenceRecord(
                event.fence,
                event.node,
                plan.incarnation if plan is not None else 0,
                plan.level if plan is not None else 0,
                node.election.epoch,
                plan.reason if plan is not None else "",
                event.outcome.value,
                event.detail,
                attempts=event.attempts,
            )
        )

    def acknowledge(self, victim: str, operator: str) -> None:
        """An operator made sure that the node is off: told, and kept on record."""
        node = self._node
        text = f"{operator or 'an operator'} confirmed that {victim} is off"
        node.tell(Kind.FENCE_ACKNOWLEDGED, text, victim, operator=operator)
        self._next_fence += 1
        record = FenceRecord(
            self._next_fence,
            victim,
            node.membership.peers[victim].incarnation,
            0,
            node.election.epoch,
            text,
            ACKNOWLEDGED,
            operator=operator,
            votes=node.coordinator.voters if node.coordinator is not None else (),
        )
        self._results.append(record)

    def write_results(self) -> None:
        """At the end of a step, so that nothing of it waits: the intent on disk already stands for "unknown"."""
        for record in self._results:
            self._node.persist(record)
        self._results.clear()
