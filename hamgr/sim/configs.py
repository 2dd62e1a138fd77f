"""The operators push configurations: every daemon stages the text, then the cluster is asked to switch to it.

The simulated texts say nothing, for the cluster stays the same; what counts is which of them is in whose file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hamgr.core.events import Verb

if TYPE_CHECKING:
    from hamgr.sim.world import World

FIRST = f"{0:016x}"
"""The digest of the file that every machine begins with."""

STAGING = (0.05, 1.5)
"""Seconds from the first word of a push to the question to the coordinator."""


class Configs:
    """The configurations of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pushed = 0

    def push(self, *idle: str) -> None:
        """Push a new one. idle: the groups that it changes."""
        world = self._world
        self._pushed += 1
        digest = f"{self._pushed:016x}"
        for machine in world.machines.values():
            if machine.process is not None:
                machine.process.stage(digest, idle)
        world.engine.after(world.operator_rng.uniform(*STAGING), self._ask, digest)

    def _ask(self, digest: str) -> None:
        self._world.operators.ask(Verb.PUSH, config=digest)
