"""Decides for which cluster, and as which node, a stream may speak: by its certificate, or by a cluster's key file."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import grpc
from cryptography import x509

from arbiter.authority import is_arbiters, serial_of
from arbiter.registry import Roll
from hamgr.links.arbiter import CLUSTER
from hamgr.links.codec import RejectReason
from hamgr.v1 import cluster_pb2 as pb

Context = grpc.aio.ServicerContext[pb.Frame, pb.Frame]


def certificate_of(context: Context) -> bytes:
    """PEM, of the client whose handshake was good; b"" without one."""
    found: bytes = next(iter((context.auth_context() or {}).get("x509_pem_cert", ())), b"")
    return found


RELAYED = "hamgr-relayed"
"""Metadata of a session that another arbiter process passes on: it is not passed on once more. Of one with a
certificate, its serial number."""


class TurnedAway(Exception):
    """A stream that may not speak: why."""


@dataclass(frozen=True, slots=True)
class Guest:
    """Who is on a stream. node: whom the certificate names, "" without one: then any that the cluster's keys seal for.
    serial: of the certificate."""

    cluster: str
    node: str = ""
    serial: str = ""

    @property
    def speakers(self) -> frozenset[str] | None:
        return frozenset({self.node}) if self.serial else None


class Door:
    """static: the clusters with a key file. roll: those that were enrolled, as of now."""

    def __init__(self, static: Collection[str], roll: Roll | None = None) -> None:
        self.static = frozenset(static)
        self.roll = roll or Roll()

    def admit(self, context: Context) -> Guest:
        """Raises TurnedAway."""
        if shown := certificate_of(context):
            return self._certified(shown, dict(context.invocation_metadata() or ()).get(RELAYED))
        # Nobody vouches for the name: it only chooses the keys.
        named = dict(context.invocation_metadata() or ()).get(CLUSTER)
        if not isinstance(named, str) or named not in self.static:
            raise TurnedAway(RejectReason.OTHER_CLUSTER.value)
        return Guest(named)

    def _certified(self, pem: bytes, relayed: object) -> Guest:
        """The handshake has proved that one of our authorities signed it; what counts is what we wrote down of it.

        relayed: the serial number of whom another arbiter process has let in, and passes on to us."""
        certificate = x509.load_pem_x509_certificate(pem)
        serial = serial_of(certificate)
        if isinstance(relayed, str) and is_arbiters(certificate):
            serial = relayed
        found = self.roll.certificates.get(serial)
        if found is None:
            raise TurnedAway("this certificate is not known here (a backup was restored, or the cluster forgotten)")
        guest = Guest(found.cluster, found.node, serial)
        if objection := self.objection(guest):
            raise TurnedAway(objection)
        return guest

    def objection(self, guest: Guest) -> str:
        """Why a guest that was let in may stay no longer; "" if he may."""
        if not guest.serial:
            return "" if guest.cluster in self.static else RejectReason.OTHER_CLUSTER.value
        found = self.roll.certificates.get(guest.serial)
        if found is None or guest.cluster not in self.roll.clusters:
            return f"cluster {guest.cluster} is not enrolled here any more"
        return found.objection(time.time())
