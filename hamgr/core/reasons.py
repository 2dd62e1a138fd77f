"""Why a group runs where it does, or nowhere: in sentences, of what its coordinator decided last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hamgr.core.cluster import GroupSpec, Placement
from hamgr.core.company import company
from hamgr.core.placement import candidates_of

if TYPE_CHECKING:
    from hamgr.core.coordinator import Coordinator
    from hamgr.core.node import Node


def hindrance(coordinator: Coordinator, group: GroupSpec, node: str) -> str:
    """Why this node can't run the group; "" if nothing speaks against it."""
    member = coordinator.members.get(node)
    near, away = company(group, coordinator.targets)
    if member is None:
        return f"{node} is not in the view"
    if member.report is not None and member.report.standby:
        return f"{node} is on standby (hamgr online {node})"
    if member.report is not None and member.report.unfit:
        return f"{node} can't run anything: {member.report.unfit}"
    if node in coordinator.circle.outside:
        return coordinator.circle.outside[node]
    if coordinator.outdated(node):
        return f"{node} does not run configuration {coordinator.config.version} yet"
    if near is not None and node not in near:
        return f"it runs with {' and '.join(group.together_with)}, not on {node}"
    if node in away:
        return f"it never runs beside {' and '.join(group.apart_from)} on {node}"
    report = member.groups.get(group.name)
    if report is not None and report.barred:
        return f"{group.name} failed on {node} too often (hamgr cleanup {group.name} --node {node})"
    if report is not None and report.unready:
        return f"{node} is not ready for it: {report.unready}"
    return coordinator.room.lacks(group, node) or coordinator.circle.waiting.get(node, "")


def nobody(coordinator: Coordinator, group: GroupSpec) -> tuple[str, ...]:
    """Why no node runs it."""
    if not group.enabled:
        return ()
    reasons = [
        hindrance(coordinator, group, node) or f"{node} is kept for others"
        for node in candidates_of(coordinator.spec, group)
    ]
    return (f"no node can run {group.name}: " + "; ".join(reasons),)


def why(coordinator: Coordinator, group: GroupSpec) -> tuple[str, ...]:
    """Why it runs, or is to run, on its node, and why not on each of the others."""
    target = coordinator.targets.get(group.name, "")
    if not group.enabled:
        return ("enabled = false in the configuration",)
    if not target:
        return coordinator.waits.get(group.name, ())
    others = [node for node in candidates_of(coordinator.spec, group) if node != target]
    hindered = {node: hindrance(coordinator, group, node) for node in others}
    able = [node for node in others if not hindered[node]]
    health = {node: _health(coordinator, node) for node in (target, *able)}
    found = [f"{target}: {_for(coordinator, group, target, able, health)}"]
    for node in others:
        found.append(f"not {node}: {hindered[node] or _against(coordinator, group, target, node, health)}")
    return tuple(found)


def known_here(node: Node, group: GroupSpec) -> tuple[str, ...]:
    """What a node that is not the coordinator can say of it: of itself, and of what the cluster wrote down."""
    if not group.enabled:
        return ("enabled = false in the configuration",)
    found = []
    if wanted := dict(node.stored.pins).get(group.name):
        found.append(f"an operator wanted it on {wanted}")
    if node.stored.maintenance:
        found.append("maintenance: nothing is started or stopped (hamgr maintenance off)")
    here = node.member.groups[group.name]
    if node.name not in candidates_of(node.spec, group):
        found.append(f"not {node.name}: it is none of its nodes")
    elif node.standby:
        found.append(f"not {node.name}: it is on standby (hamgr online {node.name})")
    elif node.unfit:
        found.append(f"not {node.name}: it can't run anything: {node.unfit}")
    elif here.barred:
        found.append(f"not {node.name}: it failed there too often (hamgr cleanup {group.name} --node {node.name})")
    elif here.unready:
        found.append(f"not {node.name}: it is not ready for it: {here.unready}")
    return tuple(found)


def _for(
    coordinator: Coordinator, group: GroupSpec, target: str, able: list[str], health: dict[str, int]
) -> str:
    if coordinator.pinned(group.name) == target:
        return "an operator wants it there"
    if group.together_with:
        return f"it runs with {' and '.join(group.together_with)}"
    if not able:
        return "no other node can run it"
    if all(health[node] < health[target] for node in able):
        return f"it has the best health, {health[target]}"
    if coordinator.owner(group.name) == target and (_stays(group) or group.name in coordinator.failback_closed):
        return "it is there, and stays"
    if group.placement is Placement.SPREAD:
        return "it has the least to do"
    return "it is the first of its nodes that can"


def _against(coordinator: Coordinator, group: GroupSpec, target: str, node: str, health: dict[str, int]) -> str:
    if coordinator.pinned(group.name) == target:
        return f"an operator wants it on {target}"
    if health[node] < health[target]:
        return f"its health is {health[node]}, that of {target} {health[target]}"
    order = candidates_of(coordinator.spec, group)
    if group.placement is Placement.SPREAD and coordinator.owner(group.name) == target:
        return "nothing is moved only to balance (hamgr rebalance)"
    if group.placement is Placement.SPREAD:
        return f"it has more to do than {target} had, or was named later"
    if order.index(node) > order.index(target):
        return f"{target} is named before it"
    return "it does not go back there by itself now"


def _stays(group: GroupSpec) -> bool:
    return group.placement is Placement.SPREAD or not group.auto_failback


def _health(coordinator: Coordinator, node: str) -> int:
    report = coordinator.members[node].report
    return report.health if report is not None else 0
