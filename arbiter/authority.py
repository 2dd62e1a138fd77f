"""The arbiter's certificate authority: its own certificate, and one for each node of a cluster that was enrolled."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from hamgr.links.identity import ARBITER_NAME
from hamgr.links.issuing import (
    Secret,
    certificate_for,
    named,
    new_authority,
    new_secret,
    private_pem,
    public_pem,
    usage,
)

OWN_VALID = timedelta(days=30)
"""Of the arbiter's own certificate, which is made anew with each start, and when half of this is over."""


class BadRequest(Exception):
    """A certificate request that can't be signed: why."""


@dataclass(frozen=True, slots=True)
class Authority:
    """certificate, key: PEM. signs: new certificates are its own; else it only vouches for older ones."""

    number: int
    certificate: str
    key: str = field(repr=False)
    signs: bool = True

    def loaded(self) -> tuple[x509.Certificate, Secret]:
        secret = serialization.load_pem_private_key(self.key.encode(), None)
        assert isinstance(secret, ec.EllipticCurvePrivateKey)
        return x509.load_pem_x509_certificate(self.certificate.encode()), secret


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """What the arbiter shows. key, chain: PEM."""

    key: bytes = field(repr=False)
    chain: bytes
    renew_at: datetime


def make_authority(number: int, signs: bool) -> Authority:
    # The last part tells it from the one of another arbiter: by its name alone an authority is looked up.
    name = f"hamgr-arbiter {number} of {datetime.now(UTC):%Y-%m-%d} {secrets.token_hex(4)}"
    certificate, secret = new_authority(name)
    return Authority(number, public_pem(certificate).decode(), private_pem(secret).decode(), signs)


def fingerprint(certificate: str) -> bytes:
    """SHA-256 of the certificate, as a token carries it."""
    found = x509.load_pem_x509_certificate(certificate.encode())
    return hashlib.sha256(found.public_bytes(serialization.Encoding.DER)).digest()


def own_certificate(authority: Authority) -> OwnCertificate:
    issuer, signer = authority.loaded()
    secret = new_secret()
    certificate = (
        certificate_for(named(ARBITER_NAME), issuer.subject, secret.public_key(), OWN_VALID)
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(usage(signs=False), critical=True)
        # Processes over the same etcd pass sessions on to each other.
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(ARBITER_NAME)]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    renew_at = datetime.now(UTC) + OWN_VALID / 2
    return OwnCertificate(private_pem(secret), public_pem(certificate) + authority.certificate.encode(), renew_at)


def public_key_of(request: str) -> ec.EllipticCurvePublicKey:
    """The key of a certificate request whose sender has the secret. Raises BadRequest."""
    try:
        found = x509.load_pem_x509_csr(request.encode())
        public = found.public_key()
        good = found.is_signature_valid and isinstance(public, ec.EllipticCurvePublicKey)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        good = False
    if not good:
        raise BadRequest("the certificate request is none, or is not signed by its own elliptic curve key")
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return public


def key_print(public: ec.EllipticCurvePublicKey) -> str:
    info = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).hexdigest()


def certify(
    authority: Authority, public: ec.EllipticCurvePublicKey, cluster: str, node: str, valid: timedelta
) -> x509.Certificate:
    """Only a client's: nobody can pass for the arbiter with it."""
    issuer, signer = authority.loaded()
    return (
        certificate_for(named(node, cluster), issuer.subject, public, valid)
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
        .sign(signer, hashes.SHA256())
    )


def is_arbiters(certificate: x509.Certificate) -> bool:
    """Whether it is one of `own_certificate`. A node may have any name; no node's certificate has this extension."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    return ARBITER_NAME in found.value.get_values_for_type(x509.DNSName)


def serial_of(certificate: x509.Certificate) -> str:
    return f"{certificate.serial_number:x}"
