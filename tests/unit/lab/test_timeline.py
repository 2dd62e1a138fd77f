"""The table of a failover."""

from __future__ import annotations

from hamgr.core.effects import Kind
from hamgr.lab.observe import EventRecord
from hamgr.lab.timeline import Row, first, rows, table


def event(time: float, kind: Kind, node: str = "a") -> EventRecord:
    return EventRecord(time, "b", kind.value, node, "", "", f"{node}: {kind.value}")


EVENTS = [
    event(9.0, Kind.NODE_UP),
    event(11.0, Kind.NODE_DEAD),
    event(10.5, Kind.NODE_SUSPECTED),
    event(11.1, Kind.WARNING),
    event(11.2, Kind.FENCE_CONFIRMED),
    event(19.0, Kind.GROUP_STARTED),
]


def test_the_story_is_what_happened_in_its_time_in_order() -> None:
    story = rows(EVENTS, since=10.0, until=15.0)
    assert [row.what for row in story] == ["node-suspected", "node-dead", "fence-confirmed"]


def test_the_first_of_a_kind_is_sought_after_the_beginning_and_about_the_node() -> None:
    assert first(EVENTS, Kind.NODE_UP, since=10.0) is None
    assert first(EVENTS, Kind.FENCE_CONFIRMED, since=10.0, node="b") is None
    assert first(EVENTS, Kind.FENCE_CONFIRMED, since=10.0, node="a") == EVENTS[4]


def test_times_are_milliseconds_from_the_origin() -> None:
    story = [Row(11.25, "b", "node-dead", "a is silent"), Row(9.9995, "b", "last-heartbeat", "of a")]
    assert table(story, origin=10.0, width=80) == [
        "     -0.5 ms  b  last-heartbeat  of a",
        "  +1250.0 ms  b  node-dead       a is silent",
    ]


def test_a_long_line_ends_at_the_width() -> None:
    (line,) = table([Row(1.0, "b", "warning", "x" * 200)], origin=1.0, width=60)
    assert len(line) == 60
    assert line.endswith("...")
