"""What becomes of a record that is forgotten or put back: it keeps the epochs in which it must not vote any more."""

from __future__ import annotations

from dataclasses import replace

from arbiter.decide import VoteBook
from hamgr.core.messages import ClusterState

ENOUGH = "nodes with more than half of its nodes' votes (with algorithm lms: with all of them) have said what they know"
"""When a record votes again, for people: what is left of the nodes is then no quorum, not even with this vote. Decided
by `hamgr.core.electorate`, with the voters of the newest cluster state."""


def emptied(book: VoteBook) -> VoteBook:
    """Of a cluster that is forgotten. One with the same name, as new as it may be, gets votes above this alone, once
    enough of its nodes have said what they know."""
    floor = max(book.vote_epoch, book.state.stamp.epoch)
    return VoteBook(voter=False, vote_epoch=floor, voted_for="", state=ClusterState())


def put_back(kept: VoteBook, present: VoteBook) -> VoteBook:
    """Of a backup, in the place of what is present. Since the backup it may have voted any number of times, so it votes
    no more before the nodes have said what they know."""
    newest = max(kept, present, key=lambda book: book.vote_epoch)
    state = max(kept.state, present.state, key=lambda state: state.stamp)
    return replace(newest, voter=False, state=state)
