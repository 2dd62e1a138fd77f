"""The arbiter's part of the disk, block by block: encoded and decoded, and nothing read or written here.

    block 1088..   for each slot: its slip (`arbiter.ballot`), twice, and its claim
    block 1136..   for each slot: two copies of a cluster state, four blocks each

Only the node of a slot writes there. It writes a slip into one copy after the other: so one of them is whole at any
time, and a write that comes late, in the node's next life, brings neither back to what it was. Both damaged means that
nobody knows what was voted. Of a claim nothing is lost when it is damaged; of a state the older copy is.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from arbiter.ballot import Slip
from hamgr.core.messages import Stamp
from hamgr.disk.records import (
    BLOCK,
    DIGEST,
    NAME_BYTES,
    STATE_BLOCKS,
    STATES,
    VOTE_BLOCKS,
    VOTES,
    Damaged,
    blank,
    check_seal,
    sealed,
)

COPIES = (0, 1)
_SLIP_MAGIC, _CLAIM_MAGIC, _STATE_MAGIC = b"hamgrSLP", b"hamgrCLM", b"hamgrSTA"
_SLIP = struct.Struct("<8s16sBQQQQQBB64s")
_CLAIM = struct.Struct("<8s16sBQQQQH")
_STATE = struct.Struct("<8s16sBQQBBH")
CLAIM_BYTES = BLOCK - DIGEST - _CLAIM.size
_PART = BLOCK - DIGEST - _STATE.size
STATE_BYTES = STATE_BLOCKS * _PART
"""A cluster state may have so many bytes, compressed."""


@dataclass(frozen=True, slots=True)
class WrittenSlip:
    """serial: of its writing. None: an empty copy, or one that is older than the arbiter's part of this disk."""

    serial: int = 0
    slip: Slip | None = None


@dataclass(frozen=True, slots=True)
class WrittenClaim:
    """report: bytes of `hamgr.diskarbiter`, which nobody here looks into."""

    life: int
    beat: int
    stored: Stamp
    report: bytes


@dataclass(frozen=True, slots=True)
class WrittenState:
    stamp: Stamp
    content: bytes


def slip_place(slot: int, copy: int) -> int:
    return VOTES + slot * VOTE_BLOCKS + copy


def claim_place(slot: int) -> int:
    return VOTES + slot * VOTE_BLOCKS + len(COPIES)


def state_place(slot: int, copy: int) -> int:
    return STATES + (slot * len(COPIES) + copy) * STATE_BLOCKS


def encode_slip(votes: bytes, slot: int, copy: int, written: WrittenSlip) -> bytes:
    slip = written.slip
    assert slip is not None, "an empty slip is never written"
    value = slip.value.encode()
    assert len(value) <= NAME_BYTES, f"a name of {len(value)} bytes"
    head = _SLIP.pack(
        *(_SLIP_MAGIC, votes, slot, written.serial, slip.epoch, slip.ballot, slip.accepted, slip.life),
        *(slip.decided, len(value), value.ljust(NAME_BYTES, b"\0")),
    )
    return sealed(head, slip_place(slot, copy))


def decode_slip(block: bytes, votes: bytes, slot: int, copy: int) -> WrittenSlip:
    """Raises Damaged."""
    if block == blank():
        return WrittenSlip()
    check_seal(block, slip_place(slot, copy), "slip")
    magic, its_votes, its_slot, serial, *numbers, decided, length, value = _SLIP.unpack_from(block)
    if magic != _SLIP_MAGIC or its_slot != slot:
        raise Damaged("a slip of another slot")
    if its_votes != votes:
        return WrittenSlip(serial)
    epoch, ballot, accepted, life = numbers
    try:
        return WrittenSlip(serial, Slip(epoch, ballot, accepted, value[:length].decode(), life, bool(decided)))
    except UnicodeDecodeError as error:
        raise Damaged(f"a slip that makes no sense: {error}") from None


