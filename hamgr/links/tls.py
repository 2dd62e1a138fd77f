"""A node's certificate for gRPC links: read, checked before it is used, and taken anew when its files change."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from hamgr.config.model import TlsConfig

log = logging.getLogger(__name__)

WARN_BEFORE = timedelta(days=14)
"""How long before the end of a certificate its end is said."""


class TlsError(Exception):
    """The files can't be used: which, what was found and what is allowed, in one sentence."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the three files hold, PEM, checked. ends: of the first certificate's validity."""

    ca: bytes
    chain: bytes
    key: bytes
    ends: datetime

    def of_server(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(self.key, self.chain)], self.ca)

    def of_client(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.ca, self.key, self.chain)


def read_certificates(config: TlsConfig, node: str, now: datetime) -> Certificates:
    """The files' contents, if a peer with the same ca would take them as this node's. Raises TlsError."""
    ca, chain, key = (_read(path) for path in (config.ca, config.certificate, config.key))
    authorities = _certificates(config.ca, ca)
    own, *between = _certificates(config.certificate, chain)
    try:
        secret = load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        raise TlsError(
            f"{config.key}: found no private key ({error}), allowed a PEM key without a passphrase"
        ) from error
    if _public(secret.public_key()) != _public(own.public_key()):
        raise TlsError(f"{config.key}: found the key of another certificate, allowed the one of {config.certificate}")
    if node not in (names := names_of(own)):
        found = ", ".join(sorted(names)) or "no name"
        raise TlsError(f"{config.certificate}: found a certificate for {found}, allowed one for this node, {node}")
    if not between and not any(_issued(own, authority) for authority in authorities):
        raise TlsError(f"{config.certificate}: found another issuer, allowed a certificate that {config.ca} signed")
    if not own.not_valid_before_utc <= now < own.not_valid_after_utc:
        valid = f"{own.not_valid_before_utc:%Y-%m-%d %H:%M} to {own.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        raise TlsError(f"{config.certificate}: found a certificate valid from {valid}, allowed one that is valid now")
    return Certificates(ca, chain, key, own.not_valid_after_utc)


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """Whom it names: its DNS names, or its common name when it has none (as gRPC's peer identities)."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return frozenset(found.value.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        return frozenset(str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"{path}: found no readable file ({error.strerror}), allowed a PEM file") from error


def _certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise TlsError(f"{path}: found no certificate ({error}), allowed PEM certificates") from error


def _public(key: object) -> bytes:
    found: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return found


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


class Credentials:
    """The newest usable certificates of a node. problem: why the present files can't be used, "" if they can."""

    def __init__(self, config: TlsConfig, node: str, link: str) -> None:
        self._config = config
        self._node = node
        self._link = link
        self._seen: object = None
        self._warned: datetime | None = None
        self.current: Certificates | None = None
        self.problem = ""

    async def refresh(self) -> bool:
        """Look at the files again; True when there are new certificates. What can't be used changes nothing."""
        now = datetime.now(UTC)
        seen = await asyncio.to_thread(self._fingerprint)  # a thread: the disk may hang, the heartbeats must not
        # A file that is written just now may be broken for a moment: what can't be used is read again.
        if seen != self._seen or self.problem:
            self._seen = seen
            if await self._read(now):
                return True
        self._warn_of_end(now)
        return False

    async def _read(self, now: datetime) -> bool:
        try:
            found = await asyncio.to_thread(read_certificates, self._config, self._node, now)
        except TlsError as error:
            if str(error) != self.problem:
                self.problem = str(error)
                kept = "the old certificate stays in use" if self.current is not None else "the link waits for others"
                log.error("link %s: %s; %s", self._link, self.problem, kept)
            return False
        self.problem = ""
        if found == self.current:
            return False
        log.info("link %s: certificate valid until %s UTC", self._link, f"{found.ends:%Y-%m-%d %H:%M}")
        self.current = found
        return True

    def _fingerprint(self) -> object:
        found: list[tuple[int | None, ...]] = []
        for path in (self._config.ca, self._config.certificate, self._config.key):
            try:
                status = path.stat()
                found.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
            except OSError as error:
                found.append((error.errno,))
        return found

    def _warn_of_end(self, now: datetime) -> None:
        """Once a day, in time for somebody to renew it."""
        if self.current is None or now < self.current.ends - WARN_BEFORE:
            return
        if self._warned is None or now - self._warned >= timedelta(days=1):
            self._warned = now
            ends = "ended" if now >= self.current.ends else "ends"
            text = "link %s: the certificate %s %s %s UTC; renew it, hamgrd takes the new file by itself"
            log.warning(text, self._link, self._config.certificate, ends, f"{self.current.ends:%Y-%m-%d %H:%M}")
