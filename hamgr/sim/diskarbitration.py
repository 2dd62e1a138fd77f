"""An arbiter that is a disk: what is on it, each node's way to it, and each daemon's part of the arbitration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from arbiter.ballot import Slip
from arbiter.decide import Explain, WakeAt
from arbiter.diskvote import (
    Ask,
    Claim,
    DiskArbiter,
    DiskEffect,
    Look,
    Lost,
    PutClaim,
    PutSlip,
    PutState,
    Slot,
    Tell,
    View,
)
from hamgr.core.election import newest
from hamgr.core.events import ArbiterAnswered, ArbiterLost
from hamgr.core.messages import ArbiterReport, ClusterState
from hamgr.sim.disk import SLOW

if TYPE_CHECKING:
    from hamgr.sim.machine import Process
    from hamgr.sim.world import World

WHO = "disk"
REFUSED = 0.01
"""Seconds until a device that is not there says so."""


@dataclass(slots=True)
class _Content:
    """What one slot holds."""

    slip: Slip | None = None
    claim: Claim | None = None
    state: ClusterState = ClusterState()


@dataclass(slots=True)
class _Path:
    """A node's way to the disk. waiting: what goes on when it is no longer frozen. busy: an operation is under way,
    of a life of the daemon that may be over."""

    frozen: bool = False
    failing: bool = False
    busy: bool = False
    waiting: list[Callable[[], None]] = field(default_factory=list)


@dataclass(slots=True)
class _Operation:
    """One read or write. boot: of the machine that asked for it."""

    session: _Session
    ask: Ask
    boot: int
    slots: dict[str, Slot] = field(default_factory=dict)
    state: ClusterState = ClusterState()


class _Session:
    """One life of one daemon, with the disk as it is since its last initialisation."""

    def __init__(self, process: Process, generation: int, store: str) -> None:
        self.process = process
        self.generation = generation
        self.arbiter = DiskArbiter(process.machine.name, process.incarnation, store)
        self.timer = 0


class DiskArbitration:
    """A write is seen, and lasts, from some moment between its beginning and its end on; one that fails may have
    happened. Reads are no pictures of one moment. What a dead daemon had asked for still happens on a living machine.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._contents = {name: _Content() for name in world.spec.names}
        self._paths = {name: _Path() for name in world.spec.names}
        self._sessions: dict[Process, _Session] = {}
        self._generation = 0
        self.store = "d1"
        self.up = False
        self.store_fails = False

    # -- the faults ---------------------------------------------------------------------------------------------

    @property
    def voter(self) -> bool:
        return all(content.slip is not None for content in self._contents.values())

    @property
    def newest_state(self) -> ClusterState:
        """What is on the disk."""
        return max((content.state for content in self._contents.values()), key=lambda state: state.stamp)

    def start(self) -> None:
        if not self.up:
            self.up = True
            self._note("is there")

    def crash(self) -> None:
        """Nobody reaches the disk."""
        if self.up:
            self.up = False
            self._note("is gone")

    def wipe(self) -> None:
        """An operator initialises it anew."""
        assert not self.up
        self._generation += 1
        self._contents = {name: _Content() for name in self._contents}
        self._note("is initialised anew")

    def restore(self) -> None:
        """There is no backup of it."""
        self.wipe()

    def replace(self) -> None:
        """Another disk takes the place of this one."""
        self.wipe()
        self.store = f"{int(self.store, 16) + 1:x}"

    def dismiss(self, node: str) -> None:
        """The node turns to another arbiter."""
        process = self._world.machines[node].process
        if process is not None and process in self._sessions:
            del self._sessions[process]
            process.post(ArbiterLost("it turned to another arbiter"))

    def cut(self, node: str) -> None:
        path = self._paths[node]
        path.frozen = self._world.arbiter_rng.random() < 0.5
        path.failing = not path.frozen
        self._note(f"is {'frozen' if path.frozen else 'failing'} for {node}")

    def heal(self, node: str = "") -> None:
        for name in [node] if node else self._paths:
            path = self._paths[name]
            path.frozen = path.failing = False
            waiting, path.waiting = path.waiting, []
            for work in waiting:
                work()

    def _note(self, text: str) -> None:
        self._world.trace.note(self._world.engine.now, WHO, text)

    # -- the daemons --------------------------------------------------------------------------------------------

    def report(self, process: Process, report: ArbiterReport) -> None:
        session = self._sessions.get(process)
        if session is None or session.generation != self._generation:
            if self._paths[process.machine.name].busy:
                return  # What an earlier one asked for is not over yet: nobody may write beside it.
            session = self._sessions[process] = _Session(process, self._generation, self.store)
        self._perform(session, session.arbiter.report(process.machine.local_now(), report))

    def process_ended(self, process: Process) -> None:
        self._sessions.pop(process, None)

    def _perform(self, session: _Session, effects: list[DiskEffect]) -> None:
        process = session.process
        for effect in effects:
            match effect:
                case Tell(answer):
                    self._world.checker.arbiter_answers(self.store, answer)
                    process.post(ArbiterAnswered(answer))
                case Lost(reason):
                    process.post(ArbiterLost(reason))
                case WakeAt(time):
                    session.timer += 1
                    self._world.engine.at(process.machine.clock.true(time), self._wake, session, session.timer)
                case Explain(text):
                    self._note(f"as {process.machine.name} sees it: {text}")
                case Look() | PutClaim() | PutSlip() | PutState():
                    self._begin(_Operation(session, effect, process.machine.boots))

    def _wake(self, session: _Session, timer: int) -> None:
        def look_again() -> None:
            if timer == session.timer and self._is_current(session) and not session.process.muted:
                self._perform(session, session.arbiter.tick(session.process.machine.local_now()))

        session.process.do(look_again)

    def _is_current(self, session: _Session) -> bool:
        return self._sessions.get(session.process) is session and session.generation == self._generation

    # -- the disk -----------------------------------------------------------------------------------------------

    def _begin(self, operation: _Operation) -> None:
        rng, conditions = self._world.arbiter_rng, self._world.conditions
        self._path(operation).busy = True
        low, high = conditions.disk
        took = low if low == high else rng.uniform(low, high)
        if conditions.disk_slow and rng.random() < conditions.disk_slow:
            took = rng.random() * SLOW
        if not self.up:
            self._world.engine.after(REFUSED, self._end, operation, "no such device")
            return
        moments = sorted(rng.random() * took for _ in range(2))
        for moment, part in zip(moments, (0, 1), strict=True):
            self._world.engine.after(moment, self._unless_frozen, operation, self._happen, part)
        self._world.engine.after(took, self._unless_frozen, operation, self._finish)

    def _path(self, operation: _Operation) -> _Path:
        return self._paths[operation.session.process.machine.name]

    def _unless_frozen(self, operation: _Operation, then: Callable[..., None], *args: int) -> None:
        path = self._path(operation)
        if path.frozen:
            path.waiting.append(lambda: then(operation, *args))
        else:
            then(operation, *args)

    def _happen(self, operation: _Operation, part: int) -> None:
        """Half of the slots are read at one moment, half at another; a write is seen from the first on."""
        rng, machine = self._world.arbiter_rng, operation.session.process.machine
        if operation.session.generation != self._generation:
            return
        if isinstance(operation.ask, Look):
            names = list(self._contents)
            for name in names[part::2]:
                content = self._contents[name]
                operation.slots[name] = Slot(name, content.slip, content.claim)
                if operation.ask.states:
                    operation.state = newest(operation.state, content.state)
            return
        if part or not self.up or machine.boots != operation.boot:
            return
        if not machine.powered and rng.random() < 0.5:
            if isinstance(operation.ask, PutClaim):
                self._contents[machine.name].claim = None  # Torn.
            return
        if self._fails(operation) and rng.random() < 0.5:
            return
        content = self._contents[machine.name]
        match operation.ask:
            case PutClaim(claim):
                content.claim = claim
            case PutSlip(slip):
                content.slip = slip
            case PutState(state):
                content.state = state

    def _fails(self, operation: _Operation) -> bool:
        return self._path(operation).failing or (self.store_fails and not isinstance(operation.ask, Look))

    def _finish(self, operation: _Operation) -> None:
        chance = self._world.conditions.store_fails
        fails = self._fails(operation) or not self.up or (chance and self._world.arbiter_rng.random() < chance)
        self._end(operation, "input/output error" if fails else "")

    def _end(self, operation: _Operation, reason: str) -> None:
        session, path = operation.session, self._path(operation)
        path.busy = False

        def told() -> None:
            if not self._is_current(session):
                return
            now = session.process.machine.local_now()
            if reason:
                self._perform(session, session.arbiter.failed(now, reason))
                return
            view = None
            if isinstance(operation.ask, Look):
                view = View(tuple(operation.slots[name] for name in self._contents), operation.state)
            self._perform(session, session.arbiter.done(now, view))

        session.process.do(told)
