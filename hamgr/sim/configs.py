"""The operators push configurations: every daemon stages the text, then the cluster is asked to switch to it.

Of a simulated text only the digest is known, and the cluster that it describes: as it was, with a node more or less, or
with other votes. Who is not there misses it, and comes back with what it has.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hamgr.core.cluster import ClusterSpec
from hamgr.core.electorate import ARBITER
from hamgr.core.events import Verb

if TYPE_CHECKING:
    from hamgr.sim.machine import Process
    from hamgr.sim.world import World

FIRST = f"{0:016x}"
"""The digest of the file that every machine begins with."""

FEWEST = 2
"""Nodes of a cluster."""

STAGING = (0.05, 1.5)
"""Seconds from the first word of a push to the question to the coordinator."""


class Configs:
    """The configurations of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pushed = 0
        self.specs = {FIRST: world.spec}

    def push(self, *idle: str) -> None:
        """Push one with the same nodes. idle: the groups that it changes."""
        if (spec := self._present()) is not None:
            self._stage(spec, "", idle)

    def remove(self, node: str) -> None:
        spec = self._present()
        if spec is None or node not in spec.names or len(spec.names) <= FEWEST:
            return
        if any(node in group.nodes and (len(group.nodes) == 1 or group.leaders) for group in spec.groups):
            return  # what is left of its nodes might be too few for it
        groups = tuple(
            replace(group, nodes=tuple(name for name in group.nodes if name != node)) for group in spec.groups
        )
        nodes = tuple(one for one in spec.nodes if one.name != node)
        tie_breaker, auto = ("" if name == node else name for name in (spec.tie_breaker, spec.auto_tie_breaker))
        two_node = len(nodes) == FEWEST and not spec.arbiter and not auto
        fewer = replace(spec, nodes=nodes, groups=groups, two_node=two_node)
        self._stage(replace(fewer, tie_breaker=tie_breaker, auto_tie_breaker=auto), node, ())

    def add(self, node: str) -> None:
        spec = self._present()
        if spec is None or node in spec.names:
            return
        nodes = (*spec.nodes, self._world.spec.node(node))
        self._stage(replace(spec, nodes=nodes, two_node=False), node, ())

    def give_votes(self, node: str, votes: int) -> None:
        spec = self._present()
        if spec is None or spec.two_node or node not in spec.names:
            return
        nodes = tuple(replace(one, votes=votes) if one.name == node else one for one in spec.nodes)
        if any(one.votes for one in nodes):
            self._stage(replace(spec, nodes=nodes), "", ())

    def with_arbiter(self, there: bool) -> None:
        """The arbiter goes, or is there again (it never forgets)."""
        spec = self._present()
        if spec is None or spec.arbiter is there or self._world.arbitration is None:
            return
        two_node = not there and len(spec.names) == FEWEST and not spec.auto_tie_breaker
        self._stage(replace(spec, arbiter=there, two_node=two_node), "" if there else ARBITER, ())

    def withdraw(self) -> None:
        self._world.operators.ask(Verb.WITHDRAW)

    def bring(self, bringer: Process, to: str, life: int, digest: str) -> None:
        """A daemon has the text of its file brought to another one, over the links: what is cut off gets nothing."""
        world = self._world
        if bringer.node.config != digest:
            return

        def arrive() -> None:
            process = world.machines[to].process
            if process is None or process.incarnation != life or not bringer.alive:
                return
            known = process.node.stored.config
            wanted = process.node.catchup.outdated(known) and known.digest == digest
            if wanted and world.network.joins(bringer.machine.name, to):
                process.stage(digest, ())

        world.engine.after(world.operator_rng.uniform(*STAGING), arrive)

    def _present(self) -> ClusterSpec | None:
        """The cluster as some daemon that runs knows it: what an operator there would build upon."""
        running = [machine.process for machine in self._world.machines.values() if machine.process is not None]
        return self._world.operator_rng.choice(running).node.spec if running else None

    def _stage(self, spec: ClusterSpec, changed: str, idle: tuple[str, ...]) -> None:
        world = self._world
        self._pushed += 1
        digest = f"{self._pushed:016x}"
        self.specs[digest] = spec
        every = tuple(group.name for group in spec.groups)
        for machine in world.machines.values():
            # Each daemon checks what it is given: one node comes or goes at a time.
            if machine.process is not None and _may_follow(machine.process.node.spec, spec):
                machine.process.stage(digest, idle if machine.name in spec.names else every)
        world.engine.after(world.operator_rng.uniform(*STAGING), self._ask, digest, changed)

    def _ask(self, digest: str, changed: str) -> None:
        def answered(done: bool, text: str) -> None:
            if done and changed in self.specs[digest].names:
                world.engine.after(world.operator_rng.uniform(*STAGING), self._bring_up, digest, changed)

        world = self._world
        world.operators.ask(Verb.PUSH, changed, then=answered, config=digest)

    def _bring_up(self, digest: str, node: str) -> None:
        """The new node gets the file, and its daemon is started; it knows nothing of an earlier life in the cluster."""
        world, machine = self._world, self._world.machines[node]
        machine.kill()
        machine.file = digest
        if world.may_wipe(node):
            machine.disk.wipe()
            world.checker.wiped(machine)
        machine.power_on()
        machine.start_daemon()


def _may_follow(old: ClusterSpec, new: ClusterSpec) -> bool:
    recorded = not (old.two_node or new.two_node)
    changes = len({*old.names} ^ {*new.names}) + (old.arbiter is not new.arbiter)
    return changes <= 1 and (recorded or old.electorate.meets(new.electorate))
