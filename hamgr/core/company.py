"""Groups that look at other groups: beside whom they run or never run, and between whose start and stop.

`targets` says where each group shall run, "" for nowhere; a group is asked for after all that it looks at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hamgr.core.cluster import GroupSpec, GroupState
from hamgr.core.members import MemberRecord


def company(group: GroupSpec, targets: Mapping[str, str]) -> tuple[frozenset[str] | None, frozenset[str]]:
    """The only nodes that will do for the sake of other groups (None: all), and those that won't."""
    near = None
    if group.together_with:
        near = frozenset(set.intersection(*({targets[leader]} - {""} for leader in group.together_with)))
    return near, frozenset(targets[other] for other in group.apart_from) - {""}


def to_be_stopped(
    group: GroupSpec,
    groups: Mapping[str, GroupSpec],
    members: Mapping[str, MemberRecord],
    targets: Mapping[str, str],
) -> list[str]:
    """The groups before this one that leave the node that has them, or stop there for the sake of others before them:
    this one stops first, and starts after them."""
    found = []
    for leader in group.after:
        there = [node for node, member in members.items() if not member.stopped(leader)]
        leaves = any(node != targets[leader] for node in there)
        if leaves or (there and to_be_stopped(groups[leader], groups, members, targets)):
            found.append(leader)
    return found


def followers(groups: Sequence[GroupSpec]) -> dict[str, list[str]]:
    """Of each group, those that start after it. Found once: it is asked for every group at every decision."""
    found: dict[str, list[str]] = {group.name: [] for group in groups}
    for group in groups:
        for leader in group.after:
            found[leader].append(group.name)
    return found


def still_run(groups: Iterable[str], members: Mapping[str, MemberRecord]) -> bool:
    """Some of the groups still runs, somewhere in the view."""
    return any(not all(member.stopped(name) for member in members.values()) for name in groups)


def is_started(name: str, members: Mapping[str, MemberRecord]) -> bool:
    return any(member.state(name) is GroupState.STARTED for member in members.values())
