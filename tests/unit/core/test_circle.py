"""Whom the coordinator goes on with when not all of its members hear each other."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import cast

import pytest

from hamgr.core.circle import Circle, Merits
from hamgr.core.mesh import Mesh

SETTLED = 100.0


class Links:
    """Stands for a mesh: which pairs don't work, and whether that has settled."""

    small = False

    def __init__(self, *cut: str, unheard: Mapping[str, tuple[str, ...]] | None = None, elsewhere: str = "") -> None:
        self._cut = {frozenset(pair) for pair in cut}
        self.unheard = dict(unheard or {})
        self._elsewhere = elsewhere
        self.yielded: frozenset[str] = frozenset()
        self.healing: set[frozenset[str]] = set()

    def cut(self, one: str, other: str) -> bool:
        return frozenset((one, other)) in self._cut

    def whole(self, one: str, other: str) -> bool:
        return not self.cut(one, other) and frozenset((one, other)) not in self.healing

    def settled_at(self) -> float:
        return SETTLED

    def elsewhere(self) -> list[frozenset[str]]:
        return [frozenset(self._elsewhere)] if self._elsewhere else []


class Cluster:
    """`count` nodes, of which a is the coordinator; more than half of them are a quorum."""

    def __init__(self, count: int, loads: Mapping[str, int] | None = None, tie_breaker: str = "") -> None:
        self.names = "abcdefgh"[:count]
        self.circle = Circle("a", self.names, tie_breaker)
        self.loads = loads or {}

    def draw(self, links: Links, members: str, now: float = SETTLED, coming: str = "") -> str:
        def enough(some: Collection[str]) -> bool:
            return 2 * len(some) > len(self.names)

        lives = dict.fromkeys(members, 7)
        merits = {name: Merits(0, self.loads.get(name, 0)) for name in self.names}
        self.circle.draw(now, cast(Mesh, links), lives, frozenset(coming), len, enough, merits.__getitem__)
        return "".join(sorted(self.circle.inside))


def test_all_go_on_who_hear_each_other() -> None:
    cluster = Cluster(3)
    assert cluster.draw(Links(), "abc") == "abc"
    assert cluster.circle.waiting == cluster.circle.outside == {}


def test_of_two_that_do_not_hear_each_other_goes_out_who_runs_less() -> None:
    cluster = Cluster(3, {"c": 1})
    cluster.draw(Links(), "abc")
    assert cluster.draw(Links("bc"), "abc") == "ac"
    assert cluster.circle.outside == {"b": "b and c don't hear each other"}
    assert cluster.circle.was_in("b", 7), "so it is fenced"


@pytest.mark.parametrize(("tie_breaker", "inside"), [("", "ab"), ("c", "ac")])
def test_else_the_tie_breaker_says_and_else_the_rank(tie_breaker: str, inside: str) -> None:
    assert Cluster(3, tie_breaker=tie_breaker).draw(Links("bc"), "abc") == inside


def test_more_votes_go_before_load() -> None:
    cluster = Cluster(5, {"e": 100})
    assert cluster.draw(Links("be", "ce"), "abcde") == "abcd"


def test_nobody_goes_out_before_it_has_settled() -> None:
    cluster = Cluster(3)
    cluster.draw(Links(), "abc", now=0.0)
    assert cluster.draw(Links("bc"), "abc", now=SETTLED - 1) == "abc"
    assert cluster.circle.outside == {}


def test_a_new_coordinator_chooses_when_all_whom_it_hears_have_come() -> None:
    """Those who came first would be a quorum, too, and then be kept."""
    cluster = Cluster(5)
    links = Links("ce", "cd")
    assert cluster.draw(links, "abc", coming="de") == "abc"
    assert list(cluster.circle.waiting) == ["c"]
    assert cluster.draw(links, "abcde") == "abde"
    assert cluster.draw(Links(), "abcde", coming="") == "abcde"


def test_the_circle_is_kept_though_a_larger_one_could_be_had() -> None:
    cluster = Cluster(3)
    cluster.draw(Links(), "ab")
    cluster.loads = {"c": 100}
    assert cluster.draw(Links("bc"), "abc") == "ab"
    assert not cluster.circle.was_in("c", 7), "it came late and runs nothing: it is not fenced"


def test_who_comes_waits_until_it_hears_everybody_and_nobody_waits_for_it() -> None:
    cluster = Cluster(4)
    cluster.draw(Links(), "abc")
    cluster.draw(Links("bd"), "abcd", now=0.0)
    assert list(cluster.circle.waiting) == ["d"]
    cluster.draw(Links(), "abcd", now=1.0)
    assert cluster.circle.waiting == {}


def test_a_link_that_only_begins_to_work_puts_nobody_out_and_takes_nobody_in() -> None:
    cluster = Cluster(3)
    links = Links()
    links.healing.add(frozenset("bc"))
    assert cluster.draw(links, "abc") == "abc"
    cluster.draw(Links("bc"), "abc")
    assert cluster.draw(links, "abc") == "ab"
    assert cluster.draw(Links(), "abc") == "abc"


def test_without_a_quorum_that_hears_itself_all_whom_the_coordinator_hears_go_on() -> None:
    cluster = Cluster(4)
    assert cluster.draw(Links("bd", unheard={"c": ("b", "d")}), "abd") == "abd"
    assert cluster.circle.outside == {}


def test_a_dead_node_that_a_member_hears_is_spared_until_it_has_settled() -> None:
    cluster = Cluster(3)
    lost = Links(unheard={"c": ("b",)})
    cluster.draw(lost, "ab", now=0.0)
    assert cluster.circle.held == {"c": "b hears it, which a does not; that is looked at for 100.0 s more"}
    cluster.draw(lost, "ab")
    assert cluster.circle.held == {}


def test_a_coordinator_gives_up_once_for_a_larger_set_without_it() -> None:
    cluster = Cluster(5)
    cluster.draw(Links(), "abcde")
    lost = Links(unheard={"d": ("b", "c"), "e": ("b", "c")}, elsewhere="bcde")
    cluster.draw(lost, "abc", now=0.0)
    assert cluster.circle.better == frozenset()
    cluster.draw(lost, "abc")
    assert cluster.circle.better == frozenset("bcde")
    lost.yielded = frozenset("bcde")
    assert cluster.draw(lost, "abc") == "abc"
    assert cluster.circle.better == frozenset()


def test_it_does_not_give_up_for_a_set_that_is_not_larger() -> None:
    cluster = Cluster(4)
    cluster.draw(Links(), "abcd")
    cluster.draw(Links(unheard={"d": ("b", "c")}, elsewhere="bcd"), "abc")
    assert cluster.circle.better == frozenset()


def test_whatever_links_are_cut_the_inside_hears_itself_if_any_quorum_with_the_coordinator_does() -> None:
    pairs = ["".join(pair) for pair in itertools.combinations("bcde", 2)]
    for mask in range(1 << len(pairs)):
        cut = [pair for index, pair in enumerate(pairs) if mask >> index & 1]
        links = Links(*cut)
        inside = Cluster(5).draw(links, "abcde")
        whole = [
            some
            for some in itertools.combinations("abcde", 3)
            if "a" in some and not any(links.cut(*pair) for pair in itertools.combinations(some, 2))
        ]
        clean = not any(links.cut(*pair) for pair in itertools.combinations(inside, 2))
        assert "a" in inside
        assert clean if whole else inside == "abcde", cut
