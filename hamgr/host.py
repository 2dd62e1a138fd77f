"""Joins one `Node` to the world: events in, effects out, nothing decided here.

Everything happens in one asyncio loop; `post` never blocks. Disk writes, fence agents and resource agents report
back with events of their own.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from hamgr.admin.events import EventLog
from hamgr.config.model import FenceDeviceConfig
from hamgr.core.cluster import GroupState
from hamgr.core.effects import (
    Announce,
    AskArbiter,
    BringConfig,
    Effect,
    Exit,
    FeedWatchdog,
    Fence,
    FenceRecord,
    Kind,
    Persist,
    Probe,
    Reply,
    SelfFence,
    Send,
    StartGroup,
    StopGroup,
    WakeAt,
)
from hamgr.core.events import (
    ArbiterAnswered,
    ArbiterLost,
    Event,
    FailbackClosed,
    FenceFinished,
    FenceOutcome,
    GroupUnready,
    GuardChanged,
    HealthChanged,
    LinkChanged,
    OperatorAsked,
    PacketReceived,
    Paused,
    Persisted,
    PersistFailed,
    ResourceReported,
    ShutOut,
    Tick,
    Verb,
)
from hamgr.core.messages import ArbiterAnswer, ArbiterReport, Body, Packet
from hamgr.core.node import Node
from hamgr.core.status import Balance, FenceDeviceStatus, GuardStatus, Status
from hamgr.fencing.runner import FenceResult
from hamgr.lateness import Lateness
from hamgr.store import Writer

log = logging.getLogger("hamgr")

LATE_SHARE = 4
"""A loop that was late by more than a quarter of a keepalive is told of: the next step is a node that is suspected."""

LATE_REVIEW = 60.0
"""Seconds between two announcements of that."""

PAUSE_THRESHOLD = 0.050
"""Seconds of lateness (or half a keepalive, if that is more) from which on the node is told that it was paused."""

_LEVELS = {
    Kind.NODE_DEAD: logging.WARNING,
    Kind.NODE_SUSPECTED: logging.WARNING,
    Kind.NODE_OUTSIDE: logging.WARNING,
    Kind.LINK_DOWN: logging.WARNING,
    Kind.ARBITER_LOST: logging.WARNING,
    Kind.ARBITER_CHANGED: logging.WARNING,
    Kind.QUORUM_LOST: logging.ERROR,
    Kind.FENCE_FAILED: logging.ERROR,
    Kind.FENCE_LIMITED: logging.ERROR,
    Kind.POWER_ON_FAILED: logging.ERROR,
    Kind.FENCE_DEVICE_FAILED: logging.ERROR,
    Kind.GROUP_FAILED: logging.ERROR,
    Kind.ADDRESS_CONFLICT: logging.ERROR,
    Kind.SPLIT_BRAIN: logging.CRITICAL,
    Kind.DISK_FAILED: logging.ERROR,
    Kind.SELF_FENCE: logging.CRITICAL,
    Kind.PAUSED: logging.WARNING,
    Kind.LATE: logging.WARNING,
    Kind.WARNING: logging.WARNING,
    Kind.TAKEOVER_WAITS: logging.WARNING,
    Kind.TAKEOVER_ASKED: logging.WARNING,
}


class Sender(Protocol):
    """The links of this node."""

    def send(self, to: str, to_incarnation: int, body: Body, number: int = 0) -> None: ...

    def mute(self) -> None: ...


class Arbitration(Protocol):
    """The session with the arbiter."""

    def send(self, report: ArbiterReport) -> None: ...

    def mute(self) -> None: ...


class Fencer(Protocol):
    async def fence(self, node: str, level: int) -> FenceResult: ...


class Guard(Protocol):
    """Who ends what this node runs when this daemon can't, and feeds its watchdog."""

    def feed(self, until: float) -> None: ...

    def act(self, reason: str) -> None: ...

    def release(self) -> None: ...

    def status(self) -> GuardStatus: ...


