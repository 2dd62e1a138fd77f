"""Seals packets into authenticated frames and opens them: HMAC-SHA-256, a replay window, the receiver's life.

A frame is: magic "hg", version 1, key number (a byte each), the MAC of all the rest (32 bytes), then the protobuf
`hamgr.v1.Packet`. docs/protocol.md tells more.
"""

from __future__ import annotations

import enum
import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from hamgr.core.messages import ArbiterReport, Body, Heartbeat, Packet
from hamgr.links.convert import body_in, body_out
from hamgr.links.quality import Clocks
from hamgr.v1 import cluster_pb2 as pb

log = logging.getLogger(__name__)

MAGIC = b"hg"
VERSION = 1
HEADER = len(MAGIC) + 2
MAC_BYTES = 32
MAX_FRAME = 60_000
"""Bytes; below the largest UDP datagram, and far above any packet of sixteen nodes."""

WINDOW = 1024
"""Packets by which one may come late on its link and still be taken (RFC 4303, 3.4.3)."""

LIVES = 4
"""Lives of one sender, on one link, whose windows are kept."""

RETIRED = 1024
"""Lives of one sender, on one link, that are remembered as over."""

LOG_INTERVAL = 10.0
"""Seconds between two log lines about dropped frames of the same link and reason."""


class RejectReason(enum.Enum):
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    UNAUTHENTICATED = "unauthenticated"
    OTHER_CLUSTER = "other-cluster"
    NOT_FOR_US = "not-for-us"
    REFLECTED = "reflected"
    WRONG_LINK = "wrong-link"
    OLD_INCARNATION = "old-incarnation"
    REPLAYED = "replayed"


