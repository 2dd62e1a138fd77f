"""One vote an epoch, and epochs that only grow."""

from __future__ import annotations

import pytest

from hamgr.core.cluster import ClusterSpec, NodeSpec
from hamgr.core.durable import Durable
from hamgr.core.effects import FenceRecord, InitialisedRecord, StandbyRecord, StateRecord, VoteRecord
from hamgr.core.election import UNKNOWN_VOTE, Election
from hamgr.core.messages import ClusterState, Stamp

THREE = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b"), NodeSpec("c")))
TWO = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b")), two_node=True)


def test_one_vote_an_epoch() -> None:
    election = Election(THREE, "a", 3, "", True)
    assert election.may_vote("b", 4) == ""
    election.vote("b", 4)
    assert election.may_vote("b", 4) == ""
    assert "went to b" in election.may_vote("c", 4)
    assert election.may_vote("c", 5) == ""


def test_no_vote_in_an_epoch_that_is_over() -> None:
    assert "epoch 3" in Election(THREE, "a", 3, "", True).may_vote("b", 2)


def test_no_vote_against_a_coordinator_of_the_same_epoch() -> None:
    election = Election(THREE, "a", 3, "", True)
    election.follow("b", 4)
    assert "b is coordinator" in election.may_vote("c", 4)


def test_no_vote_before_the_epoch_is_learned() -> None:
    assert Election(THREE, "a", 0, "", False).may_vote("b", 1) != ""


def test_a_vote_that_may_have_been_given_before_a_wipe_is_not_given_again() -> None:
    learned = Durable().apply(InitialisedRecord(5))
    election = Election(THREE, "a", learned.epoch, learned.voted_for, learned.initialised)
    assert election.may_vote("b", 5) != ""
    assert election.may_vote("b", 6) == ""


@pytest.mark.parametrize("epoch", range(6))
def test_in_a_two_node_cluster_each_node_has_its_own_epochs(epoch: int) -> None:
    mine = Election(TWO, "a", epoch, "", True).next_epoch()
    theirs = Election(TWO, "b", epoch, "", True).next_epoch()
    assert mine > epoch
    assert theirs > epoch
    assert mine % 2 != theirs % 2


def test_following_an_earlier_epoch_is_impossible() -> None:
    election = Election(THREE, "a", 9, "", True)
    with pytest.raises(AssertionError, match="from epoch 9 to 8"):
        election.follow("b", 8)


def test_a_later_epoch_ends_the_candidature() -> None:
    election = Election(THREE, "a", 3, "", True)
    claim = election.stand(0.0)
    assert claim.epoch == 4
    assert election.observe(5)
    assert election.claim is None
    assert election.following == ""


def test_what_is_remembered_is_the_fold_of_the_records() -> None:
    state = ClusterState(Stamp(4, 2), "a")
    asked = FenceRecord(1, "b", 7, 0, 4, "b is dead")
    kept = Durable()
    for record in (
        InitialisedRecord(0),
        VoteRecord(4, "a"),
        StateRecord(state),
        StandbyRecord(True),
        asked,
        FenceRecord(2, "c", 8, 0, 4, "c is dead"),
        FenceRecord(2, "c", 8, 0, 4, "c is dead", "confirmed"),
    ):
        kept = kept.apply(record)
    assert kept == Durable(True, 4, "a", True, state, (asked,))
    assert Durable().apply(InitialisedRecord(3)).voted_for == UNKNOWN_VOTE


def test_a_vote_of_a_voter_that_is_lost_or_started_anew_does_not_count() -> None:
    election = Election(THREE, "a", 3, "", True)
    claim = election.stand(0.0)
    claim.own = True
    claim.votes |= {"b": 1, "c": 2}
    election.forget_vote("b")
    assert claim.voters("a") == {"a", "c"}
