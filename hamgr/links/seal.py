"""Seals bytes with one key, by the method that the key is bound to.

A frame is its header (4 bytes: magic, version, key number), then what the key's method makes of the payload. The header
chooses the key, the key the method: nobody can talk a receiver into a weaker method than its file says.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import os
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

HEADER = 4
SALT = 16
COUNTER = 8
TAG = 16

LIVES_CACHED = 64
"""Lives of all peers together whose derived keys are kept; for others the key is derived with every frame."""


class Method(enum.Enum):
    """How a key protects a frame. All authenticate; only CHACHA20_POLY1305 also hides what is said."""

    HMAC_SHA256 = "hmac-sha256"
    BLAKE2S = "blake2s"
    SHA1 = "sha1"
    CHACHA20_POLY1305 = "chacha20-poly1305"


@dataclass(frozen=True, slots=True)
class Key:
    """A secret bound to its method. repr leaves the secret out, so that no log and no traceback tells it."""

    secret: bytes
    method: Method = Method.HMAC_SHA256

    def __repr__(self) -> str:
        return f"Key({self.method.value})"

    def print(self) -> int:
        """Four bytes of a keyed digest: tells two keys apart, and nothing about either."""
        label = b"hamgr key print " + self.method.value.encode()
        return int.from_bytes(hmac.digest(self.secret, label, "sha256")[:4], "big")


class Seal(Protocol):
    """overhead: bytes that a frame has more than header and payload."""

    overhead: int

    def seal(self, header: bytes, payload: bytes) -> bytes:
        """The frame."""

    def unseal(self, frame: bytes) -> bytes | None:
        """The payload of a frame that is longer than header and overhead; None when it isn't authentic."""


class MacSeal:
    """header, MAC of header and payload, payload in the clear."""

    def __init__(self, mac: Any, size: int) -> None:
        """mac: a keyed hmac or blake2s object that nothing was fed to."""
        self._mac = mac
        self._start = HEADER + size
        self.overhead = size

    def _digest(self, header: bytes, payload: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(header)
        mac.update(payload)
        digest: bytes = mac.digest()
        return digest

    def seal(self, header: bytes, payload: bytes) -> bytes:
        return header + self._digest(header, payload) + payload

    def unseal(self, frame: bytes) -> bytes | None:
        payload = frame[self._start :]
        if hmac.compare_digest(frame[HEADER : self._start], self._digest(frame[:HEADER], payload)):
            return payload
        return None


class AeadSeal:
    """header, salt, counter, ciphertext and tag: ChaCha20-Poly1305 (RFC 8439) with the header as associated data.

    A nonce must never be used twice with one key (RFC 8439, 4), and the nodes share their key. So nobody uses it as it
    is: each object draws a random salt and derives a key of its own from it, in which its frames are counted.
    """

    overhead = SALT + COUNTER + TAG

    def __init__(self, secret: bytes) -> None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        self._cipher = ChaCha20Poly1305
        self._invalid = InvalidTag
        self._secret = secret
        self._salt = os.urandom(SALT)
        self._own = self._derive(self._salt)
        self._counter = 0
        self._others: OrderedDict[bytes, ChaCha20Poly1305] = OrderedDict()

    def _derive(self, salt: bytes) -> ChaCha20Poly1305:
        return self._cipher(hashlib.blake2s(salt, key=self._secret, person=b"hamgr-1").digest())

    def seal(self, header: bytes, payload: bytes) -> bytes:
        self._counter += 1
        counter = self._counter.to_bytes(COUNTER, "big")
        return header + self._salt + counter + self._own.encrypt(bytes(4) + counter, payload, header)

    def unseal(self, frame: bytes) -> bytes | None:
        salt = frame[HEADER : HEADER + SALT]
        nonce = bytes(4) + frame[HEADER + SALT : HEADER + SALT + COUNTER]
        cipher = self._others.get(salt)
        known = cipher or self._derive(salt)
        try:
            payload = known.decrypt(nonce, frame[HEADER + SALT + COUNTER :], frame[:HEADER])
        except self._invalid:
            return None
        if cipher is None:
            # Only now: whoever has no key can neither fill the cache nor push a peer out of it.
            self._others[salt] = known
            if len(self._others) > LIVES_CACHED:
                self._others.popitem(last=False)
        else:
            self._others.move_to_end(salt)
        return payload


def seal_of(key: Key) -> Seal:
    match key.method:
        case Method.HMAC_SHA256:
            return MacSeal(hmac.new(key.secret, digestmod="sha256"), 32)
        case Method.SHA1:
            return MacSeal(hmac.new(key.secret, digestmod="sha1"), 20)
        case Method.BLAKE2S:
            return MacSeal(hashlib.blake2s(key=key.secret), 32)
        case Method.CHACHA20_POLY1305:
            return AeadSeal(key.secret)
