"""Votes are counted in one place: what a quorum is, who must tell a forgetful voter, and which electorates meet."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from hamgr.core.electorate import Electorate

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


@given(ELECTORATES, st.sampled_from("abcde!"), st.data())
def test_who_tells_a_forgetful_voter_knows_of_every_quorum(one: Electorate, forgot: str, data: st.DataObject) -> None:
    told = data.draw(st.sets(st.sampled_from([*one.nodes, "!"]))) - {forgot}
    if one.count(told, "!" in told) >= one.to_learn:
        assert all(told & quorum for quorum in quorums(one))
