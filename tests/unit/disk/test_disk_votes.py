"""Slips, claims and cluster states as blocks: what a cut-off write, a late one, or a foreign hand leaves behind."""

from __future__ import annotations

import itertools

import pytest

from arbiter.ballot import Slip
from hamgr.core.messages import Stamp
from hamgr.disk.records import BLOCK, SLOTS, STATE_BLOCKS, Damaged, blank
from hamgr.disk.votes import (
    COPIES,
    STATE_BYTES,
    WrittenClaim,
    WrittenSlip,
    WrittenState,
    claim_place,
    decode_claim,
    encode_claim,
    encode_slip,
    encode_state,
    newest_slip,
    slip_place,
    state_place,
    states_in,
    writing_order,
)

VOTES = b"v" * 16
SLOT = 3
SECTOR = 512
OLD = WrittenSlip(1000, Slip(4, 19, 19, "a", 7, True))
NEW = WrittenSlip(1001, Slip(5, 35, 35, "b", 8))


def both(written: WrittenSlip) -> bytes:
    return b"".join(encode_slip(VOTES, SLOT, copy, written) for copy in COPIES)


def put(blocks: bytes, copy: int, written: WrittenSlip, sectors: int = BLOCK // SECTOR) -> bytes:
    """The blocks after a write of one copy that was cut off behind so many sectors."""
    new = encode_slip(VOTES, SLOT, copy, written)[: sectors * SECTOR]
    start = copy * BLOCK
    return blocks[:start] + new + blocks[start + len(new) :]


def cut_off_anywhere(blocks: bytes, written: WrittenSlip) -> list[bytes]:
    """What may be on the disk when the power fails while a slip is being written."""
    first, second = writing_order(blocks, VOTES, SLOT)
    found = [put(blocks, first, written, sectors) for sectors in range(BLOCK // SECTOR + 1)]
    return found + [put(found[-1], second, written, sectors) for sectors in range(BLOCK // SECTOR + 1)]


def test_a_slip_whose_writing_was_cut_off_anywhere_is_the_old_one_or_the_new_one() -> None:
    for blocks in cut_off_anywhere(both(OLD), NEW):
        assert newest_slip(blocks, VOTES, SLOT) in (OLD, NEW)


def test_a_second_write_that_is_cut_off_too_still_leaves_a_whole_slip() -> None:
    third = WrittenSlip(2001, Slip(6, 51))
    for blocks in cut_off_anywhere(both(OLD), NEW):
        before = newest_slip(blocks, VOTES, SLOT)
        for again in cut_off_anywhere(blocks, third):
            assert newest_slip(again, VOTES, SLOT) in (before, third)


def test_the_first_write_of_all_that_is_cut_off_has_not_happened_or_has() -> None:
    for blocks in cut_off_anywhere(blank() * 2, NEW):
        assert newest_slip(blocks, VOTES, SLOT) in (WrittenSlip(), NEW)


def test_a_write_of_an_earlier_life_that_comes_late_changes_nothing() -> None:
    for copy in COPIES:
        assert newest_slip(put(both(NEW), copy, OLD), VOTES, SLOT) == NEW


def test_two_damaged_copies_are_nobodys_guess() -> None:
    with pytest.raises(Damaged, match="damaged slip"):
        newest_slip(b"\xff" * 2 * BLOCK, VOTES, SLOT)


@pytest.mark.parametrize("copy", COPIES)
def test_a_slip_that_was_written_in_full_outlives_one_copy(copy: int) -> None:
    blocks = both(NEW)
    flipped = blocks[: copy * BLOCK] + b"\xff" * BLOCK + blocks[(copy + 1) * BLOCK :]
    assert newest_slip(flipped, VOTES, SLOT) == NEW
    assert writing_order(flipped, VOTES, SLOT)[0] == copy, "the damaged copy is mended first"


def test_what_was_written_before_the_votes_were_renewed_counts_as_empty() -> None:
    assert newest_slip(both(NEW), b"w" * 16, SLOT) == WrittenSlip(NEW.serial)


def test_a_slip_in_another_slot_is_damaged() -> None:
    with pytest.raises(Damaged):
        newest_slip(both(NEW), VOTES, SLOT + 1)


def test_a_claim_is_read_as_it_was_written_and_not_at_all_when_it_is_torn_or_older_than_the_votes() -> None:
    claim = WrittenClaim(1 << 63, 5, Stamp(4, 2), b"report")
    block = encode_claim(VOTES, SLOT, claim)
    assert decode_claim(block, VOTES, SLOT) == claim
    assert decode_claim(block[:SECTOR] + blank()[SECTOR:], VOTES, SLOT) is None
    assert decode_claim(block, b"w" * 16, SLOT) is None
    assert decode_claim(blank(), VOTES, SLOT) is None


@pytest.mark.parametrize("size", [0, 10, 5000, STATE_BYTES])
def test_a_torn_cluster_state_leaves_the_older_one(size: int) -> None:
    old, new = WrittenState(Stamp(4, 1), b"o" * size), WrittenState(Stamp(4, 2), b"n" * size)
    room = STATE_BLOCKS * BLOCK
    copies = [encode_state(VOTES, SLOT, copy, state).ljust(room, b"\0") for copy, state in enumerate((old, new))]
    assert states_in(b"".join(copies), VOTES, SLOT) == [old, new]
    written = len(encode_state(VOTES, SLOT, 1, new))
    for sectors in range(written // SECTOR):
        torn = copies[1][: sectors * SECTOR].ljust(room, b"\0")
        assert states_in(copies[0] + torn, VOTES, SLOT) == [old, None]


def test_a_cluster_state_that_was_half_overwritten_is_none() -> None:
    old = encode_state(VOTES, SLOT, 0, WrittenState(Stamp(4, 1), b"o" * 9000))
    new = encode_state(VOTES, SLOT, 0, WrittenState(Stamp(4, 3), b"n" * 9000))
    mixed = (new[:BLOCK] + old[BLOCK:]).ljust(2 * STATE_BLOCKS * BLOCK, b"\0")
    assert states_in(mixed, VOTES, SLOT) == [None, None]


def test_no_two_things_have_the_same_place() -> None:
    taken = itertools.chain.from_iterable(
        (
            *(slip_place(slot, copy) for copy in COPIES),
            claim_place(slot),
            *(state_place(slot, copy) + part for copy in COPIES for part in range(STATE_BLOCKS)),
        )
        for slot in range(SLOTS)
    )
    places = list(taken)
    assert len({*places}) == len(places)