class Rejected(Exception):
    """A frame that says nothing to us."""

    def __init__(self, reason: RejectReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(slots=True)
class _Window:
    """Which of the newest sequence numbers of one life were seen: bit n of `seen` is `newest - n`.

    current: a frame of this life named our own life, so it was sealed since we started.
    """

    newest: int = 0
    seen: int = 0
    current: bool = False

    def take(self, sequence: int) -> bool:
        """Note this number; False if it was seen before, or is too old to tell."""
        if sequence > self.newest:
            self.seen = (self.seen << min(sequence - self.newest, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self.newest = sequence
            return True
        age = self.newest - sequence
        if age >= WINDOW or self.seen >> age & 1:
            return False
        self.seen |= 1 << age
        return True


@dataclass(slots=True)
class _Lives:
    """The windows of a sender's lives on one link, the one that was heard last at the end.

    When a new life needs room, a life that never named ours gives way first. It may be a recording from before our
    start, and recordings must never push out the peer that lives. It is forgotten, so its frames may pass again; they
    are heartbeats without an echo of ours, from which the core believes nothing. A life that did name ours gives way
    only to later ones, and is refused from then on.
    """

    windows: dict[int, _Window] = field(default_factory=dict)
    retired: dict[int, None] = field(default_factory=dict)

    def take(self, incarnation: int, sequence: int, names_ours: bool) -> bool:
        window = self.windows.get(incarnation)
        if window is None:
            if incarnation in self.retired:
                return False
            self._make_room()
            window = _Window()
        if not window.take(sequence):
            return False
        window.current = window.current or names_ours
        self.windows.pop(incarnation, None)
        self.windows[incarnation] = window
        return True

    def _make_room(self) -> None:
        if len(self.windows) < LIVES:
            return
        forgettable = (life for life, window in self.windows.items() if not window.current)
        life = next(forgettable, next(iter(self.windows)))
        if self.windows.pop(life).current:
            self.retired[life] = None
            if len(self.retired) > RETIRED:
                del self.retired[next(iter(self.retired))]


@dataclass(frozen=True, slots=True)
class Unsealed:
    """What a frame brought. sequence: of its sender's life, on its link, to us."""

    packet: Packet
    sequence: int
    clocks: Clocks | None = None


class Codec:
    """Seals and opens the frames of one node (or of the arbiter) in one life.

    keys: by number; active: the one that seals. All of them open.
    """

    def __init__(self, cluster: str, node: str, keys: dict[int, bytes], active: int, incarnation: int) -> None:
        assert active in keys, f"active key {active} is none of {sorted(keys)}"
        self.cluster = cluster
        self.node = node
        self.incarnation = incarnation
        self._macs = {number: hmac.new(key, digestmod="sha256") for number, key in keys.items()}
        self._active = active
        self._sequences: dict[tuple[str, str], int] = {}
        self._body: tuple[Body | None, str, Any] = (None, "", None)
        self._lives: dict[tuple[str, str], _Lives] = {}

    def _mac(self, number: int, header: bytes, payload: bytes) -> bytes:
        mac = self._macs[number].copy()
        mac.update(header)
        mac.update(payload)
        return mac.digest()

    def seal(self, link: str, packet: Packet, clocks: Clocks | None = None) -> bytes:
        """The frame of a packet for one link; frames to one receiver over one link are numbered without gaps."""
        sequence = self._sequences[link, packet.to] = self._sequences.get((link, packet.to), 0) + 1
        if self._body[0] is not packet.body:  # the same message goes out on every link
            self._body = (packet.body, *body_out(packet.body))
        _, name, body = self._body
        payload = pb.Packet(
            cluster=self.cluster,
            sender=self.node,
            to=packet.to,
            incarnation=self.incarnation,
            to_incarnation=packet.to_incarnation,
            link=link,
            sequence=sequence,
            number=packet.number,
            timing=_clocks_out(clocks),
            **{name: body},
        ).SerializeToString()
        header = MAGIC + bytes((VERSION, self._active))
        return header + self._mac(self._active, header, payload) + payload

    def open(self, link: str, data: bytes) -> Packet:
        """The packet in a frame. Raises Rejected, and nothing else, for anything that is none for us."""
        return self.unseal(link, data).packet

    def unseal(self, link: str, data: bytes) -> Unsealed:
        """The packet in a frame, and what the frame says of its link. Raises Rejected as `open`."""
        header, mac, payload = _split(data)
        number = header[3]
        if number not in self._macs or not hmac.compare_digest(mac, self._mac(number, header, payload)):
            raise Rejected(RejectReason.UNAUTHENTICATED)
        found = _parse(payload)
        if found.cluster != self.cluster:
            raise Rejected(RejectReason.OTHER_CLUSTER)
        if found.sender == self.node:
            raise Rejected(RejectReason.REFLECTED)
        if found.to != self.node:
            raise Rejected(RejectReason.NOT_FOR_US)
        if found.link != link:
            raise Rejected(RejectReason.WRONG_LINK)
        try:
            if found.incarnation == 0:
                raise ValueError("incarnation 0, which is no life")
            body = body_in(found)
        except ValueError as error:
            raise Rejected(RejectReason.MALFORMED) from error
        names_ours = found.to_incarnation == self.incarnation
        if not names_ours and (found.to_incarnation or not isinstance(body, Heartbeat | ArbiterReport)):
            raise Rejected(RejectReason.OLD_INCARNATION)
        lives = self._lives.setdefault((found.sender, link), _Lives())
        if not lives.take(found.incarnation, found.sequence, names_ours):
            raise Rejected(RejectReason.REPLAYED)
        packet = Packet(found.sender, found.incarnation, found.to, found.to_incarnation, body, found.number)
        return Unsealed(packet, found.sequence, _clocks_in(found))


def _clocks_out(clocks: Clocks | None) -> pb.Timing | None:
    if clocks is None:
        return None
    return pb.Timing(stamp_us=clocks.stamp_us, echo_us=clocks.echo_us, held_us=clocks.held_us)


def _clocks_in(packet: pb.Packet) -> Clocks | None:
    if not packet.HasField("timing"):
        return None
    timing = packet.timing
    return Clocks(timing.stamp_us, timing.echo_us, timing.held_us)


def _split(data: bytes) -> tuple[bytes, bytes, bytes]:
    if len(data) > MAX_FRAME:
        raise Rejected(RejectReason.TOO_LARGE)
    if len(data) <= HEADER + MAC_BYTES or data[:2] != MAGIC or data[2] != VERSION:
        raise Rejected(RejectReason.MALFORMED)
    return data[:HEADER], data[HEADER : HEADER + MAC_BYTES], data[HEADER + MAC_BYTES :]


def _parse(payload: bytes) -> pb.Packet:
    try:
        return pb.Packet.FromString(payload)
    except DecodeError as error:
        raise Rejected(RejectReason.MALFORMED) from error


def claimed_cluster(data: bytes) -> str:
    """The cluster that a frame says to belong to, not authenticated: only to choose the codec that opens it.

    Raises Rejected for what is no frame.
    """
    _header, _mac, payload = _split(data)
    return _parse(payload).cluster


@dataclass(slots=True)
class LinkCount:
    """What one link dropped since the start."""

    send_failures: int = 0
    rejected: dict[RejectReason, int] = field(default_factory=dict)


class Counters:
    """Counts what the links drop, and says it in the log at a bounded rate."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.links: dict[str, LinkCount] = {}
        self._clock = clock
        self._said: dict[tuple[str, RejectReason], tuple[float, int]] = {}

    def of(self, link: str) -> LinkCount:
        return self.links.setdefault(link, LinkCount())

    def rejected(self, link: str, reason: RejectReason, source: str) -> None:
        count = self.of(link).rejected
        count[reason] = count.get(reason, 0) + 1
        now = self._clock()
        said_at, said = self._said.get((link, reason), (float("-inf"), 0))
        if now - said_at < LOG_INTERVAL:
            return
        self._said[(link, reason)] = (now, count[reason])
        log.warning(
            "link %s: dropped %d frame(s), the last from %s: %s", link, count[reason] - said, source, reason.value
        )
