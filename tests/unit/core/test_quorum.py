"""Leases are counted from what our own clock said when we sent what was answered."""

from __future__ import annotations

from hamgr.core.cluster import ClusterSpec, NodeSpec
from hamgr.core.electorate import NEVER, Electorate, Electorates
from hamgr.core.epochs import next_of
from hamgr.core.membership import Liveness, Peer, microseconds
from hamgr.core.messages import ArbiterAnswer, Heartbeat
from hamgr.core.quorum import arbiter_voted, coordinator_lease_basis, member_lease_basis, nodes_behind

THREE = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b"), NodeSpec("c")))
WITH_ARBITER = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b")), arbiter=True)
TWO = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b")), two_node=True)


def voters(spec: ClusterSpec) -> Electorates:
    return spec.electorates(Electorates())


def peer(name: str, echoed: float, coordinator: str = "a", epoch: int = 5, initialised: bool = True) -> Peer:
    beat = Heartbeat(sent_us=1, epoch=epoch, coordinator=coordinator, initialised=initialised)
    return Peer(name, 7, Liveness.ALIVE, beat, echoed_us=microseconds(echoed))


def answer(echoed: float, coordinator: str = "a", epoch: int = 5, voter: bool = True, voted: str = "") -> ArbiterAnswer:
    return ArbiterAnswer(
        microseconds(echoed), voter, epoch, coordinator, vote_epoch=epoch if voted else 0, voted_for=voted
    )


def test_the_lease_counts_from_the_oldest_vote_that_the_quorum_needs() -> None:
    assert coordinator_lease_basis(voters(THREE), "a", 5, 10.0, [peer("b", 9.0), peer("c", 4.0)], None) == 9.0
    assert coordinator_lease_basis(voters(THREE), "a", 5, 10.0, [peer("c", 4.0)], None) == 4.0
    assert coordinator_lease_basis(voters(THREE), "a", 5, 10.0, [], None) == NEVER


def test_who_follows_another_or_an_other_epoch_or_may_not_vote_does_not_count() -> None:
    others = [peer("b", 9.0, coordinator="c"), peer("c", 9.0, epoch=6)]
    assert coordinator_lease_basis(voters(THREE), "a", 5, 10.0, others, None) == NEVER
    assert coordinator_lease_basis(voters(THREE), "a", 5, 10.0, [peer("b", 9.0, initialised=False)], None) == NEVER


def test_the_arbiter_keeps_a_lease_as_long_as_it_goes_along() -> None:
    assert coordinator_lease_basis(voters(WITH_ARBITER), "a", 5, 10.0, [], answer(8.0)) == 8.0
    assert coordinator_lease_basis(voters(WITH_ARBITER), "a", 5, 10.0, [], answer(8.0, coordinator="b")) == NEVER
    assert coordinator_lease_basis(voters(WITH_ARBITER), "a", 5, 10.0, [], answer(8.0, epoch=6)) == NEVER
    assert coordinator_lease_basis(voters(WITH_ARBITER), "a", 5, 10.0, [], answer(8.0, voter=False)) == NEVER


def test_only_a_vote_of_the_arbiter_decides() -> None:
    assert not arbiter_voted(answer(9.9), "a", 5)
    assert arbiter_voted(answer(9.9, voted="a"), "a", 5)
    assert not arbiter_voted(answer(9.9, voted="b"), "a", 5)


def test_a_voter_decides_until_it_moves_on() -> None:
    assert nodes_behind("a", 5, [peer("b", 9.0, coordinator="", epoch=4)], {"b"}) == {"a", "b"}
    assert nodes_behind("a", 5, [peer("b", 9.0, coordinator="", epoch=6)], {"b"}) == {"a"}


def test_while_voters_change_a_lease_needs_the_old_ones_and_none_of_the_coming_ones_outside() -> None:
    three = Electorate({"a": 1, "b": 1, "c": 1})
    changing = Electorates(three, Electorate({"a": 1, "b": 1, "c": 1, "d": 1}))
    assert coordinator_lease_basis(changing, "a", 5, 10.0, [peer("b", 9.0)], None) == 9.0
    assert coordinator_lease_basis(changing, "a", 5, 10.0, [peer("d", 9.0)], None) == NEVER
    missing_each_other = Electorates(three, Electorate({"a": 1, "b": 1, "c": 3}))
    assert coordinator_lease_basis(missing_each_other, "a", 5, 10.0, [peer("b", 9.0)], None) == NEVER
    assert coordinator_lease_basis(missing_each_other, "a", 5, 10.0, [peer("b", 9.0), peer("c", 4.0)], None) == 4.0


def test_a_lease_counts_from_the_oldest_of_the_votes_that_make_the_quorum_however_many_a_node_has() -> None:
    heavy = ClusterSpec("t", (NodeSpec("a", votes=0), NodeSpec("b", votes=3), NodeSpec("c"), NodeSpec("d")))
    light = [peer("c", 9.0), peer("d", 8.0)]
    assert coordinator_lease_basis(voters(heavy), "a", 5, 10.0, [*light, peer("b", 4.0)], None) == 4.0
    assert coordinator_lease_basis(voters(heavy), "a", 5, 10.0, [*light, peer("b", 9.5)], None) == 9.5
    assert coordinator_lease_basis(voters(heavy), "a", 5, 10.0, light, None) == NEVER


def test_a_two_node_coordinator_is_a_quorum_alone() -> None:
    assert coordinator_lease_basis(voters(TWO), "a", 5, 10.0, [], None) == 10.0


def test_a_member_holds_a_lease_only_from_a_coordinator_that_says_to_be_one() -> None:
    assert member_lease_basis(peer("b", 9.0, coordinator="b"), 5) == 9.0
    assert member_lease_basis(peer("b", 9.0, coordinator=""), 5) == NEVER
    assert member_lease_basis(peer("b", 9.0, coordinator="b", epoch=6), 5) == NEVER


def test_nobody_but_the_coordinator_itself_holds_a_lease_in_an_epoch_of_an_override() -> None:
    epoch = next_of(0, 5)
    assert member_lease_basis(peer("b", 9.0, coordinator="b", epoch=epoch), epoch) == NEVER
    assert coordinator_lease_basis(voters(THREE), "a", epoch, 10.0, [], None, {"b", "c"}) == 10.0
