"""The arbiter's rules, one by one, and that no restart makes it vote for two."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbiter.decide import VOTED, Answer, ArbiterEffect, ClusterArbiter, Explain, Store, VoteBook, WakeAt
from arbiter.records import emptied, put_back
from hamgr.core.electorate import Electorate, Electorates
from hamgr.core.messages import ArbiterAnswer, ArbiterReport, ClusterState, ConfigStamp, RosterEntry, Stamp, Standing


def says(claim: int = 0, **more: object) -> ArbiterReport:
    facts: dict[str, object] = {
        "sent_us": 1,
        "epoch": 4,
        "nodes": ("a", "b"),
        "alive": ("a",),
        "claim": claim,
    }
    return ArbiterReport(**{**facts, **more})  # type: ignore[arg-type]


def answer(effects: list[ArbiterEffect], node: str) -> ArbiterAnswer:
    return [e.answer for e in effects if isinstance(e, Answer) and e.node == node][-1]


def standing(voters: str, of_arbiter: int, coming: str = "") -> ClusterState:
    """A cluster state with these voters, a vote each, and so many votes of the arbiter."""
    sets = [Electorate(dict.fromkeys(names, 1), of_arbiter) if names else Electorate() for names in (voters, coming)]
    return ClusterState(Stamp(3, 1), "a", electorates=Electorates(*sets))


def voter() -> ClusterArbiter:
    return ClusterArbiter(VoteBook(voter=True, vote_epoch=4, voted_for=""))


def test_a_real_death_waits_for_the_deadtime_exactly_and_not_for_settle() -> None:
    arbiter = voter()
    arbiter.report(0.0, "b", 1, says(alive=("b",)))
    arbiter.report(9.7, "a", 1, says())
    waiting = arbiter.report(9.7, "a", 1, says(5))
    assert WakeAt(10.0) in waiting
    assert answer(waiting, "a").vote_epoch == 4
    granted = arbiter.tick(10.0)
    assert isinstance(granted[0], Store)
    assert answer(granted, "a").voted_for == "a"


def test_the_healthier_of_two_claims_wins_at_once_and_the_loser_cannot_flip_it() -> None:
    arbiter = voter()
    arbiter.report(0.0, "a", 1, says(5))
    decided = arbiter.report(0.1, "b", 1, says(5, alive=("b",), health=1))
    assert answer(decided, "b").voted_for == "b"
    assert "health" in answer(decided, "a").refused
    again = arbiter.report(0.2, "a", 1, says(6))
    assert "b holds the vote of epoch 5" in answer(again, "a").refused


def test_an_old_record_that_was_put_back_gives_no_vote_that_a_node_was_told_of_to_another() -> None:
    arbiter = voter()
    told = says(epoch=5, coordinator="a", vote_seen=5)
    arbiter.report(0.0, "a", 1, told)
    assert not arbiter.book.voter
    asked = arbiter.report(0.1, "b", 1, says(5, alive=("b",)))
    assert asked[0] == Store(VoteBook(True, 5, ""))
    assert "claim a newer one" in answer(asked, "b").refused
    assert answer(arbiter.tick(1000.0) + arbiter.report(1000.0, "b", 1, says(5, alive=("b",))), "b").voted_for == ""


def test_a_node_that_was_told_of_the_last_vote_changes_nothing() -> None:
    arbiter = voter()
    assert answer(arbiter.report(0.0, "a", 1, says(vote_seen=4)), "a").voter


def test_a_new_record_learns_from_a_majority_before_it_votes() -> None:
    arbiter = ClusterArbiter(VoteBook())
    assert not answer(arbiter.report(0.0, "a", 1, says(7)), "a").voter
    learned = arbiter.report(0.1, "b", 1, says(alive=("b",)))
    assert learned[0] == Store(VoteBook(True, 7, ""))
    assert answer(learned, "a").refused


def test_a_vote_that_may_be_on_disk_is_given_to_nobody_else() -> None:
    arbiter, book = voter(), voter().book
    assert isinstance(arbiter.report(0.0, "a", 1, says(5, settle=0.0))[0], Store)
    arbiter.restore(book)
    refused = arbiter.report(20.0, "b", 1, says(5, alive=("b",), settle=0.0))
    assert "may be on disk for a" in answer(refused, "b").refused


STEP = st.tuples(
    st.sampled_from("ab"),
    st.integers(0, 9),
    st.integers(1, 3),
    st.floats(0, 12),
    st.sampled_from(["done", "crash before", "crash after", "unknown"]),
)


@given(st.lists(STEP, max_size=40))
def test_no_restart_or_failed_store_makes_it_answer_two_votes_in_an_epoch(steps: list[tuple]) -> None:
    disk, now, given_votes = VoteBook(), 0.0, {}
    arbiter, last = ClusterArbiter(disk), 0
    for node, claim, life, pause, fate in steps:
        now += pause
        report = says(claim, epoch=claim // 2, alive=(node,))
        for effect in arbiter.report(now, node, life, report):
            if isinstance(effect, Store):
                assert effect.book.vote_epoch >= last
                if fate == "done":
                    disk, last = effect.book, effect.book.vote_epoch
                    continue
                certain = disk
                disk = certain if fate == "crash before" else effect.book
                if fate == "unknown":
                    arbiter.restore(certain)
                else:
                    arbiter = ClusterArbiter(disk)
                break
            if isinstance(effect, Answer) and effect.answer.voted_for:
                epoch, who = effect.answer.vote_epoch, effect.answer.voted_for
                assert given_votes.setdefault(epoch, who) == who
                assert disk.vote_epoch >= epoch


def contest(*claims: tuple[str, dict[str, object]], nodes: tuple[str, ...] = ("a", "b")) -> str:
    """Everybody claims epoch 5 at once; returns who got the vote."""
    arbiter = ClusterArbiter(VoteBook(voter=True, vote_epoch=4))
    for index, (node, facts) in enumerate(claims):
        facts = {"alive": (node,), "nodes": nodes, **facts}
        arbiter.report(index * 0.01, node, 1, says(5, **facts))
    arbiter.tick(2.0)
    return arbiter.book.voted_for


def test_the_larger_partition_wins() -> None:
    nodes = ("a", "b", "c")
    claims = (("a", {}), ("b", {"alive": ("b", "c")}))
    assert contest(*claims, nodes=nodes) == "b"
    assert contest(*reversed(claims), nodes=nodes) == "b"


def test_a_partition_is_large_by_its_votes_and_then_by_its_nodes() -> None:
    nodes = ("a", "b", "c")
    small, large = ("a", {"votes": (3, 1, 1)}), ("b", {"alive": ("b", "c"), "votes": (3, 1, 1)})
    assert contest(small, large, nodes=nodes) == "a"
    small, large = ("a", {"votes": (1, 1, 0)}), ("b", {"alive": ("b", "c"), "votes": (1, 1, 0)})
    assert contest(small, large, nodes=nodes) == "b"


def test_a_new_record_learns_by_votes() -> None:
    arbiter = ClusterArbiter(VoteBook())
    three = {"nodes": ("a", "b", "c"), "votes": (3, 1, 1)}
    arbiter.report(0.0, "b", 1, says(**three))
    assert not answer(arbiter.report(0.0, "c", 1, says(**three)), "c").voter, "a may have won epochs without them"
    assert answer(arbiter.report(0.0, "a", 1, says(**three)), "a").voter


def test_a_holder_keeps_the_vote_when_the_votes_of_its_side_suffice() -> None:
    arbiter = voter()
    four = {"nodes": ("a", "b", "c", "d"), "votes": (3, 1, 1, 1), "settle": 0.0}
    arbiter.report(0.0, "a", 1, says(5, alive=("a", "b", "c", "d"), **four))
    arbiter.report(0.1, "a", 1, says(alive=("a",), **four))
    refused = answer(arbiter.report(0.2, "b", 1, says(6, alive=("b", "c", "d"), **four)), "b").refused
    assert "a holds" in refused, "three votes and the arbiter's are four of seven"


def test_partition_size_counts_before_health() -> None:
    nodes = ("a", "b", "c")
    assert contest(("a", {"health": 9}), ("b", {"alive": ("b", "c")}), nodes=nodes) == "b"


def test_health_counts_before_load() -> None:
    assert contest(("a", {"load": 9}), ("b", {"health": 1})) == "b"


def test_who_runs_more_counts_before_the_tie_breaker() -> None:
    assert contest(("a", {"tie_breaker": "a"}), ("b", {"load": 1, "tie_breaker": "a"})) == "b"


def test_what_the_others_on_a_side_have_counts_for_it() -> None:
    nodes = ("a", "b", "c", "d")
    for what in ("health", "load"):
        arbiter = ClusterArbiter(VoteBook(voter=True, vote_epoch=4))
        arbiter.report(0.0, "d", 1, says(alive=("c", "d"), nodes=nodes, **{what: 1}))
        arbiter.report(0.1, "a", 1, says(5, alive=("a", "b"), nodes=nodes, tie_breaker="a"))
        arbiter.report(0.1, "c", 1, says(5, alive=("c", "d"), nodes=nodes, tie_breaker="a"))
        arbiter.tick(1.2)
        assert arbiter.book.voted_for == "c", what


def test_a_side_has_the_tie_breaker_though_another_of_its_nodes_asks() -> None:
    nodes = ("a", "b", "c", "d")
    claims = (("a", {"alive": ("a", "b"), "tie_breaker": "d"}), ("c", {"alive": ("c", "d"), "tie_breaker": "d"}))
    assert contest(*claims, nodes=nodes) == "c"


def test_with_many_votes_it_gives_them_to_the_larger_of_two_sides_that_would_both_be_a_quorum() -> None:
    nodes, many = ("a", "b", "c"), {"arbiter_votes": 2, "tie_breaker": "a"}
    assert contest(("a", many), ("b", {"alive": ("b", "c"), **many}), nodes=nodes) == "b"


def test_a_larger_side_that_lives_is_waited_for_longer_than_settle_but_no_longer_than_a_deadtime() -> None:
    three = {"nodes": ("a", "b", "c"), "arbiter_votes": 2, "deadtime": 5.0, "settle": 1.0}
    for speaks in (True, False):
        arbiter = voter()
        for second in range(100, 106):
            for node in "bc":
                arbiter.report(second, node, 1, says(alive=("b", "c"), **three))
            arbiter.report(second, "a", 1, says(5, **three))
            if speaks and second == 103:
                arbiter.report(103.5, "b", 1, says(5, alive=("b", "c"), **three))
            assert arbiter.book.voted_for == ("b" if speaks and second > 102 else "a" if second == 105 else "")


def test_with_many_votes_a_new_record_learns_from_all_nodes() -> None:
    arbiter = ClusterArbiter(VoteBook())
    three = {"nodes": ("a", "b", "c"), "arbiter_votes": 2}
    for node in "ab":
        assert not answer(arbiter.report(0.0, node, 1, says(**three)), node).voter, "c alone may have won with us"
    assert answer(arbiter.report(0.0, "c", 1, says(**three)), "c").voter


@pytest.mark.parametrize(
    ("more", "enough"),
    [
        ({"nodes": ("a", "b")}, {"ab"}),
        ({"nodes": ("a", "b", "c")}, {"ab", "ac", "bc"}),
        ({"nodes": ("a", "b", "c", "d")}, {"abc", "abd", "acd", "bcd"}),
        ({"nodes": ("a", "b", "c", "d"), "arbiter_votes": 3}, {"abcd"}),
        ({"nodes": ("a", "b", "c"), "votes": (3, 1, 1)}, {"a"}),
        ({"nodes": ("a", "b", "c"), "votes": (2, 1, 1)}, {"ab", "ac"}),
        ({"nodes": ("a", "b", "c"), "votes": (1, 1, 0), "arbiter_votes": 1}, {"ab"}),
        ({"nodes": tuple("abcde"), "state": standing("ab", 1)}, {"ab"}),
        ({"nodes": tuple("abcde"), "state": standing("abc", 1)}, {"ab", "ac", "bc"}),
        ({"nodes": tuple("abcde"), "state": standing("abc", 2)}, {"abc"}),
        ({"nodes": tuple("abcd"), "state": standing("abc", 1, "ab")}, {"ab"}),
    ],
)
def test_a_lost_record_learns_from_so_many_that_the_others_were_no_quorum_with_it(more: dict, enough: set[str]) -> None:
    """By the rule, by weights, by those who vote now (last_man_standing), and while that changes."""
    nodes = more["nodes"]
    least = {
        "".join(some)
        for count in range(1, len(nodes) + 1)
        for some in itertools.combinations(nodes, count)
        if learned_from(some, more)
    }
    assert {some for some in least if not any(set(other) < set(some) for other in least)} == enough


def learned_from(nodes: tuple[str, ...], more: dict) -> bool:
    arbiter = ClusterArbiter(VoteBook())
    for node in nodes:
        arbiter.report(0.0, node, 1, says(**more))
    return arbiter.book.voter


def test_a_lost_record_learns_from_what_is_said_after_it_was_lost() -> None:
    """Another process over the same store voted meanwhile, with what these nodes have done since."""
    three = {"nodes": ("a", "b", "c")}
    arbiter = voter()
    for node in "abc":
        arbiter.report(0.0, node, 1, says(**three))
    arbiter.restore(VoteBook())
    assert not answer(arbiter.report(1.0, "a", 1, says(**three)), "a").voter
    assert answer(arbiter.report(1.0, "b", 1, says(**three, epoch=7)), "b").voter
    assert arbiter.book.vote_epoch == 7


def test_a_record_that_was_put_back_under_its_arbiter_learns_from_what_is_said_after_that_was_noticed() -> None:
    three = {"nodes": ("a", "b", "c")}
    arbiter = voter()
    for node in "ab":
        arbiter.report(0.0, node, 1, says(**three))
    assert not answer(arbiter.report(1.0, "c", 1, says(**three, vote_seen=6)), "c").voter
    assert answer(arbiter.report(1.0, "a", 1, says(**three, epoch=9)), "a").voter
    assert arbiter.book.vote_epoch == 9


def test_a_lost_record_does_not_learn_from_a_node_that_has_lost_its_own() -> None:
    arbiter = ClusterArbiter(VoteBook())
    arbiter.report(0.0, "a", 1, says())
    forgot = says(alive=("b",), initialised=False, epoch=9, state=ClusterState(Stamp(9, 1), "b"))
    learns = answer(arbiter.report(0.0, "b", 1, forgot), "b")
    assert not learns.voter
    assert learns.stored == Stamp(), "what it says of the cluster may be from before its loss, or of nowhere"


def test_a_lost_record_does_not_learn_from_nodes_of_another_store() -> None:
    arbiter = ClusterArbiter(VoteBook(), "a1")
    arbiter.report(0.0, "a", 1, says(store="a1"))
    assert not answer(arbiter.report(0.0, "b", 1, says(alive=("b",), store="57")), "b").voter
    assert answer(arbiter.report(0.0, "b", 1, says(alive=("b",), store="a1")), "b").voter


def test_a_node_of_another_store_gets_no_vote() -> None:
    arbiter = ClusterArbiter(VoteBook(voter=True, vote_epoch=4), "a1")
    arbiter.report(0.0, "b", 1, says(alive=("b",), store="a1"))
    refused = answer(arbiter.report(10.0, "a", 1, says(5, store="57")), "a")
    assert (refused.voted_for, refused.refused) == ("", "the arbiter of a's cluster is 57; this is a1")


def test_a_record_that_learns_keeps_the_epochs_in_which_it_must_not_vote() -> None:
    """It was forgotten, or is a backup; the nodes are of a new cluster with the same name, and know of nothing."""
    arbiter = ClusterArbiter(put_back(VoteBook(True, 30, "a"), VoteBook()))
    for node in "ab":
        arbiter.report(0.0, node, 1, says())
    assert arbiter.book == VoteBook(True, 30, "")
    assert ClusterArbiter(emptied(VoteBook(True, 30, "a"))).book == VoteBook(False, 30, "")
    newer = VoteBook(True, 3, "a", ClusterState(Stamp(7, 2), "a"))
    assert emptied(newer).vote_epoch == 7


def test_a_node_that_has_no_vote_gets_none() -> None:
    """(last_man_standing) It was surely off, and is back."""
    arbiter = voter()
    arbiter.report(0.0, "b", 1, says(nodes=("a", "b", "c"), alive=("b",), state=standing("bc", 1)))
    refused = answer(arbiter.report(10.0, "a", 1, says(5, nodes=("a", "b", "c"))), "a").refused
    assert refused.startswith("a has no vote now, b, c, the arbiter: 2 of 3 votes are a quorum")


def test_an_epoch_that_somebody_won_without_it_is_over_and_no_support_for_whom_it_voted_before() -> None:
    arbiter = ClusterArbiter(VoteBook(voter=True, vote_epoch=4, voted_for="a"))
    won = says(epoch=6, coordinator="b", alive=("b",), nodes=("a", "b", "c"))
    supports = answer(arbiter.report(0.0, "b", 1, won), "b")
    assert (supports.epoch, supports.coordinator, supports.voted_for) == (6, "b", "a")
    refused = answer(arbiter.report(10.0, "a", 1, says(5, nodes=("a", "b", "c"))), "a").refused
    assert refused == "epoch 5 is over: epoch 6 is known; claim a newer one"
    arbiter.report(10.0, "b", 1, replace(won, coordinator=""))
    lost = answer(arbiter.report(10.0, "c", 1, says(epoch=6, coordinator="b", nodes=("a", "b", "c"))), "c")
    assert (lost.epoch, lost.coordinator) == (6, ""), "nobody says that he leads"


def test_an_epoch_below_one_whose_vote_may_be_on_disk_is_given_to_nobody() -> None:
    """The next life would find that vote, and a lower one could not be told from it."""
    arbiter, book = voter(), voter().book
    arbiter.report(0.0, "a", 1, says(7, settle=0.0))
    arbiter.restore(book)
    refused = answer(arbiter.report(0.1, "b", 1, says(6, alive=("b",), settle=0.0)), "b").refused
    assert refused == "the vote of epoch 7 may be on disk for a; claim a newer one"


def test_a_lost_record_votes_with_the_cluster_state_that_its_nodes_have_or_not_at_all() -> None:
    """They don't send what they take it to have; its answer says that it has it no more."""
    state = ClusterState(Stamp(4, 7), "a")
    arbiter = ClusterArbiter(VoteBook())
    arbiter.report(0.0, "b", 1, says(alive=("b",)))
    told = answer(arbiter.report(0.0, "a", 1, says(5, stored=state.stamp)), "a")
    assert (told.voter, told.stored) == (False, Stamp())
    learned = answer(arbiter.report(0.1, "a", 1, says(5, stored=state.stamp, state=state)), "a")
    assert (learned.voter, arbiter.book.state) == (True, state)


