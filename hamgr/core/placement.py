"""Where each group should run: a function of what the coordinator knows, and of nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hamgr.core.capacity import Lightness
from hamgr.core.cluster import ClusterSpec, GroupSpec, Placement


@dataclass(frozen=True, slots=True)
class Candidate:
    """A member of the view. fit: it may run groups at all (no standby, disk works, it is not leaving)."""

    name: str
    fit: bool
    barred: frozenset[str] = frozenset()
    """Groups that failed on it too often."""
    health: int = 0
    """Its ping score, as far as it counts now (see `Coordinator`)."""


def candidates_of(spec: ClusterSpec, group: GroupSpec) -> tuple[str, ...]:
    return group.nodes or spec.names


def place(
    spec: ClusterSpec,
    group: GroupSpec,
    members: Mapping[str, Candidate],
    owner: str,
    pin: str = "",
    judged: bool = True,
    near: frozenset[str] | None = None,
    away: frozenset[str] = frozenset(),
    goes_home: bool = True,
    roomy: Collection[str] | None = None,
    lightness: Mapping[str, Lightness] | None = None,
    last: str = "",
) -> str:
    """The node that shall run the group; "" when no member can.

    owner: the member that has it now ("" for none). pin: where an operator's takeover put it. In this order: the
    pin; then, of the nodes with the best health, the best preferred one if it goes home, the one that has it, the
    best preferred one. An operator knows more than a ping does, so the pin goes first. judged: False while the members'
    health may still change; until then the group stays where it is. near: the only nodes that will do (None: any), and
    away: those that won't, for the sake of other groups. The node that has the group may have a health that is worse by
    the group's stickiness. goes_home: it fails back now (`auto_failback`, in its window). roomy: the nodes that have
    room for it (None: all). lightness: (spread) what each node has to do; last: the node that was chosen before, which
    counts as if the group were there already.
    """
    able = [
        name
        for name in candidates_of(spec, group)
        if name in members
        and members[name].fit
        and group.name not in members[name].barred
        and (near is None or name in near)
        and name not in away
        and (roomy is None or name in roomy)
    ]
    if not able or not group.enabled:
        return ""
    if pin in able:
        return pin
    if owner in able and not judged:
        return owner
    best = max(members[name].health for name in able)
    able = [name for name in able if members[name].health + (group.stickiness if name == owner else 0) >= best]
    if group.placement is Placement.SPREAD and lightness is not None:
        for stays in (owner, last):
            if stays in able:
                return stays
        return min(able, key=lambda name: lightness[name])
    if owner in able and not goes_home:
        return owner
    return able[0]
