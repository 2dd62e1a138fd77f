"""One cluster at the arbiter: its arbitration, its sessions, and the order of what happens to it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from arbiter.decide import Answer, ArbiterEffect, ClusterArbiter, Explain, VoteBook, WakeAt
from arbiter.decide import Store as StoreEffect
from arbiter.keeper import Keeper
from arbiter.store import StoreError
from hamgr.core.messages import ArbiterAnswer, ArbiterReport, Packet
from hamgr.links.arbiter import ARBITER, LINK
from hamgr.links.codec import Codec
from hamgr.links.stream import Outgoing, log_end

log = logging.getLogger("hamgr-arbiter")

AGAIN = 1.0
"""Seconds until a record that could not be read is tried again, if no report comes first."""

Call = Callable[[ClusterArbiter, float], list[ArbiterEffect]]


class NodeSession:
    """One node's stream. incarnation: of the node's life that speaks on it. closing: why we end it."""

    def __init__(self, node: str, incarnation: int) -> None:
        self.node = node
        self.incarnation = incarnation
        self.outgoing = Outgoing()
        self.closing: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def end(self, reason: str) -> None:
        if not self.closing.done():
            self.closing.set_result(reason)


class ClusterDesk:
    """Performs one call after the other; a vote is kept before anything behind it is said.

    What waits while a vote is written is kept to the newest of its kind: a report says all that the older ones of the
    same life said, and a slow disk has no queue grow.
    """

    def __init__(
        self, cluster: str, codec: Codec, keeper: Keeper, explained: Callable[[str, Explain], None] | None = None
    ) -> None:
        """explained: hears of each explanation, and of what cluster it is."""
        self.codec = codec
        self._cluster = cluster
        self._keeper = keeper
        self._explained = explained
        self._kept = VoteBook()
        self._arbiter: ClusterArbiter | None = None
        self._sessions: dict[str, NodeSession] = {}
        self._waiting: dict[tuple[str, str, int], Call] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._worker: asyncio.Task[None] | None = None
        self._trouble = ""
        self._unsaved = ""

    async def idle(self) -> None:
        """Until nothing is being written or read."""
        while self._worker is not None:
            await asyncio.wait({self._worker})

    # -- what comes in ------------------------------------------------------------------------------------------

    def report(self, session: NodeSession, report: ArbiterReport) -> None:
        node, life = session.node, session.incarnation
        self._sessions[node] = session
        self._enter(("report", node, life), lambda arbiter, now: arbiter.report(now, node, life, report))

    def greet(self, session: NodeSession) -> None:
        """Say that we are here and nothing else: an answer to no report."""
        self._send(session, ArbiterAnswer(echo_us=0, voter=False, epoch=0))

    def ended(self, session: NodeSession) -> None:
        node = session.node
        if self._sessions.get(node) is session:
            del self._sessions[node]
            self._enter(("lost", node, 0), lambda arbiter, now: arbiter.lost(now, node))

    def _tick(self) -> None:
        self._timer = None
        self._enter(("tick", "", 0), lambda arbiter, now: arbiter.tick(now))

    def _enter(self, what: tuple[str, str, int], call: Call) -> None:
        self._waiting.pop(what, None)  # the newer one stands where it came
        self._waiting[what] = call
        if self._worker is not None:
            return
        if self._arbiter is None or not self._keeper.alone:
            self._work([])
            return
        if behind := self._serve(self._arbiter, self._waiting):
            self._work(behind)

    # -- one after the other ------------------------------------------------------------------------------------

    def _serve(self, arbiter: ClusterArbiter, waiting: dict[tuple[str, str, int], Call]) -> list[ArbiterEffect]:
        """Make the calls that wait; returns the effects that have a vote to be written in front."""
        while waiting:
            call = waiting.pop(next(iter(waiting)))
            if behind := self._perform(call(arbiter, time.monotonic())):
                return behind
        return []

    def _perform(self, effects: list[ArbiterEffect]) -> list[ArbiterEffect]:
        for index, effect in enumerate(effects):
            match effect:
                case StoreEffect():
                    return effects[index:]
                case Answer(node, answer):
                    session = self._sessions.get(node)
                    if session is not None:
                        self._send(session, answer)
                case WakeAt(at):
                    if self._timer is not None:
                        self._timer.cancel()
                    loop = asyncio.get_running_loop()
                    self._timer = loop.call_later(max(0.0, at - time.monotonic()), self._tick)
                case Explain(text, sides=sides):
                    if self._explained is not None:
                        self._explained(self._cluster, effect)
                    told = "; ".join(f"{side.claimant}: {side.facts}" for side in sides)
                    log.info("cluster %s: %s%s", self._cluster, text, f" ({told})" if told else "")
        return []

    def _work(self, effects: list[ArbiterEffect]) -> None:
        """Go on in a task of its own, until nothing waits."""
        self._worker = asyncio.create_task(self._finish(effects), name=f"the votes of cluster {self._cluster}")
        self._worker.add_done_callback(log_end)

    async def _finish(self, effects: list[ArbiterEffect]) -> None:
        try:
            ready: dict[tuple[str, str, int], Call] = {}
            while effects or ready or self._waiting:
                if not effects and not ready:
                    # What comes while we look is for the next look: an answer says what was true after its report came.
                    ready, self._waiting = self._waiting, ready
                arbiter = await self._up_to_date()
                effects = effects or self._serve(arbiter, ready)
                if effects:
                    store, *effects = effects
                    assert isinstance(store, StoreEffect)
                    effects = self._perform(effects) if await self._save(arbiter, store.book) else []
            if self._trouble:
                self._trouble = ""
                log.info("cluster %s: served again", self._cluster)
        except StoreError as error:
            self._unserved(str(error))
        finally:
            self._worker = None

    async def _up_to_date(self) -> ClusterArbiter:
        """The arbitration, with a book that was the kept one a moment after this call."""
        if self._arbiter is None:
            self._kept = await self._keeper.load(self._cluster)
            self._arbiter = ClusterArbiter(self._kept, self._keeper.identity)
        elif not self._keeper.alone and (changed := await self._keeper.news(self._cluster)) is not None:
            self._kept = changed
            self._arbiter.restore(changed)
        return self._arbiter

    async def _save(self, arbiter: ClusterArbiter, book: VoteBook) -> bool:
        try:
            await self._keeper.save(self._cluster, book)
        except StoreError as error:
            log.error("cluster %s: no vote, it can't be written: %s", self._cluster, error)
            self._unsaved = str(error)
            # Its outcome is unknown: what is kept is looked up before anything else.
            arbiter.restore(self._kept)
            self._kept = await self._keeper.load(self._cluster)
            arbiter.restore(self._kept)
            return False
        self._kept = book
        self._unsaved = ""
        return True

    def _unserved(self, error: str) -> None:
        """Nothing can be said without the record: the nodes are better off with no session than with a silent one."""
        if error != self._trouble:
            self._trouble = error
            log.error("cluster %s: not served: %s", self._cluster, error)
        self._waiting.clear()
        for session in self._sessions.values():
            session.end(f"the arbiter can't read its record: {error}")
        if not self._keeper.alone:
            # While nobody could be served here, others may have heard what we did not: nobody's silence is known.
            self._arbiter = None
            if self._timer is not None:
                self._timer.cancel()
        elif self._arbiter is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(AGAIN, self._tick)

    # -- what goes out ------------------------------------------------------------------------------------------

    def _send(self, session: NodeSession, answer: ArbiterAnswer) -> None:
        packet = Packet(ARBITER, self.codec.incarnation, session.node, session.incarnation, answer)
        session.outgoing.put(self.codec.seal(LINK, packet))

    @property
    def trouble(self) -> str:
        """Why the record could not be read or written when it was last needed; "" if it could."""
        return self._trouble or self._unsaved

    def facts(self) -> list[dict[str, object]]:
        """Each node as it was heard since our start, for an operator."""
        if self._arbiter is None:
            return []
        return [
            {
                "node": view.node,
                "connected": view.connected,
                "heard_ago": round(view.heard_ago, 3),
                "epoch": view.report.epoch,
                "coordinator": view.report.coordinator,
                "claim": view.report.claim,
                "alive": list(view.report.alive),
            }
            for view in self._arbiter.describe(time.monotonic())
        ]

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
