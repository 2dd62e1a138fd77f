"""Packets into authenticated frames and back; what is not authentic, new and meant for us is refused.

A frame is: magic "hg", version 1, key number (a byte each), then the protobuf `hamgr.v1.Packet` as the key's method
seals it (`hamgr.links.seal`). docs/protocol.md tells more.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from hamgr.core.messages import ArbiterAnswer, ArbiterReport, Body, Heartbeat, Packet
from hamgr.links.convert import body_in, body_out
from hamgr.links.quality import Clocks
from hamgr.links.replay import Lives
from hamgr.links.seal import HEADER, Key, Seal, seal_of
from hamgr.v1 import cluster_pb2 as pb

MAGIC = b"hg"
VERSION = 1
MAX_FRAME = 60_000
"""Bytes; below the largest UDP datagram, and far above any packet of sixteen nodes."""


class RejectReason(enum.Enum):
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    UNAUTHENTICATED = "unauthenticated"
    OTHER_CLUSTER = "other-cluster"
    NOT_FOR_US = "not-for-us"
    REFLECTED = "reflected"
    OTHER_SPEAKER = "other-speaker"
    WRONG_LINK = "wrong-link"
    OLD_INCARNATION = "old-incarnation"
    REPLAYED = "replayed"


class Rejected(Exception):
    """A frame that says nothing to us."""

    def __init__(self, reason: RejectReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Unsealed:
    """What a frame brought. sequence: of its sender's life, on its link, to us."""

    packet: Packet
    sequence: int
    clocks: Clocks | None = None


@dataclass(slots=True)
class PeerKeys:
    """What one peer last said, and showed, of its keys. opens: key number -> print; empty while it has only one.

    seals: number of the key that its newest frame was sealed with.
    """

    incarnation: int
    said_us: int = -1
    opens: Mapping[int, int] = field(default_factory=dict)
    seals: int = -1


class Codec:
    """Seals and opens the frames of one node (or of the arbiter) in one life.

    keys: by number; bare bytes are a key of the default method. active: the one that seals. All of them open.
    """

    def __init__(self, cluster: str, node: str, keys: Mapping[int, Key | bytes], active: int, incarnation: int) -> None:
        self.cluster = cluster
        self.node = node
        self.incarnation = incarnation
        self.peers: dict[str, PeerKeys] = {}
        self.keys: dict[int, Key] = {}
        self._seals: dict[int, Seal] = {}
        self._sequences: dict[tuple[str, str], int] = {}
        self._lives: dict[tuple[str, str], Lives] = {}
        self.reload(keys, active)

    def reload(self, keys: Mapping[int, Key | bytes], active: int) -> None:
        """From now on use these keys. Windows and numbers stay, so no frame is lost, and none is taken again."""
        assert active in keys, f"active key {active} is none of {sorted(keys)}"
        new = {number: key if isinstance(key, Key) else Key(key) for number, key in keys.items()}
        # A seal that stays keeps its counter and what it derived for its peers.
        self._seals = {
            number: self._seals[number] if self.keys.get(number) == key else seal_of(key) for number, key in new.items()
        }
        self.keys, self.active = new, active
        self._header = MAGIC + bytes((VERSION, active))
        said = new if len(new) > 1 else {}  # with a single key there is nothing to choose
        self._said = [pb.OpenKey(number=number, print=key.print()) for number, key in said.items()]
        self._body: tuple[Body | None, str, Any] = (None, "", None)

    def seal(self, link: str, packet: Packet, clocks: Clocks | None = None) -> bytes:
        """The frame of a packet for one link; frames to one receiver over one link are numbered without gaps."""
        sequence = self._sequences[link, packet.to] = self._sequences.get((link, packet.to), 0) + 1
        if self._body[0] is not packet.body:  # the same message goes out on every link
            self._body = (packet.body, *body_out(packet.body))
            if self._said and isinstance(packet.body, Heartbeat | ArbiterAnswer):
                self._body[2].keys.extend(self._said)
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
        return self._seals[self.active].seal(self._header, payload)

    def open(self, link: str, data: bytes) -> Packet:
        """The packet in a frame. Raises Rejected, and nothing else, for anything that is none for us."""
        return self.unseal(link, data).packet

    def unseal(self, link: str, data: bytes, speakers: frozenset[str] | None = None) -> Unsealed:
        """The packet in a frame, and what the frame says of its link. Raises Rejected as `open`.

        speakers: who alone may have sent it, as the link itself knows (by a certificate); None: it knows nothing.
        """
        found = _parse(self._authentic(data))
        if found.cluster != self.cluster:
            raise Rejected(RejectReason.OTHER_CLUSTER)
        if found.sender == self.node:
            raise Rejected(RejectReason.REFLECTED)
        if speakers is not None and found.sender not in speakers:
            raise Rejected(RejectReason.OTHER_SPEAKER)
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
        lives = self._lives.setdefault((found.sender, link), Lives())
        if not lives.take(found.incarnation, found.sequence, names_ours):
            raise Rejected(RejectReason.REPLAYED)
        if names_ours:
            self._note_keys(found, body, data[3])
        packet = Packet(found.sender, found.incarnation, found.to, found.to_incarnation, body, found.number)
        return Unsealed(packet, found.sequence, _clocks_in(found))

    def _authentic(self, data: bytes) -> bytes:
        """The payload of a frame that somebody with our key made."""
        if len(data) > MAX_FRAME:
            raise Rejected(RejectReason.TOO_LARGE)
        if len(data) <= HEADER or data[:2] != MAGIC or data[2] != VERSION:
            raise Rejected(RejectReason.MALFORMED)
        seal = self._seals.get(data[3])
        if seal is None:
            raise Rejected(RejectReason.UNAUTHENTICATED)
        if len(data) <= HEADER + seal.overhead:
            raise Rejected(RejectReason.MALFORMED)
        payload = seal.unseal(data)
        if payload is None:
            raise Rejected(RejectReason.UNAUTHENTICATED)
        return payload

    def _note_keys(self, found: pb.Packet, body: Body, number: int) -> None:
        """Remember what a sender of our time says of its keys; a late frame doesn't overrule a newer one."""
        if isinstance(body, Heartbeat):
            said_us, said = body.sent_us, found.heartbeat.keys
        elif isinstance(body, ArbiterAnswer):
            said_us, said = body.echo_us, found.arbiter_answer.keys
        else:
            return
        peer = self.peers.get(found.sender)
        if peer is None or peer.incarnation != found.incarnation:
            peer = self.peers[found.sender] = PeerKeys(found.incarnation)
        if said_us >= peer.said_us:
            peer.said_us, peer.seals = said_us, number
            if said or peer.opens:
                peer.opens = {key.number: key.print for key in said}


def _clocks_out(clocks: Clocks | None) -> pb.Timing | None:
    if clocks is None:
        return None
    return pb.Timing(stamp_us=clocks.stamp_us, echo_us=clocks.echo_us, held_us=clocks.held_us)


def _clocks_in(packet: pb.Packet) -> Clocks | None:
    if not packet.HasField("timing"):
        return None
    timing = packet.timing
    return Clocks(timing.stamp_us, timing.echo_us, timing.held_us)


def _parse(payload: bytes) -> pb.Packet:
    try:
        return pb.Packet.FromString(payload)
    except DecodeError as error:
        raise Rejected(RejectReason.MALFORMED) from error
