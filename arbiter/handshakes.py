"""Counts the handshakes that fail within gRPC, which tells of them on standard error alone.

Its lines about them are read there, counted as refusals with their reason, and said at a bounded rate in our own log:
strangers by the thousand can't fill the journal. Of its other lines those pass that tell errors, and of what others
write, all.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading

from arbiter.refusals import Refusals

_GOSSIP = re.compile(rb"[IW]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ \S+\.cc:\d+\] |WARNING: All log messages before absl::")
_FAILED = re.compile(rb"ssl_transport_security\.cc:\d+\] Handshake failed with error \w+: (.*)")
REASONS = {
    "certificate has expired": "the certificate has expired",
    "certificate is not yet valid": "the certificate is not valid yet; compare the clocks",
    "unable to get local issuer certificate": "a certificate of another authority",
    "unable to verify the first certificate": "a certificate of another authority",
    "certificate signature failure": "a certificate of another authority",
    "self signed certificate": "a certificate of another authority",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no certificate",
    "WRONG_VERSION_NUMBER": "no TLS",
    "HTTP_REQUEST": "no TLS",
    "unsupported certificate purpose": "a certificate for something else",
}


def reason_of(line: bytes) -> str:
    """Why a handshake failed, by a line of gRPC's log; "" for any other line."""
    found = _FAILED.search(line)
    if found is None:
        return ""
    said = found[1].decode(errors="replace")
    words = said.rpartition("OPENSSL_internal:")[2]
    return next((reason for word, reason in REASONS.items() if word in said), f"the handshake failed ({words[:80]})")


def have_grpc_speak() -> None:
    """To be called before gRPC is loaded: `hamgr` silences it."""
    os.environ.pop("GRPC_VERBOSITY", None)


def listen_to_grpc(refusals: Refusals) -> None:
    """From now on read what this process writes to standard error; our own log goes past this."""
    behind = os.dup(2)
    reading, writing = os.pipe()
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(os.fdopen(os.dup(behind), "w", buffering=1, encoding="utf-8", errors="replace"))
    os.dup2(writing, 2)
    os.close(writing)
    threading.Thread(target=_read, args=(reading, behind, refusals), name="standard error", daemon=True).start()


def _read(reading: int, behind: int, refusals: Refusals) -> None:
    """Never ends before the process does: whoever writes to a pipe that nobody reads hangs."""
    with open(reading, "rb", buffering=0) as pipe:
        rest = b""
        while chunk := pipe.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > 65536:
                lines, rest = [*lines, rest], b""
            for line in lines:
                if reason := reason_of(line):
                    refusals.note("session", reason)
                elif not _GOSSIP.match(line):
                    _pass(behind, line + b"\n")


def _pass(behind: int, line: bytes) -> None:
    with contextlib.suppress(OSError):  # whoever read our log may be gone
        os.write(behind, line)
