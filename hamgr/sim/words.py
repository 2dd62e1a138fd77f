"""What a human must have said before it is done: fencings in mode ask or manual, groups that start on another node.

Known are only the words of the operators, who was announced to be in the view, and what ran where. A word about a node
holds until that node is off or in the view again; a confirmation about a group until the group starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hamgr.core.cluster import GroupSpec, GroupState, Mode
from hamgr.core.events import Verb

if TYPE_CHECKING:
    from hamgr.sim.world import World

ON_THE_WAY = 5.0
"""Seconds for which an order that was given before an operator said `online` may still be carried out."""


class Words:
    """The words of the operators of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._nodes: set[str] = set()
        """Those that a human wants to be fenced, or lets be."""
        self._groups: set[str] = set()
        """Those that a human lets move."""
        self._wanted_on: dict[str, set[str]] = {}
        """Group -> where humans wanted it: such a word may have been refused, and outlives that it starts elsewhere."""
        self._view: frozenset[str] = frozenset()
        self._views: dict[str, frozenset[str]] = {}
        """The last view of each who was coordinator; in a two_node cluster there may be two."""
        self._online_at: dict[str, float] = {}
        self._last: dict[str, str] = {}
        """Group -> where a start of it began last."""
        self._seen: dict[str, frozenset[str]] = {}
        """Group -> who was in the view of its coordinator then."""

    def said(self, verb: Verb, node: str, group: str) -> None:
        """An operator asks for this somewhere; it may never arrive."""
        if verb is Verb.FENCE:
            self._nodes.add(node)
        elif verb is Verb.TAKEOVER or verb is Verb.REBALANCE:
            self._wanted_on.setdefault(group, set()).add(node)
        elif verb is Verb.STANDBY:
            self._groups.update(name for name, last in self._last.items() if last == node)
        elif verb is Verb.CONFIRM:
            nodes = (node,) if node else () if group else self._world.spec.names
            groups = (group,) if group else () if node else tuple(spec.name for spec in self._world.spec.groups)
            # Nobody agrees to what is not asked yet.
            self._nodes.update(name for name in nodes if name not in self._view or self._stuck(name))
            self._groups.update(name for name in groups if not self._runs(name))

    def _stuck(self, node: str) -> bool:
        """Something on it can't be stopped."""
        process = self._world.machines[node].process
        return process is not None and bool(process.node.member.stop_failed)

    def _runs(self, group: str) -> bool:
        """A node of the view has it, and does not say that it failed there."""
        for name in self._view:
            process = self._world.machines[name].process
            if process is not None and process.node.member.groups[group].state is GroupState.STARTED:
                return True
        return False

    def view(self, coordinator: str, members: frozenset[str]) -> None:
        # What was said to one coordinator is not taken back by a view of another one, in which the node leads, say.
        self._nodes -= members - self._views.get(coordinator, members)
        self._view = self._views[coordinator] = members

    def is_off(self, node: str) -> None:
        self._nodes.discard(node)

    def lost(self, node: str) -> None:
        """Somebody in the cluster says that this node is dead."""
        self._view -= {node}

    def standby(self, node: str, standby: bool) -> None:
        """It is on the disk of the node."""
        if not standby:
            self._online_at[node] = self._world.engine.now

    def _on_standby(self, node: str) -> bool:
        machine = self._world.machines[node]
        standby = machine.process is not None and machine.process.node.standby
        just_now = self._world.engine.now < self._online_at.get(node, float("-inf")) + ON_THE_WAY
        return standby or machine.disk.durable.standby or just_now

    def missing_for_fencing(self, node: str) -> bool:
        return self._world.spec.mode is not Mode.AUTOMATIC and node not in self._nodes

    def missing_for_start(self, group: GroupSpec, node: str) -> str:
        """Where the group ran last, if a human must say first that it starts here, and did not; else ""."""
        last = self._last.get(group.name, node)
        if group.mode is Mode.AUTOMATIC or group.together_with or node == last:
            return ""
        if self._world.spec.two_node and node not in self._seen[group.name]:
            return ""  # it was not there, and is a quorum alone: it can't know
        told = group.name in self._groups or node in self._wanted_on.get(group.name, ()) or self._on_standby(last)
        return "" if told else last

    def starts(self, group: str, node: str, coordinator: str) -> None:
        if self._last.get(group, node) != node:
            self._groups.discard(group)
        self._last[group] = node
        self._seen[group] = self._views.get(coordinator, frozenset())