def newest_slip(blocks: bytes, votes: bytes, slot: int) -> WrittenSlip:
    """Of both copies. Raises Damaged when none is whole."""
    found: list[WrittenSlip] = []
    damage: Damaged | None = None
    for copy in COPIES:
        try:
            found.append(decode_slip(blocks[copy * BLOCK : (copy + 1) * BLOCK], votes, slot, copy))
        except Damaged as error:
            damage = error
    if not found and damage is not None:
        raise damage
    return max(found, key=lambda written: written.serial)


def writing_order(blocks: bytes, votes: bytes, slot: int) -> list[int]:
    """The copies, the one first that may be lost: the damaged one, or the older."""
    serials = []
    for copy in COPIES:
        try:
            serials.append(decode_slip(blocks[copy * BLOCK : (copy + 1) * BLOCK], votes, slot, copy).serial)
        except Damaged:
            serials.append(-1)
    return sorted(COPIES, key=lambda copy: serials[copy])


def encode_claim(votes: bytes, slot: int, claim: WrittenClaim) -> bytes:
    assert len(claim.report) <= CLAIM_BYTES, f"{len(claim.report)} bytes in a claim"
    head = _CLAIM.pack(
        *(_CLAIM_MAGIC, votes, slot, claim.life, claim.beat, claim.stored.epoch, claim.stored.view, len(claim.report))
    )
    return sealed(head + claim.report, claim_place(slot))


def decode_claim(block: bytes, votes: bytes, slot: int) -> WrittenClaim | None:
    """None also for one that is damaged: it is just being written, or its node died of it."""
    try:
        check_seal(block, claim_place(slot), "claim")
    except Damaged:
        return None
    magic, its_votes, its_slot, life, beat, epoch, view, length = _CLAIM.unpack_from(block)
    if (magic, its_votes, its_slot) != (_CLAIM_MAGIC, votes, slot) or length > CLAIM_BYTES:
        return None
    return WrittenClaim(life, beat, Stamp(epoch, view), block[_CLAIM.size : _CLAIM.size + length])


def encode_state(votes: bytes, slot: int, copy: int, state: WrittenState) -> bytes:
    """The blocks of a copy; fewer than `STATE_BLOCKS` if it is small."""
    pieces = [state.content[start : start + _PART] for start in range(0, len(state.content), _PART)] or [b""]
    assert len(pieces) <= STATE_BLOCKS, f"{len(state.content)} bytes in a cluster state"
    stamp = state.stamp
    return b"".join(
        sealed(
            _STATE.pack(_STATE_MAGIC, votes, slot, stamp.epoch, stamp.view, part, len(pieces), len(piece)) + piece,
            state_place(slot, copy) + part,
        )
        for part, piece in enumerate(pieces)
    )


def decode_state(blocks: bytes, votes: bytes, slot: int, copy: int) -> WrittenState | None:
    """None where no whole one is."""
    content, stamp, parts = b"", None, 1
    part = 0
    while part < parts:
        block = blocks[part * BLOCK : (part + 1) * BLOCK]
        try:
            check_seal(block, state_place(slot, copy) + part, "cluster state")
        except Damaged:
            return None
        magic, its_votes, its_slot, epoch, view, its_part, parts, length = _STATE.unpack_from(block)
        if (magic, its_votes, its_slot, its_part) != (_STATE_MAGIC, votes, slot, part) or parts > STATE_BLOCKS:
            return None
        if stamp not in (None, Stamp(epoch, view)) or length > _PART:
            return None
        stamp = Stamp(epoch, view)
        content += block[_STATE.size : _STATE.size + length]
        part += 1
    assert stamp is not None
    return WrittenState(stamp, content)


def states_in(blocks: bytes, votes: bytes, slot: int) -> list[WrittenState | None]:
    """Both copies of a slot."""
    size = STATE_BLOCKS * BLOCK
    return [decode_state(blocks[copy * size : (copy + 1) * size], votes, slot, copy) for copy in COPIES]
