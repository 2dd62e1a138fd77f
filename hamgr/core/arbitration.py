"""A node's side of the arbiter: what it reports, and what it takes from the answers.

An arbiter may lose its record, and learn from the nodes what it must not do again (`arbiter.decide`). So what it once
said holds as long as nobody says more: its vote, or its word that it has stored something, counts together with what
nodes said *before it was asked*. For whoever told us so before we asked an arbiter that still knew, tells the same to
any later one, which then votes above that epoch and has that state. What a node says later counts with an arbiter
that is asked again (`Arbitration.confirm`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hamgr.core.accepting import counts
from hamgr.core.effects import AskArbiter, Kind
from hamgr.core.election import Claim, newest
from hamgr.core.membership import microseconds
from hamgr.core.messages import ArbiterAnswer, ArbiterReport, ClusterState, Stamp
from hamgr.core.quorum import arbiter_voted

if TYPE_CHECKING:
    from hamgr.core.node import Node


class Arbitration:
    """What this node knows of the arbiter. detail: why it is lost, or why it refused."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.said: ArbiterAnswer | None = None
        """Its last answer, be it the cluster's arbiter or another one."""
        self.where = ""
        self.answered_at = float("-inf")
        self._asked_us = 0
        self.connected = False
        self.detail = "no answer yet"
        self.refused_epoch = 0
        self.granted = (0, "")
        """The epoch whose vote it gave us last, and why, in its own words ("" if it does not say)."""
        self.vote_seen = 0
        self._told_foreign = ""
        self._undead: tuple[str, ...] = ()

    @property
    def answer(self) -> ArbiterAnswer | None:
        """The last answer of the cluster's arbiter, as far as we know which one that is."""
        return self.answer_for(newest(self._node.stored, self._node.voting.merged))

    def answer_for(self, state: ClusterState) -> ArbiterAnswer | None:
        """The last answer, if it counts for who knows this state."""
        said = self.said
        return said if said is not None and counts(state, said.store) else None

    def usable(self, now: float) -> bool:
        node = self._node
        if not self.connected or self.answer is None:
            return False
        return self.answer.voter and now - self.answered_at < node.spec.timing.deadtime

    def why(self, epoch: int) -> str:
        """Why we got its vote of this epoch; "" if we did not, or it did not say."""
        return self.granted[1] if self.granted[0] == epoch else ""

    def report(self, now: float) -> None:
        node = self._node
        if not node.spec.arbiter:
            return
        self._asked_us = microseconds(now)
        election = node.election
        claim = election.claim
        state = ClusterState()
        if self.said is None or not self.connected or self.said.stored < node.stored.stamp:
            state = node.stored
        node.urgent.append(
            AskArbiter(
                ArbiterReport(
                    sent_us=self._asked_us,
                    epoch=election.epoch,
                    coordinator=election.following,
                    initialised=election.initialised,
                    claim=claim.epoch if claim is not None and claim.arbiter_asked else 0,
                    alive=tuple(
                        name for name in node.spec.names if name == node.name or node.membership.peers[name].heard
                    ),
                    health=node.health,
                    load=node.member.load,
                    state=state,
                    nodes=node.spec.names,
                    tie_breaker=node.spec.tie_breaker,
                    deadtime=node.spec.timing.deadtime,
                    settle=node.spec.timing.settle,
                    vote_seen=self.vote_seen,
                    votes=tuple(one.votes for one in node.spec.nodes),
                    arbiter_votes=node.spec.electorate.arbiter,
                    store=node.stored.next_arbiter or node.stored.arbiter,
                    stored=node.stored.stamp,
                    config=node.config,
                    applied=node.pushing.applied,
                )
            )
        )

    def confirm(self, now: float) -> None:
        """Ask again at once, if what the arbiter said before may have to count with what a node said since."""
        node = self._node
        if not self.connected or node.beat_soon:
            return  # with the heartbeat it is asked as well
        claim, reign = node.election.claim, node.coordinator
        if claim is not None:
            if claim.arbiter_us and claim.newest_us > self._asked_us:
                self.report(now)
            return
        spoke = any(at > self._asked_us for at in self._spoke())
        if spoke and reign is not None and not node.stored_by_nodes(reign.state.stamp):
            self.report(now)

    def _spoke(self) -> list[int]:
        """When each node said last that something is on its disk, or came to ours."""
        node = self._node
        return [node.stored_us, *(peer.said_us for peer in node.membership.peers.values())]

    def answered(self, now: float, answer: ArbiterAnswer, where: str = "") -> None:
        node = self._node
        if self.said is not None and answer.echo_us < self.said.echo_us:
            return
        if answer.echo_us > microseconds(now):
            return
        stored_before = self.said.stored if self.said is not None else Stamp()
        since = self.said.echo_us if self.said is not None else 0
        self.said, self.where = answer, where
        self.answered_at = now
        if not self.connected:
            self.connected = True
            node.tell(Kind.ARBITER_UP, f"the arbiter answers{f' ({where})' if where else ''}")
            node.dirty = True
        self.detail = answer.refused
        if self.answer is None:
            self._foreign(answer)
            return
        self._told_foreign = ""
        self._tell_of_the_undead(answer)
        self.vote_seen = max(self.vote_seen, answer.vote_epoch)
        if answer.stored != stored_before or any(since < at <= answer.echo_us for at in self._spoke()):
            node.dirty = True
        claim = node.election.claim
        if claim is not None and arbiter_voted(answer, node.name, claim.epoch):
            claim.arbiter_us = max(claim.arbiter_us, answer.echo_us)
            self.granted = (claim.epoch, answer.why)
            node.voting.learns(answer.state)
        elif claim is not None and claim.arbiter_asked and answer.refused:
            self._refused(now, claim, answer)
        elif answer.voter and node.election.initialised:
            node.later_epoch(now, answer.epoch)

    def _tell_of_the_undead(self, answer: ArbiterAnswer) -> None:
        node = self._node
        if node.coordinator is None:
            return
        for name in answer.undead:
            if name in node.spec.names and name not in self._undead:
                text = (
                    f"{name} counts as off, but the arbiter hears from it that it runs groups: its fence device lied,"
                    f" or somebody said `hamgr fence ack {name}` while it was on; switch it off, and check the data"
                )
                node.tell(Kind.SPLIT_BRAIN, text, name)
        self._undead = answer.undead

    def _foreign(self, answer: ArbiterAnswer) -> None:
        """Votes that are kept elsewhere say nothing: two stores could vote for two."""
        node = self._node
        state = newest(node.stored, node.voting.merged)
        self.detail = (
            f"{state.next_arbiter} takes the place of {state.arbiter or 'none'}; until that is done no arbiter counts"
            if state.next_arbiter
            else f"{answer.store or 'an arbiter without an identity'} is not the cluster's arbiter, which is"
            f" {state.arbiter}; if it shall be from now on: hamgr arbiter accept"
        )
        if answer.store != self._told_foreign and not state.next_arbiter:
            self._told_foreign = answer.store
            node.tell(Kind.WARNING, f"the arbiter's vote does not count: {self.detail}", node.name)

    def _refused(self, now: float, claim: Claim, answer: ArbiterAnswer) -> None:
        node = self._node
        if self.refused_epoch != claim.epoch:
            self.refused_epoch = claim.epoch
            node.tell(Kind.VOTE_REFUSED, f"the arbiter refuses epoch {claim.epoch}: {answer.refused}", node.name)
        if answer.epoch >= claim.epoch:
            # This epoch's vote is gone; a later one is asked for after a pause.
            node.later_epoch(now, answer.epoch)
            node.voting.give_up(now)

    def lost(self, reason: str) -> None:
        node = self._node
        if self.connected:
            node.tell(Kind.ARBITER_LOST, f"the arbiter is lost: {reason}")
            node.dirty = True
        self.connected = False
        self.detail = reason
