"""Makes certificates for tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hamgr.config.model import TlsConfig


@dataclass(frozen=True)
class Issued:
    certificate: x509.Certificate
    secret: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def issue(name: str, by: Issued | None = None, days: int = 30, dns: bool = True) -> Issued:
    """A certificate for a name; of an authority when nobody issued it. days: until it ends; it began 40 days ago."""
    secret = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=40))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if by is not None and dns:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return Issued(builder.sign(by.secret if by else secret, hashes.SHA256()), secret)


def files(directory: Path) -> TlsConfig:
    return TlsConfig(directory / "ca.pem", directory / "node.pem", directory / "node.key")


def put(directory: Path, authority: Issued, own: Issued) -> TlsConfig:
    """Write a node's files, each at once."""
    directory.mkdir(exist_ok=True)
    config = files(directory)
    for path, content in ((config.ca, authority.pem), (config.certificate, own.pem), (config.key, own.key_pem)):
        new = path.with_suffix(".new")
        new.write_bytes(content)
        new.replace(path)
    return config
