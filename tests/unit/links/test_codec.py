"""What the codec lets through, and all that it refuses."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamgr.core import messages as core
from hamgr.core.cluster import GroupState
from hamgr.links.codec import (
    HEADER,
    LIVES,
    MAC_BYTES,
    MAX_FRAME,
    WINDOW,
    Codec,
    Counters,
    Rejected,
    RejectReason,
    claimed_cluster,
)
from hamgr.v1 import cluster_pb2 as pb

KEYS = {1: b"k" * 32, 2: b"l" * 40}
A_LIFE, B_LIFE = 1 << 32 | 7, 3 << 32 | 9

STATE = core.ClusterState(
    core.Stamp(4, 2),
    "a",
    (core.RosterEntry("a", A_LIFE, core.Standing.MEMBER), core.RosterEntry("b", B_LIFE, core.Standing.FENCED)),
    (("web", "b"),),
)
HEARTBEAT = core.Heartbeat(12345678, 4, "a", core.Stamp(4, 2), True, 10, False, (core.Echo("b", B_LIFE, 99),), ("web",))
BODIES: list[core.Body] = [
    HEARTBEAT,
    core.VoteRequest(5),
    core.VoteReply(5, True, "a", STATE),
    core.ViewUpdate(STATE),
    core.Order(5, 1, 3, ("web", "db")),
    core.Report(
        5, 3, True, tuple(core.GroupReport(f"g{n}", state, n == 1, "why") for n, state in enumerate(GroupState)), True
    ),
    core.Report(5, 3, False, unfit="the disk is full"),
    core.Farewell(),
    core.FarewellAck(),
    core.LearnRequest(),
    core.LearnReply(9, STATE),
    core.Forward((1 << 64) - 1, "takeover", "b", "web", "ops"),
    core.ForwardReply(3, False, "not quorate"),
    core.RetransmitRequest((3, 4, 9)),
    core.Resync(12),
    core.ArbiterReport(5, 4, "a", True, 5, ("a", "b"), -3, 10, STATE, ("a", "b"), "a", 1.0, 0.2),
    core.ArbiterAnswer(5, True, 4, "a", 5, "a", core.Stamp(4, 2), "", STATE),
]


def codec(node: str = "b", life: int = B_LIFE, cluster: str = "office", active: int = 1) -> Codec:
    return Codec(cluster, node, KEYS, active, life)


def sealed(
    body: core.Body = HEARTBEAT, link: str = "ha", to: str = "b", to_life: int = B_LIFE, by: Codec | None = None
) -> bytes:
    by = by or codec("a", A_LIFE)
    return by.seal(link, core.Packet(by.node, by.incarnation, to, to_life, body))


def refusal(receiver: Codec, frame: bytes, link: str = "ha") -> RejectReason:
    with pytest.raises(Rejected) as rejected:
        receiver.open(link, frame)
    return rejected.value.reason


def forged(payload: bytes) -> bytes:
    """A frame that a holder of the key could make, around any payload."""
    by = codec("a", A_LIFE)
    header = b"hg\x01\x01"
    return header + by._mac(1, header, payload) + payload


def forged_packet(**fields: object) -> bytes:
    whole: dict[str, object] = {
        "cluster": "office", "sender": "a", "to": "b", "incarnation": A_LIFE, "to_incarnation": B_LIFE,
        "link": "ha", "sequence": 1,
    }  # fmt: skip
    return forged(pb.Packet(**whole | fields).SerializeToString())  # type: ignore[arg-type]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_every_message_arrives_as_it_was_sent(body: core.Body) -> None:
    packet = core.Packet("a", A_LIFE, "b", B_LIFE, body)
    assert codec().open("ha", codec("a", A_LIFE).seal("ha", packet)) == packet


def test_every_kind_of_body_is_among_those_tested() -> None:
    assert {type(body) for body in BODIES} == set(core.Body.__args__)


def test_a_packet_is_taken_once() -> None:
    receiver, frame = codec(), sealed()
    receiver.open("ha", frame)
    assert refusal(receiver, frame) is RejectReason.REPLAYED


def test_packets_in_any_order_within_the_window_are_each_taken_once() -> None:
    by, receiver = codec("a", A_LIFE), codec()
    frames = [sealed(by=by) for _ in range(WINDOW)]
    for frame in reversed(frames):
        receiver.open("ha", frame)
    assert {refusal(receiver, frame) for frame in frames} == {RejectReason.REPLAYED}


def test_a_packet_older_than_the_window_is_refused_though_it_never_came() -> None:
    by, receiver = codec("a", A_LIFE), codec()
    late, just_in_time, *others = [sealed(by=by) for _ in range(WINDOW + 1)]
    receiver.open("ha", others[-1])
    assert refusal(receiver, late) is RejectReason.REPLAYED
    receiver.open("ha", just_in_time)


def test_the_same_message_on_each_link_is_taken_on_each() -> None:
    by, receiver = codec("a", A_LIFE), codec()
    for link in ("ha", "lan"):
        receiver.open(link, sealed(link=link, by=by))


def test_another_links_packet_is_refused() -> None:
    assert refusal(codec(), sealed(link="lan")) is RejectReason.WRONG_LINK


def test_a_refused_packet_does_not_move_the_window() -> None:
    by, receiver = codec("a", A_LIFE), codec()
    first = sealed(by=by)
    for _ in range(2 * WINDOW):
        refusal(receiver, sealed(link="lan", by=by))
    receiver.open("ha", first)


def test_another_key_is_refused() -> None:
    stranger = Codec("office", "a", {1: b"x" * 32}, 1, A_LIFE)
    assert refusal(codec(), sealed(by=stranger)) is RejectReason.UNAUTHENTICATED


def test_an_unknown_key_number_is_refused() -> None:
    stranger = Codec("office", "a", {7: KEYS[1]}, 7, A_LIFE)
    assert refusal(codec(), sealed(by=stranger)) is RejectReason.UNAUTHENTICATED


def test_every_key_of_the_file_opens_so_that_keys_can_change_node_by_node() -> None:
    codec(active=1).open("ha", sealed(by=codec("a", A_LIFE, active=2)))


def test_another_clusters_packet_is_refused_though_the_key_is_the_same() -> None:
    assert refusal(codec(), sealed(by=codec("a", A_LIFE, cluster="home"))) is RejectReason.OTHER_CLUSTER


def test_another_nodes_packet_is_refused() -> None:
    assert refusal(codec(), sealed(to="c")) is RejectReason.NOT_FOR_US


def test_our_own_packet_is_refused_when_it_comes_back() -> None:
    receiver = codec()
    assert refusal(receiver, sealed(by=receiver)) is RejectReason.REFLECTED


def test_a_packet_for_our_former_life_is_refused() -> None:
    assert refusal(codec(), sealed(to_life=B_LIFE - 1)) is RejectReason.OLD_INCARNATION


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_only_heartbeats_and_reports_to_the_arbiter_may_name_no_life_of_the_receiver(body: core.Body) -> None:
    frame = sealed(body, to_life=0)
    if isinstance(body, core.Heartbeat | core.ArbiterReport):
        assert codec().open("ha", frame).to_incarnation == 0
    else:
        assert refusal(codec(), frame) is RejectReason.OLD_INCARNATION


def test_recordings_of_former_lives_never_push_out_the_peer_that_lives() -> None:
    receiver, peer = codec(), codec("a", A_LIFE)
    frame = sealed(by=peer)
    receiver.open("ha", frame)
    for life in range(1, 4 * LIVES):
        receiver.open("ha", sealed(to_life=0, by=codec("a", life)))
        receiver.open("ha", sealed(by=peer))
    assert refusal(receiver, frame) is RejectReason.REPLAYED


def test_lives_that_knew_ours_stay_refused_once_they_gave_way() -> None:
    receiver = codec()
    recorded = []
    for life in range(1, 2 * LIVES):
        by = codec("a", life)
        frame, unseen = sealed(by=by), sealed(by=by)
        receiver.open("ha", frame)
        recorded += [frame, unseen] if life < LIVES else []
    assert {refusal(receiver, frame) for frame in recorded} == {RejectReason.REPLAYED}


def test_the_memory_for_lives_is_bounded() -> None:
    receiver = codec()
    for life in range(1, 3000):
        receiver.open("ha", sealed(to_life=0 if life % 2 else B_LIFE, by=codec("a", life)))
    (lives,) = receiver._lives.values()
    assert len(lives.windows) == LIVES
    assert len(lives.retired) <= 1024


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"hg",
        b"hg\x01\x01" + b"\0" * MAC_BYTES,
        b"xx" + sealed()[2:],
        b"hg\x02" + sealed()[3:],
        forged(b"\xff\xff\xff"),
        forged_packet(),
        forged_packet(incarnation=0, heartbeat=pb.Heartbeat()),
        forged_packet(view_update=pb.ViewUpdate(state=pb.ClusterState(roster=[pb.RosterEntry(standing=77)]))),  # type: ignore[arg-type]
        forged_packet(report=pb.Report(groups=[pb.GroupReport(state=-1)])),  # type: ignore[arg-type]
        forged_packet(arbiter_report=pb.ArbiterReport(deadtime=math.nan)),
        forged_packet(arbiter_report=pb.ArbiterReport(settle=-1.0)),
        forged(b"\x0a\x02\xff\xfe" + sealed()[HEADER + MAC_BYTES :]),
    ],
    ids=[
        "empty", "magic alone", "no payload", "other magic", "other version", "no protobuf", "no body",
        "incarnation 0", "bad standing", "bad group state", "deadtime is no number", "negative settle", "bad utf-8",
    ],
)  # fmt: skip
def test_senseless_frames_are_malformed(frame: bytes) -> None:
    assert refusal(codec(), frame) is RejectReason.MALFORMED


def test_a_frame_beyond_the_limit_is_not_even_hashed() -> None:
    assert refusal(codec(), forged(b"\0" * MAX_FRAME)) is RejectReason.TOO_LARGE


def test_the_claimed_cluster_is_read_without_the_key() -> None:
    assert claimed_cluster(sealed()) == "office"
    with pytest.raises(Rejected):
        claimed_cluster(b"hg\x01\x01" + b"\0" * MAC_BYTES + b"\xff\xff")


@given(st.binary(max_size=200))
def test_random_bytes_are_rejected(data: bytes) -> None:
    refusal(codec(), data)


@given(st.binary(max_size=300))
def test_random_authentic_payloads_are_a_packet_or_rejected(payload: bytes) -> None:
    try:
        codec().open("ha", forged(payload))
    except Rejected:
        return


@given(st.sampled_from(BODIES), st.data())
def test_a_frame_with_one_bit_turned_is_rejected(body: core.Body, data: st.DataObject) -> None:
    frame = bytearray(sealed(body))
    bit = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8
    refusal(codec(), bytes(frame))


@given(st.sampled_from(BODIES), st.data())
def test_a_truncated_frame_is_rejected(body: core.Body, data: st.DataObject) -> None:
    frame = sealed(body)
    refusal(codec(), frame[: data.draw(st.integers(0, len(frame) - 1))])


@given(st.sampled_from(BODIES), st.data())
def test_a_key_holders_broken_payload_is_a_packet_or_rejected(body: core.Body, data: st.DataObject) -> None:
    payload = bytearray(sealed(body)[HEADER + MAC_BYTES :])
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        codec().open("ha", forged(bytes(payload)))
    except Rejected:
        return


@given(
    st.builds(
        core.Heartbeat,
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**64 - 1),
        st.text(max_size=20),
        st.builds(core.Stamp, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
        st.booleans(),
        st.integers(0, 2**32 - 1),
        st.booleans(),
        st.lists(st.builds(core.Echo, st.text(max_size=9), st.integers(0, 2**64 - 1), st.integers(0, 9))).map(tuple),
    )
)
def test_any_heartbeat_arrives_as_it_was_sent(beat: core.Heartbeat) -> None:
    assert codec().open("ha", sealed(beat)).body == beat


def test_rejections_are_counted_each_and_logged_seldom(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    counters = Counters(lambda: now)
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            counters.rejected("ha", RejectReason.REPLAYED, "10.0.0.9")
        counters.rejected("ha", RejectReason.MALFORMED, "10.0.0.9")
        now += 10.0
        counters.rejected("ha", RejectReason.REPLAYED, "10.0.0.8")
    assert counters.of("ha").rejected == {RejectReason.REPLAYED: 51, RejectReason.MALFORMED: 1}
    assert [record.getMessage() for record in caplog.records] == [
        "link ha: dropped 1 frame(s), the last from 10.0.0.9: replayed",
        "link ha: dropped 1 frame(s), the last from 10.0.0.9: malformed",
        "link ha: dropped 50 frame(s), the last from 10.0.0.8: replayed",
    ]


def test_sequence_numbers_at_the_end_of_their_range_do_no_harm() -> None:
    receiver = codec()
    body = pb.Heartbeat()
    receiver.open("ha", forged_packet(sequence=2**64 - 1, heartbeat=body))
    assert refusal(receiver, forged_packet(sequence=1, heartbeat=body)) is RejectReason.REPLAYED
    (lives,) = receiver._lives.values()
    assert lives.windows[A_LIFE].seen.bit_length() <= WINDOW


def test_a_packet_says_who_sent_it_and_in_which_life() -> None:
    packet = codec().open("ha", sealed(by=codec("c", 77)))
    assert (packet.sender, packet.incarnation) == ("c", 77)
    assert packet == replace(packet, to="b", to_incarnation=B_LIFE)
