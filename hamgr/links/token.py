"""The one-time token that lets a node join an arbiter: where it is, how to know that it is the one, and a secret."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field

PREFIX = "hamgr-join-"
SECRET_BYTES = 24


class TokenError(Exception):
    """The text is no token."""


@dataclass(frozen=True, slots=True)
class Token:
    """joining: the arbiter's addresses with ports. authority: SHA-256 of its authority's certificate (DER)."""

    cluster: str
    joining: tuple[str, ...]
    authority: bytes
    secret: bytes = field(repr=False)

    def __str__(self) -> str:
        values = [self.cluster, list(self.joining), _base64(self.authority), _base64(self.secret)]
        return PREFIX + _base64(json.dumps(values, separators=(",", ":")).encode())


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def digest(secret: bytes) -> str:
    """What an arbiter keeps of it: the secret has too many bits to be guessed from this."""
    return hashlib.sha256(b"hamgr join " + secret).hexdigest()


def parse_token(text: str) -> Token:
    """Raises TokenError, which doesn't repeat the text: it may hold a secret."""
    text = text.strip()
    try:
        if not text.startswith(PREFIX):
            raise ValueError("no prefix")
        cluster, joining, authority, secret = json.loads(_bytes(text.removeprefix(PREFIX)))
        token = Token(str(cluster), tuple(map(str, joining)), _bytes(authority), _bytes(secret))
        if len(token.authority) != 32 or len(token.secret) != SECRET_BYTES or not token.joining:
            raise ValueError("a part is missing")
    except (ValueError, TypeError):
        raise TokenError(
            f"found no token, allowed the whole text {PREFIX}... that `hamgr-arbiter enroll` printed"
        ) from None
    return token


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
