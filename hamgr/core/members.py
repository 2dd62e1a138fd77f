"""What the coordinator knows of each member of its view, and what it lets it run."""

from __future__ import annotations

from dataclasses import dataclass, field

from hamgr.core.cluster import GroupState
from hamgr.core.messages import GroupReport, Report, Stamp


@dataclass(slots=True)
class MemberRecord:
    """A member of the view. number: of the newest order sent to it. run, keep: the groups in that order."""

    incarnation: int
    admitted: Stamp
    report: Report | None = None
    number: int = 0
    run: frozenset[str] = frozenset()
    keep: frozenset[str] = frozenset()
    renew: bool = False
    """It gave up what its order lets it run; it needs a new order, with the rule asked again."""
    groups: dict[str, GroupReport] = field(default_factory=dict)

    def state(self, group: str) -> GroupState:
        found = self.groups.get(group)
        return GroupState.UNKNOWN if found is None else found.state

    def stopped(self, group: str) -> bool:
        """It said so, by probing or by its own action, in this epoch."""
        return self.report is not None and self.report.probed and self.state(group) is GroupState.STOPPED


@dataclass(slots=True)
class Grant:
    """What the next order to a member will say."""

    run: set[str]
    keep: set[str]

    def holds(self, group: str) -> bool:
        return group in self.run or group in self.keep