def test_no_node_that_counts_otherwise_makes_fewer_enough() -> None:
    """Somebody changed its file by hand, before there was any cluster state."""
    arbiter = ClusterArbiter(VoteBook())
    arbiter.report(0.0, "a", 1, says(nodes=("a", "b", "c", "d")))
    assert not answer(arbiter.report(0.0, "b", 1, says(nodes=("a", "b", "c"), alive=("b",))), "b").voter


def test_nodes_that_count_votes_so_that_each_finds_a_quorum_get_no_vote_while_both_live() -> None:
    nodes = ("a", "b", "c", "d")
    arbiter = voter()
    arbiter.report(0.0, "b", 1, says(nodes=nodes, alive=("b", "c", "d")))
    refused = answer(arbiter.report(9.0, "a", 1, says(5, nodes=nodes, arbiter_votes=3, settle=0.0)), "a").refused
    assert refused.startswith("a counts a 1, b 1, c 1, d 1 and the arbiter 3, and b a 1, b 1, c 1, d 1 and")
    arbiter.tick(10.0)
    granted = answer(arbiter.report(10.5, "a", 1, says(5, nodes=nodes, arbiter_votes=3, settle=0.0)), "a")
    assert granted.voted_for == "a", "b is dead, and its file with it"


NEWER = ClusterState(Stamp(4, 1), "a", config=ConfigStamp(2, "d2"))


