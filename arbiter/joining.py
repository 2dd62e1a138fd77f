"""What a node that joins, or renews its certificate, is given: asked in a thread, for the disk may be slow."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography import x509

from arbiter.authority import BadRequest, certify, key_print, public_key_of, serial_of
from arbiter.registry import Certificate, Changed, Refused, Registry, Roll
from hamgr.config.addresses import check_name, check_node_name
from hamgr.links.issuing import public_pem
from hamgr.links.token import digest

RENEWED_AFTER = 2 / 3
"""Of its validity: then a node that asks gets a new certificate."""


TRIES = 5


@dataclass(frozen=True, slots=True)
class Terms:
    """session_port: where the sessions are served. days: for which a certificate is good. most_nodes: of a cluster."""

    session_port: int
    days: int
    most_nodes: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """reply: for the node. told: for the log, "" for nothing. changed: the registry is another one now."""

    reply: dict[str, Any]
    told: str
    refused: bool = False
    changed: bool = False


class JoinDesk:
    def __init__(self, registry: Registry, terms: Terms) -> None:
        self._registry = registry
        self._terms = terms

    def answer(self, request: dict[str, Any], certificate: bytes | None, source: str) -> Outcome:
        """certificate: DER, of a client that showed a good one. Raises RegistryError."""
        for _ in range(TRIES - 1):
            try:
                return self._answer(request, certificate, source)
            except Changed:
                continue  # a node that joins by another arbiter process
        return self._answer(request, certificate, source)

    def _answer(self, request: dict[str, Any], certificate: bytes | None, source: str) -> Outcome:
        try:
            match request.get("do"):
                case "join":
                    return self._join(request, source)
                case "renew" if certificate is not None:
                    return self._renew(request, certificate, source)
                case "renew":
                    raise Refused("no certificate was shown")
                case _:
                    raise Refused("a request is `join` or `renew`")
        except (Refused, BadRequest) as refused:
            return Outcome({"refused": str(refused)}, f"{source}: refused: {refused}", refused=True)

    def _join(self, request: dict[str, Any], source: str) -> Outcome:
        cluster, node, request_pem, secret = (_text(request, key) for key in ("cluster", "node", "request", "secret"))
        if check_name(cluster) or (allowed := check_node_name(node)):
            raise Refused(f"node {node!r} is none, allowed {allowed}" if not check_name(cluster) else "no such token")
        public = public_key_of(request_pem)
        issued: list[x509.Certificate] = []

        def issue(roll: Roll) -> Certificate:
            certificate, kept = self._issue(roll, public, cluster, node, token)
            issued.append(certificate)
            return kept

        token = digest(_hexadecimal(secret))
        roll = self._registry.join(token, cluster, node, key_print(public), self._terms.most_nodes, issue)
        told = f"{node} of cluster {cluster} joined from {source}, certificate {serial_of(issued[0])}"
        return Outcome(self._identity(roll, cluster, node, issued[0]), told, changed=True)

    def _renew(self, request: dict[str, Any], shown: bytes, source: str) -> Outcome:
        serial = serial_of(x509.load_der_x509_certificate(shown))
        roll = self._registry.load()
        held = roll.certificates.get(serial)
        if held is not None and not held.objection(time.time()) and not request.get("force") and not _due(held, roll):
            return Outcome({"good_until": held.ends}, "")
        public = public_key_of(_text(request, "request"))
        issued: list[x509.Certificate] = []

        def issue(roll: Roll, held: Certificate) -> Certificate:
            certificate, kept = self._issue(roll, public, held.cluster, held.node, "")
            issued.append(certificate)
            return kept

        roll = self._registry.renew(serial, issue)
        held = roll.certificates[serial]
        told = f"{held.node} of cluster {held.cluster} has a new certificate, {serial_of(issued[0])}, from {source}"
        return Outcome(self._identity(roll, held.cluster, held.node, issued[0]), told, changed=True)

    def _issue(
        self, roll: Roll, public: Any, cluster: str, node: str, token: str
    ) -> tuple[x509.Certificate, Certificate]:
        signer = roll.signer
        if signer is None:
            raise Refused("there is no authority here that signs")
        certificate = certify(signer, public, cluster, node, timedelta(days=self._terms.days))
        kept = Certificate(
            serial_of(certificate),
            cluster,
            node,
            signer.number,
            max(authority.number for authority in roll.authorities),
            time.time(),
            certificate.not_valid_after_utc.timestamp(),
            key_print(public),
            token,
        )
        return certificate, kept

    def _identity(self, roll: Roll, cluster: str, node: str, certificate: x509.Certificate) -> dict[str, Any]:
        return {
            "cluster": cluster,
            "node": node,
            "certificate": public_pem(certificate).decode(),
            "authorities": roll.bundle,
            "seal": roll.clusters[cluster].seal,
            "ends": certificate.not_valid_after_utc.timestamp(),
            "session_port": self._terms.session_port,
        }


def _due(held: Certificate, roll: Roll) -> bool:
    """Whether its holder should have another one: it is old, or other authorities vouch for us since."""
    signer = roll.signer
    if signer is None or held.authority != signer.number:
        return True
    if held.bundle < max(authority.number for authority in roll.authorities):
        return True
    return time.time() > held.issued + RENEWED_AFTER * (held.ends - held.issued)


def _text(request: dict[str, Any], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str) or not value:
        raise Refused(f"{key} is missing")
    return value


def _hexadecimal(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Refused("the secret is not hexadecimal") from None
