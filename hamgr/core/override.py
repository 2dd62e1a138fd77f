"""When an operator decides in place of voters that are lost: one node goes on without a quorum, by his word alone.

He says which nodes are off, by name: all that are not heard. Their votes, and that of an arbiter that does not answer,
are lent to this node's candidature, in epochs that nobody else ever stands in (`hamgr.core.epochs`). So no epoch has
two coordinators, whatever comes back in whatever partition. What protects the groups is the takeover rule alone:

- The named nodes count as confirmed off (`operator-said-so`), until one is heard.
- This life of the node must be known as a member to a quorum (`Heartbeat.settled`). So whoever is elected elsewhere, by
  the voters that are lost now, knows of it, and starts nothing before it is fenced or heard.
- A node with a watchdog can't: others count on its lease, which no quorum ends now.
- Nothing is started on other nodes, and they hold no lease by it; no cluster state is written, so there is nothing that
  could contradict what a quorum decides elsewhere meanwhile.

It ends with the first quorum that could be elected without it, and with this life.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hamgr.core.effects import Kind
from hamgr.core.electorate import ARBITER
from hamgr.core.epochs import is_overriding
from hamgr.core.events import OperatorAsked
from hamgr.core.messages import Standing

if TYPE_CHECKING:
    from hamgr.core.node import Node


class Override:
    """lent: the voters whose votes this node has by an operator's word. operator: who gave it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.lent: frozenset[str] = frozenset()
        self.operator = ""
        self._named: frozenset[str] = frozenset()
        self._known = False

    # -- what makes it possible ---------------------------------------------------------------------------------

    def note_known(self) -> None:
        """A quorum has stored the cluster state that we have, or a later one, and that names this life as a member."""
        node = self._node
        if self._known or not node.election.following or is_overriding(node.election.epoch):
            return
        stamp = node.stored.stamp
        if stamp.epoch != node.election.epoch or not stamp.view:
            return
        if node.coordinator is not None:
            settled = node.voting.authority() and node.stored_by_quorum(stamp)
        else:
            beat = node.membership.peers[node.election.following].heartbeat
            settled = beat is not None and beat.epoch == stamp.epoch and beat.settled >= stamp
        if settled:
            me = (node.name, node.incarnation, Standing.MEMBER)
            self._known = any((one.node, one.incarnation, one.standing) == me for one in node.stored.roster)

    def refusal(self, now: float, named: frozenset[str]) -> str:
        """Why it can't be; "" if it can."""
        node = self._node
        heard = {node.name, *node.membership.alive()}
        lost = [name for name in node.spec.names if name not in heard]
        if node.spec.two_node:
            return "each of two nodes without an arbiter is a quorum alone: say `hamgr fence ack` of the other one"
        if node.quorate(now) and not self.lent:
            return f"there is a quorum: {node.election.following} is coordinator of epoch {node.election.epoch}"
        if self.lent and node.authoritative():
            return f"{self.operator} has done so already"
        if node.records.failure or not node.election.initialised or node.leaving.began:
            return f"{node.name} can't vote itself: look at `hamgr status`"
        if node.catchup.outdated(node.stored.config):
            return f"{node.name} missed the configuration that the cluster runs, and may not know all of its nodes"
        if node.stored.maintenance:
            return "a maintenance is on, in which nothing is started anyway; it can't be ended without a quorum"
        if node.spec.node(node.name).watchdog_timeout is not None:
            return (
                f"{node.name} has a watchdog, by which the others count on it to end without a quorum: bring the"
                " others or the arbiter back"
            )
        if not self._known:
            return (
                f"no quorum knows this life of {node.name}'s daemon as a member, so the others might count it as off"
                " and start its groups: bring one of them or the arbiter back"
            )
        if wrong := sorted(named & heard):
            return f"{', '.join(wrong)} is heard: it is not off"
        if missing := [name for name in lost if name not in named]:
            return f"{', '.join(missing)} is not heard, and was not said to be off"
        return ""

    # -- the operator's word ------------------------------------------------------------------------------------

    def asked(self, now: float, event: OperatorAsked) -> tuple[bool, str]:
        node = self._node
        named = frozenset(event.nodes)
        if refusal := self.refusal(now, named):
            return False, refusal
        lent = named if node.arbitration.usable(now) or not node.spec.arbiter else named | {ARBITER}
        reached = self._voters(set(node.membership.alive()))
        if not node.electorates.is_quorum(reached | lent):
            return False, "even with these votes there is no quorum: the nodes that are heard have to learn the epoch"
        who = event.operator or "an operator"
        self.lent, self.operator, self._named = lent, who, named
        said = f"{', '.join(sorted(named)) or 'nobody'} {'are' if len(named) > 1 else 'is'} off"
        text = f"{who} decides in place of {', '.join(sorted(lent))}, and says that {said}: {node.name} goes on alone"
        node.tell(Kind.QUORUM_OVERRIDE, text, node.name, operator=event.operator)
        for name in sorted(named):
            node.acknowledged.add(name)
            node.shooting.acknowledge(name, event.operator)
        node.voting.stand_alone(now)
        return True, f"{node.name} goes on without a quorum, until there is one; `hamgr status` reminds of it"

    def settle(self, now: float) -> None:
        """Whoever is back has a vote of his own; with a quorum of such votes, or another coordinator, it is over."""
        node = self._node
        if not self.lent:
            return
        epochs = [one.epoch for one in (node.coordinator, node.election.claim) if one is not None]
        heard = {node.name, *node.membership.alive()}
        arbiter = {ARBITER} if node.arbitration.usable(now) else set()
        why = ""
        if not any(is_overriding(epoch) for epoch in epochs):
            why = "another coordinator, or a later epoch, was heard"
        elif node.electorates.is_quorum(self._voters(heard) | arbiter):
            why = "there is a quorum again"
        elif not node.electorates.is_quorum(heard | arbiter | self.lent):
            why = "nodes are back that have to learn the epoch"
        elif self.lent <= heard | arbiter:
            why = "all whose votes were lent are heard again"
        else:
            self.lent -= heard | arbiter
        if why:
            # What he said was true then; a quorum that was away meanwhile may have let them start anew.
            node.acknowledged -= self._named
            self.lent = self._named = frozenset()
            text = f"the decision of {self.operator} in place of a quorum ends: {why}"
            node.tell(Kind.QUORUM_OVERRIDE, text, node.name)
            if epochs:
                node.later_epoch(now, node.election.epoch + 1)

    def _voters(self, heard: set[str]) -> set[str]:
        node = self._node
        found = {node.name}
        for name in heard - {node.name}:
            beat = node.membership.peers[name].heartbeat
            if beat is not None and beat.initialised:
                found.add(name)
        return found