def test_a_node_that_missed_a_push_gets_no_vote_and_keeps_it_from_nobody() -> None:
    """By its file it counts otherwise, and it may not know all nodes."""
    arbiter = voter()
    arbiter.report(0.0, "a", 1, says(nodes=("a", "b", "c"), alive=("a",), config="d2", applied=2, state=NEWER))
    asks = says(5, nodes=("a", "b"), alive=("b",), arbiter_votes=3, config="d1", applied=1)
    refused = answer(arbiter.report(9.0, "b", 1, asks), "b").refused
    assert refused == "b missed configuration 2 of the cluster, and may not know its nodes"
    asks = says(5, nodes=("a", "b", "c"), alive=("a",), config="d2", applied=2, settle=0.0)
    arbiter.report(19.0, "a", 1, asks)
    arbiter.report(19.1, "b", 1, says(5, nodes=("a", "b"), alive=("b",), arbiter_votes=3, config="d1", applied=1))
    assert answer(arbiter.report(19.2, "a", 1, asks), "a").voted_for == "a"


def test_who_has_the_file_or_is_too_old_to_say_so_is_not_held_for_one_that_missed_it() -> None:
    for facts in ({"config": "d2", "applied": 0}, {"config": "d1"}):
        arbiter = voter()
        arbiter.report(0.0, "a", 1, says(config="d2", applied=2, state=NEWER))
        asked = arbiter.report(30.0, "b", 1, says(5, alive=("b",), settle=0.0, **facts))
        assert answer(asked, "b").voted_for == "b"


