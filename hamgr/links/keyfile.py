"""Changes a key file: adds a key, chooses the one that seals, removes one; each change is made whole or not at all.

A change is a new file that takes the old one's place (rename(2)), with its owner, mode 0600. A daemon that reads at the
same time sees the file before or after. Comments stay; what stands behind a key on its line moves with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from hamgr.links.keys import (
    KEY_BYTES,
    MAX_KEY_NUMBER,
    KeyFileError,
    Keys,
    is_authkeys,
    parse_keys,
    read_private,
    words_of,
)
from hamgr.links.private import sync_directory, write_private
from hamgr.links.seal import Method

_HEADING = "# hamgr cluster keys: the same file on every node and on the arbiter, mode 0600; the first key seals\n"


class KeyChangeError(Exception):
    """A change that makes no sense: why, in one sentence."""


def new_key_line(number: int, method: Method = Method.HMAC_SHA256) -> str:
    return f"{number} {method.value} {secrets.token_hex(KEY_BYTES)}\n"


def write_key_file(path: Path, method: Method = Method.HMAC_SHA256) -> None:
    """Make a new key file with one new key, mode 0600. Raises FileExistsError and other OSErrors."""
    _write(path, new_key_line(1, method))


def write_keys(path: Path, keys: Keys) -> None:
    """Make a new key file with these keys, mode 0600. Raises FileExistsError and other OSErrors."""
    order = [keys.active, *(number for number in keys.keys if number != keys.active)]
    lines = (f"{number} {keys.keys[number].method.value} {keys.keys[number].secret.hex()}\n" for number in order)
    _write(path, "".join(lines))


def _write(path: Path, lines: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(_HEADING + lines)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)


def add_key(path: Path, method: Method) -> int:
    """Append a new key, which does not seal yet; returns its number. Raises KeyFileError, KeyChangeError, OSError."""
    added = 0

    def change(keys: Keys, lines: list[str]) -> list[str]:
        nonlocal added
        # Above all others, so that a number which was retired a moment ago isn't given to another key at once.
        numbers = [*range(max(keys.keys) + 1, MAX_KEY_NUMBER + 1), *range(1, MAX_KEY_NUMBER + 1)]
        free = next((number for number in numbers if number not in keys.keys), None)
        if free is None:
            raise KeyChangeError(f"{path} has {len(keys.keys)} keys and no number is free: retire some")
        added = free
        return [*lines, new_key_line(free, method)]

    _change(path, change)
    return added


def activate_key(path: Path, number: int) -> Keys:
    """Let this key seal: its line moves before the others. Returns the new keys. Raises as `add_key`."""

    def change(keys: Keys, lines: list[str]) -> list[str]:
        _check_known(path, keys, number)
        moved = lines.pop(_line_of(lines, number))
        first = next((at for at, line in enumerate(lines) if words_of(line)), len(lines))
        return [*lines[:first], moved, *lines[first:]]

    return _change(path, change)


def retire_key(path: Path, number: int) -> Keys:
    """Remove a key that does not seal. Returns the new keys. Raises as `add_key`."""

    def change(keys: Keys, lines: list[str]) -> list[str]:
        _check_known(path, keys, number)
        if keys.active == number:
            raise KeyChangeError(f"key {number} of {path} seals: activate another one first")
        del lines[_line_of(lines, number)]
        return lines

    return _change(path, change)


def read_keys(path: Path) -> Keys:
    """The keys in a file that may be another user's. Raises KeyFileError."""
    return parse_keys(path, read_private(path, None))


def _check_known(path: Path, keys: Keys, number: int) -> None:
    if number not in keys.keys:
        raise KeyChangeError(f"{path} has no key {number}, only {', '.join(map(str, sorted(keys.keys)))}")


def _line_of(lines: list[str], number: int) -> int:
    return next(at for at, line in enumerate(lines) if (words := words_of(line)) and int(words[0]) == number)


def _change(path: Path, change: Callable[[Keys, list[str]], list[str]]) -> Keys:
    path = Path(os.path.realpath(path))  # a link to the file must not become a file of its own
    with _locked(path.parent):
        text = read_private(path, None)
        if is_authkeys(text):
            raise KeyChangeError(
                f"{path} is a file of Heartbeat's, with secrets that hamgr derives its keys from: change it by hand, "
                "and `hamgr key reload`; or take a key file of hamgr's own (`hamgr import DIR --key-file FILE`)"
            )
        lines = [f"{line}\n" for line in text.removesuffix("\n").split("\n")]
        changed = "".join(change(parse_keys(path, text), lines))
        keys = parse_keys(path, changed)
        write_private(path, changed)
    return keys


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One change at a time: the file itself is replaced, so the lock is on its directory (flock(2))."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KeyFileError(
            directory, f"no readable directory ({error.strerror})", "the key file's directory"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
