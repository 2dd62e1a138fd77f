"""Blocks of the disk: what was encoded is decoded, and what is not whole, or not ours, is never taken."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamgr.disk.records import (
    BLOCK,
    PAYLOAD,
    SLOTS,
    Cell,
    Damaged,
    Header,
    Lease,
    OtherVersion,
    Pill,
    State,
    blank,
    decode_cell,
    decode_header,
    decode_lease,
    decode_pill,
    encode_cell,
    encode_header,
    encode_lease,
    encode_pill,
    newest_header,
)

ids = st.binary(min_size=16, max_size=16)
slots = st.integers(0, SLOTS - 1)
counts = st.integers(0, 2**64 - 1)
clocks = st.integers(-(2**63), 2**63 - 1)
milliseconds = st.integers(0, 2**32 - 1)
names = st.text("abcdefghijklmnopqrstuvwxyz-.0123456789", min_size=1, max_size=63)
leases = st.builds(Lease, ids, slots, ids, ids, counts, counts, clocks, milliseconds, st.sampled_from(State), ids)
pills = st.builds(Pill, ids, slots, ids, ids, clocks, names)
headers = st.builds(
    Header, names, ids, st.lists(names, max_size=SLOTS, unique=True).map(tuple), milliseconds, counts, clocks
)
cells = st.builds(Cell, ids, counts, st.integers(0, 65535), st.integers(0, 65535), st.binary(max_size=PAYLOAD))

LEASE = Lease(b"u" * 16, 3, b"l" * 16, b"b" * 16, 7, 9, 1_700_000_000_000_000, 100)


@given(leases)
def test_a_lease_comes_back_as_it_was(lease: Lease) -> None:
    assert decode_lease(encode_lease(lease), lease.uuid, lease.slot) == lease


@given(pills)
def test_a_pill_comes_back_as_it_was(pill: Pill) -> None:
    assert decode_pill(encode_pill(pill), pill.uuid, pill.slot) == pill


@given(headers, st.integers(0, 1))
def test_a_header_comes_back_as_it_was(header: Header, place: int) -> None:
    assert decode_header(encode_header(header, place), place) == header


@given(slots, cells)
def test_a_cell_comes_back_as_it_was(slot: int, cell: Cell) -> None:
    assert decode_cell(encode_cell(slot, cell), slot, cell.number) == cell


def test_the_longest_header_fits() -> None:
    header = Header("c" * 63, b"u" * 16, tuple(f"{'n' * 61}{n:02}" for n in range(SLOTS)), 1000)
    assert decode_header(encode_header(header, 0), 0) == header


@given(leases, st.integers(0, BLOCK * 8 - 1))
def test_a_flipped_bit_is_seen_wherever_it_is(lease: Lease, bit: int) -> None:
    block = bytearray(encode_lease(lease))
    block[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Damaged):
        decode_lease(bytes(block), lease.uuid, lease.slot)


@given(leases, leases, st.integers(1, 7))
def test_a_block_of_which_some_sectors_are_new_is_no_lease(old: Lease, new: Lease, sectors: int) -> None:
    new = dataclasses.replace(new, uuid=old.uuid, slot=old.slot)
    first, second = encode_lease(new), encode_lease(old)
    torn = first[: sectors * 512] + second[sectors * 512 :]
    if torn not in (first, second):
        with pytest.raises(Damaged):
            decode_lease(torn, old.uuid, old.slot)


@given(pills, st.integers(1, 7))
def test_a_pill_that_is_half_written_is_no_pill(pill: Pill, sectors: int) -> None:
    torn = encode_pill(pill)[: sectors * 512] + blank()[sectors * 512 :]
    with pytest.raises(Damaged):
        decode_pill(torn, pill.uuid, pill.slot)


def test_a_lease_of_another_slot_or_another_device_is_refused() -> None:
    block = encode_lease(LEASE)
    with pytest.raises(Damaged):
        decode_lease(block, LEASE.uuid, 4)
    with pytest.raises(Damaged, match="another device"):
        decode_lease(block, b"x" * 16, 3)


def test_an_empty_slot_is_no_damage() -> None:
    assert decode_lease(blank(), LEASE.uuid, 3) is None
    assert decode_pill(blank(), LEASE.uuid, 3) is None


@given(st.integers())
def test_noise_is_nothing_of_ours(seed: int) -> None:
    block = random.Random(seed).randbytes(BLOCK)
    assert decode_header(block, 0) is None
    with pytest.raises(Damaged):
        decode_lease(block, LEASE.uuid, 3)
    with pytest.raises(Damaged):
        decode_cell(block, 3, 1)


def test_the_newer_of_two_headers_counts_and_one_torn_one_does_no_harm() -> None:
    old = Header("office", b"u" * 16, ("a", "b"), 1000)
    new = dataclasses.replace(old, nodes=("a", "b", "c"), serial=2)
    assert newest_header(encode_header(new, 0) + encode_header(old, 1)) == new
    torn = encode_header(new, 0)[:512] + encode_header(old, 0)[512:]
    assert newest_header(torn + encode_header(old, 1)) == old
    with pytest.raises(Damaged):
        newest_header(torn + torn)
    assert newest_header(blank() + blank()) is None


def test_a_header_in_the_place_of_its_copy_is_not_taken() -> None:
    header = encode_header(Header("office", b"u" * 16, ("a",), 1000), 0)
    with pytest.raises(Damaged):
        newest_header(blank() + header)


def test_a_header_of_another_version_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hamgr.disk.records.VERSION", 2)
    block = encode_header(Header("office", b"u" * 16, ("a",), 1000), 0)
    monkeypatch.undo()
    with pytest.raises(OtherVersion, match="version 2, allowed 1"):
        decode_header(block, 0)
