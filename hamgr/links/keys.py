"""The cluster's keys: a private file with one numbered key a line.

    # number  method  key (hexadecimal); the first line's key seals, all of them open
    1  hmac-sha256  6f1c...

The method may be left out: hmac-sha256. A file of Heartbeat's, authkeys, will do too (`hamgr.links.authkeys`).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from hamgr.links.seal import Key, Method

KEY_BYTES = 32
"""Bytes of a new key, and the fewest allowed: as long as the HMAC-SHA-256 output (RFC 2104, 3)."""

EXACT = frozenset({Method.BLAKE2S, Method.CHACHA20_POLY1305})
"""Methods whose keys have exactly KEY_BYTES (RFC 7693, 2.1; RFC 8439, 2.8)."""

MAX_KEY_NUMBER = 255

MAX_FILE_BYTES = 1 << 20
"""Far more than 256 keys with their comments."""


class KeyFileError(Exception):
    """A key file can't be used: which, where, what was found and what is allowed, in one sentence."""

    def __init__(self, path: Path, found: str, allowed: str, line: int | None = None) -> None:
        where = f"{path}, line {line}" if line is not None else str(path)
        self.found = f"{where}: {found}"
        self.allowed = allowed
        super().__init__(f"{where}: found {found}, allowed {allowed}")


@dataclass(frozen=True, slots=True)
class Keys:
    """keys: by number; active: the number of the one that seals."""

    keys: dict[int, Key]
    active: int

    def summary(self) -> str:
        """One line for a log: which key seals, and which others open."""
        others = sorted(number for number in self.keys if number != self.active)
        also = f"; {', '.join(map(str, others))} also open{'s' if len(others) == 1 else ''}" if others else ""
        return f"key {self.active} ({self.keys[self.active].method.value}) seals{also}"


def load_keys(path: Path) -> Keys:
    """Read the key file of this daemon. Raises KeyFileError."""
    keys = parse_keys(path, read_private(path, os.geteuid()))
    for key in keys.keys.values():
        _check_available(path, key.method)
    return keys


def read_private(path: Path, owner: int | None) -> str:
    """The text of a file that nobody else can touch. owner: user id that it must have, None: any.

    Raises KeyFileError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        found = f"no readable file ({error.strerror})"
        raise KeyFileError(path, found, "a key file; `hamgr key new` makes one") from error
    try:
        _check_private(path, os.fstat(descriptor), owner)
    except KeyFileError:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise KeyFileError(path, f"more than {MAX_FILE_BYTES} bytes", f"at most {MAX_KEY_NUMBER + 1} keys")
    return content.decode("utf-8", errors="surrogateescape")


def _check_private(path: Path, status: os.stat_result, owner: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(path, "something that is no regular file", "a key file; `hamgr key new` makes one")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise KeyFileError(path, f"mode {mode:04o}", f"0600: chmod 600 {path}")
    if owner is not None and status.st_uid != owner:
        raise KeyFileError(path, f"owner {status.st_uid}", f"{owner}, the user that hamgr runs as")


def parse_keys(path: Path, text: str) -> Keys:
    """The keys in a file's text, Heartbeat's authkeys too.

    Raises KeyFileError that names `path` and the line, and never tells a secret.
    """
    if is_authkeys(text):
        from hamgr.links.authkeys import parse_authkeys

        return parse_authkeys(path, text)
    keys: dict[int, Key] = {}
    for number, line in enumerate(text.split("\n"), 1):
        content = words_of(line)
        if content:
            key_number, key = _parse(path, number, content)
            if key_number in keys:
                raise KeyFileError(path, f"key {key_number} a second time", "each number once", number)
            keys[key_number] = key
    if not keys:
        raise KeyFileError(path, "no key", "at least one line `NUMBER [METHOD] HEX`")
    return Keys(keys, next(iter(keys)))


def is_authkeys(text: str) -> bool:
    """Whether a key file is one of Heartbeat's: only those have an `auth` line."""
    return any(line.split(None, 1)[:1] == ["auth"] for line in text.split("\n"))


def words_of(line: str) -> list[str]:
    """What a line says, without its comment."""
    return line.split("#")[0].split()


def _parse(path: Path, number: int, content: list[str]) -> tuple[int, Key]:
    if len(content) not in (2, 3):
        raise KeyFileError(path, f"{len(content)} word(s)", "two or three: `NUMBER [METHOD] HEX`", number)
    key_number = parse_number(content[0])
    if key_number is None:
        raise KeyFileError(path, "no key number in front", f"a number from 0 to {MAX_KEY_NUMBER}", number)
    method = Method.HMAC_SHA256
    if len(content) == 3:
        # What stands in its place isn't told: it may be a key.
        known = next((method for method in Method if method.value == content[1]), None)
        if known is None:
            methods = ", ".join(method.value for method in Method)
            raise KeyFileError(path, "no known method after the key number", f"one of {methods}", number)
        method = known
    try:
        key = bytes.fromhex(content[-1])
    except ValueError as error:
        raise KeyFileError(path, "a key that is not hexadecimal", "hexadecimal digits, two a byte", number) from error
    if len(key) < KEY_BYTES or (len(key) > KEY_BYTES and method in EXACT):
        found, more = f"a {method.value} key of {len(key)} bytes", "" if method in EXACT else " or more"
        raise KeyFileError(path, found, f"{KEY_BYTES} bytes{more}", number)
    return key_number, Key(key, method)


def parse_number(word: str) -> int | None:
    """A key's number, None for what is none. Not more than three digits: int() itself refuses thousands of them."""
    if not (word.isascii() and word.isdecimal()) or len(word) > 3 or int(word) > MAX_KEY_NUMBER:
        return None
    return int(word)


def _check_available(path: Path, method: Method) -> None:
    if method is Method.CHACHA20_POLY1305:
        try:
            import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401
        except ImportError as error:
            found = f"a {method.value} key, but no Python package cryptography"
            raise KeyFileError(path, found, "other methods, or `pip install cryptography`") from error
