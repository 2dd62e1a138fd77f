"""What must hold after every event, checked against the truth of the simulated world.

The checks know nothing of how the core decides: they see what daemons did (packets sent, records on disk, groups
started) and what really was the case on each machine.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from hamgr.core.cluster import GroupState
from hamgr.core.effects import Announce, Fence, Kind, Record, StandbyRecord, StateRecord, VoteRecord
from hamgr.core.electorate import ARBITER, Electorates
from hamgr.core.epochs import is_overriding
from hamgr.core.messages import (
    ArbiterAnswer,
    Body,
    ClusterState,
    Farewell,
    Heartbeat,
    Report,
    Stamp,
    VoteReply,
)
from hamgr.sim.configs import FIRST
from hamgr.sim.counting import is_agreed, is_quorum, may_follow
from hamgr.sim.operators import OPERATOR
from hamgr.sim.words import Words

if TYPE_CHECKING:
    from hamgr.sim.machine import Machine, Process
    from hamgr.sim.world import World

NEVER = float("-inf")

CLOCK_SLACK = 0.999
"""Two clocks may differ by a few hundred parts in a million over a stretch that both count."""


LYING = "lying-device"
"""What is broken when a fence device said off of a machine that ran on: no cluster can be safe with it."""


BLIND = "blind-operator"
"""What is broken when an operator said of machines that he did not look at that they are off, and they were on."""


class Violation(Exception):
    """An invariant does not hold. name: which one, in a word."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class Checker:
    def __init__(self, world: World) -> None:
        self._world = world
        names = world.spec.names
        self._active: dict[str, list[str]] = {group.name: [] for group in world.spec.groups}
        self._coordinators: dict[int, str] = {}
        self._votes: dict[tuple[str, int], str] = {}
        self._forgotten: dict[tuple[str, int], str] = {}
        """The votes of `_votes` that their voters lost, while they may still count."""
        self._arbiter_votes: dict[tuple[str, int], str] = {}
        self._arbiter_told: set[tuple[int, str]] = set()
        """Epoch and winner of every vote that it ever told of. The winner may count it though the arbiter was wiped."""
        self._said_stopped_at: dict[tuple[str, str, int], float] = {}
        self._read_off: dict[str, float] = dict.fromkeys(names, NEVER)
        self._left: dict[str, float] = dict.fromkeys(names, NEVER)
        self._acknowledged: dict[str, float] = dict.fromkeys(names, NEVER)
        self.configs: dict[int, str] = {0: FIRST}
        self.starts = 0
        self._liars: set[str] = set()
        self.words = Words(world)
        self._blind: set[str] = set()
        self._elected: dict[int, str] = {}
        self._states: dict[Stamp, Electorates] = {}
        self._stored: dict[str, Stamp] = dict.fromkeys((*names, ARBITER), Stamp())
        self._remembered = dict(self._stored)
        """The same of those who lost their record meanwhile: what they have stored since."""
        self._committed = Stamp()
        self._decided: list[Stamp] = []
        """The states that a quorum had on disk, oldest first, since the last two_node cluster, which records none."""

    # -- one owner ----------------------------------------------------------------------------------------------

    def activated(self, machine: Machine, group: str) -> None:
        owners = self._active[group]
        owners.append(machine.name)
        if len(owners) > 1:
            raise self._fault_of("one-owner", owners, f"group {group} is active on {' and on '.join(owners)}")
        self._has_room(machine)

    def _has_room(self, machine: Machine) -> None:
        spec = self._world.spec
        active = [group for group in spec.groups if machine.services[group.name].active]
        for what, most in spec.node(machine.name).capacity:
            used = sum(dict(group.needs).get(what, 0) for group in active)
            if used > most:
                text = f"{' and '.join(group.name for group in active)} on {machine.name} use {what} {used} of {most}"
                raise Violation("capacity", text)

    def deactivated(self, machine: Machine, group: str) -> None:
        self._active[group].remove(machine.name)

    def owners(self, group: str) -> list[str]:
        return self._active[group]

    # -- the takeover rule --------------------------------------------------------------------------------------

    def group_starts(self, machine: Machine, group: str) -> None:
        """A start begins on this machine: every other configured node must be accounted for."""
        self.starts += 1
        process = machine.process
        assert process is not None
        if process.node.pushing.pending:
            text = f"{machine.name} starts {group} with a configuration that it knows to be replaced"
            raise Violation("configuration", text)
        self._is_wanted(process, group)
        epoch = process.node.election.epoch
        self._is_acted_upon(machine, epoch)
        for other in self._world.machines.values():
            if other is machine:
                continue
            if other.services[group].active:
                text = f"{machine.name} starts {group} while it is active on {other.name}"
                raise self._fault_of("one-owner", [other.name], text)
            if other.name in process.node.spec.names and not self._accounted_for(other, group, epoch):
                raise self._fault_of(
                    "takeover-rule",
                    [other.name],
                    f"{machine.name} starts {group} in epoch {epoch}, and {other.name} neither reported it stopped in"
                    " that epoch, nor was read off, nor left, nor lost its lease to a watchdog, nor was confirmed off",
                )

    def _is_wanted(self, process: Process, group: str) -> None:
        name = process.machine.name
        if last := self.words.missing_for_start(process.node.spec.group(group), name):
            text = f"{name} starts {group}, which ran on {last}, and no human said that it may move"
            raise Violation("human", text)
        self.words.starts(group, name, process.node.election.following)

    def _fault_of(self, name: str, nodes: list[str], text: str) -> Violation:
        """The violation, laid to the fence device if one of these nodes' lied."""
        liars = [node for node in nodes if node in self._liars]
        if not liars and (blind := [node for node in nodes if node in self._blind]):
            return Violation(BLIND, f"{text}; an operator said that {blind[0]} is off, and it was on")
        if not liars:
            return Violation(name, text)
        return Violation(LYING, f"{text}; the fence device of {liars[0]} says that it is off, and it was on")

    def said_blindly(self, node: str) -> None:
        """An operator says that it is off, without looking."""
        if self._world.machines[node].powered:
            self._blind.add(node)

    def lied(self, node: str) -> None:
        """The fence device of this node says that it is off, while it is on."""
        self._liars.add(node)
        self.words.is_off(node)

    def _accounted_for(self, other: Machine, group: str, epoch: int) -> bool:
        gone = max(self._read_off[other.name], self._left[other.name], self._acknowledged[other.name])
        # That it never ran the group is no excuse: somebody must have made sure of this node at some time.
        surely_gone = gone > NEVER and gone >= other.services[group].last_active
        return surely_gone or self._said_stopped(other, group, epoch) or self._watchdog_was_due(other)

    def _said_stopped(self, other: Machine, group: str, epoch: int) -> bool:
        if self._coordinators.get(epoch) == other.name:
            # A coordinator reports to itself; that the group is inactive there was seen.
            return True
        said = self._said_stopped_at.get((other.name, group, epoch), NEVER)
        return said > NEVER and said >= other.services[group].last_active

    def _watchdog_was_due(self, other: Machine) -> bool:
        hold_time = other.hold_time
        return hold_time is not None and self._world.engine.now - other.lease_end() >= hold_time * CLOCK_SLACK

    def read_off(self, node: str) -> None:
        """A fence agent reads the node's power as off."""
        self._read_off[node] = self._world.engine.now
        self.words.is_off(node)

    def acknowledged(self, node: str) -> None:
        """An operator saw that the node is off, and says so."""
        self._acknowledged[node] = self._world.engine.now

    def exits(self, process: Process) -> None:
        """The daemon ends by itself. In maintenance it says no farewell, and leaves what runs."""
        if not process.node.stored.maintenance or process.node.leaving.until is not None:
            self._leaves(process.machine)

    def _leaves(self, machine: Machine) -> None:
        active = [name for name, service in machine.services.items() if service.active]
        if active:
            raise Violation("clean-leave", f"{machine.name} leaves cleanly, and runs {', '.join(active)}")
        self._left[machine.name] = self._world.engine.now

    # -- votes, epochs, records ---------------------------------------------------------------------------------

    def touches(self, process: Process, group: str) -> None:
        """A daemon starts or stops a group; never one that knows of a maintenance."""
        if process.node.stored.maintenance:
            raise Violation("maintenance", f"{process.machine.name} touches {group} in maintenance")

    def sends(self, process: Process, to: str, body: Body) -> None:
        """The process sends this now."""
        name = process.machine.name
        if isinstance(body, Heartbeat):
            if body.coordinator == name:
                self._coordinates(name, body.epoch)
                self._takes_as_decided(process)
            if body.stored > process.machine.disk.durable.state.stamp:
                raise Violation("stored", f"{name} says to have stored {body.stored}, which is not on its disk")
        elif isinstance(body, VoteReply):
            if body.granted:
                self._votes_for(name, body.epoch, to)
        elif isinstance(body, Report) and body.probed:
            for found in body.groups:
                if found.state is GroupState.STOPPED:
                    self._said_stopped_at[name, found.group, body.epoch] = self._world.engine.now
        elif isinstance(body, Farewell):
            self._leaves(process.machine)

    def _coordinates(self, name: str, epoch: int) -> None:
        other = self._coordinators.setdefault(epoch, name)
        if other != name:
            raise Violation("one-coordinator", f"{other} and {name} are both coordinator of epoch {epoch}")

    def _votes_for(self, voter: str, epoch: int, candidate: str) -> None:
        other = self._votes.setdefault((voter, epoch), candidate)
        if other != candidate:
            raise Violation("one-vote", f"{voter} votes for {other} and for {candidate} in epoch {epoch}")

    def persisted(self, process: Process, record: Record) -> None:
        if isinstance(record, VoteRecord) and record.candidate == process.machine.name:
            self._votes_for(process.machine.name, record.epoch, record.candidate)
        elif isinstance(record, StandbyRecord):
            self.words.standby(process.machine.name, record.standby)
        elif isinstance(record, StateRecord):
            self._stores(process.machine.name, record.state)
        if isinstance(record, StateRecord) and record.state.config.version:
            config = record.state.config
            if config.version not in self.configs and config.added:
                self._is_added(self._world.machines[config.added])
            other = self.configs.setdefault(config.version, config.digest)
            if other != config.digest:
                text = f"{other} and {config.digest} are both committed as configuration {config.version}"
                raise Violation("configuration", text)

    def _is_added(self, machine: Machine) -> None:
        """A node belongs to the cluster from now on; it counts as gone, so nothing of a group may be active there."""
        active = [name for name, service in machine.services.items() if service.active]
        if active:
            raise Violation("added", f"{machine.name} is added as a node that is gone, and runs {', '.join(active)}")
        self._left[machine.name] = self._world.engine.now

    @property
    def config(self) -> str:
        """The digest of the configuration that everybody must come to run."""
        return self.configs[max(self.configs)]

    def wiped(self, machine: Machine) -> None:
        """It forgets its votes. One of an epoch that nobody won may make a coordinator yet, or be given once more, but
        not both. (One for itself ends with its own candidature, which is forgotten as well.)"""
        self._remembered[machine.name] = Stamp()
        for voter, epoch in [key for key in self._votes if key[0] == machine.name and key[1] not in self._coordinators]:
            candidate = self._votes.pop((voter, epoch))
            if candidate != voter:
                self._forgotten[voter, epoch] = candidate

    def arbiter_wiped(self) -> None:
        """The arbiter forgets its votes. Those of epochs that nobody won may be given once more: whoever won one has
        written it down himself, and the arbiter learns of it before it votes. `one-coordinator` watches over that."""
        self.arbiter_has_stored_only_this()
        self._arbiter_votes = {
            (store, epoch): name for (store, epoch), name in self._arbiter_votes.items() if epoch in self._coordinators
        }

    def arbiter_has_stored_only_this(self) -> None:
        """Another record is in its place, or another store."""
        assert self._world.arbitration is not None
        self._remembered[ARBITER] = self._world.arbitration.newest_state.stamp

    def announces(self, process: Process, announce: Announce) -> None:
        if announce.kind is Kind.VIEW:
            self.words.view(process.machine.name, frozenset(announce.facts["members"].split()))
        elif announce.kind is Kind.NODE_DEAD:
            self.words.lost(announce.node)
        if announce.kind is Kind.SPLIT_BRAIN and not announce.group and announce.node not in self._liars:
            raise Violation("split-brain", f"{process.machine.name} says {announce.text!r}, and no device lied")
        if announce.kind is Kind.SPLIT_BRAIN and announce.group and len(self._active[announce.group]) < 2:
            raise Violation("split-brain", f"{process.machine.name} says {announce.text!r}, and that is not so")
        if announce.kind is Kind.COORDINATOR and announce.node == process.machine.name:
            self._is_elected(process, int(announce.facts["epoch"]))

    def fences(self, process: Process, order: Fence) -> None:
        name = process.machine.name
        intent = next((fence for fence in process.machine.disk.durable.fences if fence.fence == order.fence), None)
        if intent is None:
            raise Violation("fence-intent", f"{name} fences {order.node} without a record of it on its disk")
        if self.words.missing_for_fencing(order.node):
            raise Violation("human", f"{name} fences {order.node}, and no human said that it shall be")
        if self._elected.get(intent.epoch) != name:
            text = f"{name} fences {order.node} in epoch {intent.epoch}, and was not elected in it"
            raise Violation("fence-quorum", text)

    # -- the voters ---------------------------------------------------------------------------------------------

    def _is_elected(self, process: Process, epoch: int) -> None:
        """Whoever leads was voted for by a quorum of the voters that it knows, and knows of all that was decided."""
        name, reign = process.machine.name, process.node.coordinator
        self._coordinates(name, epoch)
        if reign is None or reign.epoch != epoch:
            return  # it lost what it had won in the same step
        for (voter, of), candidate in list(self._forgotten.items()):
            if (of, candidate) == (epoch, name) and (voter, epoch) not in self._votes:
                self._votes[voter, epoch] = self._forgotten.pop((voter, of))
        voters = {voter for voter in self._world.spec.names if self._votes.get((voter, epoch)) == name}
        if (epoch, name) in self._arbiter_told:
            voters.add(ARBITER)
        electorates = process.node.electorates
        if is_overriding(epoch):
            self._is_overriding(process, epoch)
            voters |= process.node.override.lent
        if not is_quorum(electorates, voters):
            text = f"{name} leads epoch {epoch} by the votes of {', '.join(sorted(voters))}, no quorum of {electorates}"
            raise Violation("fence-quorum", text)
        self._elected[epoch] = name
        if process.node.spec.two_node or is_overriding(epoch) or self._committed.epoch >= epoch:
            return
        if not any(self._on_disk(voter) >= self._committed for voter in voters):
            text = (
                f"{name} leads epoch {epoch}, and none of its voters has stored what was decided in {self._committed}"
            )
            raise Violation("quorums-meet", text)

    def _is_overriding(self, process: Process, epoch: int) -> None:
        """It leads by an operator's word: he gave it, the epoch is its own, and nobody else's vote was lent."""
        node = process.node
        if not node.override.lent or node.override.operator != OPERATOR:
            raise Violation("override", f"{node.name} leads epoch {epoch} without a quorum, and nobody wanted that")
        if wrong := [name for name in node.override.lent if name in node.membership.alive()]:
            raise Violation("override", f"{node.name} has the votes of {', '.join(wrong)}, which it hears")

    def _on_disk(self, voter: str) -> Stamp:
        arbitration = self._world.arbitration
        if voter == ARBITER and arbitration is not None:
            return arbitration.newest_state.stamp
        return self._world.machines[voter].disk.durable.state.stamp

    def _arbiter_stores(self, store: str, stamp: Stamp) -> None:
        """It says to have stored it."""
        if self._world.arbitration is not None and store == self._world.arbitration.store:
            self._has_stored(ARBITER, stamp)

    def _stores(self, name: str, state: ClusterState) -> None:
        known = self._states.setdefault(state.stamp, state.electorates)
        if known != state.electorates:
            raise Violation("voters", f"{state.stamp} has two sets of voters: {known} and {state.electorates}")
        if is_overriding(state.stamp.epoch):
            raise Violation("override", f"{name} stores {state.stamp}, which is of an override")
        self._has_stored(name, state.stamp)
        self._is_voted_change(name, state)

    def _has_stored(self, voter: str, stamp: Stamp) -> None:
        """When a quorum has this state on disk, whoever is elected in a later epoch must learn of it."""
        for stored in (self._stored, self._remembered):
            stored[voter] = max(stored[voter], stamp)
        electorates = self._states.get(stamp, Electorates())
        remember = {voter for voter, newest in self._remembered.items() if newest >= stamp}
        if not electorates.current or not is_quorum(electorates, remember):
            return
        self._committed = max(self._committed, stamp)
        # Who has that of a later reign need not have had this.
        same = {voter for voter in remember if self._remembered[voter].epoch == stamp.epoch}
        if self._decided[-1:] < [stamp] and is_quorum(electorates, same):
            self._decided.append(stamp)

    def _takes_as_decided(self, process: Process) -> None:
        """What a coordinator says is stored by a quorum, whoever of it has forgotten that since."""
        reign = process.node.coordinator
        if reign is not None and not reign.alone:
            self._committed = max(self._committed, reign.settled)

    def _is_acted_upon(self, machine: Machine, epoch: int) -> None:
        """A group starts there by the word of a coordinator that takes the view with this node as stored."""
        leader = self._world.machines[self._elected[epoch]].process if epoch in self._elected else None
        reign = leader.node.coordinator if leader is not None else None
        if reign is not None and reign.epoch == epoch and not reign.alone and machine.name in reign.members:
            self._committed = max(self._committed, reign.members[machine.name].admitted)

    def _who_stored(self, stamp: Stamp) -> set[str]:
        return {voter for voter, stored in self._stored.items() if stored >= stamp}

    def _is_voted_change(self, name: str, state: ClusterState) -> None:
        """Another set of voters counts only after a quorum of the last one and of itself had it on disk."""
        electorates = state.electorates
        if not electorates.current:
            self._decided.clear()
        before = bisect_left(self._decided, state.stamp)
        if before and not may_follow(decided := self._states[self._decided[before - 1]], electorates):
            text = f"{name} stores {electorates}, and a quorum had decided before: {decided}"
            raise Violation("voters", text)
        earlier = [stamp for stamp in self._states if stamp < state.stamp and self._states[stamp].current]
        if not electorates.current or not earlier:
            return
        if electorates.coming and len(electorates.current.voters ^ electorates.coming.voters) > 1:
            raise Violation("voters", f"{name} changes several voters at once: {electorates}")
        if any(self._states[stamp].current == electorates.current for stamp in earlier):
            return
        for stamp in earlier:
            proposal = self._states[stamp]
            if proposal.coming == electorates.current and is_agreed(proposal, self._who_stored(stamp)):
                return
        raise Violation("voters", f"{name} stores other voters than a quorum agreed upon: {electorates}")

    def arbiter_answers(self, store: str, answer: ArbiterAnswer) -> None:
        self._arbiter_stores(store, answer.stored)
        if answer.voted_for:
            self._arbiter_told.add((answer.vote_epoch, answer.voted_for))
            other = self._arbiter_votes.setdefault((store, answer.vote_epoch), answer.voted_for)
            if other != answer.voted_for:
                raise Violation(
                    "one-vote",
                    f"the arbiter answers that its vote of epoch {answer.vote_epoch} went to {answer.voted_for},"
                    f" and before that it was {other}",
                )
