"""A node's identity at an arbiter of many clusters: one private file, made by `hamgr join`, replaced as a whole.

It holds the node's certificate and key, the authorities that vouch for the arbiter, and the key that seals the frames
of this cluster there. Nothing here loads a cryptographic library: gRPC takes the texts as they are.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hamgr.links.keys import KeyFileError, Keys, read_private
from hamgr.links.private import write_private
from hamgr.links.seal import Key, Method

ARBITER_NAME = "hamgr-arbiter"
"""Whom every certificate of an arbiter names, wherever it runs. No node's certificate does."""

DEFAULT_IDENTITY = Path("/etc/hamgr/arbiter.identity")
FORMAT = 1
ENDS_SOON = 14 * 86400.0
"""Seconds. By then it should have been renewed, if it is one of 90 days."""


class IdentityError(Exception):
    """The file can't be used: which, what was found, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Identity:
    """certificate, key, authorities: PEM. seal: hexadecimal. ends: of the certificate, seconds since 1970.
    sessions, joining: the arbiter's addresses with ports. repr leaves the secrets out."""

    cluster: str
    node: str
    certificate: str
    key: str = field(repr=False)
    authorities: str
    seal: str = field(repr=False)
    ends: float
    sessions: tuple[str, ...] = ()
    joining: tuple[str, ...] = ()

    @property
    def keys(self) -> Keys:
        return Keys({1: Key(bytes.fromhex(self.seal), Method.HMAC_SHA256)}, 1)


def read_identity(path: Path, owner: int | None = None) -> Identity:
    """Raises IdentityError. owner: the user that the file must belong to; None: any."""
    try:
        text = read_private(path, owner)
    except KeyFileError as error:
        raise IdentityError(str(error).replace("a key file; `hamgr key new` makes one", "an identity file")) from None
    try:
        found = json.loads(text)
        if found.pop("format") != FORMAT:
            raise ValueError("another format")
        for name in ("sessions", "joining"):
            found[name] = tuple(map(str, found[name]))
        identity = Identity(**found)
        _check(identity)
    except (ValueError, TypeError, KeyError, AttributeError):
        found_there, allowed = "something else", "what `hamgr join TOKEN` writes"
        raise IdentityError(f"{path}: found {found_there}, allowed {allowed}") from None
    return identity


def _check(identity: Identity) -> None:
    for value in (identity.cluster, identity.node, identity.certificate, identity.key, identity.authorities):
        if not isinstance(value, str) or not value:
            raise ValueError("no text")
    float(identity.ends)
    if len(bytes.fromhex(identity.seal)) < 32:
        raise ValueError("a short key")


def fault_of(path: Path, cluster: str, node: str, now: float) -> str:
    """Why this node gets no vote with this file, or soon won't; "" if all is well. now: seconds since 1970."""
    if not path.exists():
        return ""  # `hamgr.config.local` says that
    try:
        found = read_identity(path)
    except IdentityError as error:
        return str(error)
    if (found.cluster, found.node) != (cluster, node):
        return f"{path} is the identity of {found.node} of cluster {found.cluster}: no vote; `hamgr join` here"
    left = found.ends - now
    if left < 0:
        return f"the certificate in {path} has expired: no vote; `hamgr join` with a token"
    if left < ENDS_SOON:
        ends = f"ends in {left / 86400:.1f} days and was not renewed"
        return f"the certificate in {path} {ends}: `hamgr join --renew` says why"
    return ""


def write_identity(path: Path, identity: Identity) -> None:
    """In place of what was there, mode 0600; on disk when this returns. Raises OSError."""
    values: dict[str, Any] = {"format": FORMAT, **asdict(identity)}
    write_private(path, json.dumps(values, indent=1) + "\n")
