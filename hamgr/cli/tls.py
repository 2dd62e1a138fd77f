"""`hamgr tls`: a small certificate authority for the gRPC links of one cluster, in a directory."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from hamgr.cli.commands import DONE, FAILED, USAGE
from hamgr.config.addresses import check_node_name
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


def tls(args: argparse.Namespace) -> int:
    directory, node = Path(args.directory), args.node
    if (args.verb == "issue") != bool(node):
        print("hamgr tls: found wrong words, allowed `ca DIRECTORY` or `issue DIRECTORY NODE`", file=sys.stderr)
        return USAGE
    if node and (allowed := check_node_name(node)):
        print(f"hamgr tls issue: found node {node!r}, allowed {allowed}", file=sys.stderr)
        return USAGE
    try:
        return _issue(directory, node, args.days) if node else _authority(directory)
    except (OSError, ValueError) as error:
        print(f"hamgr tls {args.verb}: {error}", file=sys.stderr)
        return FAILED


def _authority(directory: Path) -> int:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate, secret = new_authority(f"hamgr {datetime.now(UTC):%Y-%m-%d}")
    # A second authority in the same place would cut off all that the first one vouched for.
    _write_new(directory / "ca.key", private_pem(secret), 0o600)
    _write_new(directory / "ca.pem", public_pem(certificate), 0o644)
    print(f"{directory}/ca.pem: a new authority; keep {directory}/ca.key off the nodes")
    return DONE


def _issue(directory: Path, node: str, days: int) -> int:
    authority = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    signer = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
    if not isinstance(signer, Secret):
        raise ValueError(f"{directory}/ca.key: found another kind of key, allowed the one of `hamgr tls ca`")
    secret = new_secret()
    certificate = (
        certificate_for(named(node), authority.subject, secret.public_key(), timedelta(days=days))
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .add_extension(usage(signs=False), critical=True)
        # Each node answers and dials.
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(node)]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    files = directory / f"{node}.pem", directory / f"{node}.key"
    _replace(files[0], public_pem(certificate), 0o644)
    _replace(files[1], private_pem(secret), 0o600)
    print(f"{files[0]}, {files[1]}: valid for {days} days; bring them and ca.pem to {node}, as its [tls] says")
    return DONE


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Raises FileExistsError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, content: bytes, mode: int) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _write_new(new, content, mode)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
