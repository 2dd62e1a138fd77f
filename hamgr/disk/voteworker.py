"""Reads and writes the arbiter's part of a shared disk for one hamgrd, in a process of its own, one thing at a time.

`python -m hamgr.disk.voteworker SOCKET DEVICE CLUSTER NODE LOCK` speaks JSON on an inherited socket (SOCK_SEQPACKET):
each request has one reply, and the process ends when the other end does. It decides nothing.

Whoever has LOCK is the only one of this machine that writes. A killed worker keeps it until the kernel is done with
what it wrote last: nothing of an earlier life comes to the disk behind the words of a later one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import socket
import sys
import time
from typing import Any

from arbiter.ballot import Slip
from hamgr.core.messages import Stamp
from hamgr.disk.device import Device, DeviceError, voting_header
from hamgr.disk.records import BLOCK, STATE_BLOCKS, STATES, VOTE_BLOCKS, Damaged, Header
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

LARGEST = 400_000
"""Bytes of a message: sixteen claims and a cluster state, in hexadecimal."""

TORN_LOOKS, TORN_REST = 5, 0.01
"""So often in a row, with so many seconds between, may a slip be damaged: it may just be being written."""

NEW_LIFE = 1000
"""By so much the serials of a new worker are above all that it finds, and above what an earlier one wrote unseen."""

Reply = dict[str, Any]


class Voter:
    """One process. Every request opens the device if it is not open: what failed is not held on to."""

    def __init__(self, device: str, cluster: str, node: str, lock: str) -> None:
        self._path = device
        self._cluster = cluster
        self._node = node
        self._lock_path = lock
        self._lock = -1
        self._device: Device | None = None
        self._header: Header | None = None
        self._slot = -1
        self._serial = 0

    def serve(self, sock: socket.socket) -> None:
        """Until the other end is closed."""
        while message := _received(sock):
            with contextlib.suppress(OSError):
                sock.send(json.dumps(self.answer(json.loads(message))).encode())

    def answer(self, request: dict[str, Any]) -> Reply:
        """What was done, or {"failed": why}: then it may have been done or not."""
        try:
            self._take_lock()
            device, header = self._opened()
            if request["do"] == "look":
                return self._look(device, header, request["states"])
            if request["votes"] != header.votes.hex():
                raise DeviceError(f"{self._path} was initialised anew")
            match request["do"]:
                case "claim":
                    claim = WrittenClaim(
                        request["life"], request["beat"], Stamp(*request["stored"]), bytes.fromhex(request["report"])
                    )
                    device.write(claim_place(self._slot), encode_claim(header.votes, self._slot, claim))
                case "slip":
                    self._put_slip(device, header, Slip(**request["slip"]))
                case "state":
                    state = WrittenState(Stamp(*request["stamp"]), bytes.fromhex(request["content"]))
                    self._put_state(device, header, state)
            return {"votes": header.votes.hex(), "store": header.uuid.hex()}
        except (DeviceError, Damaged) as error:
            reason = str(error)
        except OSError as error:
            reason = f"{self._path}: {error.strerror or error}"
        self._close()
        return {"failed": reason}

    def _take_lock(self) -> None:
        if self._lock >= 0:
            return
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise DeviceError(f"{self._path}: an earlier process of {self._node} still waits for it") from None
        self._lock = lock

    def _opened(self) -> tuple[Device, Header]:
        if self._device is None or self._header is None:
            self._device = Device(self._path)
            self._header = voting_header(self._device, self._cluster)
            slot = self._header.slot(self._node)
            if slot is None:
                add = f"`hamgr disk init {self._path}` adds it"
                raise DeviceError(f"{self._path} has no slot for {self._node}: {add}")
            self._slot = slot
        return self._device, self._header

    def _close(self) -> None:
        if self._device is not None:
            self._device.close()
        self._device = self._header = None

    # -- reading ------------------------------------------------------------------------------------------------

    def _look(self, device: Device, header: Header, states: bool) -> Reply:
        slots = self._slots(device, header)
        state = self._newest_state(device, header) if states else None
        # Behind all that was read: who has it initialised anew writes the header first.
        if voting_header(device, self._cluster) != header:
            raise DeviceError(f"{self._path} was initialised anew, or has other slots now")
        content = None if state is None else {"content": state.content.hex()}
        return {"votes": header.votes.hex(), "store": header.uuid.hex(), "slots": slots, "state": content}

    def _slots(self, device: Device, header: Header) -> list[Reply]:
        count = len(header.nodes)
        for look in range(TORN_LOOKS):
            if look:
                time.sleep(TORN_REST)
            blocks = device.read(slip_place(0, 0), count * VOTE_BLOCKS)
            slots = [self._slot_in(blocks, header, slot) for slot in range(count)]
            if not any(slot["damage"] for slot in slots):
                break
        return slots

    def _slot_in(self, blocks: bytes, header: Header, slot: int) -> Reply:
        mine = blocks[slot * VOTE_BLOCKS * BLOCK : (slot + 1) * VOTE_BLOCKS * BLOCK]
        found: Reply = {"node": header.nodes[slot], "slip": None, "claim": None, "damage": ""}
        try:
            slip = newest_slip(mine, header.votes, slot).slip
            found["slip"] = None if slip is None else dataclasses.asdict(slip)
        except Damaged as error:
            mend = f"`hamgr disk init {self._path} --new-votes` forgets all votes"
            found["damage"] = f"{self._path}: nobody knows how {header.nodes[slot]} voted: {error}; {mend}"
        claim = decode_claim(mine[len(COPIES) * BLOCK :], header.votes, slot)
        if claim is not None:
            stored = [claim.stored.epoch, claim.stored.view]
            found["claim"] = {"life": claim.life, "beat": claim.beat, "stored": stored, "report": claim.report.hex()}
        return found

    def _newest_state(self, device: Device, header: Header) -> WrittenState | None:
        size, count = len(COPIES) * STATE_BLOCKS, len(header.nodes)
        blocks = device.read(STATES, count * size)
        found = [
            state
            for slot in range(count)
            for state in states_in(blocks[slot * size * BLOCK : (slot + 1) * size * BLOCK], header.votes, slot)
            if state is not None
        ]
        return max(found, key=lambda state: state.stamp, default=None)

    # -- writing ------------------------------------------------------------------------------------------------

    def _put_slip(self, device: Device, header: Header, slip: Slip) -> None:
        """One copy after the other, each out of the disk's cache before the next."""
        blocks = device.read(slip_place(self._slot, 0), len(COPIES))
        there = newest_slip(blocks, header.votes, self._slot).serial
        self._serial = max(self._serial, there) + 1 if self._serial else there + NEW_LIFE
        for copy in writing_order(blocks, header.votes, self._slot):
            block = encode_slip(header.votes, self._slot, copy, WrittenSlip(self._serial, slip))
            device.write_through(slip_place(self._slot, copy), block)

    def _put_state(self, device: Device, header: Header, state: WrittenState) -> None:
        """Over the older copy, so that the newer is whole whatever happens."""
        if len(state.content) > STATE_BYTES:
            raise DeviceError(f"a cluster state of {len(state.content)} bytes; there is room for {STATE_BYTES}")
        size = len(COPIES) * STATE_BLOCKS
        copies = states_in(device.read(state_place(self._slot, 0), size), header.votes, self._slot)
        stamps = [Stamp() if copy is None else copy.stamp for copy in copies]
        copy = min(COPIES, key=lambda copy: stamps[copy])
        device.write_through(state_place(self._slot, copy), encode_state(header.votes, self._slot, copy, state))


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(LARGEST)
    except OSError:
        return b""


def main() -> None:
    number, *words = sys.argv[1:]
    with contextlib.suppress(OSError):
        os.nice(-20)
    with socket.socket(fileno=int(number)) as sock:
        Voter(*words).serve(sock)


if __name__ == "__main__":
    main()
