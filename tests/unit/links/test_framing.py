"""Frames on a noisy line: what was sent is found, what noise made is not, whatever was between."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from hamgr.links.framing import Deframer, enframe

FRAMES = st.lists(st.binary(min_size=1, max_size=600), max_size=8)


def pieces(data: bytes, rng: random.Random) -> list[bytes]:
    """The bytes as a line brings them: a few at a time."""
    found = []
    while data:
        count = rng.randint(1, 300)
        found.append(data[:count])
        data = data[count:]
    return found


@given(FRAMES, st.randoms(use_true_random=False))
def test_what_is_sent_arrives_however_it_is_cut(frames: list[bytes], rng: random.Random) -> None:
    deframer = Deframer(1000)
    line = b"".join(enframe(frame) for frame in frames)
    assert [frame for piece in pieces(line, rng) for frame in deframer.feed(piece)] == frames
    assert deframer.noise == 0


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(min_size=1, max_size=300)), max_size=8))
def test_noise_between_frames_eats_none_of_them(parts: list[tuple[bytes, bytes]]) -> None:
    deframer = Deframer(1000)
    found = [frame for noise, frame in parts for frame in deframer.feed(noise + enframe(frame))]
    assert found == [frame for _, frame in parts]


@given(st.binary(min_size=1, max_size=400), st.data())
def test_a_byte_that_was_changed_loses_its_frame_and_not_the_next(frame: bytes, data: st.DataObject) -> None:
    line = bytearray(enframe(frame))
    place = data.draw(st.integers(1, len(line) - 2))
    line[place] ^= data.draw(st.integers(1, 255))
    deframer = Deframer(1000)
    assert [found for found in deframer.feed(bytes(line) + enframe(b"next")) if found != frame] == [b"next"]


@given(st.binary(max_size=5000))
def test_garbage_is_no_frame(garbage: bytes) -> None:
    assert Deframer(1000).feed(garbage + b"\0") == []


def test_a_line_that_never_ends_a_frame_takes_no_memory() -> None:
    deframer = Deframer(1000)
    for _ in range(1000):
        assert deframer.feed(b"x" * 1000) == []
        assert len(deframer._pending) <= 1010
    assert deframer.feed(enframe(b"at last")) == [b"at last"]
    assert deframer.noise == 1


def test_no_byte_of_a_frame_is_a_delimiter() -> None:
    assert b"\0" not in enframe(bytes(600))[1:-1]
