"""The times of day at which groups may fail back."""

from __future__ import annotations

import time

import pytest

from hamgr.windows import FailbackWindows, closed, is_open

NIGHT, NOON = (22 * 60, 5 * 60 + 30), (12 * 60, 13 * 60)


def at(text: str) -> time.struct_time:
    return time.strptime(f"2026-11-23 {text}", "%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("text", "open_groups"),
    [("22:00", {"night"}), ("23:59", {"night"}), ("00:00", {"night"}), ("05:29", {"night"}), ("05:30", set()),
     ("11:59", set()), ("12:00", {"noon"}), ("12:59", {"noon"}), ("13:00", set()), ("21:59", set())],
)  # fmt: skip
def test_a_window_may_go_over_midnight(text: str, open_groups: set[str]) -> None:
    assert {"night", "noon"} - closed({"night": NIGHT, "noon": NOON}, at(text)) == open_groups


def test_a_window_holds_every_minute_of_its_length_and_no_other() -> None:
    assert sum(is_open(NIGHT, minute) for minute in range(24 * 60)) == 7 * 60 + 30
    assert sum(is_open(NOON, minute) for minute in range(24 * 60)) == 60


async def test_what_is_closed_at_the_start_is_told_at_once() -> None:
    now = time.localtime()
    minute = now.tm_hour * 60 + now.tm_min
    later = ((minute + 120) % 1440, (minute + 180) % 1440)
    told: list[frozenset[str]] = []
    windows = FailbackWindows({"web": later}, told.append)
    windows.start()
    windows.close()
    assert told == [frozenset({"web"})]


async def test_without_windows_nothing_is_told() -> None:
    told: list[frozenset[str]] = []
    windows = FailbackWindows({}, told.append)
    windows.start()
    windows.close()
    assert told == []
