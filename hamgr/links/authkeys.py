"""Keys out of Heartbeat's authkeys: a hamgr key is derived from each secret, the same on every node.

Heartbeat's secrets are words that people chose, and its md5 and crc protect little. hamgr seals with HMAC-SHA-256,
whatever the method, and the key is scrypt (RFC 7914) of the secret: whoever records frames and guesses secrets pays for
each guess.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from hamgr.config.heartbeat.authkeys import AuthkeysError, Entry, entries
from hamgr.links.keys import KEY_BYTES, KeyFileError, Keys
from hamgr.links.seal import Key

_LABEL = "hamgr authkeys "
"""Begins the salt. Fixed: all nodes must come to the same key without a word to each other."""

_N, _R, _P = 1 << 14, 8, 1
"""scrypt's cost: 16 MB and some 50 ms a key."""


def parse_authkeys(path: Path, text: str) -> Keys:
    """The keys in the text of an authkeys file. Raises KeyFileError, which never tells a secret."""
    try:
        found, active = entries(text)
    except AuthkeysError as error:
        raise KeyFileError(path, error.found, error.allowed, error.line) from None
    return Keys({entry.number: derived(entry) for entry in found}, active)


def derived(entry: Entry) -> Key:
    salt = (_LABEL + entry.method).encode()
    secret = entry.secret.encode("utf-8", errors="surrogateescape")
    return Key(hashlib.scrypt(secret, salt=salt, n=_N, r=_R, p=_P, dklen=KEY_BYTES))
