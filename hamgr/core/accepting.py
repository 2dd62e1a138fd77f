"""Whose vote counts as the arbiter's: that of the store which the cluster state names, and of no other one.

An arbiter is one vote as long as it keeps its votes in one store. Two stores, behind one address or several, are two
votes for one seat, and each side of a partition could win with one of them. So each store has an identity, the first
one that votes is written into the cluster state, and another one takes its place in two steps: the change is proposed,
from then on nobody counts any arbiter; and it is done once nodes that are a majority without an arbiter have that on
disk, so that every later quorum knows of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hamgr.core.effects import Kind
from hamgr.core.messages import ClusterState, Forward, Stamp

if TYPE_CHECKING:
    from hamgr.core.coordinator import Coordinator
    from hamgr.core.node import Node
    from hamgr.core.requests import Requester

PATIENCE = 60.0
"""Seconds after which a change that is not done is given back; it is still done as soon as the nodes are there."""


def counts(state: ClusterState, store: str) -> bool:
    """May a vote that is kept in this store be counted, by who knows this state?"""
    return not state.next_arbiter and state.arbiter in ("", store)


@dataclass(slots=True)
class _Wish:
    requester: Requester
    store: str
    until: float


class Accepting:
    """The arbiter's store in the cluster state, as the coordinator writes it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._wish: _Wish | None = None

    def serve(self, now: float, coordinator: Coordinator, requester: Requester, forward: Forward) -> None:
        """An operator says that the store which answers now is the cluster's arbiter from now on."""
        node = self._node
        said, store = node.arbitration.said, forward.config
        refusal = ""
        if not node.spec.arbiter:
            refusal = "the configuration has no arbiter"
        elif not node.arbitration.connected or said is None:
            refusal = f"the arbiter does not answer {node.name}, the coordinator: {node.arbitration.detail}"
        elif not said.store:
            refusal = "the arbiter does not say who it is: it is too old"
        elif said.store != store:
            refusal = f"{store or 'none'} was asked for, and the arbiter that answers {node.name} is {said.store}"
        elif coordinator.arbiter == store and not coordinator.next_arbiter:
            node.requests.answer(requester, True, f"{store} is the cluster's arbiter already")
            return
        elif not node.electorates.is_quorum(node.voting.deciding_nodes()):
            votes = node.electorate.count(node.voting.deciding_nodes())
            refusal = (
                f"the nodes must be a majority without any arbiter: {votes} votes are here,"
                f" {node.electorate.majority} are needed"
            )
        if refusal:
            node.requests.answer(requester, False, refusal)
            return
        who = forward.operator or "an operator"
        text = f"{store} becomes the arbiter in place of {coordinator.arbiter or 'none'} ({who}); none counts meanwhile"
        node.tell(Kind.ARBITER_CHANGED, text, operator=forward.operator, store=store)
        coordinator.next_arbiter = store
        self._wish = _Wish(requester, store, now + PATIENCE)
        node.touch()

    def settle(self, coordinator: Coordinator) -> None:
        """Write down the first store that votes; do a change that enough nodes know of."""
        node = self._node
        said = node.arbitration.said
        if coordinator.next_arbiter:
            state = coordinator.state
            if state.next_arbiter == coordinator.next_arbiter and self._known_to_nodes(state.stamp):
                coordinator.arbiter, coordinator.next_arbiter = coordinator.next_arbiter, ""
                text = f"{coordinator.arbiter} is the cluster's arbiter"
                node.tell(Kind.ARBITER_CHANGED, text, store=coordinator.arbiter)
                node.touch()
                if self._wish is not None and self._wish.store == coordinator.arbiter:
                    self._answer(True, text)
        elif not coordinator.arbiter and said is not None and node.arbitration.connected and said.voter and said.store:
            coordinator.arbiter = said.store
            node.touch()

    def _known_to_nodes(self, stamp: Stamp) -> bool:
        return self._node.stored_by_nodes(stamp)

    def pulse(self, now: float) -> None:
        """Once a keepalive: who asked is not left without an answer."""
        if self._wish is not None and self._node.coordinator is None:
            self._answer(False, "the coordinator was lost meanwhile: look at `hamgr status`")
        elif self._wish is not None and now >= self._wish.until:
            self._answer(False, "not enough nodes have stored it yet; it is done as soon as they have")

    def _answer(self, done: bool, text: str) -> None:
        wish, self._wish = self._wish, None
        if wish is not None:
            self._node.requests.answer(wish.requester, done, text)
