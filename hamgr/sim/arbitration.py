"""The arbiter's host and the nodes' sessions with it: one call at a time, stored before it is answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from arbiter.decide import Answer, ArbiterEffect, ClusterArbiter, Explain, Store, VoteBook, WakeAt
from arbiter.records import put_back
from hamgr.core.events import ArbiterAnswered, ArbiterLost
from hamgr.core.messages import ArbiterReport, ClusterState

if TYPE_CHECKING:
    from hamgr.sim.machine import Process
    from hamgr.sim.world import World

WHO = "arbiter"
HOME, STRANGER = "a1", "57"
"""The identities of the arbiter's store at first, and of the store of another one, which answers by mistake."""
STALL = 1.5
"""Seconds until a session that nothing comes through is seen to be broken, at most."""

Call = Callable[[float], list[ArbiterEffect]]


class Stranger(ClusterArbiter):
    """It voted in this cluster once, and knows of no other store: the nodes alone must see that it is the wrong one."""

    def _ours(self, report: ArbiterReport) -> bool:
        return True


@dataclass(slots=True)
class Kept:
    """A store. revision: of its book; a write of a shared one is refused if it is another than its writer saw. copies:
    backups of it, one of each moment."""

    store: str = HOME
    book: VoteBook = VoteBook()
    revision: int = 0
    shared: bool = False
    copies: list[VoteBook] = field(default_factory=lambda: [VoteBook()])

    def put(self, book: VoteBook, seen: int) -> bool:
        if self.shared and seen != self.revision:
            return False
        self.lay(book)
        self.copies.append(book)
        return True

    def lay(self, book: VoteBook) -> None:
        """By a human's hand."""
        self.book = book
        self.revision += 1


