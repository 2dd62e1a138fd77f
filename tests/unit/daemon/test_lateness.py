"""The histogram of late wake-ups tells what was put into it."""

from __future__ import annotations

import random

from hamgr.lateness import Lateness


def noted(*seconds: float) -> Lateness:
    late = Lateness()
    for one in seconds:
        late.note(one)
    return late


def test_nothing_noted_is_nothing_late() -> None:
    assert (noted().count, noted().max, noted().percentile(0.99)) == (0, 0.0, 0.0)


def test_percentiles_are_right_to_a_tenth() -> None:
    rng = random.Random(7)
    values = sorted(rng.expovariate(1000) for _ in range(10_000))
    late = noted(*values)
    for share in (0.5, 0.99, 0.999):
        exact = values[int(share * len(values)) - 1]
        assert exact * 0.99 <= late.percentile(share) <= exact * 1.1


def test_no_percentile_is_above_the_worst() -> None:
    late = noted(0.0031)
    assert late.percentile(0.999) == late.max == 0.0031


def test_what_is_longer_than_the_longest_bucket_counts() -> None:
    late = noted(0.001, 100.0)
    assert late.percentile(1.0) == 100.0
    assert late.count == 2


def test_a_timer_that_fires_early_is_not_late() -> None:
    assert noted(-0.5).max == 0.0


def test_the_recent_worst_begins_anew_when_it_was_taken() -> None:
    late = noted(0.5)
    assert late.take_recent_max() == 0.5
    late.note(0.1)
    assert (late.take_recent_max(), late.max) == (0.1, 0.5)
