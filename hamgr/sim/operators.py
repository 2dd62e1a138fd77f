"""The people who use the cluster: they ask a daemon that runs, and confirm a node as off only while it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hamgr.core.effects import Reply
from hamgr.core.events import OperatorAsked, Verb

if TYPE_CHECKING:
    from hamgr.sim.machine import Machine, Process
    from hamgr.sim.world import World

Answered = Callable[[bool, str], None]

LATE_ENOUGH = 15.0
"""Seconds for which a machine is kept off after a confirmation that nobody answered: longer than any packet lives."""

MOST_MOVES = 6
REST = 2.0
"""Seconds after which an operator looks whether there is more to rebalance."""

OPERATOR = "olivia"


class Operators:
    def __init__(self, world: World) -> None:
        self._world = world
        self._open: dict[tuple[Process, int], Answered] = {}

    def ask(
        self,
        verb: Verb,
        node: str = "",
        group: str = "",
        at: str = "",
        then: Answered | None = None,
        config: str = "",
        nodes: tuple[str, ...] = (),
        groups: tuple[str, ...] = (),
    ) -> bool:
        """Ask at this node, else at any that runs; False if there is none. `then` hears the answer, if one comes."""
        machine = self._world.machines[at] if at else self._someone(node)
        if machine is None or machine.process is None:
            return False
        process = machine.process
        self._world.checker.words.said(verb, node, group)
        request = next(process.requests)
        process.note(f"an operator asks: {' '.join(word for word in (verb.value, group, node, config) if word)}")
        if then is not None:
            self._open[process, request] = then
        process.post(OperatorAsked(request, verb, node, group, OPERATOR, config, nodes, groups))
        return True

    def _someone(self, besides: str) -> Machine | None:
        running = [machine for machine in self._world.machines.values() if machine.running]
        others = [machine for machine in running if machine.name != besides] or running
        return self._world.operator_rng.choice(others) if others else None

    def replied(self, process: Process, reply: Reply) -> None:
        process.note(f"answers: {reply.text}")
        process.tell("done" if reply.done else "refused")
        then = self._open.pop((process, reply.request), None)
        if then is not None:
            then(reply.done, reply.text)

    def process_ended(self, process: Process) -> None:
        for key in [key for key in self._open if key[0] is process]:
            self._open.pop(key)(False, "the connection broke")

    def override(self, machine: Machine, looks: bool) -> None:
        """Have this node go on without a quorum. looks: only if all that it does not hear are really off, and they are
        kept off until the answer came."""
        process = machine.process
        if process is None or process.paused or process.muted:
            return
        heard = process.node.membership.alive()
        lost = [self._world.machines[name] for name in process.node.spec.names if name not in (*heard, machine.name)]
        if looks and any(one.powered or one.held_off for one in lost):
            return

        def answered(done: bool, text: str) -> None:
            for one in lost:
                one.held_off = False
                self._world.repower(one)

        for one in lost:
            if looks:
                one.held_off = True
                self._world.checker.acknowledged(one.name)
            else:
                self._world.checker.said_blindly(one.name)
        self.ask(
            Verb.OVERRIDE,
            at=machine.name,
            then=answered if looks else None,
            nodes=tuple(one.name for one in lost),
        )

    def rebalance(self, groups: tuple[str, ...], moves: int = MOST_MOVES) -> None:
        """Have the next move done that the coordinator tells of, and then the next, as `hamgr rebalance` does."""

        def again(done: bool, text: str) -> None:
            if done and moves > 1:
                self._world.engine.after(REST, self.rebalance, groups, moves - 1)

        for machine in self._world.machines.values():
            process = machine.process
            if process is None or process.paused or process.muted:
                continue
            balance = process.node.balance(groups)
            if balance is not None and (move := next(balance.moves, None)) is not None:
                self.ask(Verb.REBALANCE, move.target, move.group, then=again, groups=groups)
                return

    def confirm_fenced(self, victim: Machine) -> None:
        """Say that the victim is off, if it is; it stays off until the answer came and could have been heard."""
        if victim.powered or victim.held_off:
            return
        world = self._world

        def answered(done: bool, text: str) -> None:
            # Without an answer the word may still be on its way.
            world.engine.after(0.0 if done else LATE_ENOUGH, release)

        def release() -> None:
            victim.held_off = False
            world.repower(victim)

        victim.held_off = True
        world.checker.acknowledged(victim.name)
        if not self.ask(Verb.CONFIRM_FENCED, victim.name, then=answered):
            victim.held_off = False
