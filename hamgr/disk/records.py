"""What is on the disk, block by block: encoded and decoded, and nothing read or written here.

    block 0, 1     the header, twice: the newer valid one counts
    block 16..31   a lease for each slot, which only the node of the slot writes
    block 32..47   a poison pill for each slot, which only others write
    block 64..     a ring of frames for each slot, written by its node
    block 1088..   the arbiter's vote (`hamgr.disk.votes`), where the disk has room for it

A block is 4096 bytes, a whole number of sectors on every disk. It ends with a digest of itself and of its place, so
that a torn write, flipped bits and a block that belongs elsewhere are all seen.
"""

from __future__ import annotations

import enum
import hashlib
import json
import struct
from dataclasses import dataclass

BLOCK = 4096
SLOTS = 16
CELLS = 64
"""Blocks in the ring of one slot."""

HEADERS = (0, 1)
LEASES = 16
PILLS = LEASES + SLOTS
RINGS = 64
BLOCKS = RINGS + SLOTS * CELLS
"""What a device must have at least: 4.25 MiB."""
VOTES = BLOCKS
VOTE_BLOCKS = 3
"""Of each slot: its slip, twice, and its claim."""
STATES = VOTES + SLOTS * VOTE_BLOCKS
STATE_BLOCKS = 4
"""Of one copy of a cluster state; a slot has two."""
BLOCKS_WITH_VOTES = STATES + SLOTS * 2 * STATE_BLOCKS
"""What a device must have that is also the arbiter: 4.94 MiB."""

VERSION = 1
NAME_BYTES = 64
NOBODY = bytes(16)
"""Where an id could stand, and none does."""

DIGEST = 16
_HEADER_MAGIC, _LEASE_MAGIC, _PILL_MAGIC, _CELL_MAGIC = b"hamgrDSK", b"hamgrLSE", b"hamgrPIL", b"hamgrFRM"
_HEADER = struct.Struct("<8sHI")
_LEASE = struct.Struct("<8s16sB16s16sQQqIB16s")
_PILL = struct.Struct("<8s16sB16s16sqB64s")
_CELL = struct.Struct("<8s16sQHHH")
PAYLOAD = BLOCK - DIGEST - _CELL.size
"""Bytes of frames in a cell."""


class Damaged(Exception):
    """A block is not what it should be: torn, corrupted, or not ours. Says what was found."""


class OtherVersion(Damaged):
    """A whole header, of a hamgr that writes another format."""


@dataclass(frozen=True, slots=True)
class Header:
    """Whose device it is. nodes: by slot. serial: of this header; each change has a higher one.

    proven_ms: how long a lease must not have moved after it said that its node dies, until that is believed. votes: of
    whose making the arbiter's part is; NOBODY without one. What an earlier one left there counts as empty.
    """

    cluster: str
    uuid: bytes
    nodes: tuple[str, ...]
    proven_ms: int
    serial: int = 1
    made_us: int = 0
    votes: bytes = NOBODY

    def slot(self, node: str) -> int | None:
        return self.nodes.index(node) if node in self.nodes else None


class State(enum.IntEnum):
    """What the writer of a lease says of itself."""

    RUNNING = 1
    LEFT = 2
    """Its hamgrd ended, and nobody reads a pill there. No proof of anything: what it ran may still run."""
    DYING = 3
    """It read the pill that it names, and resets its machine now. Taken back by any later lease of this life."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One node's own record, written again and again. life: of its daemon; boot: of its machine.

    beat: grows with every write. newest: number of the last cell in its ring. at_us: its clock, for people.
    acknowledged: the nonce of the pill that `state` is about.
    """

    uuid: bytes
    slot: int
    life: bytes
    boot: bytes
    beat: int
    newest: int
    at_us: int
    poll_ms: int
    state: State = State.RUNNING
    acknowledged: bytes = NOBODY


@dataclass(frozen=True, slots=True)
class Pill:
    """Whoever finds this in its slot, and is still that life, must die. nonce: for the acknowledgement."""

    uuid: bytes
    slot: int
    nonce: bytes
    life: bytes
    at_us: int
    sender: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of a batch of frames. number: counts the cells of the writer's life. part, parts: of the batch."""

    life: bytes
    number: int
    part: int
    parts: int
    payload: bytes


def blank() -> bytes:
    return bytes(BLOCK)


def encode_header(header: Header, place: int) -> bytes:
    values = {
        "cluster": header.cluster,
        "uuid": header.uuid.hex(),
        "nodes": header.nodes,
        "proven_ms": header.proven_ms,
        "serial": header.serial,
        "made_us": header.made_us,
        "votes": header.votes.hex(),
    }
    text = json.dumps(values, ensure_ascii=False).encode()
    return sealed(_HEADER.pack(_HEADER_MAGIC, VERSION, len(text)) + text, place)