def explained(effects: list[ArbiterEffect]) -> list[Explain]:
    return [effect for effect in effects if isinstance(effect, Explain)]


def test_a_vote_is_explained_by_what_was_compared_and_known_and_its_winner_learns_why() -> None:
    arbiter = voter()
    arbiter.report(0.0, "a", 1, says(5))
    decided = arbiter.report(0.1, "b", 1, says(5, alive=("b",), health=1))
    vote, refusal = explained(decided)
    assert (vote.rule, vote.node, vote.epoch) == (VOTED, "b", 5)
    assert vote.text == "b gets the vote of epoch 5: b has the higher health than a (1, 0)"
    assert [(side.claimant, side.health) for side in vote.sides] == [("a", 0), ("b", 1)]
    assert [(view.node, round(view.heard_ago, 1)) for view in vote.knew] == [("a", 0.1), ("b", 0.0)]
    assert (refusal.rule, refusal.node) == ("worse", "a")
    assert answer(decided, "b").why == "b has the higher health than a (1, 0)"
    assert answer(decided, "a").why == ""


def test_a_node_that_is_not_in_its_own_file_is_told_of_once() -> None:
    arbiter = voter()
    told = [one for turn in range(5) for one in explained(arbiter.report(float(turn), "x", 1, says(5)))]
    assert [one.rule for one in told] == ["stranger"]


