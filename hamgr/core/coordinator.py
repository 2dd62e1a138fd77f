"""What the coordinator of an epoch does: it keeps the view, has lost nodes fenced, and moves groups by the rule.

What it knows of nodes for the rule is in `ruling.py`; what each group gets, in `granting.py`.

It is made when a node wins an epoch and thrown away when it loses it; all that must outlive it is in the replicated
cluster state. It speaks to its own node as to any other member.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Collection, Iterator, Mapping

from hamgr.core.asking import Asking
from hamgr.core.capacity import Room, bundles, in_turn
from hamgr.core.catchup import missed
from hamgr.core.circle import Circle, Merits
from hamgr.core.cluster import ClusterSpec, GroupState
from hamgr.core.effects import Announce, Effect, Kind
from hamgr.core.electorate import Electorates
from hamgr.core.epochs import is_overriding
from hamgr.core.fencing import Fencing, PlanState, delay_before
from hamgr.core.granting import Granting
from hamgr.core.members import Grant, MemberRecord
from hamgr.core.membership import Liveness, Membership, Peer
from hamgr.core.mesh import Mesh
from hamgr.core.messages import ClusterState, GroupReport, Order, Report, RosterEntry, Stamp, Standing
from hamgr.core.placement import Candidate
from hamgr.core.rebalancing import Rebalancing
from hamgr.core.ruling import Ruling
from hamgr.core.shots import Shots
from hamgr.core.tidings import Tidings
from hamgr.core.watchdogs import Watchdogs

JOINING = 2
"""Keepalives within which those whom a new coordinator hears follow it, if they do."""

SETTLED = frozenset({GroupState.STARTED, GroupState.STOPPED, GroupState.STOP_FAILED})


class Coordinator:
    """The state of one reign. `decide` is called whenever something changed and returns nothing: it calls `send`
    (node, message) for orders and appends announcements to `out`."""

    def __init__(
        self,
        spec: ClusterSpec,
        me: str,
        incarnation: int,
        epoch: int,
        inherited: ClusterState,
        membership: Membership,
        now: float,
        started_at: float,
    ) -> None:
        self.spec = spec
        self._me = me
        self._incarnation = incarnation
        self.epoch = epoch
        self.voters: tuple[str, ...] = ()
        """By whose votes it was elected."""
        self._membership = membership
        self.alone = is_overriding(epoch)
        """It is by an operator's word alone (`hamgr.core.override`): only this node is given anything to start."""
        self.settled = Stamp()
        """The newest cluster state of this reign that a quorum has stored."""
        self._began = now
        self._started_at = started_at
        self.fencing = Fencing(spec)
        self.shots = Shots(spec, inherited.shots, now)
        self.members: dict[str, MemberRecord] = {}
        self.circle = Circle(me, spec.names, spec.tie_breaker)
        self.roster = {name: RosterEntry(name) for name in spec.names}
        expected = (inherited.config.added, inherited.proposed.added)
        self.roster.update({entry.node: entry for entry in inherited.roster if entry.node in (*self.roster, *expected)})
        self._pins = dict(inherited.pins)
        self.asking = Asking(
            spec.groups,
            inherited.owners,
            self.members,
            lambda node: self.roster[node].standing if node in self.roster else None,
        )
        self.watchdogs = Watchdogs(spec, self.roster, now)
        self.maintenance = inherited.maintenance
        self.config = inherited.config
        self.proposed = inherited.proposed
        self.pushing = inherited.pushing
        self.arbiter = inherited.arbiter
        self.next_arbiter = inherited.next_arbiter
        self.own_stored = Stamp()
        self.own_reset_ms = 0
        """What our own heartbeats say of us."""
        self.own_outdated = False
        """Our own file is older than what was committed."""
        self.electorates = Electorates() if spec.two_node else inherited.electorates
        if not spec.two_node and not self.electorates.current:
            self.electorates = Electorates(spec.electorate)
        self.state = ClusterState(Stamp(epoch, 0), me)
        self._number = 0
        self.ruling = Ruling(self, membership, me, incarnation, now)
        self.waits: dict[str, tuple[str, ...]] = {}
        self.targets: dict[str, str] = {}
        self.tidings = Tidings(me)
        self.joined: list[str] = []
        """Members that the last `update_view` took in: they have not been sent the view yet."""
        self.failback_closed: frozenset[str] = frozenset()
        self.health: dict[str, int] | None = None
        """The members' ping scores that placement goes by; None while they differ and may still change. Who joins
        counts with what it says until they are judged anew."""
        self._scores: dict[str, int] = {}
        self._scores_since = now
        self._in_order = spec.in_placing_order()
        self._together = bundles(spec)
        self.room = Room(spec, {}, self._together)
        self.granting = Granting(self)
        self.rebalancing = Rebalancing(self)

    # -- what comes in ------------------------------------------------------------------------------------------

    def farewell(self, node: str, incarnation: int) -> None:
        self.members.pop(node, None)
        self.fencing.forget(node)
        self.roster[node] = RosterEntry(node, incarnation, Standing.LEFT)

    def fence_confirmed(self, now: float, node: str, incarnation: int) -> None:
        self.members.pop(node, None)
        self.shots.note(now, node)
        known = self._membership.peers[node].incarnation or incarnation
        self.roster[node] = RosterEntry(node, known, Standing.FENCED)

    def acknowledged(self, node: str) -> None:
        self.members.pop(node, None)
        self.fencing.forget(node)
        entry = self.roster[node]
        incarnation = self._membership.peers[node].incarnation or entry.incarnation
        self.roster[node] = RosterEntry(node, incarnation, Standing.ACKNOWLEDGED)

    def expect(self, node: str) -> None:
        """A node is added that never was in the cluster: until it is heard, nothing runs there."""
        self.roster.setdefault(node, RosterEntry(node, 0, Standing.LEFT))

    def pin(self, group: str, node: str) -> None:
        self._pins[group] = node

    def unpin(self, group: str) -> None:
        self._pins.pop(group, None)

    def pinned(self, group: str) -> str:
        """Where an operator wants it to run; "" for nowhere in particular."""
        return self._pins.get(group, "")

    def report(self, node: str, incarnation: int, report: Report) -> bool:
        """A member reported; False if it is none in this life (its report says nothing then)."""
        member = self.members.get(node)
        if member is None or member.incarnation != incarnation or report.epoch != self.epoch:
            return False
        if member.report is not None and report.number < member.report.number:
            return False
        member.report = report
        member.groups = {group.group: group for group in report.groups}
        return True

    # -- the view -----------------------------------------------------------------------------------------------

    def _follows(self, peer: Peer) -> bool:
        beat = peer.heartbeat
        return peer.heard and beat is not None and beat.epoch == self.epoch and beat.coordinator == self._me

    def update_view(self, now: float, out: list[Effect]) -> bool:
        """Take in who joined, drop who is lost; True if the cluster state changed and needs a new stamp."""
        self.joined.clear()
        self._admit(self._me, self._incarnation)
        for peer in self._membership.peers.values():
            member = self.members.get(peer.name)
            if member is not None and (not peer.heard or peer.incarnation != member.incarnation):
                del self.members[peer.name]
            plan = self.fencing.plans.get(peer.name)
            if peer.heard and plan is not None and peer.name not in self.members:
                if plan.state is PlanState.RUNNING:
                    continue
                if plan.state is PlanState.CONFIRMED or not plan.by_operator:
                    self.fencing.forget(peer.name)
            if self._follows(peer):
                self._admit(peer.name, peer.incarnation)
        self._pins = {group: node for group, node in self._pins.items() if self._may_keep_pin(node)}
        self._note_watchdogs()
        roster = tuple(self.roster.values())
        kept = tuple(sorted(self._pins.items()))
        new = ClusterState(
            self.state.stamp,
            self._me,
            roster,
            kept,
            self.maintenance,
            self.config,
            self.proposed,
            self.pushing,
            self.shots.stamped(now),
            tuple(sorted(self.asking.owners.items())),
            arbiter=self.arbiter,
            next_arbiter=self.next_arbiter,
            electorates=self.electorates,
        )
        if new == self.state and self.state.stamp.view:
            return False
        stamp = Stamp(self.epoch, self.state.stamp.view + 1)
        for member in self.members.values():
            if member.admitted == Stamp():
                member.admitted = stamp
        self.watchdogs.stamped(stamp, self.maintenance)
        self.asking.stamped(stamp)
        before = {entry.node for entry in self.state.roster if entry.standing is Standing.MEMBER}
        self.state = dataclasses.replace(new, stamp=stamp)
        after = [entry.node for entry in roster if entry.standing is Standing.MEMBER]
        if before != set(after) or stamp.view == 1:
            text = f"view {stamp.epoch}.{stamp.view}: {', '.join(self.members)}"
            out.append(Announce(Kind.VIEW, text, self._me, facts={"members": " ".join(self.members)}))
        return True

    def _note_watchdogs(self) -> None:
        if self.maintenance:
            self.watchdogs.take_back()
        else:
            self.watchdogs.note(self.said_of_disks())

    def said_of_disks(self) -> Iterator[tuple[str, int, Stamp]]:
        """Each member with what its heartbeats say of its watchdog, and of the state on its disk."""
        for name in self.members:
            beat = self._membership.peers[name].heartbeat if name != self._me else None
            if name == self._me:
                yield name, self.own_reset_ms, self.own_stored
            elif beat is not None:
                yield name, beat.reset_ms, beat.stored

    def _may_keep_pin(self, node: str) -> bool:
        peer = self._membership.peers.get(node)
        if node != self._me and (peer is None or not peer.heard):
            return False
        member = self.members.get(node)
        return member is None or member.report is None or self.fit(node)

    def _admit(self, node: str, incarnation: int) -> None:
        if node not in self.members:
            last = self.roster[node]
            counted = last.reset_ms if last.standing is Standing.MEMBER else 0
            entry = RosterEntry(node, incarnation, Standing.MEMBER, counted)
            # A life that some view of this reign named already needs no new view.
            known = last == entry and self.state.stamp.view > 0
            self.roster[node] = entry
            self.members[node] = MemberRecord(incarnation, self.state.stamp if known else Stamp())
            self.joined.append(node)

    def draw_circle(
        self,
        now: float,
        mesh: Mesh,
        weight: Callable[[Collection[str]], int],
        enough: Callable[[Collection[str]], bool],
        load: int,
        out: list[Effect],
    ) -> frozenset[str]:
        """Who goes on when not all members hear each other. The set for whose sake we shall give up, if there is one.

        load: what this node runs, by priority.
        """

        def merits(node: str) -> Merits:
            member = self.members[node]
            runs = load if node == self._me else self._membership.peers[node].load
            return Merits(member.report.health if member.report is not None else 0, runs)

        before = set(self.circle.outside)
        lives = {node: member.incarnation for node, member in self.members.items()}
        heard = self._membership.alive() if now < self._began + JOINING * self.spec.timing.keepalive else []
        coming = frozenset(node for node in heard if node not in lives)
        self.circle.draw(now, mesh, lives, coming, weight, enough, merits)
        for node, why in self.circle.outside.items():
            if node not in before:
                inside = ", ".join(name for name in self.spec.names if name in self.circle.inside)
                out.append(Announce(Kind.NODE_OUTSIDE, f"{node} runs nothing: {why}; {inside} go on", node))
        return self.circle.better

    # -- fencing ------------------------------------------------------------------------------------------------

    def want_fences(self, now: float, load: int) -> None:
        if self.maintenance:
            self.fencing.forget_automatic()
            return
        for peer in self._membership.peers.values():
            member = self.members.get(peer.name)
            if member is not None:
                failed = [g.group for g in member.groups.values() if g.state is GroupState.STOP_FAILED]
                plan = self.fencing.plans.get(peer.name)
                outside = self._outside(member, peer.name)
                if plan is not None and not failed and not outside and not plan.by_operator:
                    self.fencing.forget(peer.name)
                if failed:
                    reason = f"{peer.name} can't stop {', '.join(failed)}"
                    self.fencing.want(now, peer.name, peer.incarnation, reason)
                elif outside:
                    self.fencing.want(now, peer.name, peer.incarnation, outside)
                continue
            if peer.heard or peer.name in self.circle.held or self.ruling.standing(peer) is not None:
                continue
            delay = self._delay(peer, load)
            if peer.liveness is Liveness.DEAD:
                self.fencing.want(now, peer.name, peer.incarnation, f"{peer.name} is dead: no link hears it", delay)
            elif now >= self._started_at + self.spec.timing.initdead:
                reason = f"{peer.name} was never heard since {self._me} started"
                incarnation = peer.incarnation or self.roster[peer.name].incarnation
                self.fencing.want(now, peer.name, incarnation, reason, delay)

    def _outside(self, member: MemberRecord, node: str) -> str:
        """Why a member must be fenced though it is heard: it is outside the circle, and was in it or runs something."""
        why = self.circle.outside.get(node, "")
        runs = any(group.state not in (GroupState.STOPPED, GroupState.UNKNOWN) for group in member.groups.values())
        if why and (runs or self.circle.was_in(node, member.incarnation)):
            return f"{why}, and the others go on without {node}"
        return ""

    def _delay(self, peer: Peer, load: int) -> float:
        # Chance, yet the same events make the same run: each life of a node draws other numbers.
        chance = random.Random(f"{self._incarnation} {self.epoch}").random()
        between = delay_before(self.spec, self._me, load, peer.name, peer.load, chance)
        return between + self.spec.node(peer.name).level_delay(0)

    # -- orders -------------------------------------------------------------------------------------------------

    def decide(
        self,
        now: float,
        stored_by_quorum: Callable[[Stamp], bool],
        send: Callable[[str, Order], None],
        out: list[Effect],
    ) -> None:
        """Place every group and give the orders that the rule allows now."""
        self.ruling.now = now
        silent = [node for node, member in self.members.items() if member.report is None or not member.report.probed]
        if silent:
            # Whoever has not reported may be running anything: nothing is started, and nothing is taken from anybody.
            for group in self.spec.groups:
                self.waits[group.name] = tuple(
                    f"waits for {node} to report the state of {group.name}" for node in silent
                )
            return
        self._judge_health(now)
        if self.maintenance:
            self._leave_alone(send)
            return
        self.tidings.split_brain(self.spec.groups, self.members, out)
        grants = {node: Grant(set(member.run), set(member.keep)) for node, member in self.members.items()}
        held = {name for member in self.members.values() for name in member.groups if not member.stopped(name)}
        candidates = {
            node: Candidate(
                node,
                self.fit(node) and not self.outdated(node) and (node == self._me or not self.alone),
                frozenset(g.group for g in member.groups.values() if g.barred or self._kept_out(node, g, held)),
                self._scores[node] if self.health is None else self.health.get(node, self._scores[node]),
            )
            for node, member in self.members.items()
        }
        self.rebalancing.candidates = candidates
        self.rebalancing.settle()
        owners = {group.name: owner for group in self.spec.groups if (owner := self.granting.has(group.name))}
        self.room = Room(self.spec, owners, self._together)
        for group in in_turn(self._in_order, owners) if self.granting.scarce else self._in_order:
            self.granting.decide(group, candidates, grants, stored_by_quorum, out)
            self.room.place(group.name, self.targets[group.name])
        for node, grant in grants.items():
            member = self.members[node]
            same = grant.run == member.run and grant.keep == member.keep
            if member.number and same and not member.renew:
                continue
            self._number += 1
            member.renew = False
            for group_name in (grant.run | grant.keep) - (member.run | member.keep):
                self.ruling.let_run[(node, member.incarnation, group_name)] = self._number
            member.number = self._number
            member.run = frozenset(grant.run)
            member.keep = frozenset(grant.keep)
            send(node, self._order(member))

    def _leave_alone(self, send: Callable[[str, Order], None]) -> None:
        """Maintenance: whoever has something keeps it, and nobody is given anything."""
        for group in self.spec.groups:
            self.targets[group.name] = self.owner(group.name)
            running = self.targets[group.name] != ""
            self.waits[group.name] = () if running else ("waits for the end of the maintenance: hamgr maintenance off",)
        for node, member in self.members.items():
            if not member.number:
                self._number += 1
                member.number = self._number
                member.keep = frozenset(group.name for group in self.spec.groups if not member.stopped(group.name))
                for name in member.keep:
                    self.ruling.let_run[(node, member.incarnation, name)] = self._number
                send(node, self._order(member))

    def _judge_health(self, now: float) -> None:
        """A difference in health counts when no member's score has changed for a while: when all lose the same gateway,
        one notices first, and nothing must move for that. No difference counts at once."""
        scores = {node: member.report.health for node, member in self.members.items() if member.report is not None}
        if scores != self._scores:
            self._scores = scores
            self._scores_since = now
        if len(set(scores.values())) == 1 or now >= self._scores_since + self.spec.health_delay:
            self.health = scores

    @property
    def health_settles(self) -> bool:
        """The members' scores are not yet those that placement goes by."""
        return self.health != self._scores

    def outdated(self, node: str) -> bool:
        """It missed the configuration that the cluster runs, or is about to start anew with it."""
        beat = self._membership.peers[node].heartbeat if node != self._me else None
        return self.own_outdated if node == self._me else beat is not None and missed(beat, self.config)

    def _kept_out(self, node: str, report: GroupReport, held: Collection[str]) -> bool:
        """What runs, or is being started, is not moved for that: the start itself says whether it can. held: the groups
        that any node has."""
        if report.state is not GroupState.STOPPED:
            return False
        if node in self.circle.waiting and report.group in held:
            return True
        return report.unready != "" and (report.group in held or not report.soon)

    def fit(self, node: str) -> bool:
        """It may run groups at all."""
        member = self.members.get(node)
        if member is None or member.report is None or node in self.circle.outside:
            return False
        return not member.report.standby and not member.report.unfit

    def _order(self, member: MemberRecord) -> Order:
        run, keep = tuple(sorted(member.run)), tuple(sorted(member.keep))
        return Order(self.epoch, self.state.stamp.view, member.number, run, keep)

    def resend(self, node: str, send: Callable[[str, Order], None]) -> None:
        """Once a keepalive: repeat the order to a member whose report does not show yet that it was taken up."""
        member = self.members[node]
        if not member.number:
            return
        report = member.report
        if report is not None and report.number >= member.number and not self.maintenance:
            # It had the order and yet it does not run the group: its lease ran out in between.
            member.renew = any(member.stopped(group) for group in member.run | member.keep)
        open_ = any(state not in SETTLED for state in (member.state(group.name) for group in self.spec.groups))
        if report is None or report.number < member.number or open_:
            send(node, self._order(member))

    def deadlines(self) -> Iterator[float]:
        yield from self.fencing.deadlines()
        for peer in self._membership.peers.values():
            if peer.heard:
                continue
            safe = self.watchdogs.safe_at(peer)
            if safe is not None:
                yield safe
            if peer.liveness is Liveness.UNSEEN:
                yield self._started_at + self.spec.timing.initdead

    def owner(self, group: str) -> str:
        """The member that has the group, in any state but stopped; "" for none."""
        for node, member in self.members.items():
            if member.report is not None and member.state(group) is GroupState.STARTED:
                return node
        for node, member in self.members.items():
            if member.report is not None and member.state(group) not in (GroupState.STOPPED, GroupState.UNKNOWN):
                return node
        return ""

    def standing(self, node: str) -> Standing:
        return self.roster[node].standing

    def inherit_farewells(self, farewells: Mapping[str, int]) -> None:
        """Farewells that we heard as a follower: the last coordinator may not have recorded them anymore."""
        for node, incarnation in farewells.items():
            if self.roster[node].incarnation in (incarnation, 0):
                self.roster[node] = dataclasses.replace(
                    self.roster[node], incarnation=incarnation, standing=Standing.LEFT
                )
