"""Reads and writes the shared disk for one hamgrd, in a process of its own: a disk that hangs holds up nothing else.

`python -m hamgr.disk.worker SOCKET DEVICE CLUSTER NODE LIFE POLL RESET` speaks on an inherited socket (SOCK_SEQPACKET)
and ends when its other end does. The lease is written only when hamgrd asks for it: a lease that moves says that hamgrd
lives. A poison pill is swallowed here, whether hamgrd is frozen or dead: a worker whose hamgrd was killed stays for it,
until the next one writes the lease.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from hamgr.disk.device import Device, DeviceError, header_for
from hamgr.disk.records import (
    BLOCK,
    NOBODY,
    SLOTS,
    Damaged,
    Header,
    Lease,
    Pill,
    State,
    cell_place,
    decode_lease,
    decode_pill,
    encode_lease,
    lease_place,
    pill_place,
)
from hamgr.disk.ring import MOST_BYTES, Follower, cells

RENEW = struct.Struct("<B")
"""hamgrd -> worker: write the lease, with this state; a batch of frames follows."""

WRITTEN, UP, DOWN, FRAME, PILL = b"W", b"U", b"D", b"F", b"P"
"""worker -> hamgrd: the first byte. WRITTEN: `RENEW` is done. UP: the device is ours;
the nodes by slot. DOWN: why it is not, or not anymore. FRAME: the sender's slot, and
the frame. PILL: its nonce, and who sent it."""

LARGEST = RENEW.size + MOST_BYTES
REOPEN = 1.0
"""Seconds between two attempts to use a device that is not there, or is not ours."""

RESET = b"b"
"""At once, without syncing or unmounting (sysrq.rst of the kernel's documentation)."""

LAST_MOMENT = 0.3
"""Seconds after which a machine that was reset is not there any more."""

LOOK_AGAIN = 2.0
"""Seconds between two looks at the header: somebody may have written something else there."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Place:
    """What the worker was started for."""

    device: str
    cluster: str
    node: str
    life: bytes
    poll: float
    reset: str = ""
    """What a "b" is written to for a pill; "" to do nothing for one."""

    def words(self) -> list[str]:
        return [self.device, self.cluster, self.node, self.life.hex(), repr(self.poll), self.reset]

    @classmethod
    def of(cls, words: list[str]) -> Place:
        device, cluster, node, life, poll, reset = words
        return cls(device, cluster, node, bytes.fromhex(life), float(poll), reset)


class Ended(Exception):
    """hamgrd closed its end."""


class Worker:
    """Serves one hamgrd with one device, for as long as both are there."""

    def __init__(self, sock: socket.socket, place: Place) -> None:
        self._socket = sock
        self._socket.setblocking(False)
        self._place = place
        self._boot = bytes.fromhex(BOOT_ID.read_text().strip().replace("-", ""))
        self.released = False
        """hamgrd said that it ends."""
        self.orphaned = False

    def run(self) -> None:
        """Until hamgrd closes its end; or, if it did not say that it ends, until another hamgrd is there."""
        with contextlib.suppress(Ended):
            while True:
                try:
                    with Device(self._place.device) as device:
                        Session(self, device, self._place, self._boot).serve()
                except (DeviceError, Damaged) as error:
                    self.tell(DOWN, str(error).encode())
                except OSError as error:
                    self.tell(DOWN, f"{self._place.device}: {error.strerror or error}".encode())
                self._rest()

    def _rest(self) -> None:
        """What hamgrd asks for meanwhile is not done, and it is not told that it was."""
        until = time.monotonic() + REOPEN
        while (left := until - time.monotonic()) > 0:
            self.asked(left)

    def asked(self, timeout: float) -> bytes | None:
        """What hamgrd sends within that time. Raises Ended."""
        if self.orphaned:
            time.sleep(max(0.0, timeout))
            return None
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        if not poller.poll(max(0.0, timeout) * 1000):
            return None
        try:
            message = self._socket.recv(LARGEST)
        except (BlockingIOError, ConnectionResetError):
            # A reset: hamgrd ended and did not read all that we told it. What it asked for before comes first.
            return None
        except OSError:
            message = b""
        if not message:
            if self.released or not self._place.reset:
                raise Ended
            self.orphaned = True
            return None
        return message

    def tell(self, kind: bytes, rest: bytes = b"") -> None:
        """Who does not listen (a frozen hamgrd) misses it, and holds nothing up; nor does one that ended."""
        with contextlib.suppress(OSError):
            self._socket.send(kind + rest)


class Session:
    """One opening of the device."""

    def __init__(self, worker: Worker, device: Device, place: Place, boot: bytes) -> None:
        self._worker = worker
        self._device = device
        self._place = place
        self._boot = boot
        self._header = header_for(device, place.cluster)
        slot = self._header.slot(place.node)
        if slot is None:
            add = f"`hamgr disk init {device.path}` adds it"
            raise DeviceError(f"{device.path} has no slot for {place.node}: {add}")
        self._slot = slot
        leases = device.read(lease_place(0), SLOTS)
        self._followers = {
            other: Follower(other, self._lease(leases, other))
            for other in range(len(self._header.nodes))
            if other != slot
        }
        self._beat, self._newest = self._continued()
        self._answered = self._pill_now()

    def _continued(self) -> tuple[int, int]:
        """Where this life's numbers go on: a worker that is started again must not repeat one."""
        try:
            lease = decode_lease(self._device.read(lease_place(self._slot)), self._header.uuid, self._slot)
        except Damaged:
            # Milliseconds since 1970: more than any count of cells.
            return 0, time.time_ns() // 1_000_000
        if lease is None or lease.life != self._place.life:
            return (lease.beat if lease is not None else 0), 0
        return lease.beat, lease.newest

    def _pill_now(self) -> bytes:
        """The nonce of a pill that is here before us: it was for an earlier life, unless it names ours."""
        pill = self._pill(self._device.read(pill_place(self._slot)))
        return pill.nonce if pill is not None and pill.life != self._place.life else NOBODY

    def serve(self) -> None:
        """Until the device fails (OSError, Damaged, DeviceError) or hamgrd goes (Ended)."""
        self._worker.tell(UP, "\n".join(self._header.nodes).encode())
        now = time.monotonic()
        look_at, header_at = now, now + LOOK_AGAIN
        while True:
            message = self._worker.asked(look_at - time.monotonic())
            if message is not None:
                self._renew(message)
            now = time.monotonic()
            if now >= look_at:
                self._look()
                look_at = max(look_at + self._place.poll, now)
            if now >= header_at:
                self._check_header()
                header_at = now + LOOK_AGAIN

    def _renew(self, message: bytes) -> None:
        (state,) = RENEW.unpack_from(message)
        batch = message[RENEW.size :]
        self._worker.released = state == State.LEFT
        if batch:
            # The cells before the lease that tells of them.
            blocks = cells(batch, self._slot, self._place.life, self._newest + 1)
            self._write_cells(blocks)
            self._newest += len(blocks)
        self._write_lease(State(state))
        self._worker.tell(WRITTEN)

    def _write_lease(self, state: State, acknowledged: bytes = NOBODY) -> None:
        self._beat += 1
        lease = Lease(
            self._header.uuid, self._slot, self._place.life, self._boot, self._beat, self._newest,
            time.time_ns() // 1000, round(self._place.poll * 1000), state, acknowledged,
        )  # fmt: skip
        self._device.write(lease_place(self._slot), encode_lease(lease))

    def _write_cells(self, blocks: list[bytes]) -> None:
        """At most two writes: the ring has an end."""
        first = self._newest + 1
        place = cell_place(self._slot, first)
        until_end = cell_place(self._slot + 1, 0) - place
        self._device.write(place, b"".join(blocks[:until_end]))
        if rest := blocks[until_end:]:
            self._device.write(cell_place(self._slot, 0), b"".join(rest))

    def _look(self) -> None:
        """One read for all leases, one for the pill, and one or two more for each node that wrote something."""
        blocks = self._device.read(lease_place(0), len(self._header.nodes))
        for slot, follower in self._followers.items():
            lease = self._lease(blocks, slot)
            if lease is not None:
                self._follow(follower, lease)
        pill = self._pill(self._device.read(pill_place(self._slot)))
        if pill is not None and pill.nonce != self._answered and pill.life in (self._place.life, NOBODY):
            self._answered = pill.nonce
            self._worker.tell(PILL, pill.nonce + pill.sender.encode())
            if self._place.reset:
                self._die(pill)
        if self._worker.orphaned:
            lease = self._lease(blocks, self._slot)
            if lease is not None and lease.life != self._place.life:
                raise Ended

    def _die(self, pill: Pill) -> None:
        """Say so, and reset the machine. Nothing is said if it can't be done; if it did not help, it is taken back."""
        try:
            trigger = os.open(self._place.reset, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self._survived(error.strerror or str(error))
            return
        self._write_lease(State.DYING, pill.nonce)
        try:
            os.write(trigger, RESET)
            time.sleep(LAST_MOMENT)
            reason = "this machine was not reset"
        except OSError as error:
            reason = error.strerror or str(error)
        finally:
            os.close(trigger)
        self._write_lease(State.RUNNING)
        self._survived(reason)

    def _survived(self, reason: str) -> None:
        self._worker.tell(DOWN, f"a poison pill could not be swallowed: {self._place.reset}: {reason}".encode())

    def _lease(self, blocks: bytes, slot: int) -> Lease | None:
        """None for a torn one too: it is just being written, and whole at the next look."""
        try:
            return decode_lease(blocks[slot * BLOCK : (slot + 1) * BLOCK], self._header.uuid, slot)
        except Damaged:
            return None

    def _pill(self, block: bytes) -> Pill | None:
        try:
            return decode_pill(block, self._header.uuid, self._slot)
        except Damaged:
            return None

    def _follow(self, follower: Follower, lease: Lease) -> None:
        wanted = follower.wanted(lease)
        while wanted:
            place = cell_place(follower.slot, wanted[0])
            count = min(len(wanted), cell_place(follower.slot + 1, 0) - place)
            blocks = self._device.read(place, count)
            for offset in range(count):
                block = blocks[offset * BLOCK : (offset + 1) * BLOCK]
                for to, frame in follower.take(wanted[offset], block):
                    if to == self._slot:
                        self._worker.tell(FRAME, bytes([follower.slot]) + frame)
            wanted = wanted[count:]

    def _check_header(self) -> None:
        header: Header = header_for(self._device, self._place.cluster)
        if header.uuid != self._header.uuid:
            raise DeviceError(f"{self._device.path} was initialised anew")
        if header.nodes != self._header.nodes:
            raise DeviceError(f"{self._device.path} has other slots now")


def main() -> None:
    number, *words = sys.argv[1:]
    with contextlib.suppress(OSError):
        os.nice(-20)
    with socket.socket(fileno=int(number)) as sock:
        Worker(sock, Place.of(words)).run()


if __name__ == "__main__":
    main()
