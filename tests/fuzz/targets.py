"""What takes bytes from outside, each as a function of bytes that must end without any exception."""

from __future__ import annotations

from pathlib import Path

from hamgr.core import messages as core
from hamgr.links.codec import MAX_FRAME, Codec, Rejected
from hamgr.links.convert import body_out
from hamgr.links.framing import Deframer, enframe
from hamgr.links.keys import KeyFileError, parse_keys
from hamgr.links.seal import HEADER, Key, Method, seal_of

KEYS = {number: Key(bytes([65 + number]) * 32, method) for number, method in enumerate(Method)}
A_LIFE, B_LIFE = 1 << 32 | 7, 3 << 32 | 9
STATE = core.ClusterState(
    core.Stamp(4, 2), "a", (core.RosterEntry("a", A_LIFE, core.Standing.MEMBER),), (("web", "b"),)
)
BODIES: tuple[core.Body, ...] = (
    core.Heartbeat(12345678, 4, "a", core.Stamp(4, 2), True, 10, False, (core.Echo("b", B_LIFE, 99),), ("web",)),
    core.VoteReply(5, True, "a", STATE),
    core.Order(5, 1, 3, ("web", "db")),
    core.Forward(3, "takeover", "b", "web", "ops"),
    core.RetransmitRequest((3, 4, 9)),
    core.ArbiterReport(5, 4, "a", True, 5, ("a", "b"), -3, 10, STATE, ("a", "b"), "a", 1.0, 0.2),
    core.ArbiterAnswer(5, True, 4, "a", 5, "a", core.Stamp(4, 2), "", STATE),
)


def _codec(node: str, life: int, active: int = 0) -> Codec:
    return Codec("office", node, KEYS, active, life)


FRAMES = tuple(
    _codec("a", A_LIFE, active).seal("ha", core.Packet("a", A_LIFE, "b", B_LIFE, body))
    for active in KEYS
    for body in BODIES
)
"""Authentic frames of every method."""


def open_strange(data: bytes) -> None:
    """What nobody with a key made is refused."""
    try:
        _codec("b", B_LIFE).unseal("ha", data)
    except Rejected:
        return
    assert data in FRAMES, f"a forged frame was taken: {data.hex()}"


def open_authentic(number: int, payload: bytes) -> None:
    """Whatever a holder of the key says is refused, or is a packet that could be said again."""
    header = b"hg\x01" + bytes((number,))
    frame = seal_of(KEYS[number]).seal(header, payload)
    receiver = _codec("b", B_LIFE)
    try:
        unsealed = receiver.unseal("ha", frame)
    except Rejected:
        return
    body_out(unsealed.packet.body)[1].SerializeToString()
    try:
        receiver.unseal("ha", frame)
    except Rejected:
        return
    raise AssertionError(f"taken twice: {frame.hex()}")


def payload_of(frame: bytes) -> bytes:
    payload = seal_of(KEYS[frame[3]]).unseal(frame)
    assert payload is not None
    return payload


def read_keys(data: bytes) -> None:
    """A key file is understood or refused."""
    try:
        keys = parse_keys(Path("k"), data.decode("utf-8", errors="surrogateescape"))
    except KeyFileError:
        return
    assert keys.active in keys.keys
    for key in keys.keys.values():
        seal_of(key)


def deframe(data: bytes) -> None:
    """Whatever noise was on a serial line, the next frame is found."""
    deframer = Deframer(MAX_FRAME)
    deframer.feed(data)
    assert deframer.feed(enframe(b"hg" + data[:HEADER]))[-1:] == [b"hg" + data[:HEADER]]