class Arbitration:
    """The third host. Sessions keep the order of what they carry; a cut one stalls, then breaks.

    Several processes may share a store (etcd): then each looks the book up before each call, and hears what its own
    nodes report alone. (Real ones pass that on to each other; here it is worse.)
    """

    def __init__(self, world: World, kept: Kept | None = None, who: str = WHO) -> None:
        self._world = world
        self.kept = kept or Kept()
        self._who = who
        self._arbiter: ClusterArbiter | None = None
        self._known = VoteBook()
        self._revision = 0
        self._life = 0
        self._calls: deque[Call] = deque()
        self._busy = False
        self._storing: VoteBook | None = None
        self._timer = 0
        self.store_fails = False
        self._cut: set[str] = set()
        self._sessions: dict[str, Process] = {}
        self._up_at: dict[Process, float] = {}
        self._down_at: dict[Process, float] = {}

    # -- the host -----------------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        return self._arbiter is not None

    @property
    def store(self) -> str:
        return self.kept.store

    @property
    def voter(self) -> bool:
        return self.kept.book.voter

    @property
    def newest_state(self) -> ClusterState:
        """What is on its disk."""
        return self.kept.book.state

    def start(self) -> None:
        if self._arbiter is None:
            self._life += 1
            make = Stranger if self.store == STRANGER else ClusterArbiter
            self._arbiter = make(self._read(), self.store)
            self._note("starts")

    def crash(self) -> None:
        if self._arbiter is None:
            return
        if self._storing is not None and self._world.arbiter_rng.random() < 0.5:
            self.kept.put(self._storing, self._revision)
        self._storing = None
        self._arbiter = None
        self._calls.clear()
        self._busy = False
        self._note("is dead")
        self._sessions.clear()
        for machine in self._world.machines.values():
            if self._world.arbiter_of(machine.name) is self:
                self._break(machine.name, "the connection was refused")

    def wipe(self) -> None:
        """Its record is lost, and a human brings the store's identity back."""
        assert self._arbiter is None
        self.kept.lay(VoteBook())

    def restore(self) -> None:
        """Its record is lost; a backup of any earlier moment takes its place, as by `hamgr-arbiter restore`."""
        assert self._arbiter is None
        self.kept.lay(put_back(self._world.arbiter_rng.choice(self.kept.copies), VoteBook()))

    def replace(self) -> None:
        """A new store takes the place of this one, which nobody ever sees again."""
        self.wipe()
        self.kept.store = f"{int(self.store, 16) + 1:x}"

    def _read(self) -> VoteBook:
        self._known, self._revision = self.kept.book, self.kept.revision
        return self._known

    def _note(self, text: str) -> None:
        self._world.trace.note(self._world.engine.now, self._who, text)

    def _call(self, life: int, call: Call) -> None:
        if self._arbiter is None or life != self._life:
            return
        self._calls.append(call)
        self._next()

    def _next(self) -> None:
        while self._calls and not self._busy and self._arbiter is not None:
            call = self._calls.popleft()
            if self.kept.shared:
                self._busy = True
                self._world.engine.after(self._disk_time(), self._looked_up, self._life, call)
            else:
                self._perform(call(self._world.engine.now))

    def _looked_up(self, life: int, call: Call) -> None:
        """The book as it is now, which is after what the call is about came in."""
        arbiter = self._arbiter
        if arbiter is None or life != self._life:
            return
        self._busy = False
        if self.kept.revision != self._revision:
            arbiter.restore(self._read())
        self._perform(call(self._world.engine.now))
        self._next()

    def _disk_time(self) -> float:
        low, high = self._world.conditions.disk
        return low if low == high else self._world.arbiter_rng.uniform(low, high * 5)

    def _perform(self, effects: list[ArbiterEffect]) -> None:
        for index, effect in enumerate(effects):
            match effect:
                case Store(book):
                    self._busy = True
                    self._storing = book
                    self._world.engine.after(self._disk_time(), self._stored, self._life, book, effects[index + 1 :])
                    return
                case Answer(node, answer):
                    self._world.checker.arbiter_answers(self.store, answer)
                    self._answer(node, ArbiterAnswered(answer))
                case WakeAt(time):
                    self._timer += 1
                    self._world.engine.at(time, self._tick, self._life, self._timer)
                case Explain(text):
                    self._note(text)

    def _tick(self, life: int, timer: int) -> None:
        if timer == self._timer:
            arbiter = self._arbiter
            if arbiter is not None:
                self._call(life, arbiter.tick)

    def _stored(self, life: int, book: VoteBook, behind: list[ArbiterEffect]) -> None:
        arbiter = self._arbiter
        if arbiter is None or life != self._life:
            return
        self._busy = False
        self._storing = None
        rng, fails = self._world.arbiter_rng, self._world.conditions.store_fails
        if self.store_fails or (fails and rng.random() < fails):
            chance, seen = rng.random(), self._revision
            if chance < 0.5:
                self.kept.put(book, seen)
            elif chance < 0.7 and self.kept.shared:
                # A request that was given up may be carried out yet, if nobody wrote before.
                self._world.engine.after(rng.uniform(0.0, 3.0), self._put_late, book, seen)
            self._unsure(arbiter)
        elif self.kept.put(book, self._revision):
            self._known, self._revision = book, self.kept.revision
            self._perform(behind)
        else:
            self._unsure(arbiter)
        self._next()

    def _put_late(self, book: VoteBook, seen: int) -> None:
        self.kept.put(book, seen)

    def _unsure(self, arbiter: ClusterArbiter) -> None:
        self._note("could not store its vote")
        arbiter.restore(self._known)
        arbiter.restore(self._read())

    # -- the sessions -------------------------------------------------------------------------------------------

    def cut(self, node: str) -> None:
        self._cut.add(node)
        self._world.engine.after(STALL * self._world.arbiter_rng.random(), self._stalled, node)

    def heal(self, node: str = "") -> None:
        self._cut -= {node} if node else set(self._cut)

    def _stalled(self, node: str) -> None:
        if node in self._cut:
            self._break(node, "the session does not answer")

    def _break(self, node: str, reason: str) -> None:
        process = self._world.machines[node].process
        if process is not None:
            process.post(ArbiterLost(reason))
        self._lost(node)

    def _lost(self, node: str) -> None:
        arbiter = self._arbiter
        if arbiter is not None:
            self._call(self._life, lambda now: arbiter.lost(now, node))

    def dismiss(self, node: str) -> None:
        """The node turns to another arbiter."""
        self._sessions.pop(node, None)
        self._break(node, "it turned to another address")

    def process_ended(self, process: Process) -> None:
        self._up_at.pop(process, None)
        self._down_at.pop(process, None)
        self._world.engine.after(self._delay(), self._lost, process.machine.name)

    def _delay(self) -> float:
        conditions, rng = self._world.conditions, self._world.arbiter_rng
        low, high = conditions.latency
        delay = low if low == high else rng.uniform(low, high)
        if conditions.tail and rng.random() < conditions.tail:
            delay += rng.random() * conditions.tail_time
        return delay

    def report(self, process: Process, report: ArbiterReport) -> None:
        node, engine = process.machine.name, self._world.engine
        if self._arbiter is None:
            engine.after(0.01, process.post, ArbiterLost("the connection was refused"))
            return
        if node in self._cut:
            return
        at = max(engine.now + self._delay(), self._up_at.get(process, 0.0))
        self._up_at[process] = at
        engine.at(at, self._reported, self._life, process, report)

    def _reported(self, life: int, process: Process, report: ArbiterReport) -> None:
        node = process.machine.name
        if process.alive:
            self._sessions[node] = process
        arbiter = self._arbiter
        if arbiter is not None:
            self._call(life, lambda now: arbiter.report(now, node, process.incarnation, report))

    def _answer(self, node: str, event: ArbiterAnswered) -> None:
        process = self._sessions.get(node)
        if process is None or not process.alive or node in self._cut or self._world.arbiter_of(node) is not self:
            return
        at = max(self._world.engine.now + self._delay(), self._down_at.get(process, 0.0))
        self._down_at[process] = at
        self._world.engine.at(at, process.post, event)
