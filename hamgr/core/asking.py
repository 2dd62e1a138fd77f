"""Whether a group may start where it is placed without a human's word, as one coordinator asks it.

Modes, and a group's time for humans, only add a condition: the takeover rule is asked after them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from hamgr.core.cluster import GroupSpec, GroupState, Mode
from hamgr.core.effects import Announce, Effect, Kind
from hamgr.core.members import MemberRecord
from hamgr.core.messages import Stamp, Standing


class Asking:
    """The questions of one reign. proposed: group -> the node on which it starts as soon as a human says so. questions:
    group -> what he is told. owners: group -> where it was let run last, which a human's word is about."""

    def __init__(
        self,
        groups: Collection[GroupSpec],
        inherited: Collection[tuple[str, str]],
        members: Mapping[str, MemberRecord],
        standing: Callable[[str], Standing | None],
    ) -> None:
        """members: the coordinator's own, as they are at any time. standing: of a node; None for an unknown one."""
        asking = {group.name for group in groups if group.asks}
        self.owners = {group: node for group, node in inherited if group in asking}
        self.proposed: dict[str, str] = {}
        self.questions: dict[str, str] = {}
        self._lost_at: dict[str, float] = {}
        """Group -> since when the node that ran it last is not in the view, while a human is given time."""
        self._before: dict[str, str] = {}
        """Group -> where it ran before a human let it move, as long as it was not started on the new node yet."""
        self._named: dict[str, Stamp] = {}
        """Group -> the first cluster state of this reign that names its owner."""
        self._members = members
        self._standing = standing

    def may_go(
        self,
        now: float,
        group: GroupSpec,
        owner: str,
        pin: str,
        target: str,
        able: Collection[str],
        out: list[Effect],
    ) -> str:
        """Where the group may run without asking anybody: where it ran last, where a human wants it, or, when he put
        that node on standby, anywhere; "" when a human must decide."""
        name = group.name
        last = owner or self.owners.get(name, "")
        if owner and self._members[owner].state(name) is GroupState.STARTED and owner != self._before.get(name):
            self._owned(name, owner)
            self._before.pop(name, None)
        elif target and target == self._before.get(name):
            self._owned(name, target)
            last = target
        question = ""
        if group.mode is Mode.AUTOMATIC:
            left = self._standing(last) is Standing.LEFT
            if left or last in ("", target) or last in self._members or target in ("", pin):
                self._lost_at.pop(name, None)
            elif now < self._lost_at.setdefault(name, now) + group.takeover_delay:
                question = self._question(group, last, target)
        elif last in able and target not in ("", pin):
            target = last
        elif target not in ("", pin, last) and last and not self._on_standby(last):
            question = self._question(group, last, target)
        if not question:
            self.questions.pop(name, None)
            self.proposed.pop(name, None)
            return target
        if self.proposed.get(name) != target:
            out.append(Announce(Kind.TAKEOVER_ASKED, question, last, name, facts={"target": target}))
        self.proposed[name] = target
        self.questions[name] = question
        return ""

    def may_start(self, group: str, node: str, known: Callable[[Stamp], bool]) -> bool:
        """Whether it is known to whoever may be coordinator next that the group runs there from now on: else that
        one would start it where it ran before, without asking anybody."""
        before = self.owners.get(group, node)
        if before != node:
            self._before[group] = before
        self._owned(group, node)
        stamp = self._named.get(group)
        if stamp is None or not known(stamp):
            return False
        self._before.pop(group, None)
        return True

    def _owned(self, group: str, node: str) -> None:
        if self.owners.get(group) != node:
            self.owners[group] = node
            self._named.pop(group, None)

    @property
    def unsaid(self) -> bool:
        """The cluster state does not name all owners yet."""
        return any(group not in self._named for group in self.owners)

    def stamped(self, stamp: Stamp) -> None:
        """This cluster state names them."""
        for group in self.owners:
            self._named.setdefault(group, stamp)

    def _on_standby(self, node: str) -> bool:
        member = self._members.get(node)
        return member is not None and member.report is not None and member.report.standby

    def _question(self, group: GroupSpec, last: str, target: str) -> str:
        why = "is not in the view" if last not in self._members else "can't run it now"
        command = f"hamgr confirm {group.name}"
        if group.mode is Mode.MANUAL:
            command = f"hamgr takeover {group.name} --node {target}"
        so_far = f"waits for a human: {group.name} ran on {last}, which {why}; it starts on {target} after `{command}`"
        if group.mode is Mode.AUTOMATIC:
            return f"{so_far}, or {group.takeover_delay:g} s after {last} was lost"
        return so_far
