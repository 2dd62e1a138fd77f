"""Votes and leases: who supports the coordinator, and until when a node may keep its groups.

Support is counted by round trips: a supporter's heartbeat that echoes our stamp proves that it still stood behind us
when it saw a heartbeat which we sent at that time. However late a packet comes, a lease never starts later than the
moment at which its owner itself sent the heartbeat that was answered.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from hamgr.core.electorate import ARBITER, NEVER, Electorates
from hamgr.core.epochs import is_overriding
from hamgr.core.membership import MICROSECOND, Peer
from hamgr.core.messages import ArbiterAnswer

FOREVER = float("inf")


def supports(peer: Peer, coordinator: str, epoch: int) -> bool:
    """Is this peer a voter that follows this coordinator in this epoch?"""
    beat = peer.heartbeat
    return beat is not None and beat.initialised and beat.epoch == epoch and beat.coordinator == coordinator


def arbiter_supports(answer: ArbiterAnswer | None, coordinator: str, epoch: int) -> bool:
    return answer is not None and answer.voter and answer.epoch == epoch and answer.coordinator == coordinator


def arbiter_voted(answer: ArbiterAnswer | None, candidate: str, epoch: int) -> bool:
    return answer is not None and answer.vote_epoch == epoch and answer.voted_for == candidate


def coordinator_lease_basis(
    electorates: Electorates,
    me: str,
    epoch: int,
    now: float,
    peers: Iterable[Peer],
    answer: ArbiterAnswer | None,
    lent: Iterable[str] = (),
) -> float:
    """The latest time (seconds, our clock) at which a quorum surely stood behind us; -inf if none ever did. lent: whose
    votes an operator lends us."""
    times = dict.fromkeys((me, *lent), now)
    times |= {peer.name: peer.echoed_us * MICROSECOND for peer in peers if supports(peer, me, epoch)}
    if answer is not None and arbiter_supports(answer, me, epoch):
        times[ARBITER] = answer.echo_us * MICROSECOND
    return electorates.since(times)


def member_lease_basis(coordinator: Peer, epoch: int) -> float:
    """The latest time at which our coordinator, with a quorum behind it, surely heard us; -inf if it says no such."""
    beat = coordinator.heartbeat
    if beat is None or is_overriding(epoch) or beat.epoch != epoch or beat.coordinator != coordinator.name:
        return NEVER
    return coordinator.echoed_us * MICROSECOND


def nodes_behind(me: str, epoch: int, peers: Iterable[Peer], voted: Container[str]) -> set[str]:
    """The nodes whose votes entitle a coordinator to fence and to start: itself, and those that are heard now and
    follow it, or voted for it and have not moved on. Of the arbiter only a *vote* in this epoch does (`arbiter_voted`):
    one that merely goes along keeps the lease, but has not yet decided between the two sides of a partition."""
    found = {me}
    for peer in peers:
        beat = peer.heartbeat
        if beat is None or not peer.heard:
            continue
        if supports(peer, me, epoch) or (peer.name in voted and beat.epoch <= epoch):
            found.add(peer.name)
    return found
