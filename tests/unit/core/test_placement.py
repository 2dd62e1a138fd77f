"""Where a group should run."""

from __future__ import annotations

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
    assert place(SPEC, GroupSpec("web", ("a", "b"), auto_failback=False), members("a", "b"), owner="b") == "b"


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
