"""authkeys as text: which keys it has, by what method, and which of them signs (authkeys(5))."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from hamgr.config.heartbeat.draft import Draft, nowhere
from hamgr.config.heartbeat.lines import Line, read
from hamgr.config.problems import ConfigError

HIGHEST_NUMBER = 15
METHODS = ("sha1", "md5", "crc")

_WEAK = {
    "crc": "crc protects from noise, not from people: without a secret, everybody who reaches the network can speak as "
    "a node. Replace it by `sha1 SECRET`, on all nodes",
    "md5": "md5 is broken as a hash. hamgr seals with HMAC-SHA-256 and a key that it derives from the secret, so only "
    "the secret's length counts: make it 20 random characters or more",
}


class AuthkeysError(ValueError):
    """line: where; found and allowed in words, which never tell a secret."""

    def __init__(self, line: int | None, found: str, allowed: str) -> None:
        super().__init__(f"found {found}, allowed {allowed}")
        self.line, self.found, self.allowed = line, found, allowed


@dataclass(frozen=True, slots=True)
class Entry:
    """One key. repr leaves the secret out."""

    line: int
    number: int
    method: str
    secret: str

    def __repr__(self) -> str:
        return f"Entry({self.number} {self.method})"


def entries(text: str) -> tuple[tuple[Entry, ...], int]:
    """All keys, and the number of the one that signs. Raises AuthkeysError."""
    found: dict[int, Entry] = {}
    active: tuple[int, int] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        # Words behind the secret are none of it, in Heartbeat either.
        words = line.split(None, 3)
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "auth":
            if active is not None:
                raise AuthkeysError(number, "a second `auth` line", "one")
            active = (number, _number(number, words[1] if len(words) > 1 else ""))
            continue
        key = _number(number, words[0])
        if key in found:
            raise AuthkeysError(number, f"key {key} a second time", "each number once")
        found[key] = _entry(number, key, words)
    if active is None:
        raise AuthkeysError(None, "no `auth NUMBER` line", "one, which says which key signs")
    if active[1] not in found:
        raise AuthkeysError(active[0], f"auth {active[1]}, but no key {active[1]}", "a key that the file has")
    return tuple(found.values()), active[1]


def _entry(line: int, number: int, words: list[str]) -> Entry:
    method = words[1].lower() if len(words) > 1 else ""
    if method not in METHODS:
        # What stands in its place isn't told: it may be a secret.
        raise AuthkeysError(line, "no known method after the number", " or ".join(METHODS))
    secret = words[2] if len(words) > 2 and method != "crc" else ""
    if method != "crc" and (not secret or secret.startswith("#")):
        raise AuthkeysError(line, f"{method} without a secret", f"`{number} {method} SECRET`")
    return Entry(line, number, method, secret)


def _number(line: int, word: str) -> int:
    if not re.fullmatch(r"[0-9]{1,2}", word, re.ASCII) or int(word) > HIGHEST_NUMBER:
        raise AuthkeysError(
            line, "no key number", f"`auth NUMBER` or `NUMBER METHOD SECRET`, from 0 to {HIGHEST_NUMBER}"
        )
    return int(word)


def check(draft: Draft, file: Path) -> None:
    """Note the file's mistakes and what is weak in it, as far as we may read it."""
    here = nowhere(file, "authkeys")
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        text = read(file)
    except PermissionError:
        return
    except (OSError, ConfigError) as error:
        found = error.problems[0].found if isinstance(error, ConfigError) else error.strerror or str(error)
        if found != "Permission denied":  # told when hamgrd starts, or `hamgr check --node` is asked
            draft.wrong(here, found, "the keys of the cluster, mode 0600 (authkeys(5))")
        return
    if mode & 0o077:
        draft.wrong(here, f"mode {mode:04o}", f"0600: chmod 600 {file}")
        return
    try:
        keys, active = entries(text)
    except AuthkeysError as error:
        draft.wrong(Line(file, error.line, "authkeys") if error.line else here, error.found, error.allowed)
        return
    for key in keys:
        if key.method in _WEAK:
            signs = "" if key.number == active else " (this key does not sign, but is believed)"
            draft.note(Line(file, key.line, f"{key.number} {key.method}"), _WEAK[key.method] + signs)
