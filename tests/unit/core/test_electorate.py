"""Votes are counted in one place: what a quorum is, who must tell a forgetful voter, and which electorates meet."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from hamgr.core.cluster import ClusterSpec, NodeSpec
from hamgr.core.electorate import ARBITER, NEVER, Electorate, Electorates

THREE = Electorate({"a": 1, "b": 1, "c": 1})
HEAVY = Electorate({"a": 3, "b": 1, "c": 1, "d": 0}, arbiter=1)


def test_a_quorum_is_more_than_half_of_all_votes() -> None:
    assert (THREE.votes, THREE.majority) == (3, 2)
    assert (HEAVY.votes, HEAVY.majority) == (6, 4)
    assert Electorate({"a": 1, "b": 1}, alone=True).majority == 1


def test_each_counts_once_and_strangers_do_not() -> None:
    assert HEAVY.count(["a", "a", "d", "x"]) == 3
    assert HEAVY.count({"b"}, arbiter=True) == 2


def test_who_is_a_quorum_alone_can_learn_from_nobody() -> None:
    alone = Electorate({"a": 3, "b": 1, "c": 1})
    assert alone.count({"b", "c"}) < alone.to_learn


def test_only_what_can_be_cut_into_equal_halves_is_evenly_split() -> None:
    assert Electorate({"a": 1, "b": 1, "c": 2}).evenly_split()
    assert not Electorate({"a": 1, "b": 3}).evenly_split()
    assert not THREE.evenly_split()


def test_one_voter_or_one_vote_more_still_meets_and_more_does_not() -> None:
    assert THREE.meets(Electorate({"a": 1, "b": 1, "c": 1, "d": 1}))
    assert THREE.meets(Electorate({"a": 1, "b": 1}))
    assert THREE.meets(Electorate({"a": 2, "b": 1, "c": 1}))
    assert not THREE.meets(Electorate({"a": 3, "b": 1, "c": 1})), "a alone, and b with c"
    assert not THREE.meets(Electorate({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1})), "a with b, and c with d and e"


def test_half_of_the_votes_is_a_quorum_only_with_the_tie_breaker() -> None:
    four = Electorate(dict.fromkeys("abcd", 1), tie="a")
    assert four.is_quorum({"a", "d"})
    assert not four.is_quorum({"b", "c"})
    assert four.is_quorum({"b", "c", "d"})
    assert not Electorate({"a": 1, "b": 1, "c": 1}, tie="a").is_quorum({"a"}), "less than half"


def test_while_voters_change_the_old_ones_decide_if_they_leave_no_quorum_of_the_new_ones_outside() -> None:
    removed = Electorates(THREE, Electorate({"a": 1, "b": 1}))
    assert removed.may_be_given_up
    assert removed.is_quorum({"b", "c"}), "a alone is no quorum of a and b"
    assert not removed.is_agreed({"b", "c"})
    assert not removed.is_quorum({"b"})
    added = Electorates(THREE, Electorate(dict.fromkeys("abcd", 1)))
    assert added.is_quorum({"a", "b"})
    assert not added.is_quorum({"a", "d"})


def test_where_quorums_might_miss_each_other_only_what_is_a_quorum_of_both_decides() -> None:
    changing = Electorates(THREE, Electorate({"a": 1, "b": 1}, arbiter=1))
    assert changing.is_quorum({"a", "b"})
    assert not changing.is_quorum({"a", "c"})
    assert not changing.is_quorum({"a", ARBITER})
    assert changing.is_quorum({"a", "c", ARBITER})
    assert changing.since({"a": 9.0, "c": 8.0, ARBITER: 3.0}) == 3.0
    assert changing.since({"a": 9.0, "c": 8.0}) == NEVER


def test_no_change_is_given_up_where_half_of_the_votes_can_be_a_quorum() -> None:
    four = Electorate(dict.fromkeys("abcd", 1), tie="a")
    changing = Electorates(four, Electorate(dict.fromkeys("abc", 1), tie="a"))
    assert not changing.may_be_given_up, "a and d are a quorum, and so are b and c later"
    assert not changing.is_quorum({"a", "d"})
    assert changing.is_quorum({"a", "b"})


def test_who_tells_a_forgetful_voter_must_know_of_both_sets() -> None:
    changing = Electorates(THREE, Electorate(dict.fromkeys("abcd", 1)))
    assert changing.would_miss({"a"})
    assert not changing.would_miss({"a", "b"})


def test_who_is_in_no_file_anymore_has_no_vote() -> None:
    spec = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b")), arbiter=True)
    recorded = Electorates(Electorate(dict.fromkeys("abcde", 1), arbiter=1))
    assert spec.electorates(recorded) == Electorates(Electorate({"a": 1, "b": 1}, arbiter=1))
    assert spec.electorates(Electorates()).current == spec.electorate


def test_the_lowest_of_those_that_vote_breaks_the_tie() -> None:
    spec = ClusterSpec("t", tuple(map(NodeSpec, "abcd")), auto_tie_breaker="lowest")
    assert spec.electorate.tie == "a"
    assert spec.electorate_of({"b", "c"}).tie == "b"
    named = ClusterSpec("t", tuple(map(NodeSpec, "abcd")), auto_tie_breaker="c")
    assert (named.electorate_of({"b", "c"}).tie, named.electorate_of({"a", "b"}).tie) == ("c", "")


VOTES = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 4), min_size=1)
ELECTORATES = st.builds(Electorate, VOTES, st.integers(0, 3)).filter(lambda found: found.votes > 0)


def quorums(electorate: Electorate) -> list[frozenset[str]]:
    """Every one of them; the arbiter is called "!"."""
    voters = [*electorate.nodes, "!"]
    sides = [
        {voter for voter, chosen in zip(voters, choice, strict=True) if chosen}
        for choice in product((False, True), repeat=len(voters))
    ]
    return [frozenset(side) for side in sides if electorate.count(side, "!" in side) >= electorate.majority]


@given(ELECTORATES, ELECTORATES)
def test_electorates_meet_when_any_two_quorums_have_a_voter_in_common(one: Electorate, other: Electorate) -> None:
    apart = any(not first & second for first in quorums(one) for second in quorums(other))
    assert one.meets(other) is not apart
    assert one.meets(one)


@settings(deadline=None)
@given(ELECTORATES, ELECTORATES)
def test_a_quorum_while_voters_change_meets_every_quorum_of_before_and_of_after(
    one: Electorate, other: Electorate
) -> None:
    changing = Electorates(one, other)
    for during in quorums(one):
        if changing.is_quorum({ARBITER if voter == "!" else voter for voter in during}):
            assert all(during & found for found in (*quorums(one), *quorums(other)))


@given(ELECTORATES, st.sampled_from("abcde!"), st.data())
def test_who_tells_a_forgetful_voter_knows_of_every_quorum(one: Electorate, forgot: str, data: st.DataObject) -> None:
    told = data.draw(st.sets(st.sampled_from([*one.nodes, "!"]))) - {forgot}
    if one.count(told, "!" in told) >= one.to_learn:
        assert all(told & quorum for quorum in quorums(one))
