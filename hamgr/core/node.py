"""One node of the cluster as a state machine: `step(now, event)` takes one event and returns effects.

The node composes the parts and carries messages between them; each part decides one thing. Hosts are the daemon and
the simulator. The order of the effects is part of the interface: see `hamgr.core.effects`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection

from hamgr.core.accepting import Accepting
from hamgr.core.arbitration import Arbitration
from hamgr.core.beats import Beats
from hamgr.core.catchup import CatchUp
from hamgr.core.cluster import ClusterSpec
from hamgr.core.coordinator import Coordinator
from hamgr.core.delivery import Delivery
from hamgr.core.durable import Durable
from hamgr.core.effects import (
    Announce,
    Effect,
    FeedWatchdog,
    Kind,
    Record,
    SelfFence,
    Send,
    StandbyRecord,
    StateRecord,
    WakeAt,
)
from hamgr.core.election import Election
from hamgr.core.electorate import ARBITER, Electorate, Electorates
from hamgr.core.events import (
    ArbiterAnswered,
    ArbiterLost,
    ConfigStaged,
    Event,
    FailbackClosed,
    FenceFinished,
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
)
from hamgr.core.learning import Learning
from hamgr.core.leases import Leases
from hamgr.core.leaving import Leaving
from hamgr.core.member import Member
from hamgr.core.membership import Membership, Peer
from hamgr.core.mesh import Mesh
from hamgr.core.messages import (
    Body,
    ClusterState,
    ConfigStamp,
    Farewell,
    FarewellAck,
    Forward,
    ForwardReply,
    Heartbeat,
    LearnReply,
    LearnRequest,
    Order,
    Packet,
    Report,
    Resync,
    RetransmitRequest,
    Stamp,
    Standing,
    ViewUpdate,
    VoteReply,
    VoteRequest,
)
from hamgr.core.override import Override
from hamgr.core.pushing import Pushing
from hamgr.core.quorum import FOREVER
from hamgr.core.records import Records
from hamgr.core.requests import Requests
from hamgr.core.shooting import Shooting
from hamgr.core.status import Balance, Status
from hamgr.core.telling import status_of
from hamgr.core.voters import Voters
from hamgr.core.voting import Voting

MAX_ROUNDS = 16
"""How often one step may go round its own consequences before that counts as a fault of this program."""

REPORT_REFRESH = 5
"""A member repeats its report every so many keepalives, whether or not it changed."""


class Node:
    """The decisions of one node. Every time is of this node's monotonic clock, in seconds."""

    def __init__(
        self, spec: ClusterSpec, name: str, incarnation: int, durable: Durable, now: float, config: str = ""
    ) -> None:
        """config: the digest of the configuration that `spec` comes from; "" when it is no file."""
        assert incarnation > 0, "an incarnation is never 0"
        self.spec = spec
        self.name = name
        self.incarnation = incarnation
        self.config = config
        self.started_at = now
        self.standby = durable.standby
        self.stored = _trusted(spec, durable.state)
        self.stored_us = 0
        """When that came to the disk, in this life."""
        self.membership = Membership(
            name,
            incarnation,
            {peer: spec.links_between(name, peer) for peer in spec.names if peer != name},
            spec.timing,
        )
        self.mesh = Mesh(name, spec.names, spec.timing)
        self.election = Election(spec, name, durable.epoch, durable.voted_for, durable.initialised)
        self.member = Member(name, spec.groups)
        self.member.hands_off = self.stored.maintenance
        self.coordinator: Coordinator | None = None
        self.failback_closed: frozenset[str] = frozenset()
        self.health = 0
        self.hindrance = ""
        """The sum of the weights of the ping targets that answer."""
        self.delivery = Delivery(spec.timing.keepalive)
        self.requests = Requests(self)
        self.voting = Voting(self, now)
        self.arbitration = Arbitration(self)
        self.accepting = Accepting(self)
        self.records = Records(self)
        self.learning = Learning(self, now)
        self.leaving = Leaving(self)
        self.pushing = Pushing(self, durable)
        self.catchup = CatchUp(self)
        self.voters = Voters(self)
        self.override = Override(self)
        self.beats = Beats(self)
        self.shooting = Shooting(self, now)
        self.condemned = ""
        self.unguarded = ""
        """Why nothing would end what runs here if this daemon could not."""
        self.acknowledged: set[str] = set()
        """Peers that an operator confirmed off before anybody was coordinator (two_node)."""
        self.leases = Leases(self, now)
        self.last_order = (0, 0)
        self._next_beat = now
        self._beats = 0
        self.beat_soon = False
        self.report_due = False
        self.dirty = True
        self._wake = float("-inf")
        self._fed_until = FOREVER
        self._started = False
        self._unfinished = durable.fences
        self.out: list[Effect] = []
        self.urgent: list[Effect] = []
        """Effects that say nothing which a barrier of this step guards, and must not wait for a slow disk."""
        self.prompt: list[Effect] = []
        """Announcements, and starts, stops and probes: a start that waited could be overtaken by a later stop."""
        self.now = now
        self._counted: tuple[Electorates, ConfigStamp, int] | None = None
        self._electorates = Electorates()

    # -- the one entry ------------------------------------------------------------------------------------------

    def step(self, now: float, event: Event) -> list[Effect]:
        """Take one event at time `now`; the effects are to be performed in their order."""
        if self.condemned or (now < self._wake and isinstance(event, PacketReceived) and self._is_copy(now, event)):
            return []
        out: list[Effect] = []
        self.out = out
        self.urgent = []
        self.prompt = []
        self.now = now
        if not self._started:
            self._begin(now)
        match event:
            case Tick():
                pass
            case PacketReceived(link, packet):
                self._packet(now, link, packet)
            case ArbiterAnswered(answer, where):
                self.arbitration.answered(now, answer, where)
            case ArbiterLost(reason):
                self.arbitration.lost(reason)
            case FenceFinished():
                self.shooting.finished(now, event)
            case ResourceReported(group, state, detail):
                self.member.reported(now, group, state, detail, self.prompt)
            case OperatorAsked():
                self.requests.asked(now, event)
            case Paused(duration):
                self._paused(now, duration)
            case LinkChanged(link, up, reason):
                kind, what = (Kind.LINK_UP, "works") if up else (Kind.LINK_DOWN, "is down")
                self.tell(kind, f"own link {link} {what}: {reason}", self.name, link=link)
                self.beats.changes(now, self.membership.link_changed(link, up, reason))
            case HealthChanged(score, detail, hindrance):
                self.hindrance = hindrance
                self._health(score, detail)
            case GroupUnready(group, reason, soon):
                self.member.unready(group, reason, soon)
            case GuardChanged(reason):
                self.unguarded = reason
                self.report_due = True
            case ShutOut(reason):
                self._condemn(reason)
                return [*self.urgent, *self.prompt]
            case ConfigStaged():
                self.pushing.staged(event)
            case FailbackClosed(groups):
                self.failback_closed = groups
                self.dirty = True
            case Persisted(serial):
                self.delivery.persisted(serial)
                self.records.persisted(now, serial)
            case PersistFailed(serial, reason):
                self.records.failed(now, serial, reason)
        self._settle(now, event)
        self._ask_again(now)
        self.records.note_barriers(out)
        self.delivery.end_of_step(out)
        return [*self.urgent, *self.prompt, *out]

    def tell(self, kind: Kind, text: str, node: str = "", group: str = "", link: str = "", **facts: str) -> None:
        self.prompt.append(Announce(kind, text, node, group, link, facts))

    def emit(self, effect: Effect) -> None:
        self.out.append(effect)

    def clean(self, now: float, group: str) -> None:
        """Forget a group's failures here."""
        self.member.cleanup(now, group, self.prompt)

    def touch(self) -> None:
        """Something changed that the coordinator's decisions depend on."""
        self.dirty = True

    def _begin(self, now: float) -> None:
        self._started = True
        self.tell(Kind.STARTED, f"{self.name} starts in epoch {self.election.epoch}", self.name)
        for fence in self._unfinished:
            self.tell(
                Kind.WARNING,
                f"the fencing of {fence.node} that began before the restart (epoch {fence.epoch}) has no known result;"
                f" {fence.node} counts as not fenced",
                fence.node,
            )
        self.member.new_epoch(self.prompt)

    # -- packets ------------------------------------------------------------------------------------------------

    def _is_copy(self, now: float, event: PacketReceived) -> bool:
        """With four links, three of four heartbeats are: nothing is decided anew for them."""
        packet = event.packet
        if not isinstance(packet.body, Heartbeat) or packet.to != self.name:
            return False
        return self.membership.is_copy(now, event.link, packet.sender, packet.incarnation, packet.body)

    def _packet(self, now: float, link: str, packet: Packet) -> None:
        peer = self.membership.peers.get(packet.sender)
        if peer is None or packet.to != self.name:
            return
        body = packet.body
        if isinstance(body, Heartbeat):
            self.beats.heard(now, link, peer, packet.incarnation, body)
            if packet.number and packet.to_incarnation == self.incarnation and packet.incarnation == peer.incarnation:
                self.delivery.heard_of(now, peer.name, peer.incarnation, packet.number)
            return
        if packet.to_incarnation != self.incarnation or packet.incarnation != peer.incarnation or not peer.heard:
            return
        if packet.number and not self.delivery.take(now, peer.name, peer.incarnation, packet.number, body):
            return
        match body:
            case RetransmitRequest(missing):
                self._send_again(peer, missing)
            case Resync(upto):
                self.delivery.resync(peer.name, peer.incarnation, upto)
            case VoteRequest(epoch):
                self.voting.requested(now, peer, epoch)
            case VoteReply():
                self.voting.replied(now, peer, body)
            case ViewUpdate(state):
                self._view_update(peer, state)
            case Order():
                self._order(now, peer.name, body)
            case Report():
                self._report(peer.name, peer.incarnation, body)
            case Farewell():
                self.leaving.farewell_of(now, peer)
            case FarewellAck():
                self.leaving.acknowledged(peer.name)
            case LearnRequest():
                if self.election.initialised:
                    self.send(peer.name, LearnReply(self.election.epoch, self.stored))
            case LearnReply():
                self.learning.told(now, peer.name, body)
            case Forward():
                self.requests.forwarded(now, peer.name, body)
            case ForwardReply(request, done, text):
                self.requests.replied(peer.name, request, done, text)
            case _:
                return

    def send(self, to: str, body: Body) -> None:
        """A control message to one node (to ourselves: at once)."""
        peer = self.membership.peers[to]
        if peer.heard:
            number = self.delivery.number(to, peer.incarnation, body)
            self.out.append(Send(to, peer.incarnation, body, number))

    def _send_again(self, peer: Peer, missing: tuple[int, ...]) -> None:
        again = self.delivery.again(peer.name, peer.incarnation, missing)
        for number, body in again.messages:
            self.urgent.append(Send(peer.name, peer.incarnation, body, number))
        if again.resync:
            self.urgent.append(Send(peer.name, peer.incarnation, Resync(again.resync)))

    def _ask_again(self, now: float) -> None:
        for name, life in self._lives().items():
            if missing := self.delivery.due(now, name, life):
                self.urgent.append(Send(name, life, RetransmitRequest(missing)))

    def _lives(self) -> dict[str, int]:
        """The peers that are heard, with their lives."""
        return {peer.name: peer.incarnation for peer in self.membership.peers.values() if peer.heard}

    # -- epochs and coordinators --------------------------------------------------------------------------------

    def later_epoch(self, now: float, epoch: int) -> None:
        stood = self.election.claim is not None
        if self.election.observe(epoch):
            if stood:
                self.voting.give_up(now)
            self.vacate(now)

    def lose_coordinator(self, now: float) -> None:
        self.election.following = ""
        self.vacate(now)

    def vacate(self, now: float) -> None:
        """Nobody is coordinator for us now: orders end, what runs keeps running for the rest of the lease."""
        self.coordinator = None
        self.voting.vacant_since = now
        self.member.void_orders()
        self.beat_soon = True
        self.dirty = True

    def new_coordinator(self, now: float) -> None:
        self.coordinator = None
        name = self.election.following
        self.tell(Kind.COORDINATOR, f"{name} is coordinator of epoch {self.election.epoch}", name)
        if self.last_order[0] != self.election.epoch:
            self.last_order = (self.election.epoch, 0)
        self.member.new_epoch(self.prompt)
        self.beat_soon = True
        self.dirty = True

    # -- the view, orders and reports ---------------------------------------------------------------------------

    def _view_update(self, peer: Peer, state: ClusterState) -> None:
        if peer.name == self.election.following and state.stamp.epoch == self.election.epoch:
            self.store(state)
            # It may have come before we were a member for the coordinator, and nothing was made of it.
            self.report_due = True

    def store(self, state: ClusterState) -> None:
        pending = [record.state.stamp for record in self.records.pending.values() if isinstance(record, StateRecord)]
        if state.stamp > max([self.stored.stamp, *pending]) and not self.records.failure:
            self.persist(StateRecord(state))

    def _order(self, now: float, sender: str, order: Order) -> None:
        if sender != self.election.following or order.epoch != self.election.epoch:
            return
        if order.number > self.last_order[1]:
            self.last_order = (order.epoch, order.number)
            self.member.may_start = self.leases.may_start(now)
            self.member.order(now, order.run, order.keep, self.prompt)
        self.report_due = True

    def _report(self, sender: str, incarnation: int, report: Report) -> None:
        if self.coordinator is not None and self.coordinator.report(sender, incarnation, report):
            self.dirty = True

    def may_mend(self, now: float, group: str) -> bool:
        """Whether what is missing of a running group may be put back at `now` without a new order: it runs here by one,
        the lease holds, and nobody works on the cluster."""
        return not self.condemned and self.leases.may_start(now) and self.member.may_mend(group)

    def _health(self, score: int, detail: str) -> None:
        if score != self.health:
            self.health = score
            self.report_due = True
            self.tell(Kind.HEALTH, f"the health of {self.name} is {score}: {detail}", self.name, health=str(score))

    def _own_report(self) -> Report:
        unfit = self.unfit or ("it is leaving" if self.leaving.began else "")
        return Report(
            self.election.epoch,
            self.last_order[1],
            self.member.probed,
            self.member.reports(),
            self.standby,
            unfit,
            self.health,
        )

    @property
    def unfit(self) -> str:
        """Why nothing may be started here; "" when it may. Others count on a watchdog: without it nothing runs."""
        return self.records.failure or (self.unguarded if self.leases.watched else "")

    def _send_report(self) -> None:
        self.report_due = False
        self.member.changed = False
        if self.coordinator is not None:
            self._report(self.name, self.incarnation, self._own_report())
        elif self.election.following:
            self.send(self.election.following, self._own_report())

    def persist(self, record: Record) -> None:
        self.records.persist(record)

    def _paused(self, now: float, duration: float) -> None:
        self.tell(Kind.PAUSED, f"{self.name} did not run for {duration * 1000:.0f} ms", self.name)
        self.membership.paused(duration, now)
        self.mesh.paused(duration)
        # The votes of before are too old to be counted: their voters may have started anew meanwhile.
        self.election.claim = None
        self.beat_soon = True

    # -- the end of each step -----------------------------------------------------------------------------------

    def _settle(self, now: float, event: Event) -> None:
        self.beats.changes(now, self.membership.expire(now))
        if self.arbitration.connected and now - self.arbitration.answered_at >= self.spec.timing.deadtime:
            self.arbitration.lost(f"no answer for {self.spec.timing.deadtime:g} s")
        beat_due = now >= self._next_beat
        if beat_due:
            self._pulse(now)
        self.learning.settle(now)
        self.pushing.follow(now)
        if self.mesh.update(now, self.membership, self.electorate.count):
            self.dirty = True
        for _round in range(MAX_ROUNDS):
            self.override.settle(now)
            self.leases.renew(now)
            self.member.may_start = self.leases.may_start(now)
            self.member.expire(now, self.prompt)
            self.leases.without_quorum(now)
            self.voting.elect(now)
            if self.member.changed or self.report_due:
                self._send_report()
            if not self._coordinate(now):
                break
        else:
            raise AssertionError(f"step({event!r}) did not settle in {MAX_ROUNDS} rounds")
        self.pushing.note()
        self.arbitration.confirm(now)
        if self.leaving.began:
            self.leaving.go_on(now)
        self._feed(now, beat_due)
        self._stop_failures(now)
        if self.spec.two_node and self.member.load != self.beats.said_load:
            self.beat_soon = True
        if (self.beat_soon or beat_due) and not self.condemned:
            self.beats.send(now)
        self.shooting.write_results()
        self._wake_up(now, event)

    def _pulse(self, now: float) -> None:
        """Once a keepalive: repeat what was not answered yet."""
        keepalive = self.spec.timing.keepalive
        while self._next_beat <= now:
            self._next_beat += keepalive
            if self._next_beat <= now - keepalive:
                self._next_beat = now + keepalive
        self._beats += 1
        if self._beats % REPORT_REFRESH == 0:
            self.report_due = True
        self.learning.ask(now)
        if self.election.claim is not None:
            self.voting.ask(now)
        self.leaving.repeat()
        coordinator = self.coordinator
        if coordinator is not None:
            for peer in self.membership.peers.values():
                beat = peer.heartbeat
                behind = beat is not None and beat.stored < coordinator.state.stamp
                if peer.name in coordinator.members and behind and not coordinator.alone:
                    self.send(peer.name, ViewUpdate(coordinator.state))
            for name in coordinator.members:
                coordinator.resend(name, self._send_order)
            coordinator.tidings.waits(coordinator.waits, self.prompt)
            self.dirty = True
        if now >= self.records.retry_at:
            self.records.retry_at = now + self.spec.timing.deadtime
            self.persist(StandbyRecord(self.standby))
        self.override.note_known()
        self.requests.pulse(now)
        self.accepting.pulse(now)
        self.pushing.pulse()
        self.catchup.pulse(now)

    def _feed(self, now: float, beat_due: bool) -> None:
        """Once a keepalive, when the time gets shorter (before anything is started), when groups are given up, and when
        nothing here is to be ended anymore (before others learn that a maintenance is on our disk)."""
        until = self.leases.guarded_until(now)
        if until is None:
            return
        can_wait = until >= self._fed_until and now < self.leases.until
        if can_wait and not beat_due and until != FOREVER:
            return
        if until != self._fed_until or beat_due:
            self._fed_until = until
            self.leases.fed()
            self.urgent.append(FeedWatchdog(until))

    def _send_order(self, node: str, order: Order) -> None:
        if node == self.name:
            self._order(self.now, self.name, order)
        else:
            self.send(node, order)

    def _coordinate(self, now: float) -> bool:
        """Let the coordinator decide, if we are it and something changed; True if that changed something again."""
        coordinator = self.coordinator
        if coordinator is None:
            return False
        if not self.dirty and not any(now >= due for due in coordinator.fencing.deadlines()):
            return False
        self.dirty = False
        self.renew_view(coordinator)
        if coordinator.members[self.name].report is None:
            self.report_due = True
            return True
        if not self.voting.authority() or now >= self.leases.until:
            return self.dirty or self.report_due
        self.requests.settle_standbys()
        if not coordinator.alone:
            self._decide_together(now, coordinator)
        if self.coordinator is not coordinator:
            return True
        coordinator.want_fences(now, self.member.load)
        self.shooting.run(now, coordinator)
        coordinator.failback_closed = self.failback_closed
        coordinator.decide(now, self.stored_by_quorum, self._send_order, self.prompt)
        self.dirty = self.dirty or coordinator.asking.unsaid
        return self.dirty or self.report_due or self.member.changed

    def _decide_together(self, now: float, coordinator: Coordinator) -> None:
        """What only a quorum decides."""
        if coordinator.settled < coordinator.state.stamp and self.stored_by_quorum(coordinator.state.stamp):
            coordinator.settled = coordinator.state.stamp
        self.accepting.settle(coordinator)
        self.requests.settle_maintenance(now)
        if self.coordinator is not coordinator:
            return
        self.pushing.settle(now, coordinator)
        self.voters.settle(now, coordinator)
        if not coordinator.maintenance:
            self._give_way(now, coordinator)

    def enough(self, some: Collection[str]) -> bool:
        """These are a quorum, with the arbiter if it answers."""
        return self.electorates.is_quorum({*some, ARBITER} if self.arbitration.usable(self.now) else some)

    def _give_way(self, now: float, coordinator: Coordinator) -> None:
        """See who goes on if not all hear each other. Those who do better without us get a coordinator of their own."""
        count = self.electorate.count
        better = coordinator.draw_circle(now, self.mesh, count, self.enough, self.member.load, self.prompt)
        if not better:
            return
        self.mesh.yielded = better
        names = ", ".join(name for name in self.spec.names if name in better)
        text = f"{self.name} gives up to be coordinator: {names} all hear each other, and it does not hear them all"
        self.tell(Kind.NODE_OUTSIDE, text, self.name)
        self.lose_coordinator(now)
        self.voting.give_up(now + self.spec.timing.deadtime)

    def renew_view(self, coordinator: Coordinator) -> None:
        """Take in who came and went; a new cluster state goes to our disk and to every member."""
        coordinator.own_stored, coordinator.own_reset_ms = self.stored.stamp, self.leases.reset_ms
        coordinator.own_outdated = self.catchup.outdated(coordinator.config)
        news = coordinator.update_view(self.now, self.prompt)
        if coordinator.alone:
            return
        if news:
            self.store(coordinator.state)
        for name in coordinator.members if news else coordinator.joined:
            if name != self.name:
                self.send(name, ViewUpdate(coordinator.state))

    def stored_by_quorum(self, stamp: Stamp) -> bool:
        alone = self.coordinator is not None and self.coordinator.alone
        return alone or self.electorates.is_quorum(self.who_stored(stamp))

    def stored_by_nodes(self, stamp: Stamp) -> bool:
        """Nodes that are a quorum without any arbiter have this cluster state, or a newer one, on disk."""
        return self.electorates.is_quorum(self.who_stored(stamp) - {ARBITER})

    def known_to_quorum(self) -> bool:
        """A quorum has the cluster state that is on disk here, or what the same coordinator made of it, and had that
        before it voted for another: whoever is elected later knows what was in it."""
        own = self.stored.stamp
        known = self._voters_with(lambda epoch, stored: epoch == stored.epoch == own.epoch and stored >= own)
        return self.electorates.is_quorum(known)

    def who_stored(self, stamp: Stamp) -> set[str]:
        """The voters, and others, that have this cluster state or a newer one on disk, and said so."""
        return self._voters_with(lambda _epoch, stored: stored >= stamp)

    def _voters_with(self, wanted: Callable[[int, Stamp], bool]) -> set[str]:
        """wanted: of the epoch in which a voter is, and of the cluster state on its disk."""
        found = {self.name} if wanted(self.election.epoch, self.stored.stamp) else set()
        said_us = self.stored_us
        for peer in self.membership.peers.values():
            beat = peer.heartbeat
            if peer.heard and beat is not None and beat.initialised and wanted(beat.epoch, beat.stored):
                found.add(peer.name)
                said_us = max(said_us, peer.said_us)
        answer = self.arbitration.answer
        if answer is None or not answer.voter or answer.echo_us < said_us:
            return found
        return found | {ARBITER} if wanted(max(answer.epoch, answer.vote_epoch), answer.stored) else found

    def _stop_failures(self, now: float) -> None:
        """A stop that failed: the coordinator has us fenced; without another who could, we end it ourselves."""
        failed = self.member.stop_failed
        if failed and (self.leases.quorum_lost or self.election.following in ("", self.name)):
            reason = f"{', '.join(failed)} can't be stopped, and no other node is there to fence {self.name}"
            if self.coordinator is not None:
                reason = f"{', '.join(failed)} can't be stopped on the coordinator {self.name}"
            elif not self.leases.quorum_lost:
                return
            self._condemn(reason)

    def _condemn(self, reason: str) -> None:
        """Nothing is done or said any more: what runs here is ended by the guard, and the others take over."""
        self.tell(Kind.SELF_FENCE, f"{self.name} fences itself: {reason}", self.name)
        self.urgent.append(SelfFence(reason))
        self.condemned = reason

    def _wake_up(self, now: float, event: Event) -> None:
        if self.condemned:
            return
        wake = self._next_beat
        wake = min(wake, self.membership.due)
        for deadline in self.member.deadlines():
            wake = min(wake, deadline)
        wake = min(wake, self.mesh.due, self.voting.due)
        for deadline in self.delivery.deadlines(self._lives()):
            wake = min(wake, deadline)
        if now < self.leases.until:
            wake = min(wake, self.leases.until)
        if self.coordinator is not None:
            for deadline in self.coordinator.deadlines():
                if deadline > now:
                    wake = min(wake, deadline)
        if wake != self._wake or isinstance(event, Tick):
            self._wake = wake
            self.urgent.append(WakeAt(wake))

    @property
    def electorates(self) -> Electorates:
        """Who votes, and who will, as far as this node knows."""
        state, coordinator = self.stored, self.coordinator
        recorded = state.electorates if coordinator is None else coordinator.electorates
        config = state.config
        known = self._counted
        if known is None or known[0] is not recorded or known[1] is not config or known[2] != self.pushing.applied:
            self._counted = (recorded, config, self.pushing.applied)
            self._electorates = self.catchup.electorates(state, recorded)
        return self._electorates

    @property
    def electorate(self) -> Electorate:
        """Who votes; for what is told, and not for decisions, in which those to come count too."""
        return self.electorates.current

    @property
    def role(self) -> str:
        if self.leaving.began:
            return "leaving"
        if not self.election.initialised:
            return "learning"
        if self.coordinator is not None:
            return "coordinator"
        return "follower" if self.election.following else "candidate"

    def quorate(self, now: float) -> bool:
        """It follows a coordinator, or is one, that has a quorum."""
        return now < self.leases.until and self.election.following != "" and not self.leases.quorum_lost

    def authoritative(self) -> bool:
        return self.coordinator is not None and self.voting.authority()

    def votes(self) -> int:
        """The votes that this node sees behind its coordinator: as coordinator those that decide, else those heard."""
        if self.coordinator is not None:
            return self.electorate.count(self.voting.deciding_voters())
        heard = [peer.name for peer in self.membership.peers.values() if peer.heard]
        return self.electorate.count([self.name, *heard], self.arbitration.usable(self.now))

    def status(self, now: float) -> Status:
        """What this node knows now; the coordinator knows most."""
        return status_of(self, now)

    def balance(self, scope: Collection[str]) -> Balance | None:
        """How the groups could be moved, or these; None if this node is not the coordinator."""
        if self.coordinator is None:
            return None
        found = self.coordinator.rebalancing
        hindrance = found.hindrance() if self.authoritative() else "there is no quorum"
        return Balance(found.moves(scope), tuple(found.fixed(scope)), hindrance)


def _trusted(spec: ClusterSpec, state: ClusterState) -> ClusterState:
    """What of a stored state still counts in a new life.

    In a two_node cluster two quorums need not meet: while we were away the other may have come back without our
    knowing, so nobody counts as fenced or gone by an old record.
    """
    if not spec.two_node:
        return state
    roster = tuple(dataclasses.replace(entry, standing=Standing.UNKNOWN) for entry in state.roster)
    return dataclasses.replace(state, roster=roster)


__all__ = ["Durable", "Node"]
