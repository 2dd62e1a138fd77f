"""Blocks of a device, past the kernel's cache: what another machine wrote is what is read, and the other way round."""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import struct
from types import TracebackType

from hamgr.disk.records import BLOCK, BLOCKS, BLOCKS_WITH_VOTES, HEADERS, NOBODY, Header, newest_header

_BLKSSZGET = 0x1268
"""linux/fs.h: the size of a logical sector."""


class DeviceError(Exception):
    """The device is not what it must be: which, what was found, what is needed, in a sentence."""


class Device:
    """An open block device. Every method but `close` may block for as long as the device likes; OSError as it comes."""

    def __init__(self, path: str, *, exclusive: bool = False, writable: bool = True) -> None:
        """exclusive: refused (OSError, EBUSY) while it is mounted, swap, or part of a RAID (open(2), O_EXCL)."""
        self.path = path
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_DIRECT | os.O_CLOEXEC | (os.O_EXCL if exclusive else 0)
        if not stat.S_ISBLK(os.stat(path).st_mode):
            raise DeviceError(f"{path} is not a block device: name a shared disk, or a partition of one")
        self._file = os.open(path, flags)
        try:
            self.size = os.lseek(self._file, 0, os.SEEK_END)
            self.sector: int = struct.unpack("i", fcntl.ioctl(self._file, _BLKSSZGET, bytes(4)))[0]
            if self.size < BLOCKS * BLOCK:
                raise DeviceError(f"{path} has {self.size} bytes, needed are {BLOCKS * BLOCK} ({BLOCKS} blocks)")
            if self.sector > BLOCK:
                raise DeviceError(f"{path} has sectors of {self.sector} bytes, allowed are up to {BLOCK}")
        except BaseException:
            os.close(self._file)
            raise
        # O_DIRECT wants the memory aligned too: a map begins at a page (open(2)).
        self._buffer = mmap.mmap(-1, BLOCKS_WITH_VOTES * BLOCK)

    @property
    def has_room_for_votes(self) -> bool:
        return self.size >= BLOCKS_WITH_VOTES * BLOCK

    def read(self, place: int, count: int = 1) -> bytes:
        with memoryview(self._buffer) as whole, whole[: count * BLOCK] as part:
            got = os.preadv(self._file, [part], place * BLOCK)
            if got != len(part):
                raise OSError(0, f"short read: {got} of {len(part)} bytes at block {place}")
            return bytes(part)

    def write(self, place: int, blocks: bytes) -> None:
        self._write(place, blocks, 0)

    def write_through(self, place: int, blocks: bytes) -> None:
        """As `write`, and out of the disk's own cache too when it returns."""
        self._write(place, blocks, os.RWF_DSYNC)

    def _write(self, place: int, blocks: bytes, flags: int) -> None:
        with memoryview(self._buffer) as whole, whole[: len(blocks)] as part:
            part[:] = blocks
            put = os.pwritev(self._file, [part], place * BLOCK, flags)
            if put != len(part):
                raise OSError(0, f"short write: {put} of {len(part)} bytes at block {place}")

    def sync(self) -> None:
        """Have it out of the disk's own cache too."""
        os.fsync(self._file)

    def header(self) -> Header | None:
        """None where there is none. Raises Damaged."""
        return newest_header(self.read(HEADERS[0], len(HEADERS)))

    def close(self) -> None:
        os.close(self._file)
        self._buffer.close()

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def header_for(device: Device, cluster: str) -> Header:
    """The header, if the device is the cluster's. Raises DeviceError, Damaged."""
    header = device.header()
    if header is None:
        raise DeviceError(f"{device.path} has no hamgr header: `hamgr disk init {device.path}` once, on one node")
    if header.cluster != cluster:
        raise DeviceError(f"{device.path} is of cluster {header.cluster!r}, ours is {cluster!r}")
    return header


def voting_header(device: Device, cluster: str) -> Header:
    """As `header_for`, of a device that is also the cluster's arbiter."""
    header = header_for(device, cluster)
    if header.votes == NOBODY and not device.has_room_for_votes:
        raise DeviceError(
            f"{device.path} has {device.size} bytes, and as the arbiter it needs {BLOCKS_WITH_VOTES * BLOCK}: enlarge"
            f" it, then `hamgr disk init {device.path}` once, on one node"
        )
    if header.votes == NOBODY:
        raise DeviceError(
            f"{device.path} was made without the arbiter's vote: `hamgr disk init {device.path}` once, on one node"
        )
    return header
