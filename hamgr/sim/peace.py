"""After the faults: everything is mended, and within a bound every group that can run must run on exactly one node."""

from __future__ import annotations

from hamgr.core.cluster import ClusterSpec, GroupSpec, GroupState, Mode
from hamgr.core.coordinator import Coordinator
from hamgr.core.events import Verb
from hamgr.core.fencing import PlanState
from hamgr.core.placement import candidates_of
from hamgr.sim.conditions import CALM
from hamgr.sim.invariants import Violation
from hamgr.sim.world import World

STEADY = 3.0
"""Seconds for which everything must run before the run counts as well ended."""


def liveness_bound(spec: ClusterSpec) -> float:
    """Seconds of peace after which everything must run: generously, all that may have to come one after another."""
    timing = spec.timing
    stops = sum(group.stop_timeout + group.start_timeout for group in spec.groups)
    watchdogs = max((node.watchdog_timeout or 0.0 for node in spec.nodes), default=0.0)
    turns = 2 * len(spec.nodes) * timing.keepalive
    return 60.0 + timing.initdead + 3 * timing.lease + 3 * timing.deadtime + 2 * stops + watchdogs + 2 * turns


def peace(world: World) -> None:
    """Repair everything and run on until all is as it should be; raises Violation when it isn't within the bound."""
    world.repair(CALM)
    bound = world.engine.now + liveness_bound(world.spec)
    next_words = world.engine.now
    steady_since = None
    while world.engine.now < bound:
        world.engine.run_until(world.engine.now + 1.0)
        if world.engine.now >= next_words:
            next_words = world.engine.now + 10.0
            world.tend()
            _encourage(world)
        if _not_running(world):
            steady_since = None
        elif steady_since is None:
            steady_since = world.engine.now
        elif world.engine.now >= steady_since + STEADY:
            return
    missing = "; ".join(_not_running(world)) or "it does not stay so"
    raise Violation("liveness", f"{liveness_bound(world.spec):g} s after the last fault: {missing}")


def _encourage(world: World) -> None:
    """The operators take back what keeps groups from running."""
    nodes = [machine.process.node for machine in world.machines.values() if machine.process is not None]
    # What a push began ends by itself, unless a group that it changes was started behind its back.
    stuck = any(node.pushing.pending and not node.member.all_stopped for node in nodes)
    if any(node.stored.maintenance and (stuck or not node.stored.pushing) for node in nodes):
        world.operators.ask(Verb.MAINTENANCE_OFF)
    _copy_configuration(world)
    arbitration = world.arbitration
    if arbitration is not None and any(node.stored.arbiter not in ("", arbitration.store) for node in nodes):
        world.operators.ask(Verb.ACCEPT_ARBITER, config=arbitration.store)
    for node in nodes:
        if node.coordinator is not None:
            _decide(world, node.coordinator)
    for name, machine in world.machines.items():
        process = machine.process
        if process is None:
            continue
        if process.node.standby:
            world.operators.ask(Verb.ONLINE, name)
        member = process.node.member
        if member.stop_failed or any(group.barred for group in member.groups.values()):
            world.operators.ask(Verb.CLEANUP, name)


def _decide(world: World, coordinator: Coordinator) -> None:
    """Somebody says yes to what waits for a human: in one word, or step by step."""
    questions = coordinator.fencing.open_questions()
    if questions or coordinator.asking.proposed:
        world.operators.ask(Verb.CONFIRM)
    for plan in questions:
        if plan.state in (PlanState.LIMITED, PlanState.ASKED):
            world.operators.ask(Verb.FENCE, plan.node)
    for group, target in list(coordinator.asking.proposed.items()):
        if world.spec.group(group).mode is Mode.MANUAL:
            world.operators.ask(Verb.TAKEOVER, target, group)


def _wanted(spec: ClusterSpec, group: GroupSpec) -> bool:
    """It shall run: it is enabled, and so are those without which it can't."""
    needed = (*group.together_with, *group.after)
    return group.enabled and all(_wanted(spec, spec.group(name)) for name in needed)


def _has_room_anywhere(world: World, spec: ClusterSpec, group: GroupSpec) -> bool:
    """Some node that may run it has room beside what is not less important."""
    for name in candidates_of(spec, group):
        there = [
            other
            for other in spec.groups
            if other.priority >= group.priority and world.machines[name].services[other.name].active
        ]
        capacity = dict(spec.node(name).capacity)
        if all(
            sum(dict(other.needs).get(what, 0) for other in there) + amount <= capacity.get(what, 0)
            for what, amount in group.needs
        ):
            return True
    return False


def _copy_configuration(world: World) -> None:
    """Who missed a push is brought the text by the others, if it is in its own file and hears one of them by that; else
    somebody copies it."""
    for machine in world.machines.values():
        names = {*world.configs.specs[world.checker.config].names}
        own = {*machine.spec.names}
        told = machine.name in own and len(own & names) > 1
        has_it = any(staged.digest == world.checker.config for staged in machine.disk.durable.staged)
        if machine.name in names and not told and not has_it:
            machine.file = world.checker.config
            machine.kill()


def _not_running(world: World) -> list[str]:
    """What is not as it should be, in sentences."""
    found = []
    spec = world.configs.specs[world.checker.config]
    for name in spec.names:
        machine = world.machines[name]
        if machine.process is None:
            found.append(f"{name} has no daemon")
        elif not machine.process.node.election.following:
            found.append(f"{name} follows no coordinator")
        elif machine.process.node.override.lent:
            found.append(f"{name} still goes on by an override")
        elif {machine.file, machine.process.node.config} != {world.checker.config}:
            found.append(f"{name} does not run the configuration that was committed")
    for group in spec.groups:
        owners = world.checker.owners(group.name)
        if not _wanted(spec, group):
            found += [f"{group.name} is active on {' and '.join(owners)}, and shall not be"] if owners else []
            continue
        if not owners and not _has_room_anywhere(world, spec, group):
            continue
        if len(owners) != 1 or owners[0] not in candidates_of(spec, group):
            found.append(f"{group.name} is active on {' and '.join(owners) or 'no node'}")
            continue
        process = world.machines[owners[0]].process
        if process is not None and process.node.member.groups[group.name].state is not GroupState.STARTED:
            found.append(f"{group.name} is not started on {owners[0]}")
        for leader in group.together_with:
            if world.checker.owners(leader) not in ([], owners):
                found.append(f"{group.name} is not where {leader} is")
        for other in group.apart_from:
            if world.checker.owners(other) == owners:
                found.append(f"{group.name} is where {other} is")
    return found
