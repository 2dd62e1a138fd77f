"""What the arbiter signs, and what it doesn't."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from arbiter.authority import BadRequest, certify, is_arbiters, make_authority, own_certificate, public_key_of
from hamgr.links.identity import ARBITER_NAME
from hamgr.links.issuing import named, new_secret
from hamgr.links.tls import names_of


def request(secret: object, digest: hashes.HashAlgorithm | None = hashes.SHA256()) -> str:  # noqa: B008
    builder = x509.CertificateSigningRequestBuilder().subject_name(named("hamgr-arbiter"))
    return builder.sign(secret, digest).public_bytes(serialization.Encoding.PEM).decode()  # type: ignore[arg-type]


def test_a_request_names_nobody_only_its_key_counts() -> None:
    secret = new_secret()
    public = public_key_of(request(secret))
    assert public == secret.public_key()
    authority = make_authority(1, True)
    certificate = certify(authority, public, "office", "a", timedelta(days=1))
    certificate.verify_directly_issued_by(authority.loaded()[0])
    subject = {part.oid: part.value for part in certificate.subject}
    assert subject == {NameOID.ORGANIZATION_NAME: "office", NameOID.COMMON_NAME: "a"}
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert ARBITER_NAME not in names_of(certificate)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        request(rsa.generate_private_key(65537, 2048)),
        request(ed25519.Ed25519PrivateKey.generate(), None),
    ],
)
def test_anything_but_a_request_with_an_elliptic_curve_key_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        public_key_of(text)


def test_a_request_that_somebody_changed_is_refused() -> None:
    found = x509.load_pem_x509_csr(request(new_secret()).encode())
    changed = bytearray(found.public_bytes(serialization.Encoding.DER))
    changed[-1] ^= 1
    pem = x509.load_der_x509_csr(bytes(changed)).public_bytes(serialization.Encoding.PEM).decode()
    with pytest.raises(BadRequest):
        public_key_of(pem)


def test_the_arbiters_own_certificate_is_for_its_name_alone() -> None:
    own = x509.load_pem_x509_certificates(own_certificate(make_authority(1, True)).chain)
    assert names_of(own[0]) == {ARBITER_NAME}
    own[0].verify_directly_issued_by(own[1])


def test_a_node_called_as_the_arbiter_is_still_none() -> None:
    certificate = certify(make_authority(1, True), new_secret().public_key(), "office", ARBITER_NAME, timedelta(days=1))
    assert not is_arbiters(certificate)
    assert is_arbiters(x509.load_pem_x509_certificate(own_certificate(make_authority(1, True)).chain))
