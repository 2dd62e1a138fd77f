"""The disks behind the devices that a file names: their paths, and whether this machine has something of them mounted.

A multipath device stands for one disk with several paths, a logical volume or a partition for the disks that it lies
on. All is read from /sys; no disk is touched.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fence_agents.agent import UsageError

_NUMBERS = Path("/sys/dev/block")


@dataclass(frozen=True, slots=True)
class Disk:
    """name: what it calls itself, or its path, if it has no name. paths: devices of this machine."""

    name: str
    paths: tuple[str, ...]

    def __str__(self) -> str:
        return self.paths[0] if len(self.paths) == 1 else f"{self.name} ({', '.join(self.paths)})"


def disks_of(devices: Sequence[str]) -> tuple[Disk, ...]:
    """Of all devices, each disk once, in their order. Raises UsageError."""
    found: dict[str, dict[str, None]] = {}
    for device in devices:
        for path in _paths(device):
            found.setdefault(_name(path), {})[path] = None
    return tuple(Disk(name, tuple(paths)) for name, paths in found.items())


def _paths(device: str) -> Iterator[str]:
    """A block device's disks; a character device (/dev/sg0, /dev/bsg/...) is a path as it is."""
    try:
        mode = os.stat(device)
    except OSError as error:
        raise UsageError(f"option devices: {device}: {error.strerror}") from None
    if stat.S_ISCHR(mode.st_mode):
        yield device
    elif stat.S_ISBLK(mode.st_mode):
        for place in _below(_place(mode.st_rdev)):
            # The name that the kernel knows is its device's, always.
            yield f"/dev/{place.name}"
    else:
        raise UsageError(f"option devices: found {device}, which is no device; allowed: disks, with commas between")


def _place(number: int) -> Path:
    return (_NUMBERS / f"{os.major(number)}:{os.minor(number)}").resolve()


def _below(place: Path) -> Iterator[Path]:
    if (place / "partition").exists():
        place = place.parent
    slaves = sorted(place.glob("slaves/*"))
    for slave in slaves:
        yield from _below(slave.resolve())
    if not slaves:
        yield place


def _name(path: str) -> str:
    """The same for all paths of a disk (its WWID); a path without is a disk of its own."""
    try:
        return (_place(os.stat(path).st_rdev) / "device" / "wwid").read_text().strip() or path
    except OSError:
        return path


def mounted_of(disk: Disk) -> str:
    """A directory of this machine on which something of the disk is mounted; "" for none. "swap" is one too."""
    numbers = {number for path in disk.paths for number in _above(_place(os.stat(path).st_rdev))}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, behind = line.partition(" - ")
        number, place = before.split()[2], before.split()[4]
        # Some file systems have a number of their own (btrfs), and name their device.
        if number in numbers or _number(behind.split()[1]) in numbers:
            return place
    for line in Path("/proc/swaps").read_text().splitlines()[1:]:
        if _number(line.split()[0]) in numbers:
            return "swap"
    return ""


def _number(device: str) -> str:
    try:
        found = os.stat(device)
    except OSError:
        return ""
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" if stat.S_ISBLK(found.st_mode) else ""


def _above(place: Path) -> Iterator[str]:
    """The numbers of a device, its partitions, and what is made of them."""
    try:
        yield (place / "dev").read_text().strip()
    except OSError:
        return
    for partition in place.glob("*/partition"):
        yield from _above(partition.parent)
    for holder in place.glob("holders/*"):
        yield from _above(holder.resolve())
