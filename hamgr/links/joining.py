"""How a node asks an arbiter for its identity, and for a newer one: one request over TLS to somebody it can be sure of.

A token names the arbiter's authority by its fingerprint. The arbiter shows the authority's certificate first; the
secret is said only if that is the one, and if the other end of the connection has a certificate of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hamgr.config.addresses import split_port
from hamgr.links.identity import ARBITER_NAME, Identity
from hamgr.links.issuing import named, new_secret, private_pem
from hamgr.links.stream import target
from hamgr.links.token import Token

PATIENCE = 10.0
"""Seconds for one address."""

LONGEST_ANSWER = 1 << 20


class NotReached(Exception):
    """No address answered as an arbiter should: which, and why."""


class Refused(Exception):
    """The arbiter said no: why."""


@dataclass(frozen=True, slots=True)
class StillGood:
    """The certificate is not to be renewed yet. until: seconds since 1970."""

    until: float


def fresh_key() -> str:
    return private_pem(new_secret()).decode()


def join(token: Token, node: str, key: str) -> Identity:
    """key: PEM, of the certificate that is asked for. Raises NotReached, Refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # who it is, is checked in _ask
    request = {"do": "join", "cluster": token.cluster, "node": node, "secret": token.secret.hex()}
    reply, where = _first(token.joining, context, {**request, "request": _request(key, node)}, token.authority)
    return _identity(reply, key, token.joining, where)


def renew(identity: Identity, force: bool) -> Identity | StillGood:
    """Raises NotReached, Refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=identity.authorities)
    descriptor = os.memfd_create("hamgr", os.MFD_CLOEXEC)  # the module reads a key from files only
    try:
        os.write(descriptor, (identity.certificate + identity.key).encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    key = fresh_key()
    request = {"do": "renew", "force": force, "request": _request(key, identity.node)}
    reply, where = _first(identity.joining, context, request, b"")
    if "good_until" in reply:
        return StillGood(float(reply["good_until"]))
    return _identity(reply, key, identity.joining, where)


def _request(key: str, node: str) -> str:
    """A certificate request. The name in it is of no weight: the arbiter writes the one that it knows."""
    secret = serialization.load_pem_private_key(key.encode(), None)
    assert isinstance(secret, ec.EllipticCurvePrivateKey)
    request = x509.CertificateSigningRequestBuilder().subject_name(named(node)).sign(secret, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _first(
    addresses: tuple[str, ...], context: ssl.SSLContext, request: dict[str, Any], authority: bytes
) -> tuple[dict[str, Any], str]:
    """The answer of the first address that gives one."""
    failures = []
    for where in addresses:
        try:
            return _ask(where, context, request, authority), where
        except ssl.SSLError as error:
            failures.append(f"{where}: {_explained(error)}")
        except (OSError, ValueError) as error:
            failures.append(f"{where}: {error}")
    raise NotReached("; ".join(failures))


def _explained(error: ssl.SSLError) -> str:
    reason = error.reason or str(error)
    if "CERTIFICATE_EXPIRED" in reason:
        return "our certificate has expired; join anew with a token"
    return f"no TLS with this arbiter ({reason})"


def _ask(where: str, context: ssl.SSLContext, request: dict[str, Any], authority: bytes) -> dict[str, Any]:
    host, port = split_port(where)
    assert port is not None
    with (
        socket.create_connection((host, port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=ARBITER_NAME) as connection,
        connection.makefile("rwb") as stream,
    ):
        connection.settimeout(PATIENCE)
        greeting = json.loads(stream.readline(LONGEST_ANSWER) or b"{}")
        if authority:
            shown = connection.getpeercert(binary_form=True)
            _check(str(greeting.get("authority", "")), shown or b"", authority)
        stream.write(json.dumps(request).encode() + b"\n")
        stream.flush()
        reply = json.loads(stream.readline(LONGEST_ANSWER) or b"{}")
    if not isinstance(reply, dict) or not reply:
        raise ValueError("it ended the connection without an answer")
    if "refused" in reply:
        raise Refused(str(reply["refused"]))
    return reply


def _check(pem: str, shown: bytes, fingerprint: bytes) -> None:
    """Is this the arbiter of the token? Raises ValueError."""
    try:
        issuer = x509.load_pem_x509_certificate(pem.encode())
        own = x509.load_der_x509_certificate(shown)
    except ValueError:
        raise ValueError("what answers there is no arbiter") from None
    if hashlib.sha256(issuer.public_bytes(serialization.Encoding.DER)).digest() != fingerprint:
        raise ValueError("its authority is not the one of the token: another arbiter, or somebody in between")
    try:
        own.verify_directly_issued_by(issuer)
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        good = ARBITER_NAME in names.get_values_for_type(x509.DNSName)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        good = False
    if not good:
        raise ValueError("its certificate is not of the token's authority: somebody is in between")
    if not own.not_valid_before_utc <= datetime.now(UTC) < own.not_valid_after_utc:
        raise ValueError("its certificate is not valid now; compare the clocks")


def _identity(reply: dict[str, Any], key: str, joining: tuple[str, ...], where: str) -> Identity:
    try:
        hosts = [split_port(address)[0] for address in joining]
        return Identity(
            str(reply["cluster"]),
            str(reply["node"]),
            str(reply["certificate"]),
            key,
            str(reply["authorities"]),
            str(reply["seal"]),
            float(reply["ends"]),
            tuple(target(host, int(reply["session_port"])) for host in hosts),
            joining,
        )
    except (KeyError, ValueError, TypeError):
        raise NotReached(f"{where}: its answer makes no sense") from None