def decode_header(block: bytes, place: int) -> Header | None:
    """The header; None where nothing of hamgr is. Raises Damaged."""
    if not block.startswith(_HEADER_MAGIC):
        return None
    check_seal(block, place, "header")
    _, version, length = _HEADER.unpack_from(block)
    if version != VERSION:
        raise OtherVersion(f"a header of version {version}, allowed {VERSION}")
    try:
        values = json.loads(block[_HEADER.size : _HEADER.size + length])
        header = Header(
            str(values["cluster"]),
            bytes.fromhex(values["uuid"]),
            tuple(map(str, values["nodes"])),
            int(values["proven_ms"]),
            int(values["serial"]),
            int(values["made_us"]),
            # Disks that older versions made have none.
            bytes.fromhex(values.get("votes", NOBODY.hex())),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"a header that makes no sense: {error}") from None
    if {len(header.uuid), len(header.votes)} != {len(NOBODY)} or len(header.nodes) > SLOTS:
        raise Damaged("a header that makes no sense")
    return header


def newest_header(blocks: bytes) -> Header | None:
    """Of a device's first two blocks, one of which may be torn. Raises Damaged if there is one, and none is whole."""
    found: list[Header] = []
    damage: Damaged | None = None
    for place in HEADERS:
        try:
            header = decode_header(blocks[place * BLOCK : (place + 1) * BLOCK], place)
        except Damaged as error:
            damage = error
            continue
        if header is not None:
            found.append(header)
    if not found and damage is not None:
        raise damage
    return max(found, key=lambda header: header.serial, default=None)


def lease_place(slot: int) -> int:
    return LEASES + slot


def pill_place(slot: int) -> int:
    return PILLS + slot


def cell_place(slot: int, number: int) -> int:
    return RINGS + slot * CELLS + number % CELLS


def encode_lease(lease: Lease) -> bytes:
    head = _LEASE.pack(
        *(_LEASE_MAGIC, lease.uuid, lease.slot, lease.life, lease.boot, lease.beat, lease.newest, lease.at_us),
        *(lease.poll_ms, lease.state, lease.acknowledged),
    )
    return sealed(head, lease_place(lease.slot))


def decode_lease(block: bytes, uuid: bytes, slot: int) -> Lease | None:
    """The lease in a slot of the device with this uuid; None for an empty slot. Raises Damaged."""
    if block == blank():
        return None
    check_seal(block, lease_place(slot), "lease")
    magic, *values = _LEASE.unpack_from(block)
    if magic != _LEASE_MAGIC or values[0] != uuid or values[1] != slot:
        raise Damaged("a lease of another device or slot")
    _, _, life, boot, beat, newest, at_us, poll_ms, state, acknowledged = values
    try:
        said = State(state)
        return Lease(uuid, slot, life, boot, beat, newest, at_us, poll_ms, said, acknowledged)
    except ValueError:
        raise Damaged(f"a lease in state {state}") from None


def encode_pill(pill: Pill) -> bytes:
    sender = pill.sender.encode()[:NAME_BYTES]
    head = _PILL.pack(
        _PILL_MAGIC,
        pill.uuid,
        pill.slot,
        pill.nonce,
        pill.life,
        pill.at_us,
        len(sender),
        sender.ljust(NAME_BYTES, b"\0"),
    )
    return sealed(head, pill_place(pill.slot))


def decode_pill(block: bytes, uuid: bytes, slot: int) -> Pill | None:
    """The pill in a slot; None for none. Raises Damaged."""
    if block == blank():
        return None
    check_seal(block, pill_place(slot), "pill")
    magic, found, its_slot, nonce, life, at_us, length, sender = _PILL.unpack_from(block)
    if magic != _PILL_MAGIC or found != uuid or its_slot != slot:
        raise Damaged("a pill of another device or slot")
    return Pill(found, its_slot, nonce, life, at_us, sender[:length].decode(errors="replace"))


def encode_cell(slot: int, cell: Cell) -> bytes:
    assert len(cell.payload) <= PAYLOAD, f"{len(cell.payload)} bytes in a cell"
    head = _CELL.pack(_CELL_MAGIC, cell.life, cell.number, cell.part, cell.parts, len(cell.payload))
    return sealed(head + cell.payload, cell_place(slot, cell.number))


def decode_cell(block: bytes, slot: int, number: int) -> Cell:
    """The cell with this number, in the ring of this slot. Raises Damaged for all else that may be there."""
    check_seal(block, cell_place(slot, number), "frame")
    magic, life, its_number, part, parts, length = _CELL.unpack_from(block)
    if magic != _CELL_MAGIC or its_number != number or length > PAYLOAD:
        raise Damaged(f"frame {its_number} where {number} was looked for")
    return Cell(life, its_number, part, parts, block[_CELL.size : _CELL.size + length])


def sealed(head: bytes, place: int) -> bytes:
    """A whole block for this place."""
    assert len(head) <= BLOCK - DIGEST, f"{len(head)} bytes in a block"
    content = head.ljust(BLOCK - DIGEST, b"\0")
    return content + _digest(content, place)


def check_seal(block: bytes, place: int, what: str) -> None:
    """Raises Damaged."""
    if len(block) != BLOCK or block[-DIGEST:] != _digest(block[:-DIGEST], place):
        raise Damaged(f"a damaged {what} in block {place}: torn, or overwritten by something else")


def _digest(content: bytes, place: int) -> bytes:
    return hashlib.blake2s(content, digest_size=DIGEST, salt=place.to_bytes(8, "little")).digest()