def test_a_refusal_is_explained_once_though_the_loser_asks_again_and_again() -> None:
    arbiter = voter()
    arbiter.report(0.0, "a", 1, says(5))
    arbiter.report(0.1, "b", 1, says(5, alive=("b",), health=1))
    told = []
    for turn in range(20):
        arbiter.report(1.0 + turn, "b", 1, says(alive=("b",), epoch=5, coordinator="b"))
        told += explained(arbiter.report(1.0 + turn, "a", 1, says(6 + turn)))
    assert [(one.rule, one.node) for one in told] == [("held", "a")]


def test_then_the_tie_breaker_then_the_rank() -> None:
    assert contest(("a", {"tie_breaker": "b"}), ("b", {"tie_breaker": "b"})) == "b"
    assert contest(("b", {}), ("a", {})) == "a"


def test_a_living_other_side_that_does_not_claim_is_waited_for_as_long_as_settle() -> None:
    arbiter = voter()
    arbiter.report(99.0, "b", 1, says(alive=("b",)))
    waiting = arbiter.report(100.0, "a", 1, says(5, settle=1.0))
    assert WakeAt(101.0) in waiting
    assert answer(waiting, "a").voted_for == ""
    assert answer(waiting, "a").refused == ""
    assert answer(arbiter.tick(101.0), "a").voted_for == "a"


