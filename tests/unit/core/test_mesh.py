"""What a node knows of the links between others, and when it believes it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from hamgr.core.cluster import Timing
from hamgr.core.membership import Liveness, Membership
from hamgr.core.mesh import Mesh, cliques
from hamgr.core.messages import Heartbeat

TIMING = Timing(keepalive=1.0, warntime=2.0, deadtime=5.0, initdead=5.0, lease=12.0)
SETTLE = 4.0
NAMES = "abcd"


class Heard:
    """What node a hears: of each other node, whom that one says to hear."""

    def __init__(self, **hears: str) -> None:
        self.mesh = Mesh("a", NAMES, TIMING)
        self.membership = Membership("a", 1, {name: ("lan",) for name in NAMES if name != "a"}, TIMING)
        self.sent = 0
        self.at(0.0, **(hears or {"b": "abcd", "c": "abcd", "d": "abcd"}))

    def at(self, now: float, life: int = 7, mesh: str = "", **hears: str) -> Mesh:
        for name, peer in self.membership.peers.items():
            if name in hears:
                self.sent += 1
                peer.liveness, peer.incarnation = Liveness.ALIVE, life
                peer.heartbeat = Heartbeat(self.sent, 1, hears=tuple(hears[name]), mesh=tuple(mesh))
            else:
                peer.liveness, peer.heartbeat = Liveness.DEAD, None
        self.mesh.stale = True
        self.mesh.update(now, self.membership, len)
        return self.mesh


def test_two_nodes_are_linked_when_both_say_so() -> None:
    mesh = Heard(b="abc", c="ac", d="abcd").mesh
    assert not mesh.whole("b", "c"), "c does not hear b"
    assert mesh.whole("a", "b"), "we hear it, and it hears us"
    assert not mesh.whole("b", "d")
    assert mesh.best == {"a", "b"}, "of sets with as many votes, that of the higher ranks"


def test_who_does_not_say_whom_it_hears_is_of_an_earlier_version_and_hears_everybody() -> None:
    assert Heard(b="", c="abc", d="abcd").mesh.whole("b", "c")


def test_a_link_that_broke_is_cut_and_it_has_settled_when_no_more_broke_for_a_while() -> None:
    heard = Heard()
    mesh = heard.at(10.0, b="abd", c="acd", d="abcd")
    assert mesh.cut("b", "c")
    assert mesh.settled_at() == 10.0 + SETTLE
    assert heard.at(12.0, b="abd", c="ac", d="abd").settled_at() == 12.0 + SETTLE


def test_links_that_break_on_and_on_keep_nobody_waiting_for_ever() -> None:
    heard = Heard()
    heard.at(10.0, b="abd", c="acd", d="abcd")
    for turn in range(1, 9):
        heard.at(10.0 + 3.0 * turn, life=7 + turn, b="abd", c="acd", d="abcd")
        mesh = heard.at(11.5 + 3.0 * turn, life=7 + turn, b="abd", c="acd", d="abd")
    assert mesh.settled_at() <= 11.5 + 24.0 + 3 * TIMING.deadtime


def test_a_link_that_works_again_is_not_cut_but_whole_only_after_two_deadtimes() -> None:
    heard = Heard()
    heard.at(10.0, b="abd", c="acd", d="abcd")
    mesh = heard.at(20.0, b="abcd", c="abcd", d="abcd")
    assert (mesh.cut("b", "c"), mesh.whole("b", "c")) == (False, False)
    heard.at(29.9, b="abcd", c="abcd", d="abcd")
    assert not mesh.whole("b", "c")
    heard.at(30.0, b="abcd", c="abcd", d="abcd")
    assert mesh.whole("b", "c")


def test_a_link_that_was_broken_is_not_taken_for_a_good_one_in_the_next_life_of_its_end() -> None:
    heard = Heard()
    heard.at(10.0, b="abd", c="acd", d="abcd")
    heard.at(20.0, b="abd", d="abd")
    mesh = heard.at(30.0, life=8, b="abcd", c="abcd", d="abcd")
    assert not mesh.whole("b", "c")
    assert mesh.whole("c", "d"), "that one was good to the end"


def test_a_new_node_that_never_hears_another_is_known_for_that_after_a_deadtime() -> None:
    heard = Heard(b="abd", d="abd")
    heard.at(10.0, b="abd", c="acd", d="abcd")
    mesh = heard.mesh
    assert not mesh.cut("b", "c")
    heard.at(10.0 + TIMING.deadtime, b="abd", c="acd", d="abcd")
    assert mesh.cut("b", "c")


def test_a_dead_node_that_others_hear_is_told_with_them() -> None:
    heard = Heard()
    assert heard.at(10.0, b="abd", c="acd").unheard == {"d": ("b", "c")}
    assert heard.at(11.0, b="ab", c="ac").unheard == {}


def test_sets_without_us_are_known_by_the_word_of_those_whom_we_hear() -> None:
    heard = Heard()
    assert heard.mesh.elsewhere() == []
    assert heard.at(10.0, mesh="bcd", b="abcd", c="abcd").elsewhere() == [frozenset("bcd")] * 2


def test_a_pause_of_our_own_settles_nothing() -> None:
    heard = Heard()
    mesh = heard.at(10.0, b="abd", c="acd", d="abcd")
    mesh.paused(8.0)
    assert mesh.settled_at() == 18.0 + SETTLE


def test_two_nodes_need_no_mesh() -> None:
    mesh = Mesh("a", "ab", TIMING)
    assert not mesh.update(0.0, Membership("a", 1, {"b": ("lan",)}, TIMING), len)
    assert mesh.whole("a", "b")


def connected(links: dict[str, frozenset[str]], some: Iterable[str]) -> bool:
    return all(other in links[one] for one, other in itertools.combinations(some, 2))


@given(st.integers(1, 7), st.randoms(use_true_random=False))
def test_cliques_are_all_the_fully_connected_sets_that_can_not_grow(count: int, rng: object) -> None:
    names = "abcdefg"[:count]
    pairs = {pair for pair in itertools.combinations(names, 2) if rng.random() < 0.6}  # type: ignore[attr-defined]
    links = {one: frozenset(other for other in names if {(one, other), (other, one)} & pairs) for one in names}
    sets = [frozenset(some) for size in range(1, count + 1) for some in itertools.combinations(names, size)]
    whole = {some for some in sets if connected(links, some)}
    found = list(cliques(links))
    assert len(found) == len(set(found))
    assert set(found) == {some for some in whole if not any(some < other for other in whole)}