class GroupControl(Protocol):
    """Performs the operations of one group and reports each one's end."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def probe(self) -> None: ...


@dataclass(frozen=True, slots=True)
class World:
    """What a node acts on."""

    links: Sender
    arbiter: Arbitration | None
    fencer: Fencer
    groups: Mapping[str, GroupControl]
    writer: Writer
    fence_noted: Callable[[FenceRecord], None] | None = None
    """Told of each fencing that begins, and of each result."""
    guard: Guard | None = None
    bring: Callable[[str, int, str], None] | None = None
    """Bring a node (name, life) the configuration with this digest (`hamgr.admin.push`)."""


class Host:
    """Runs a node in the current asyncio loop; also what the admin service asks (`hamgr.admin.service.Host`)."""

    def __init__(self, node: Node, events: EventLog, clock: Callable[[], float] = time.monotonic) -> None:
        self.node = node
        self.events = events
        self.ended = asyncio.Event()
        self.restarts = False
        """The daemon ends to start anew."""
        self.broken = False
        self._clock = clock
        self._world: World | None = None
        self._queue: deque[Event] = deque()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at = float("inf")
        self.lateness = Lateness()
        self._review_at = clock() + LATE_REVIEW
        self._threshold = max(PAUSE_THRESHOLD, node.spec.timing.keepalive / 2)
        self._requests = itertools.count(1)
        self._asked: dict[int, asyncio.Future[tuple[bool, str]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unready: dict[str, dict[str, tuple[str, bool]]] = {}
        self.alert_faults: Callable[[], tuple[str, ...]] = tuple
        self.fence_devices: Callable[[], tuple[FenceDeviceStatus, ...]] = tuple
        """Asked for the status."""

    def begin(self, world: World) -> None:
        self._world = world
        self.post(Tick())

    # -- events -------------------------------------------------------------------------------------------------

    def post(self, event: Event) -> None:
        """Hand an event to the node; what it causes at once is handled before this returns."""
        self._queue.append(event)
        if self._busy or self._world is None or self.broken:
            return
        self._busy = True
        try:
            while self._queue:
                self._step(self._queue.popleft())
        except Exception:
            # The state that the node is in was held to be impossible: it decides nothing more, and the others fence it.
            log.critical("this is a fault of hamgr; please report it. %s ends now", self.node.name, exc_info=True)
            self.broken = True
            self.ended.set()
        finally:
            self._busy = False

    def _step(self, event: Event) -> None:
        now = self._clock()
        late = now - self._wake_at
        if late > self._threshold:
            # Told before anything else: what piled up meanwhile must not be read as other nodes' silence.
            self._wake_at = float("inf")
            self._perform(self.node.step(now, Paused(late)))
        self._perform(self.node.step(now, event))

    def received(self, link: str, packet: Packet) -> None:
        self.post(PacketReceived(link, packet))

    def link_changed(self, link: str, up: bool, detail: str) -> None:
        self.post(LinkChanged(link, up, detail))

    def health_changed(self, score: int, detail: str, hindrance: str = "") -> None:
        self.post(HealthChanged(score, detail, hindrance))

    def failback_closed(self, groups: frozenset[str]) -> None:
        self.post(FailbackClosed(groups))

    def arbiter_answered(self, answer: ArbiterAnswer, where: str = "") -> None:
        self.post(ArbiterAnswered(answer, where))

    def arbiter_lost(self, reason: str) -> None:
        self.post(ArbiterLost(reason))

    def group_reported(self, group: str, state: GroupState, detail: str) -> None:
        self.post(ResourceReported(group, state, detail))

    def may_mend(self, group: str) -> bool:
        """Asked of the clock, and not of the last step: after a pause nothing may be done before it was noticed."""
        return not self.broken and self.node.may_mend(self._clock(), group)

    def group_unready(self, group: str, resource: str, reason: str, soon: bool) -> None:
        """Why the group can't be started here yet, as one of its resources says; "" when that one has no objection."""
        objections = self._unready.setdefault(group, {})
        objections.pop(resource, None)
        if reason:
            objections[resource] = reason, soon
        reasons = "; ".join(why for why, _ in objections.values())
        self.post(GroupUnready(group, reasons, all(passes for _, passes in objections.values())))

    def guard_changed(self, reason: str) -> None:
        """Why there is no guard; "" when there is one (again)."""
        if reason:
            text = f"nothing guards what {self.node.name} runs: {reason}"
            self._announce(Announce(Kind.WARNING, text, self.node.name))
        self.post(GuardChanged(reason))

    def shut_out(self, reason: str) -> None:
        """A fence device that leaves its victim running has fenced this node."""
        self.post(ShutOut(reason))

    def group_told(self, group: str, kind: Kind, text: str) -> None:
        """A resource of the group has something to say to the operators; it changes nothing."""
        self._announce(Announce(kind, text, self.node.name, group))

    def device_told(self, device: FenceDeviceConfig, kind: Kind, text: str) -> None:
        """What was found when a fence device was tried; it changes nothing."""
        self._announce(Announce(kind, text, device.node, facts={"device": device.name}))

    # -- effects ------------------------------------------------------------------------------------------------

    def _perform(self, effects: list[Effect]) -> None:
        for index, effect in enumerate(effects):
            if isinstance(effect, Persist):
                self._persist(effect, effects[index + 1 :])
                return
            self._do(effect)

    def _persist(self, persist: Persist, behind: list[Effect]) -> None:
        world = self._world
        assert world is not None

        def done(reason: str) -> None:
            record = persist.record
            if isinstance(record, FenceRecord) and world.fence_noted and (record.outcome or not reason):
                world.fence_noted(record)
            if reason:
                self.post(PersistFailed(persist.serial, reason))
                return
            self._perform(behind)
            self.post(Persisted(persist.serial))

        world.writer.write(persist.record, done)

    def _do(self, effect: Effect) -> None:
        world = self._world
        assert world is not None
        match effect:
            case Send(to, to_incarnation, body, number):
                world.links.send(to, to_incarnation, body, number)
            case WakeAt(at):
                self._wake(at)
            case AskArbiter(report):
                if world.arbiter is not None:
                    world.arbiter.send(report)
            case BringConfig(to, life, digest):
                if world.bring is not None:
                    world.bring(to, life, digest)
            case Announce():
                self._announce(effect)
            case StartGroup(group):
                world.groups[group].start()
            case StopGroup(group):
                world.groups[group].stop()
            case Probe(group):
                world.groups[group].probe()
            case Fence():
                self._spawn(self._fence(world.fencer, effect))
            case Reply(request, accomplished, text):
                waiting = self._asked.pop(request, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result((accomplished, text))
            case SelfFence(reason):
                world.links.mute()
                if world.arbiter is not None:
                    world.arbiter.mute()
                log.critical("self-fence: %s; this node is silent now, so that the others fence it", reason)
                if world.guard is not None:
                    world.guard.act(reason)
            case FeedWatchdog(until):
                if world.guard is not None:
                    world.guard.feed(until)
            case Exit(reason, restart):
                if world.guard is not None:
                    world.guard.release()
                log.info("%s", reason)
                self.restarts = restart
                self.ended.set()
            case Persist():
                raise AssertionError("a barrier is handled by _perform")

    def _wake(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wake_at = at
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, at - self._clock()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._clock()
        self.lateness.note(now - self._wake_at)
        if now >= self._review_at:
            self._review_at = now + LATE_REVIEW
            self._review()
        self.post(Tick())

    def _review(self) -> None:
        """Say what heartbeats suffered lately, before it gets worse."""
        worst, keepalive = self.lateness.take_recent_max(), self.node.spec.timing.keepalive
        if worst > keepalive / LATE_SHARE:
            text = (
                f"heartbeats of {self.node.name} left up to {worst * 1000:.0f} ms late in the last minute (keepalive"
                f" {keepalive * 1000:.0f} ms): the machine is overloaded; realtime = true in [cluster] helps"
            )
            self._announce(Announce(Kind.LATE, text, self.node.name, facts={"worst_ms": f"{worst * 1000:.1f}"}))

    async def _fence(self, fencer: Fencer, order: Fence) -> None:
        try:
            result = await fencer.fence(order.node, order.level)
        except OSError as error:
            self.post(FenceFinished(order.fence, order.node, FenceOutcome.FAILED, str(error), 0))
            return
        detail = f"{result.detail} ({result.seconds * 1000:.0f} ms)"
        self.post(FenceFinished(order.fence, order.node, result.outcome, detail, result.attempts))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended_task)

    def _ended_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a fencing ended unexpectedly", exc_info=task.exception())

    def _announce(self, announce: Announce) -> None:
        self.events.append(announce, time.time(), self._clock())
        log.log(_LEVELS.get(announce.kind, logging.INFO), "%s: %s", announce.kind.value, announce.text)

    # -- the administrator --------------------------------------------------------------------------------------

    def missed(self) -> str:
        """The digest of the configuration that the cluster switched to without this node; "" for none."""
        committed = self.node.stored.config
        return committed.digest if self.node.catchup.outdated(committed) else ""

    def active(self, group: str) -> bool:
        """May anything of the group be running here?"""
        return self.node.member.groups[group].active

    def status(self) -> Status:
        found = self.node.status(self._clock())
        guard = self._world.guard.status() if self._world is not None and self._world.guard is not None else None
        warnings = (*found.warnings, *self.alert_faults())
        return replace(found, devices=self.fence_devices(), warnings=warnings, guard=guard)

    def balance(self, scope: tuple[str, ...]) -> Balance | None:
        return self.node.balance(scope)

    async def ask(
        self,
        verb: Verb,
        node: str,
        group: str,
        operator: str,
        config: str = "",
        nodes: tuple[str, ...] = (),
        groups: tuple[str, ...] = (),
    ) -> tuple[bool, str]:
        """Put an operator's request to the node and wait for its answer."""
        request = next(self._requests)
        waiting: asyncio.Future[tuple[bool, str]] = asyncio.get_running_loop().create_future()
        self._asked[request] = waiting
        self.post(OperatorAsked(request, verb, node, group, operator, config, nodes, groups))
        return await waiting

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