def test_what_a_claimant_asks_for_unseats_nobody() -> None:
    arbiter = voter()
    arbiter.report(0.0, "a", 1, says(5))
    arbiter.report(0.1, "b", 1, says(5, alive=("b",)))
    assert arbiter.book.voted_for == "a"
    arbiter.report(0.2, "b", 1, says(9, alive=("b",), epoch=9))
    told = answer(arbiter.report(0.3, "a", 1, says(coordinator="a", epoch=5)), "a")
    assert (told.epoch, told.coordinator) == (5, "a")


def held_by_a() -> ClusterArbiter:
    """a has the vote of epoch 5, b lost."""
    arbiter = voter()
    arbiter.report(0.0, "a", 1, says(5))
    arbiter.report(0.1, "b", 1, says(5, alive=("b",)))
    assert arbiter.book.voted_for == "a"
    return arbiter


def test_the_holder_keeps_the_vote_while_it_is_heard() -> None:
    arbiter = held_by_a()
    arbiter.report(5.0, "a", 1, says(coordinator="a", epoch=5))
    assert "a holds the vote" in answer(arbiter.report(9.0, "b", 1, says(6, alive=("b",))), "b").refused
    arbiter.tick(14.9)
    assert arbiter.book.voted_for == "a"
    assert answer(arbiter.tick(15.0), "b").voted_for == "b", "a was silent for the deadtime"


