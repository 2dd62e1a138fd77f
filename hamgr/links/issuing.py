"""How hamgr makes keys and certificates: one kind of key, one kind of authority, and for each name a certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CA_DAYS = 3650
CLOCKS_DIFFER = timedelta(hours=1)
"""A new certificate is valid from a little before now, for nodes whose clocks are behind."""

Secret = ec.EllipticCurvePrivateKey


def new_secret() -> Secret:
    return ec.generate_private_key(ec.SECP256R1())


def new_authority(common_name: str) -> tuple[x509.Certificate, Secret]:
    secret = new_secret()
    name = named(common_name)
    builder = certificate_for(name, name, secret.public_key(), timedelta(days=CA_DAYS))
    builder = builder.add_extension(x509.BasicConstraints(True, 0), critical=True)
    return builder.add_extension(usage(signs=True), critical=True).sign(secret, hashes.SHA256()), secret


def named(common_name: str, organization: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def certificate_for(
    name: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, valid: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(public)
    builder = builder.not_valid_before(now - CLOCKS_DIFFER).not_valid_after(now + valid)
    return builder.serial_number(x509.random_serial_number())


def usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(not signs, False, False, False, False, signs, signs, False, False)


def private_pem(secret: Secret) -> bytes:
    return secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
