"""Frames in a ring: batches come out as they went in, and what was overwritten or damaged is lost, and nothing else."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hamgr.disk.records import CELLS, NOBODY, Damaged, Lease
from hamgr.disk.ring import MOST_BYTES, MOST_CELLS, Follower, cells, pack, unpack

frames = st.lists(st.tuples(st.integers(0, 15), st.binary(max_size=9000)), min_size=1, max_size=6)


class Writer:
    """A ring in memory, and the lease that tells of it."""

    def __init__(self, life: bytes = b"1" * 16) -> None:
        self.ring: dict[int, bytes] = {}
        self.lease = Lease(NOBODY, 0, life, NOBODY, 0, 0, 0, 100)

    def write(self, batch: bytes) -> None:
        blocks = cells(batch, 0, self.lease.life, self.lease.newest + 1)
        for number, block in enumerate(blocks, self.lease.newest + 1):
            self.ring[number % CELLS] = block
        self.lease = dataclasses.replace(self.lease, newest=self.lease.newest + len(blocks))

    def again(self, life: bytes) -> None:
        self.lease = dataclasses.replace(self.lease, life=life, newest=0)

    def read_by(self, follower: Follower) -> list[tuple[int, bytes]]:
        found = []
        for number in follower.wanted(self.lease):
            found += follower.take(number, self.ring[number % CELLS])
        return found


@given(frames)
def test_a_batch_comes_out_as_it_went_in(batch: list[tuple[int, bytes]]) -> None:
    assert list(unpack(pack(batch))) == batch


@given(st.lists(frames, min_size=1, max_size=20))
@settings(max_examples=30)
def test_a_reader_that_keeps_up_gets_every_frame_once(batches: list[list[tuple[int, bytes]]]) -> None:
    writer, follower = Writer(), Follower(0, None)
    assert writer.read_by(follower) == []
    for batch in batches:
        writer.write(pack(batch))
        assert writer.read_by(follower) == batch
        assert writer.read_by(follower) == []
    assert follower.lost == 0


def test_a_reader_that_comes_later_begins_with_what_is_written_then() -> None:
    writer = Writer()
    writer.write(pack([(1, b"old")]))
    follower = Follower(0, writer.lease)
    assert writer.read_by(follower) == []
    writer.write(pack([(1, b"new")]))
    assert writer.read_by(follower) == [(1, b"new")]


def test_a_writer_that_starts_anew_is_read_from_its_first_frame() -> None:
    writer, follower = Writer(), Follower(0, None)
    writer.read_by(follower)
    for _ in range(3):
        writer.write(pack([(1, b"old")]))
    writer.read_by(follower)
    writer.again(b"2" * 16)
    writer.write(pack([(1, b"first of the new life")]))
    assert writer.read_by(follower) == [(1, b"first of the new life")]


def test_a_reader_that_slept_loses_what_was_overwritten_and_goes_on() -> None:
    writer, follower = Writer(), Follower(0, None)
    writer.read_by(follower)
    for number in range(CELLS + 10):
        writer.write(pack([(1, str(number).encode())]))
    assert writer.read_by(follower) == [(1, str(number).encode()) for number in range(10, CELLS + 10)]
    assert follower.lost == 1


def test_a_damaged_cell_loses_its_batch_alone() -> None:
    writer, follower = Writer(), Follower(0, None)
    writer.read_by(follower)
    writer.write(pack([(1, bytes(9000))]))
    writer.write(pack([(1, b"next")]))
    writer.ring[2] = bytes(len(writer.ring[2]))
    assert writer.read_by(follower) == [(1, b"next")]
    assert follower.lost > 0


def test_the_largest_batch_takes_half_a_ring() -> None:
    assert len(cells(bytes(MOST_BYTES), 0, NOBODY, 1)) == MOST_CELLS


def test_a_batch_that_is_cut_short_is_told_of() -> None:
    whole = pack([(1, b"frame")])
    for length in range(1, len(whole)):
        with pytest.raises(Damaged):
            list(unpack(whole[:length]))