def test_the_holder_gives_way_when_it_started_anew() -> None:
    arbiter = held_by_a()
    arbiter.report(1.0, "a", 2, says())
    arbiter.report(1.1, "b", 1, says(6, alive=("b",), settle=0.5))
    assert answer(arbiter.tick(1.7), "b").voted_for == "b"


def test_the_holder_gives_way_to_a_claimant_that_hears_it() -> None:
    arbiter = held_by_a()
    effects = arbiter.report(1.0, "b", 1, says(6, alive=("a", "b")))
    assert answer(effects, "b").voted_for == "b"


def test_a_holder_that_asks_again_puts_the_question_anew() -> None:
    arbiter = held_by_a()
    arbiter.report(1.0, "b", 1, says(6, alive=("b",), load=10))
    effects = arbiter.report(1.1, "a", 1, says(6))
    assert answer(effects, "b").voted_for == "b", "b runs the groups now"


def test_the_newest_cluster_state_is_kept_and_sent_with_the_vote() -> None:
    arbiter = voter()
    state = ClusterState(Stamp(4, 2), "a")
    effects = arbiter.report(0.0, "a", 1, says(state=state))
    assert isinstance(effects[0], Store)
    assert answer(effects, "a").stored == Stamp(4, 2)
    assert not any(isinstance(e, Store) for e in arbiter.report(0.1, "a", 1, says(state=state)))
    assert answer(arbiter.report(0.2, "a", 1, says(5, settle=0.0)), "a").state == state


def test_it_supports_the_coordinator_that_the_nodes_elected() -> None:
    effects = voter().report(0.0, "a", 1, says(coordinator="a", epoch=6))
    assert (answer(effects, "a").epoch, answer(effects, "a").coordinator) == (6, "a")


def test_reports_of_an_earlier_life_are_ignored() -> None:
    arbiter = voter()
    arbiter.report(0.0, "a", 1, says())
    arbiter.report(1.0, "a", 2, says())
    assert arbiter.report(1.1, "a", 1, says(5)) == []


