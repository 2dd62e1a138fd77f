"""The arbiter's rules, one by one, and that no restart makes it vote for two."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arbiter.decide import Answer, ArbiterEffect, ClusterArbiter, Store, VoteBook, WakeAt
from hamgr.core.messages import ArbiterAnswer, ArbiterReport


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
