"""Where a group should run."""

from __future__ import annotations

import pytest

from hamgr.core.cluster import ClusterSpec, GroupSpec, NodeSpec
from hamgr.core.placement import Candidate, place

SPEC = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b"), NodeSpec("c")))


def members(*names: str, unfit: tuple[str, ...] = (), barred: tuple[str, ...] = ()) -> dict[str, Candidate]:
    return {
        name: Candidate(name, name not in unfit, frozenset({"web"} if name in barred else ())) for name in names
    }


def test_the_first_preferred_member_gets_the_group() -> None:
    assert place(SPEC, GroupSpec("web", ("b", "a")), members("a", "b", "c"), owner="") == "b"


def test_without_a_preference_the_order_of_the_file_counts() -> None:
    assert place(SPEC, GroupSpec("web"), members("c", "b"), owner="") == "b"


def test_auto_failback_brings_the_group_home() -> None:
    assert place(SPEC, GroupSpec("web", ("a", "b")), members("a", "b"), owner="b") == "a"


def test_without_auto_failback_it_stays() -> None:
    assert place(SPEC, GroupSpec("web", ("a", "b")), members("a", "b"), owner="b", goes_home=False) == "b"


def test_standby_and_failures_move_it_away() -> None:
    group = GroupSpec("web", ("a", "b"), auto_failback=False)
    assert place(SPEC, group, members("a", "b", unfit=("a",)), owner="a") == "b"
    assert place(SPEC, group, members("a", "b", barred=("a",)), owner="a") == "b"


def test_a_takeover_holds_against_failback_while_its_node_can() -> None:
    group = GroupSpec("web", ("a", "b"))
    assert place(SPEC, group, members("a", "b"), owner="a", pin="b") == "b"
    assert place(SPEC, group, members("a", "b", unfit=("b",)), owner="a", pin="b") == "a"


def test_nobody_able_means_nowhere() -> None:
    assert place(SPEC, GroupSpec("web", ("a",)), members("b", "c"), owner="") == ""


def with_health(**scores: int) -> dict[str, Candidate]:
    return {name: Candidate(name, True, health=score) for name, score in scores.items()}


def test_the_healthier_node_gets_the_group() -> None:
    group = GroupSpec("web", ("a", "b"))
    assert place(SPEC, group, with_health(a=1, b=2), owner="a") == "b"
    assert place(SPEC, group, with_health(a=2, b=2), owner="b") == "a"
    assert place(SPEC, GroupSpec("web"), with_health(a=2, b=2), owner="b", goes_home=False) == "b"
    assert place(SPEC, GroupSpec("web"), with_health(a=2, b=1), owner="b", goes_home=False) == "a"


def test_the_health_of_a_node_that_may_not_run_the_group_says_nothing() -> None:
    assert place(SPEC, GroupSpec("web", ("a", "b")), with_health(a=1, b=1, c=9), owner="a") == "a"


def test_while_health_may_still_change_the_group_stays_and_a_free_one_goes_to_the_best() -> None:
    group = GroupSpec("web", ("a", "b"))
    assert place(SPEC, group, with_health(a=1, b=2), owner="a", judged=False) == "a"
    assert place(SPEC, group, with_health(a=1, b=2), owner="", judged=False) == "b"


def test_an_operators_takeover_is_stronger_than_health() -> None:
    assert place(SPEC, GroupSpec("web", ("a", "b")), with_health(a=1, b=2), owner="a", pin="a") == "a"


def test_a_group_that_follows_another_has_one_place_or_none() -> None:
    group = GroupSpec("web", ("a", "b"), together_with=("db",))
    assert place(SPEC, group, members("a", "b"), owner="a", near=frozenset({"b"})) == "b"
    assert place(SPEC, group, members("a", "b"), owner="a", near=frozenset()) == ""
    assert place(SPEC, group, members("a", "b"), owner="a", pin="a", near=frozenset({"b"})) == "b"


def test_a_group_that_keeps_away_from_another_takes_the_next_best_node() -> None:
    group = GroupSpec("web", ("a", "b"), apart_from=("db",))
    assert place(SPEC, group, members("a", "b"), owner="a", away=frozenset({"a"})) == "b"
    assert place(SPEC, group, members("a"), owner="a", away=frozenset({"a"})) == ""


def test_groups_are_placed_behind_those_that_they_look_at() -> None:
    groups = (
        GroupSpec("mail", after=("web",)),
        GroupSpec("web", together_with=("db",)),
        GroupSpec("db"),
        GroupSpec("log", apart_from=("mail",)),
    )
    assert [g.name for g in ClusterSpec("t", SPEC.nodes, groups).in_placing_order()] == ["db", "web", "mail", "log"]


def test_a_circle_of_groups_is_named() -> None:
    groups = (GroupSpec("db"), GroupSpec("web", after=("mail",)), GroupSpec("mail", together_with=("web",)))
    with pytest.raises(ValueError, match="web and mail"):
        ClusterSpec("t", SPEC.nodes, groups).in_placing_order()


def test_a_group_stays_while_another_node_is_better_by_no_more_than_its_stickiness() -> None:
    group = GroupSpec("web", ("a", "b"), stickiness=1)
    assert place(SPEC, group, with_health(a=1, b=2), owner="a") == "a"
    assert place(SPEC, group, with_health(a=0, b=2), owner="a") == "b"
    assert place(SPEC, group, with_health(a=2, b=1), owner="b") == "a", "home is as healthy, and it goes home"
    assert place(SPEC, group, with_health(a=2, b=1), owner="b", goes_home=False) == "b"
    assert place(SPEC, group, with_health(a=1, b=2), owner="") == "b", "a group that runs nowhere sticks to nothing"


def test_a_disabled_group_runs_nowhere() -> None:
    assert place(SPEC, GroupSpec("web", enabled=False), members("a", "b"), owner="a", pin="a") == ""