def test_a_node_that_is_not_configured_gets_nothing() -> None:
    effects = voter().report(0.0, "x", 1, says(5))
    assert "not one of the nodes" in answer(effects, "x").refused


def test_a_node_that_has_not_learned_the_epoch_can_not_claim_one() -> None:
    effects = voter().report(0.0, "a", 1, says(5, initialised=False, settle=0.0))
    assert "has not learned" in answer(effects, "a").refused


def test_a_node_that_was_removed_from_the_cluster_gets_no_vote() -> None:
    arbiter = voter()
    state = ClusterState(Stamp(4, 2), "a", (RosterEntry("a", 1), RosterEntry("b", 1)))
    arbiter.report(0.0, "a", 1, says(state=state))
    old = says(5, settle=0.0, nodes=("a", "b", "c"), alive=("c",))
    assert "none of the cluster's nodes (a, b)" in answer(arbiter.report(20.0, "c", 1, old), "c").refused
    assert arbiter.book.vote_epoch == 4
    assert answer(arbiter.report(20.1, "b", 1, says(5, settle=0.0)), "b").voted_for == "b"


def test_an_epoch_that_is_over_is_refused() -> None:
    arbiter = held_by_a()
    assert "claim a newer one" in answer(arbiter.report(1.0, "b", 1, says(5, alive=("b",))), "b").refused


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 8), st.floats(0, 3), st.booleans()), max_size=60))
def test_three_nodes_and_the_clock_never_get_two_votes_in_an_epoch(steps: list[tuple]) -> None:
    arbiter, now, given_votes = voter(), 0.0, {}
    for node, claim, passed, ticks in steps:
        now += passed
        facts = says(claim, nodes=("a", "b", "c"), alive=(node,), deadtime=2.0, settle=0.5)
        effects = arbiter.tick(now) if ticks else arbiter.report(now, node, 1, facts)
        for effect in effects:
            if isinstance(effect, Answer) and effect.answer.voted_for:
                epoch = effect.answer.vote_epoch
                assert given_votes.setdefault(epoch, effect.answer.voted_for) == effect.answer.voted_for


def undead(arbiter: ClusterArbiter, until: float, load: int = 1, last_sent: float = 100.0) -> list[tuple[str, ...]]:
    """a and b report each second, on a clock that is 7 s behind ours; at 3 s b's state says that a is fenced."""
    fenced = ClusterState(Stamp(5, 2), "b", (RosterEntry("a", 1, Standing.FENCED), RosterEntry("b", 1)))
    found = []
    for second in range(int(until)):
        now, sent_us = 7.0 + second, second * 1_000_000
        state = fenced if second >= 3 else ClusterState()
        sent_by_a = min(sent_us, int(last_sent * 1e6))
        arbiter.report(now, "a", 1, says(sent_us=sent_by_a, load=load, deadtime=2.0))
        said = arbiter.report(now, "b", 1, says(sent_us=sent_us, alive=("b",), state=state, epoch=5, deadtime=2.0))
        found.append(answer(said, "b").undead)
    return found


def test_a_node_that_counts_as_off_and_goes_on_running_groups_is_told_of() -> None:
    assert undead(voter(), 8) == [()] * 6 + [("a",)] * 2, "a deadtime after it was known"


def test_reports_from_before_the_fencing_that_come_late_are_no_sign_of_life() -> None:
    assert undead(voter(), 20, last_sent=3.0) == [()] * 20


def test_a_node_that_counts_as_off_and_runs_nothing_is_no_split_brain() -> None:
    assert undead(voter(), 10, load=0) == [()] * 10


def test_a_new_life_of_a_node_that_was_fenced_is_not_undead() -> None:
    arbiter = voter()
    assert undead(arbiter, 8)[-1] == ("a",)
    again = arbiter.report(20.0, "a", 2, says(sent_us=1, load=1, deadtime=2.0))
    assert answer(again, "a").undead == ()
