"""One machine: its power, clock, disk, watchdog and groups, and the daemon that lives on it for a while."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from hamgr.core.cluster import ClusterSpec, GroupState
from hamgr.core.effects import (
    Announce,
    AppliedRecord,
    AskArbiter,
    BringConfig,
    Effect,
    Exit,
    FeedWatchdog,
    Fence,
    Persist,
    Probe,
    Record,
    Reply,
    SelfFence,
    Send,
    StagedRecord,
    StartGroup,
    StopGroup,
    WakeAt,
)
from hamgr.core.events import (
    ConfigStaged,
    Event,
    FailbackClosed,
    GuardChanged,
    HealthChanged,
    LinkChanged,
    Paused,
    Persisted,
    PersistFailed,
    ResourceReported,
    ShutOut,
    Tick,
)
from hamgr.core.messages import Packet
from hamgr.core.node import Node
from hamgr.sim.configs import FIRST
from hamgr.sim.disk import Disk
from hamgr.sim.engine import Clock
from hamgr.sim.services import Service

if TYPE_CHECKING:
    from hamgr.sim.world import World

PAUSE_THRESHOLD = 0.050
"""As the daemon's: lateness in seconds (or half a keepalive, if that is more) that the node is told of."""

TIMER_LATENESS = 1e-6
"""A timer never fires before its time, whatever the rounding between two clocks."""

UNEDITED = -1.0

Work = Callable[[], None]


