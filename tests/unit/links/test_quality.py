"""Loss, round trip and jitter are what the frames say, whatever is lost, late or doubled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamgr.links.quality import WINDOW, Clocks, Quality

MS = 1000
LIFE = 7


def arrivals(*sequences: int) -> Quality:
    quality = Quality()
    for at, sequence in enumerate(sequences):
        quality.arrived(at * MS, 100, LIFE, sequence, None)
    return quality


def test_nothing_is_known_before_the_first_frame() -> None:
    quality = Quality()
    assert (quality.loss, quality.round_trip, quality.jitter, quality.lost) == (None, None, None, 0)


def test_frames_and_bytes_are_counted_both_ways() -> None:
    quality = arrivals(1, 2)
    quality.sent(50)
    assert (quality.frames_in, quality.bytes_in, quality.frames_out, quality.bytes_out) == (2, 200, 1, 50)


def test_what_is_missing_between_two_frames_is_lost() -> None:
    quality = arrivals(1, 2, 4, 8)
    assert quality.lost == 4
    assert quality.loss == 0.5


def test_a_late_frame_is_not_lost() -> None:
    quality = arrivals(1, 3, 2)
    assert (quality.loss, quality.lost) == (0.0, 0)


def test_frames_from_before_we_listened_are_not_expected() -> None:
    assert arrivals(1000, 1001).lost == 0
    assert arrivals(1000, 999, 1001).lost == 0


def test_the_loss_is_that_of_the_newest_frames() -> None:
    quality = arrivals(*range(1, 1000, 2), *range(1000, 1000 + WINDOW))
    assert quality.loss == 0.0
    assert quality.lost == 499


def test_a_new_life_of_the_peer_counts_anew() -> None:
    quality = arrivals(1, 2, 500)
    quality.arrived(0, 100, LIFE + 1, 1, None)
    assert (quality.loss, quality.lost, quality.frames_in) == (0.0, 0, 4)


@given(st.sets(st.integers(1, 200), min_size=1), st.randoms(use_true_random=False))
def test_the_loss_is_exact_in_any_order(received: set[int], rng: object) -> None:
    order = sorted(received)
    # A frame overtakes at most the next few, as on a real link; the first stays first.
    for place in range(1, len(order) - 1):
        if rng.random() < 0.3:  # type: ignore[attr-defined]
            order[place], order[place + 1] = order[place + 1], order[place]
    quality = arrivals(*order)
    span = max(received) - min(received) + 1
    assert quality.lost == span - len(received)
    assert quality.loss == pytest.approx(1 - len(received) / span)


def test_the_round_trip_leaves_out_the_time_that_the_peer_held_it() -> None:
    quality = Quality()
    # Stamped by us at 10 ms, held by the peer for 40 ms, here again at 52 ms.
    quality.arrived(52 * MS, 100, LIFE, 1, Clocks(stamp_us=999, echo_us=10 * MS, held_us=40 * MS))
    assert quality.round_trip == pytest.approx(0.002)
    quality.arrived(152 * MS, 100, LIFE, 2, Clocks(stamp_us=1999, echo_us=100 * MS, held_us=42 * MS))
    assert quality.round_trip == pytest.approx(0.002 + 0.008 / 8)


def test_an_echo_that_was_held_longer_than_it_took_says_nothing() -> None:
    quality = Quality()
    quality.arrived(52 * MS, 100, LIFE, 1, Clocks(stamp_us=999, echo_us=10 * MS, held_us=60 * MS))
    assert quality.round_trip is None


def test_a_steady_link_has_no_jitter_and_an_unsteady_one_has() -> None:
    steady, unsteady = Quality(), Quality()
    for beat in range(100):
        sent = beat * 100 * MS
        steady.arrived(sent + 5 * MS, 100, LIFE, beat + 1, Clocks(sent))
        unsteady.arrived(sent + (5 + 10 * (beat % 2)) * MS, 100, LIFE, beat + 1, Clocks(sent))
    assert steady.jitter == 0.0
    assert unsteady.jitter == pytest.approx(0.010, rel=0.05)


def test_the_next_heartbeat_says_what_came_last_and_for_how_long_it_was_held() -> None:
    quality = Quality()
    assert quality.clocks(5) == Clocks(5)
    quality.arrived(100 * MS, 100, LIFE, 2, Clocks(stamp_us=77))
    quality.arrived(101 * MS, 100, LIFE, 1, Clocks(stamp_us=55))
    assert quality.clocks(130 * MS) == Clocks(130 * MS, 77, 30 * MS)
