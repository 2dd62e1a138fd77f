"""One coordinator an epoch: whom a node follows, whom it voted for, and when it stands itself.

A vote is given once an epoch and is on disk before anybody learns of it. A node stands only when nobody that it hears
follows a living coordinator, and when the votes that it can hope for are enough; so a node that is cut off
does not push epochs forward, and nobody unseats a coordinator that works.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hamgr.core.cluster import ClusterSpec
from hamgr.core.electorate import ARBITER
from hamgr.core.epochs import next_of_everybody
from hamgr.core.messages import ClusterState

UNKNOWN_VOTE = "?"
"""The vote of an epoch in which this node may have voted before its state directory was wiped
(`hamgr.core.learning`)."""


@dataclass(slots=True)
class Claim:
    """Our candidature. votes: the nodes that voted for us, and when we learned of it, in microseconds of our clock.
    own: our vote is on disk. began: seconds. arbiter_us: when we last asked the arbiter to hear then that we have its
    vote; 0: never."""

    epoch: int
    began: float
    own: bool = False
    arbiter_us: int = 0
    arbiter_asked: bool = False
    votes: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    @property
    def newest_us(self) -> int:
        """When the last vote of a node came; 0: there is none."""
        return max(self.votes.values(), default=0)

    @property
    def arbiter(self) -> bool:
        """The arbiter is for us, and was when we had the votes that count with its own (`hamgr.core.arbitration`)."""
        return self.arbiter_us > 0 and self.arbiter_us >= self.newest_us

    def voters(self, me: str) -> set[str]:
        """Who is surely for us; me: our own name."""
        return {*self.votes, *([me] if self.own else []), *([ARBITER] if self.arbiter else [])}


class Election:
    """Epoch, vote and candidature of one node."""

    def __init__(self, spec: ClusterSpec, me: str, epoch: int, voted_for: str, initialised: bool) -> None:
        self._spec = spec
        self._me = me
        self.epoch = epoch
        self.voted_for = voted_for
        self.initialised = initialised
        self.following = ""
        self.claim: Claim | None = None
        self.votes: frozenset[str] = frozenset()
        """The nodes that voted for us in the epoch that we won last."""
        self.not_before = 0.0
        """No new candidature before this time (seconds): others get their turn after a lost one."""

    def observe(self, epoch: int) -> bool:
        """Somebody speaks of a later epoch: ours ends here. True if it was later."""
        if epoch <= self.epoch:
            return False
        self.epoch = epoch
        self.voted_for = ""
        self.following = ""
        if self.claim is not None and self.claim.epoch < epoch:
            self.claim = None
        return True

    def follow(self, coordinator: str, epoch: int) -> bool:
        """A peer is coordinator of this epoch. True if that is news."""
        assert epoch >= self.epoch, f"following {coordinator} back from epoch {self.epoch} to {epoch}"
        if epoch == self.epoch and self.following == coordinator:
            return False
        self.observe(epoch)
        self.following = coordinator
        self.claim = None
        return True

    def next_epoch(self) -> int:
        """The epoch to stand in: above all that we know.

        In a two_node cluster each node stands in epochs of its own (by its rank, odd or even), since either is a
        quorum alone: so even then no epoch has two coordinators.
        """
        if not self._spec.two_node:
            return next_of_everybody(self.epoch)
        epoch = self.epoch + 1
        while epoch % 2 != self._spec.rank(self._me) % 2:
            epoch += 1
        return epoch

    def stand(self, now: float, epoch: int = 0) -> Claim:
        """epoch: 0 is the next one."""
        self.epoch = epoch or self.next_epoch()
        self.voted_for = self._me
        self.following = ""
        self.claim = Claim(self.epoch, now)
        return self.claim

    def may_vote(self, candidate: str, epoch: int) -> str:
        """ "" if our vote of this epoch can go to the candidate, else why not."""
        if not self.initialised:
            return "it has not learned the epoch yet"
        if epoch < self.epoch:
            return f"it knows of epoch {self.epoch}"
        if epoch == self.epoch:
            if self.following not in ("", candidate):
                return f"{self.following} is coordinator of epoch {epoch}"
            if self.voted_for not in ("", candidate):
                return f"its vote of epoch {epoch} went to {self.voted_for}"
        return ""

    def forget_vote(self, voter: str) -> None:
        """A voter that is not heard anymore, or started anew, may have lost its record of the vote meanwhile."""
        self.votes -= {voter}
        if self.claim is not None:
            self.claim.votes.pop(voter, None)

    def vote(self, candidate: str, epoch: int) -> None:
        self.observe(epoch)
        self.voted_for = candidate
        if self.claim is not None and candidate != self._me:
            self.claim = None


def newest(first: ClusterState, second: ClusterState) -> ClusterState:
    return second if second.stamp > first.stamp else first
