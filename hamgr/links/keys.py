"""The cluster's keys: a private file with one numbered key a line.

    # number  key (hexadecimal, 32 bytes or more); the first line's key seals, all of them open
    1  6f1c...
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

KEY_BYTES = 32
"""Bytes of a new key, and the fewest allowed: as long as the HMAC-SHA-256 output (RFC 2104, 3)."""

MAX_KEY_NUMBER = 255


class KeyFileError(Exception):
    """A key file can't be used: which, where, what was found and what is allowed, in one sentence."""

    def __init__(self, path: Path, found: str, allowed: str, line: int | None = None) -> None:
        where = f"{path}, line {line}" if line is not None else str(path)
        super().__init__(f"{where}: found {found}, allowed {allowed}")


@dataclass(frozen=True, slots=True)
class Keys:
    """keys: by number; active: the number of the one that seals."""

    keys: dict[int, bytes]
    active: int


def load_keys(path: Path) -> Keys:
    """Read a key file. Raises KeyFileError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeyFileError(path, f"no readable file ({error.strerror})", "a key file; `hamgr key` makes one") from error
    try:
        _check_private(path, os.fstat(descriptor))
    except KeyFileError:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        text = file.read()
    keys: dict[int, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        content = line.split("#")[0].split()
        if content:
            key_number, key = _parse(path, number, content)
            if key_number in keys:
                raise KeyFileError(path, f"key {key_number} a second time", "each number once", number)
            keys[key_number] = key
    if not keys:
        raise KeyFileError(path, "no key", "at least one line `NUMBER HEX`")
    return Keys(keys, next(iter(keys)))


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(path, "something that is no regular file", "a key file; `hamgr key` makes one")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise KeyFileError(path, f"mode {mode:04o}", f"0600: chmod 600 {path}")
    if status.st_uid != os.geteuid():
        raise KeyFileError(path, f"owner {status.st_uid}", f"{os.geteuid()}, the user that hamgr runs as")


def _parse(path: Path, number: int, content: list[str]) -> tuple[int, bytes]:
    if len(content) != 2:
        raise KeyFileError(path, f"{len(content)} word(s)", "two: `NUMBER HEX`", number)
    # Not more than three digits: int() itself refuses thousands of them.
    if not content[0].isdecimal() or len(content[0]) > 3 or int(content[0]) > MAX_KEY_NUMBER:
        raise KeyFileError(path, "no key number in front", f"a number from 0 to {MAX_KEY_NUMBER}", number)
    key_number = int(content[0])
    try:
        key = bytes.fromhex(content[1])
    except ValueError as error:
        raise KeyFileError(path, "a key that is not hexadecimal", "hexadecimal digits, two a byte", number) from error
    if len(key) < KEY_BYTES:
        raise KeyFileError(path, f"a key of {len(key)} bytes", f"{KEY_BYTES} bytes or more", number)
    return key_number, key


def new_key_line(number: int) -> str:
    return f"{number} {secrets.token_hex(KEY_BYTES)}\n"


def write_key_file(path: Path) -> None:
    """Make a new key file with one new key, mode 0600. Raises FileExistsError and other OSErrors."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write("# hamgr cluster key: the same file on every node and on the arbiter, mode 0600\n")
        file.write(new_key_line(1))
        file.flush()
        os.fsync(file.fileno())
