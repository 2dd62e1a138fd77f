"""What a process wrote to its disk and when it synced it, as strace saw it: the power can be cut at any moment.

A write that was not synced may be on the disk, or not, or in part, whatever came before or after it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CALLS = "openat,pwrite64,write,fdatasync,fsync,ftruncate,unlink"
SECTOR = 512

_LINE = re.compile(r"\d+ +(\w+)\((.*)\) += (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FILE = re.compile(r"<((?:\\x[0-9a-f]{2})+)>")


def _traceable() -> bool:
    if not shutil.which("strace"):
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0


NEEDS_STRACE = pytest.mark.skipif(not _traceable(), reason="needs strace, and that it may be used")


@dataclass(frozen=True, slots=True)
class Write:
    offset: int
    data: bytes
    """Ends the file at the offset when there is none."""


@dataclass(slots=True)
class File:
    durable: bytes = b""
    pending: list[Write] = field(default_factory=list)


def applied(content: bytes, writes: list[Write]) -> bytes:
    found = bytearray(content)
    for write in writes:
        if not write.data:
            del found[write.offset :]
            continue
        found.extend(bytes(max(0, write.offset - len(found))))
        found[write.offset : write.offset + len(write.data)] = write.data
    return bytes(found)


@dataclass(slots=True)
class Moment:
    """The disk just before a call. said: what the process had written to its standard output."""

    said: str
    files: dict[str, File]

    def disks(self) -> Iterator[dict[str, bytes]]:
        """What may be found after a power cut, file by file."""
        for choose in _CHOICES:
            yield {name: applied(file.durable, choose(file.pending)) for name, file in self.files.items()}


def _torn(pending: list[Write]) -> list[Write]:
    """The last one stopped in a sector."""
    if not pending:
        return []
    *rest, last = pending
    if len(last.data) <= SECTOR:
        return pending  # a sector is written, or it is not
    return [*rest, Write(last.offset, last.data[: len(last.data) // SECTOR // 2 * SECTOR])] if last.data else rest


_CHOICES = (
    lambda pending: [],
    lambda pending: pending,
    _torn,
    lambda pending: pending[:-1],
    lambda pending: pending[1:],
    lambda pending: pending[-1:],
    lambda pending: pending[::2],
)


def moments(trace: Path, directory: Path) -> Iterator[Moment]:
    """The disk below a directory before each call of the trace, and at its end. Shared memory is no disk."""
    files: dict[str, File] = {}
    said = ""
    for line in trace.read_text().splitlines():
        found = _LINE.match(line)
        if found is None or found[3].startswith("-"):
            continue
        call, words = found[1], found[2]
        texts = [_decoded(text) for text in _TEXT.findall(words)]
        paths = [_decoded(path).decode() for path in _FILE.findall(words)]
        if call in ("openat", "unlink"):
            paths = [texts[0].decode()]
        path = Path(paths[0]) if paths else Path()
        if call == "write" and words.startswith("1<"):
            yield Moment(said, _copied(files))
            said += texts[0].decode()
        if path.parent != directory or path.name.endswith("-shm"):
            continue
        yield Moment(said, _copied(files))
        match call:
            case "openat" if "O_CREAT" in words:
                files.setdefault(path.name, File())
            case "pwrite64":
                files[path.name].pending.append(Write(int(words.rpartition(",")[2]), texts[0]))
            case "ftruncate":
                files[path.name].pending.append(Write(int(words.rpartition(",")[2]), b""))
            case "fdatasync" | "fsync":
                file = files[path.name]
                file.durable, file.pending = applied(file.durable, file.pending), []
            case "unlink":
                files.pop(path.name)
    yield Moment(said, _copied(files))


def _copied(files: dict[str, File]) -> dict[str, File]:
    return {name: File(file.durable, list(file.pending)) for name, file in files.items()}


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
