"""What is mounted where: read from /proc/self/mountinfo, so that no file system is touched, hung ones least of all."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")

TAGS = {
    "LABEL": "/dev/disk/by-label",
    "UUID": "/dev/disk/by-uuid",
    "PARTLABEL": "/dev/disk/by-partlabel",
    "PARTUUID": "/dev/disk/by-partuuid",
}
"""How mount(8) names devices by what is on them, and where udev keeps the same names."""

_UNSAFE = re.compile(r"[^A-Za-z0-9#+.:=@_\x80-\U0010ffff-]")
"""What udev writes as \\x20 in the names of its links."""

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo (proc(5)). device: major and minor; root: which part of the file system is mounted."""

    device: tuple[int, int]
    root: str
    directory: str
    options: tuple[str, ...]
    fstype: str
    source: str
    super_options: tuple[str, ...]

    @property
    def read_only(self) -> bool:
        """By mount(8), or by the kernel after an error on the device."""
        return "ro" in self.options or "ro" in self.super_options


def parse(text: str) -> list[Mount]:
    """In the order of mounting: of two on one directory, the later one is what is seen there."""
    found = []
    for line in text.splitlines():
        first, _, second = line.partition(" - ")
        fields, rest = first.split(), second.split(" ")
        major, _, minor = fields[2].partition(":")
        found.append(
            Mount(
                device=(int(major), int(minor)),
                root=_plain(fields[3]),
                directory=_plain(fields[4]),
                options=tuple(fields[5].split(",")),
                fstype=rest[0],
                source=_plain(rest[1]),
                super_options=tuple(rest[2].split(",")) if len(rest) > 2 else (),
            )
        )
    return found


def mounted() -> list[Mount]:
    return parse(MOUNTINFO.read_text(errors="surrogateescape"))


def top(mounts: Sequence[Mount], directory: str) -> Mount | None:
    """What is seen at a directory; None if nothing is mounted on it."""
    return next((mount for mount in reversed(mounts) if mount.directory == directory), None)


def below(mounts: Sequence[Mount], directory: str) -> list[Mount]:
    """What is mounted on directories of it, the deepest first."""
    inner = [mount for mount in mounts if mount.directory.startswith(directory.rstrip("/") + "/")]
    return sorted(inner, key=lambda mount: mount.directory.count("/"), reverse=True)


class Device:
    """What a resource mounts: a block device by its path or tag, a file with a file system in it, or something else."""

    def __init__(self, named: str) -> None:
        self.named = named

    @property
    def path(self) -> str:
        """Where it is; "" for what has no path, as `server:/export` or `tmpfs`."""
        tag, _, value = self.named.partition("=")
        if tag in TAGS:
            return f"{TAGS[tag]}/{_UNSAFE.sub(_encoded, value.strip(chr(34)))}"
        return self.named if self.named.startswith("/") and not self.named.startswith("//") else ""

    def number(self) -> tuple[int, int] | None:
        """Major and minor of a block device; None if it is none, or is not there."""
        if not self.path.startswith("/dev/"):  # what is elsewhere may be on a disk that hangs
            return None
        with contextlib.suppress(OSError):
            status = os.stat(self.path)
            if stat.S_ISBLK(status.st_mode):
                return os.major(status.st_rdev), os.minor(status.st_rdev)
        return None

    def is_source_of(self, mount: Mount, number: tuple[int, int] | None) -> bool:
        """number: its own, looked up once."""
        if number is not None and mount.device == number:
            return True
        if mount.source == self.named or (self.path and mount.source == self.path):
            return True
        if not mount.source.startswith("/dev/"):
            return False
        if self.path.startswith("/dev/"):
            return os.path.realpath(mount.source) == os.path.realpath(self.path)
        return bool(self.path) and _backing_file(mount.source) == self.path


def _backing_file(source: str) -> str:
    """The file behind a loop device; "" if the device is none."""
    name = os.path.basename(source)
    if not name.startswith("loop"):
        return ""
    try:
        return Path(f"/sys/block/{name}/loop/backing_file").read_text().rstrip("\n")
    except OSError:
        return ""


def _encoded(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"


def _plain(text: str) -> str:
    """Blanks and the like are written in octal."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
