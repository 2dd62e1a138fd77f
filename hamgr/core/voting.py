"""How a node votes, and how it becomes coordinator: candidatures, the votes behind a reign, whose turn it is."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import TYPE_CHECKING

from hamgr.core.cluster import Algorithm
from hamgr.core.coordinator import Coordinator
from hamgr.core.effects import Kind, VoteRecord
from hamgr.core.election import Claim, newest
from hamgr.core.electorate import ARBITER
from hamgr.core.epochs import is_overriding, next_of
from hamgr.core.membership import Liveness, Peer, microseconds
from hamgr.core.messages import ClusterState, VoteReply, VoteRequest
from hamgr.core.quorum import FOREVER, arbiter_voted, nodes_behind

if TYPE_CHECKING:
    from hamgr.core.node import Node


ASKING = 20
"""Deadtimes for which a candidate goes on asking the arbiter before another one of its side may try."""


class Voting:
    """The candidatures of one node, and its answers to those of others."""

    def __init__(self, node: Node, now: float) -> None:
        self._node = node
        self.merged = node.stored
        """The newest cluster state that our voters know of."""
        self.vacant_since = now
        self._enough_since: float | None = None
        """Since when the votes within our reach have been enough; None while they are not, or somebody leads."""
        self.due = FOREVER
        """When our turn comes; infinite while it depends on more than time. (With the next heartbeat all the others'
        would come, too.)"""
        self.spent = 0
        """The epoch whose vote of the arbiter no longer decides."""
        self._company: tuple[int, set[str]] = (0, set())
        """The epoch that we won last, with those whom we heard then or who stood behind us since: the side
        that the arbiter gave its vote to."""

    def requested(self, now: float, peer: Peer, epoch: int) -> None:
        node = self._node
        election = node.election
        refusal = node.records.failure or election.may_vote(peer.name, epoch) or node.catchup.refusal(peer)
        if not refusal and election.following not in ("", peer.name) and epoch > election.epoch:
            refusal = f"it hears {election.following}, the coordinator of epoch {election.epoch}"
        if refusal:
            node.send(peer.name, VoteReply(election.epoch, False, election.voted_for))
            return
        was_following = election.following
        known = election.epoch == epoch and election.voted_for == peer.name
        election.vote(peer.name, epoch)
        if not known or self._does_no_better(peer):
            election.not_before = now + self.patience()
        if was_following and election.following == "":
            node.vacate(now)
        if not known:
            node.persist(VoteRecord(epoch, peer.name))
            node.tell(Kind.VOTE_GIVEN, f"{node.name} votes for {peer.name} in epoch {epoch}", peer.name)
        # A repeated request may come while the first record is still being written: the barrier counts for it too.
        elif any(isinstance(record, VoteRecord) and record.epoch == epoch for record in node.records.pending.values()):
            return
        node.send(peer.name, VoteReply(epoch, True, peer.name, node.stored))

    def _does_no_better(self, candidate: Peer) -> bool:
        """Our candidate is still asking. With an arbiter that may be in vain for long; we stand only if we hear those
        whom it does not: enough without the arbiter, or who has the arbiter's vote."""
        node = self._node
        answer = node.arbitration.answer
        if not self._one_half_decides() or answer is None:
            return True
        holder = node.membership.peers.get(answer.voted_for)
        hears_holder = holder is not None and holder is not candidate and holder.heard
        return not hears_holder and not node.electorates.is_quorum(self._within_reach())

    def _one_half_decides(self) -> bool:
        """There is an arbiter, with one vote: with many, other nodes of the refused side may be a quorum with it."""
        spec = self._node.spec
        return spec.arbiter and spec.algorithm is Algorithm.FFSPLIT

    def replied(self, now: float, peer: Peer, reply: VoteReply) -> None:
        node = self._node
        claim = node.election.claim
        if claim is not None and reply.granted and reply.epoch == claim.epoch:
            if peer.name not in claim.votes or reply.state.stamp > self.merged.stamp:
                claim.votes[peer.name] = microseconds(now)  # said once more, it is no younger
            self.learns(reply.state)
        elif not reply.granted:
            if claim is not None:
                claim.refused.add(peer.name)
            node.later_epoch(now, reply.epoch)

    def learns(self, state: ClusterState) -> None:
        """A voter of ours knows this state. If our file is too old to lead by it, we store it, and stand no more."""
        self.merged = newest(self.merged, state)
        if not self._node.catchup.may_lead(self.merged):
            self._node.store(self.merged)

    def _within_reach(self) -> list[str]:
        """The nodes whose votes we can hope for, ourselves included, in rank order."""
        node = self._node
        found = []
        for name in node.spec.names:
            if name == node.name:
                found.append(name)
                continue
            peer = node.membership.peers[name]
            beat = peer.heartbeat
            if peer.heard and beat is not None and beat.initialised and not beat.leaving:
                follows_another = beat.coordinator not in ("", node.name) and beat.epoch >= node.election.epoch
                if not follows_another:
                    found.append(name)
        return found

    def _may_stand(self, now: float, within_reach: list[str]) -> bool:
        node = self._node
        election = node.election
        if not election.initialised or node.records.failure or node.leaving.until is not None:
            return False
        hoped = self._hoped(now, within_reach)
        if not self.wins(hoped) or node.name not in node.electorates.voters or node.catchup.outdone():
            self._enough_since = None
            return False
        if self._enough_since is None:
            self._enough_since = now
        turn = max(election.not_before, self._stand_at(within_reach, self._enough_since))
        if now < turn:
            self.due = turn
            return False
        if not node.spec.two_node:
            return self._heard_all_or_more_than_half(hoped)
        return len(within_reach) > 1 or self._may_stand_alone(now)

    def _hoped(self, now: float, within_reach: Collection[str]) -> set[str]:
        return {*within_reach, *([ARBITER] if self._node.arbitration.usable(now) else [])}

    def wins(self, voters: Collection[str]) -> bool:
        """Do these win an epoch? By the newest electorate that any voter of ours knows of."""
        node = self._node
        known = newest(self.merged, node.stored)
        if not node.catchup.may_lead(known):
            return False
        if self.both_needed():
            return len(voters) == len(node.spec.names)
        return node.catchup.electorates(known, known.electorates).is_quorum(voters)

    def both_needed(self) -> bool:
        """While a configuration is pushed, the other node of a two_node cluster may run one with more voters, or with
        less: a quorum of one would miss theirs. Only who is confirmed off has no say."""
        node = self._node
        return node.spec.two_node and node.stored.pushing and not node.acknowledged

    def needed(self) -> int:
        """The votes that win an epoch, to be told."""
        electorate = self._node.electorate
        return electorate.votes if self.both_needed() else electorate.majority

    def _heard_all_or_more_than_half(self, hoped: Collection[str]) -> bool:
        """(auto_tie_breaker) A starting node does not have the other half fenced only because it was faster."""
        node = self._node
        halves = [one for one in node.electorates.sets if one.count(hoped) < one.majority]
        if not node.spec.wait_for_all or not halves:
            return True
        unseen = [peer.name for peer in node.membership.peers.values() if peer.liveness is Liveness.UNSEEN]
        return not any(name in node.electorates.voters for name in unseen)

    def _stand_at(self, within_reach: list[str], enough_since: float) -> float:
        """Lower ranks wait for the higher ones, and a starting node listens first for those who are at work.

        All of them may have waited long for one more vote: their turns come after that.
        """
        node = self._node
        timing = node.spec.timing
        turn = max(self.vacant_since, enough_since)
        before = sum(self._has_its_turn(name) for name in within_reach[: within_reach.index(node.name)])
        if before:
            # Who hears others than we do may have as many before him.
            turn += (2 * before - 1 + node.spec.rank(node.name) / len(node.spec.names)) * timing.keepalive
        if len(node.membership.alive()) < len(node.membership.peers):
            turn = max(turn, node.started_at + timing.deadtime)
        count = node.electorate.count
        if any(count(found) > count(node.mesh.best) and node.enough(found) for found in node.mesh.elsewhere()):
            # More nodes that all hear each other are to be had by one of them.
            turn = max(turn, self.vacant_since + timing.deadtime)
        return turn

    def _has_its_turn(self, name: str) -> bool:
        """Not so who follows us (when we put the question anew), and who is deaf to some of the largest set that we
        could go on with."""
        node = self._node
        beat = node.membership.peers[name].heartbeat
        if beat is not None and beat.coordinator == node.name:
            return False
        return not any(node.mesh.cut(name, other) for other in node.mesh.best)

    def _may_stand_alone(self, now: float) -> bool:
        """(two_node) The other must have been seen once in this life, or be confirmed off by an operator."""
        node = self._node
        (peer,) = node.membership.peers.values()
        if peer.liveness in (Liveness.DEAD, Liveness.LEFT) or peer.name in node.acknowledged:
            return True
        return (
            not node.spec.wait_for_all
            and peer.liveness is Liveness.UNSEEN
            and now >= node.started_at + node.spec.timing.initdead
        )

    def authority(self) -> bool:
        node = self._node
        return node.electorates.is_quorum(self.deciding_voters() | node.override.lent)

    def deciding_voters(self) -> set[str]:
        """Those behind us whose votes entitle to decide.

        The arbiter's counts for the partition that it was given in: once the nodes have been a majority by themselves
        again, or one of those behind us is lost, the next partition is put to it anew, for it may prefer the other side
        now.
        """
        node = self._node
        epoch = node.election.epoch
        peers = node.membership.peers
        behind = self.deciding_nodes()
        company = behind | self._company[1] if self._company[0] == epoch else behind
        self._company = (epoch, company)
        # Who has no vote makes no partition larger or smaller.
        voters = [name for name in company - {node.name} if any(one.of(name) for one in node.electorates.sets)]
        lost = any(peers[name].liveness is Liveness.DEAD for name in voters)
        if node.electorates.is_quorum(behind) or lost:
            self.spent = epoch
        if self.spent != epoch and arbiter_voted(node.arbitration.answer, node.name, epoch):
            return behind | {ARBITER}
        return behind

    def deciding_nodes(self) -> set[str]:
        """Those of them that are nodes."""
        node = self._node
        return nodes_behind(node.name, node.election.epoch, node.membership.peers.values(), node.election.votes)

    def elect(self, now: float) -> None:
        node = self._node
        election = node.election
        self.due = FOREVER
        if (node.coordinator is not None and self.authority()) or (node.coordinator is None and election.following):
            self._enough_since = None
            return
        claim = election.claim
        if claim is not None:
            if claim.arbiter_us and node.arbitration.answer is None:
                claim.arbiter_us = 0  # a voter knows that another arbiter took its place
            if self.wins(claim.voters(node.name) | (node.override.lent if is_overriding(claim.epoch) else frozenset())):
                if self._too_old(now, claim):
                    self._stand(now, self._within_reach())
                else:
                    self._win(now, claim)
            elif now >= claim.began + self.patience() and self._hopeless(now, claim):
                self.give_up(now)
            return
        within_reach = self._within_reach()
        if self._may_stand(now, within_reach):
            self._stand(now, within_reach)

    def patience(self) -> float:
        """Seconds that a candidature is given, and for which others get their turn: by rank, so that two that stand at
        once are not both over at once."""
        node = self._node
        return (2 + node.spec.rank(node.name)) * node.spec.timing.keepalive

    def give_up(self, since: float) -> None:
        """Our candidature was in vain. A keepalive of the pause is left to chance: twice one rank's time may be
        another's, and two would meet forever. The same events make the same run.

        Two nodes without an arbiter need nobody's vote, and who of them comes first is no matter of chance: the other
        one is shot.
        """
        node = self._node
        node.election.claim = None
        chance = 0.0 if node.spec.two_node else random.Random(f"{node.incarnation} {node.election.epoch}").random()
        node.election.not_before = since + self.patience() - chance * node.spec.timing.keepalive

    def _too_old(self, now: float, claim: Claim) -> bool:
        """Votes tell of the time when we asked for them: won so late, a reign would begin with its lease over, and
        nobody follow it. What is asked for anew is given at once."""
        timing = self._node.spec.timing
        return not is_overriding(claim.epoch) and now + timing.keepalive >= claim.began + timing.lease

    def _hopeless(self, now: float, claim: Claim) -> bool:
        return not self.wins(self._hoped(now, {*self._within_reach()} - claim.refused))

    def _stand(self, now: float, within_reach: list[str]) -> None:
        node = self._node
        if node.coordinator is not None:
            node.vacate(now)
        claim = node.election.stand(now)
        self.merged = node.stored
        node.tell(Kind.VOTE_ASKED, f"{node.name} asks for the votes of epoch {claim.epoch}", node.name)
        self.ask(now)
        node.persist(VoteRecord(claim.epoch, node.name))
        node.beat_soon = True

    def stand_alone(self, now: float) -> None:
        """By an operator's word, in an epoch of our own (`hamgr.core.override`): nobody else's vote is asked for."""
        node = self._node
        node.lose_coordinator(now)
        claim = node.election.stand(now, next_of(node.spec.rank(node.name), node.election.epoch))
        self.merged = newest(self.merged, node.stored)
        node.persist(VoteRecord(claim.epoch, node.name))
        node.beat_soon = True

    def ask(self, now: float) -> None:
        node = self._node
        claim = node.election.claim
        assert claim is not None
        if is_overriding(claim.epoch):
            return
        within_reach = self._within_reach()
        # Who voted for us hears that we go on asking the arbiter.
        asks_on = claim.arbiter_asked and self._one_half_decides()
        asks_on = asks_on and now < claim.began + ASKING * node.spec.timing.deadtime
        for name in within_reach:
            if name != node.name and (asks_on or name not in claim.votes):
                node.send(name, VoteRequest(claim.epoch))
        short = not node.electorates.is_quorum(within_reach)
        if node.spec.arbiter and (short or now >= claim.began + 2 * node.spec.timing.keepalive):
            claim.arbiter_asked = True
            node.arbitration.report(now)

    def _win(self, now: float, claim: Claim) -> None:
        node = self._node
        election = node.election
        assert election.epoch == claim.epoch, f"won epoch {claim.epoch} in epoch {election.epoch}"
        election.claim = None
        election.following = node.name
        election.votes = frozenset(claim.votes)
        self._company = (claim.epoch, {node.name, *node.membership.alive()})
        # Whoever voted for us did so after we asked.
        node.leases.until = max(node.leases.until, claim.began + node.spec.timing.lease)
        reign = Coordinator(
            node.spec,
            node.name,
            node.incarnation,
            claim.epoch,
            newest(self.merged, node.stored),
            node.membership,
            now,
            node.started_at,
        )
        reign.inherit_farewells(node.leaving.heard)
        for confirmed in node.acknowledged:
            reign.acknowledged(confirmed)
        node.coordinator = reign
        node.last_order = (claim.epoch, 0)
        voters = sorted({*claim.votes, node.name}) + ([ARBITER] if claim.arbiter else [])
        reign.voters = tuple(voters)
        text = f"{node.name} is coordinator of epoch {claim.epoch} by the votes of {', '.join(voters)}"
        if reign.alone:
            reign.voters = (*voters, f"{node.override.operator} (override)")
            text = f"{node.name} is coordinator of epoch {claim.epoch} by the word of {node.override.operator} alone"
        why = node.arbitration.why(claim.epoch) if claim.arbiter else ""
        node.tell(Kind.COORDINATOR, f"{text} ({why})" if why else text, node.name, epoch=str(claim.epoch))
        node.member.new_epoch(node.prompt)
        node.beat_soon = True
        node.dirty = True
