"""The files by which an arbiter process knows etcd, and shows it who it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from arbiter.etcdconfig import EtcdConfig
from arbiter.store import StoreError
from hamgr.config.problems import Problem

PRIVATE = 0o077
"""Mode bits that a file with a secret must not have."""


PEM = "PEM, as -----BEGIN CERTIFICATE-----"


class _Unusable(Exception):
    def __init__(self, found: str, allowed: str) -> None:
        self.found = found
        self.allowed = allowed


def password_of(config: EtcdConfig) -> str:
    """Read each time it is needed: a new one counts without a restart. Raises StoreError."""
    file = config.password_file
    assert file is not None, "a user without a password file"
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise StoreError(f"etcd.password_file {file}: {why}") from error


def problems(config: EtcdConfig, path: Path) -> Iterator[Problem]:
    """What is wrong with them. path: of the configuration that names them."""
    for name, check in (
        ("ca", _check_ca),
        ("certificate", _check_certificate),
        ("key", _check_key),
        ("password_file", _check_password),
    ):
        if getattr(config, name) is not None:
            try:
                check(config)
            except _Unusable as wrong:
                yield Problem(path, f"etcd.{name}", wrong.found, wrong.allowed)


def _content(file: Path | None, private: bool = False) -> bytes:
    assert file is not None, "asked for by its name"
    try:
        with file.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            content = opened.read()
    except OSError as error:
        raise _Unusable(f"{file}: {error.strerror}", "a file that hamgr-arbiter can read") from error
    if private and mode & PRIVATE:
        raise _Unusable(f"{file} with mode {mode:04o}", f"0600: chmod 600 {file}")
    return content


def _certificates(file: Path | None) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_content(file))
    except ValueError as error:
        raise _Unusable(f"{file}, without a certificate in it", PEM) from error


def _check_ca(config: EtcdConfig) -> None:
    _certificates(config.ca)


def _check_certificate(config: EtcdConfig) -> None:
    _certificates(config.certificate)


def _check_key(config: EtcdConfig) -> None:
    content = _content(config.key, private=True)
    try:
        public = serialization.load_pem_private_key(content, None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _Unusable(f"{config.key}, which is no such key", "a private key in PEM, without a password") from error
    try:
        certificate, *_chain = _certificates(config.certificate)
    except _Unusable:
        return  # told under its own name
    if certificate.public_key() != public:
        raise _Unusable(f"{config.key}", f"the key of the first certificate in {config.certificate}")


def _check_password(config: EtcdConfig) -> None:
    if not _content(config.password_file, private=True).strip():
        raise _Unusable(f"{config.password_file}, which is empty", f"the password of {config.user}")