class Process:
    """One life of the daemon: hosts a `Node` as `hamgr.host` does, with the same order of effects and barriers."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.world = machine.world
        self.incarnation: int = machine.disk.next_incarnation()
        self.node = Node(
            machine.spec,
            machine.name,
            self.incarnation,
            machine.disk.durable,
            machine.local_now(),
            machine.file,
        )
        self.born = self.node.started_at
        self.requests = itertools.count(1)
        """Of operators: each life begins anew, as `hamgr.host` does."""
        self.paused = False
        self.muted = False
        self.ended = False
        self._waiting: deque[Work] = deque()
        self._writes: deque[tuple[Record, Callable[[str], None]]] = deque()
        self._wake_at = float("inf")
        self._timer = 0
        self._threshold = max(PAUSE_THRESHOLD, self.world.spec.timing.keepalive / 2)

    @property
    def alive(self) -> bool:
        return self.machine.process is self

    def do(self, work: Work) -> None:
        """Have the daemon's loop do this: now, or when it runs again; never if it doesn't."""
        if not self.alive:
            return
        if self.paused:
            self._waiting.append(work)
        else:
            work()

    def resume(self) -> None:
        self.paused = False
        while self._waiting and self.alive and not self.paused:
            self._waiting.popleft()()

    def post(self, event: Event) -> None:
        self.do(lambda: self._step(event))

    def _step(self, event: Event) -> None:
        now = self.machine.local_now()
        late = now - self._wake_at
        if late > self._threshold:
            self._wake_at = float("inf")
            self._perform(self.node.step(now, Paused(late)))
        self._perform(self.node.step(now, event))
        self.world.trace.digest(self.world.engine.now, self.machine.name, type(event).__name__)

    def group_reported(self, group: str, state: GroupState, detail: str) -> None:
        self.note(f"{group} is {state.value}{': ' + detail if detail else ''}")
        self.post(ResourceReported(group, state, detail))

    def note(self, text: str) -> None:
        self.world.trace.note(self.world.engine.now, self.machine.name, text)

    def tell(self, text: str) -> None:
        self.world.trace.tell(self.world.engine.now, self.machine.name, text)

    # -- effects ------------------------------------------------------------------------------------------------

    def _perform(self, effects: list[Effect]) -> None:
        for index, effect in enumerate(effects):
            if not self.alive:
                return
            if isinstance(effect, Persist):
                self._persist(effect, effects[index + 1 :])
                return
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        machine, world = self.machine, self.world
        match effect:
            case Send(to, to_incarnation, body, number):
                if not self.muted:
                    world.checker.sends(self, to, body)
                    world.network.send(Packet(machine.name, self.incarnation, to, to_incarnation, body, number))
            case WakeAt(time):
                self._wake_at = time
                self._timer += 1
                world.engine.at(machine.clock.true(time) + TIMER_LATENESS, self._tick, self._timer)
            case AskArbiter(report):
                arbitration = world.arbiter_of(self.machine.name)
                if not self.muted and arbitration is not None:
                    arbitration.report(self, report)
            case BringConfig(to, life, digest):
                if not self.muted:
                    world.configs.bring(self, to, life, digest)
            case Announce():
                world.checker.announces(self, effect)
                wall = world.engine.now + machine.wall_offset
                world.trace.announce(world.engine.now, wall, machine.name, effect)
            case StartGroup(group):
                self.note(f"start of {group} begins")
                world.checker.touches(self, group)
                machine.services[group].start(self)
            case StopGroup(group):
                self.note(f"stop of {group} begins")
                world.checker.touches(self, group)
                machine.services[group].stop(self)
            case Probe(group):
                machine.services[group].probe(self)
            case Fence():
                world.checker.fences(self, effect)
                world.power.fence(self, effect)
            case Reply():
                world.operators.replied(self, effect)
            case SelfFence():
                self.tell("is silent from now on")
                self.muted = True
                machine.feed_watchdog(machine.local_now())
            case FeedWatchdog(until):
                machine.feed_watchdog(until)
            case Exit(reason, restart):
                self.tell(f"the daemon ends: {reason}")
                world.checker.exits(self)
                machine.exited()
                if restart:
                    world.restart(machine)
            case _:
                raise AssertionError(f"no such effect: {effect!r}")

    def _tick(self, timer: int) -> None:
        if timer == self._timer:
            self.post(Tick())

    def _persist(self, persist: Persist, behind: list[Effect]) -> None:
        def done(reason: str) -> None:
            if reason:
                self._step(PersistFailed(persist.serial, reason))
                return
            self.world.checker.persisted(self, persist.record)
            self._perform(behind)
            if self.alive:
                self._step(Persisted(persist.serial))

        self._queue(persist.record, done)

    def _queue(self, record: Record, done: Callable[[str], None]) -> None:
        self._writes.append((record, done))
        if len(self._writes) == 1:
            self._write()

    def stage(self, digest: str, idle: tuple[str, ...]) -> None:
        """Put the text of a configuration on disk, and say so to the node."""

        def done(reason: str) -> None:
            if not reason:
                self._step(ConfigStaged(digest, idle))

        self.do(lambda: self._queue(StagedRecord(digest, idle), done))

    def _write(self) -> None:
        self.world.engine.after(self.machine.disk.latency(), self._written)

    def _written(self) -> None:
        if not self.alive:
            return
        record, done = self._writes[0]
        reason = self.machine.disk.write(record)

        def finished() -> None:
            self._writes.popleft()
            if self._writes:
                self._write()
            done(reason)

        self.do(finished)

    def torn_write(self) -> None:
        """This life ends now; the record that was just being written is on disk, or not."""
        if self._writes:
            self.machine.disk.torn(self._writes[0][0])


class Machine:
    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.disk = Disk(world.conditions, world.disk_rng)
        self.file = FIRST
        """The digest of its configuration file."""
        self.watchdog_by_hand: float | None = UNEDITED
        """What somebody wrote into that file as the time-out of its own watchdog; the next daemon reads it."""
        self.services = {group.name: Service(self, group) for group in world.spec.groups}
        self.process: Process | None = None
        self.powered = False
        self.held_off = False
        """An operator confirmed that it is off, and sees to it that it stays off until the answer came."""
        self.clock = Clock(0.0, 0.0, 1.0)
        self.boots = 0
        self.wall_offset = 0.0
        """Seconds by which somebody set the clock that shows the time of day, which is for people alone."""
        self._watchdog_timeout = world.spec.node(name).watchdog_timeout
        """Of the one that the guard has."""
        self._foreign = False
        """The guard is that of an earlier life, with another watchdog, and waits for its time."""
        self._fed = 0
        self._fed_until = float("inf")
        """When the guard feeds its watchdog for the last time, in true time."""
        self._armed = False
        self._guarded = True
        self._health = 0
        self._closed: frozenset[str] = frozenset()
        self._links_down: dict[str, None] = {}
        self.lease_ended = float("-inf")
        """When the last lease of its past lives ended or would have ended, in true time."""

    @property
    def spec(self) -> ClusterSpec:
        """The cluster as its file has it."""
        spec = self.world.configs.specs[self.file]
        if self.watchdog_by_hand is UNEDITED or self.name not in spec.names:
            return spec
        edited = [
            replace(node, watchdog_timeout=self.watchdog_by_hand) if node.name == self.name else node
            for node in spec.nodes
        ]
        return replace(spec, nodes=tuple(edited))

    def put_in_place(self) -> None:
        """What a daemon does first: a committed configuration that is not in the file yet is put there."""
        pending = self.disk.durable.pending
        if pending is not None:
            self.world.trace.tell(self.world.engine.now, self.name, f"has configuration {pending.version} in its file")
            self.file = pending.digest
            self.disk.durable = self.disk.durable.apply(AppliedRecord(pending.version))

    def local_now(self) -> float:
        return self.clock.local(self.world.engine.now)

    @property
    def running(self) -> bool:
        return self.process is not None and not self.process.paused

    def power_on(self) -> None:
        if self.powered or self.held_off:
            return
        rng, world = self.world.machine_rng, self.world
        drift = world.conditions.drift
        reading = rng.uniform(5.0, 50.0) if drift else 10.0
        self.clock = Clock(world.engine.now, reading, 1.0 + rng.uniform(-drift, drift))
        self.powered = True
        self.boots += 1
        self._armed = False
        world.trace.tell(world.engine.now, self.name, "power on")

    def power_off(self, why: str) -> None:
        if not self.powered:
            return
        self.world.trace.tell(self.world.engine.now, self.name, f"power off: {why}")
        self.kill()
        self.powered = False
        self._armed = False
        for service in self.services.values():
            service.power_lost()

    def start_daemon(self) -> bool:
        """Start the daemon; False if there is one, or it can't be started now (no power, no room for its lock)."""
        if not self.powered or self.process is not None or self.disk.full:
            return False
        self.put_in_place()
        if self.name not in self.spec.names:
            return False
        process = Process(self)
        self.process = process
        self._has_guard(process.node.spec.node(self.name).watchdog_timeout)
        process.note(f"the daemon starts, life {process.incarnation:x}")
        if self._health:
            process.post(HealthChanged(self._health))
        if self._foreign or not self._guarded:
            process.post(GuardChanged("the last guard does not give way" if self._foreign else "its guard is dead"))
        if self._closed:
            process.post(FailbackClosed(self._closed))
        for link in self._links_down:
            process.post(LinkChanged(link, False, "it has no carrier"))
        process.post(Tick())
        return True

    def set_health(self, score: int) -> None:
        """What the pinger finds from now on."""
        self._health = score
        if self.process is not None:
            self.process.post(HealthChanged(score, "some ping targets answer"))

    def set_failback(self, group: str, is_open: bool) -> None:
        self._closed = self._closed - {group} if is_open else self._closed | {group}
        if self.process is not None:
            self.process.post(FailbackClosed(self._closed))

    def set_link(self, link: str, up: bool) -> None:
        """What the kernel says of a link from now on."""
        if up:
            self._links_down.pop(link, None)
        else:
            self._links_down[link] = None
        if self.process is not None:
            self.process.post(LinkChanged(link, up, "it has its carrier" if up else "it has no carrier"))

    def kill(self) -> None:
        """kill -9: the daemon is gone, its groups stay as they are."""
        process = self.process
        if process is None:
            return
        process.torn_write()
        self._forget_process(process)
        self.world.trace.note(self.world.engine.now, self.name, "the daemon is dead")

    def exited(self) -> None:
        assert self.process is not None
        self._armed = False
        self._forget_process(self.process)

    def _forget_process(self, process: Process) -> None:
        self.lease_ended = max(self.lease_ended, self.lease_end())
        self.process = None
        self.world.operators.process_ended(process)
        for arbitration in (self.world.arbitration, self.world.second, self.world.stranger):
            if arbitration is not None and (arbitration.up or arbitration is not self.world.second):
                arbitration.process_ended(process)

    def lease_end(self) -> float:
        """The end of the last lease that this machine ever held, in true time."""
        process = self.process
        if process is None or process.node.leases.until <= process.born:
            return self.lease_ended
        return max(self.lease_ended, self.clock.true(process.node.leases.until))

    def pause(self, duration: float) -> None:
        process = self.process
        if process is not None and not process.paused:
            process.paused = True
            self.world.trace.note(self.world.engine.now, self.name, f"paused for {duration:g} s")
            self.world.engine.after(duration, self._resume, process)

    def freeze(self, duration: float) -> None:
        """As a pause, but the machine's own clock stands still meanwhile: nothing tells the daemon of it."""
        if self.running:
            self.clock.stand_still(self.world.engine.now, duration)
            self.pause(duration)

    def _resume(self, process: Process) -> None:
        if process.alive and process.paused:
            process.note("goes on")
            process.resume()

    @property
    def hold_time(self) -> float | None:
        """Seconds from the end of its lease until its watchdog has reset it; None when it has none."""
        spec = self.process.node.spec if self.process is not None else self.spec
        if self._watchdog_timeout is None:
            return None
        return sum(group.stop_timeout for group in spec.groups) + self._watchdog_timeout

    # -- the watchdog -------------------------------------------------------------------------------------------

    def _has_guard(self, timeout: float | None) -> None:
        """A daemon starts and finds the last guard, or has one of its own."""
        differs = timeout != self._watchdog_timeout
        self._foreign = self._armed and differs and self._fed_until != float("inf")
        if differs and not self._foreign:
            self._armed = False
            self._watchdog_timeout = timeout

    def feed_watchdog(self, until: float) -> None:
        """The guard, which outlives the daemon, feeds it until then; a last time right before it."""
        timeout = self._watchdog_timeout
        now = self.world.engine.now
        starves = self._armed and self._fed_until < now and until < self.local_now()
        if timeout is None or not self._guarded or self._foreign or starves:
            return
        self._armed = True
        self._fed += 1
        self._fed_until = float("inf")
        if until != float("inf"):
            self._fed_until = max(now, self.clock.true(until))
            self.world.engine.at(self._fed_until + timeout, self._hungry, self._fed, self.boots)

    def set_guard(self, there: bool) -> None:
        """The guard dies and can't be started again, or comes back: nobody else feeds the watchdog."""
        if there == self._guarded:
            return
        if not there and self._armed:
            self.feed_watchdog(self.local_now())
        self._guarded = there
        if self.process is not None and not self._foreign:
            self.process.post(GuardChanged("" if there else "its guard is dead"))

    def shut_out(self) -> None:
        if self.process is not None:
            self.process.post(ShutOut("its key on the disk is gone"))

    def _hungry(self, fed: int, boot: int) -> None:
        if self._armed and fed == self._fed and boot == self.boots and self.powered:
            self.world.trace.counts["watchdog-reset"] += 1
            self.power_off("its watchdog was not fed")
            self.world.repower(self)
