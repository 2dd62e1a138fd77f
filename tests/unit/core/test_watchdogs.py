"""Whose watchdog is counted on, from when on, and for how long."""

from __future__ import annotations

from hamgr.core.cluster import ClusterSpec, GroupSpec, NodeSpec, Timing
from hamgr.core.membership import Liveness, Peer
from hamgr.core.messages import RosterEntry, Stamp, Standing
from hamgr.core.watchdogs import DOUBT, Watchdogs

TIMING = Timing(keepalive=0.2, warntime=0.5, deadtime=1.0, initdead=3.0, lease=3.0)
SPEC = ClusterSpec(
    "t",
    (NodeSpec("a"), NodeSpec("b", watchdog_timeout=5.0), NodeSpec("c")),
    (GroupSpec("web", stop_timeout=10.0),),
    TIMING,
    watchdog_margin=1.0,
)
ELECTED, HEARD = 100.0, 110.0


def roster(standing: Standing = Standing.MEMBER, reset_ms: int = 0) -> dict[str, RosterEntry]:
    return {name: RosterEntry(name, 7, standing, reset_ms) for name in "abc"}


def lost(node: str) -> Peer:
    return Peer(node, 7, Liveness.DEAD, heard_at=HEARD)


def counted(entries: dict[str, RosterEntry]) -> dict[str, int]:
    return {name: entry.reset_ms for name, entry in entries.items() if entry.reset_ms}


def test_a_watchdog_counts_when_its_node_has_a_state_without_maintenance_and_says_that_it_is_armed() -> None:
    entries = roster()
    watchdogs = Watchdogs(SPEC, entries, ELECTED)
    watchdogs.note(iter([("b", 18_000, Stamp(4, 1))]))
    assert counted(entries) == {}, "no state of this reign says that there is no maintenance"
    watchdogs.stamped(Stamp(4, 1), maintenance=False)
    watchdogs.note(iter([("b", 18_000, Stamp(3, 9)), ("c", 0, Stamp(4, 1))]))
    assert counted(entries) == {}, "b may have a maintenance on its disk, and c has no watchdog"
    watchdogs.note(iter([("b", 18_000, Stamp(4, 1))]))
    assert counted(entries) == {"b": 18_000}


def test_a_maintenance_takes_all_back_until_its_end_is_on_the_node() -> None:
    entries = roster(reset_ms=18_000)
    watchdogs = Watchdogs(SPEC, entries, ELECTED)
    watchdogs.stamped(Stamp(4, 1), maintenance=False)
    watchdogs.take_back()
    watchdogs.stamped(Stamp(4, 2), maintenance=True)
    watchdogs.stamped(Stamp(4, 3), maintenance=False)
    watchdogs.note(iter([("b", 18_000, Stamp(4, 2))]))
    assert counted(entries) == {}
    watchdogs.note(iter([("b", 18_000, Stamp(4, 3))]))
    assert counted(entries) == {"b": 18_000}


def test_what_a_node_says_later_is_what_counts() -> None:
    entries = roster(reset_ms=18_000)
    watchdogs = Watchdogs(SPEC, entries, ELECTED)
    watchdogs.note(iter([("b", 0, Stamp()), ("c", 30_000, Stamp())]))
    assert counted(entries) == {"a": 18_000, "c": 30_000}


def test_the_node_s_own_word_says_how_long_to_wait() -> None:
    watchdogs = Watchdogs(SPEC, roster(reset_ms=40_000), ELECTED)
    assert watchdogs.safe_at(lost("b")) == HEARD + 40.0 + 1.0
    assert watchdogs.safe_at(lost("a")) is None, "our file has none for it"


def test_a_member_whose_watchdog_does_not_count_is_waited_for_and_told_of() -> None:
    watchdogs = Watchdogs(SPEC, roster(), ELECTED)
    assert watchdogs.safe_at(lost("b")) is None
    assert watchdogs.doubt(lost("b")) == DOUBT
    assert watchdogs.doubt(lost("a")) == ""


def test_a_life_that_was_never_let_in_is_waited_for_by_our_file() -> None:
    watchdogs = Watchdogs(SPEC, roster(Standing.LEFT), ELECTED)
    assert watchdogs.safe_at(lost("b")) == HEARD + 3.0 + 10.0 + 5.0 + 1.0
    assert watchdogs.doubt(lost("b")) == ""


def test_two_nodes_alone_count_on_no_watchdog() -> None:
    two = ClusterSpec("t", (NodeSpec("a"), NodeSpec("b", watchdog_timeout=5.0)), timing=TIMING, two_node=True)
    watchdogs = Watchdogs(two, roster(reset_ms=18_000), ELECTED)
    assert watchdogs.safe_at(lost("b")) is None
    assert watchdogs.doubt(lost("b")) == ""
