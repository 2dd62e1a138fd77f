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
from hamgr.links import convert
from hamgr.links.codec import MAX_FRAME, Codec, Rejected, RejectReason
from hamgr.links.counters import Counters
from hamgr.links.replay import LIVES, WINDOW
from hamgr.links.seal import HEADER, LIVES_CACHED, AeadSeal, Key, Method
from hamgr.v1 import cluster_pb2 as pb

KEYS = {1: b"k" * 32, 2: b"l" * 40}
MAC_BYTES = 32
A_LIFE, B_LIFE = 1 << 32 | 7, 3 << 32 | 9

STATE = core.ClusterState(
    core.Stamp(4, 2),
    "a",
    (core.RosterEntry("a", A_LIFE, core.Standing.MEMBER, 12_500), core.RosterEntry("b", B_LIFE, core.Standing.FENCED)),
    (("web", "b"),),
    False,
    core.ConfigStamp(3, "00ff00ff00ff00ff"),
    core.ConfigStamp(4, "0123456789abcdef", "c"),
    True,
    (core.Shot("b", 3599),),
    (("db", "b"),),
)
HEARTBEAT = core.Heartbeat(
    12345678, 4, "a", core.Stamp(4, 2), True, 9, False, (core.Echo("b", B_LIFE, 99),), ("web",), "00ff" * 4, "0f" * 8,
    3, ("a", "b"), ("a",), 25_000,
)  # fmt: skip
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
    core.Forward(4, "config-push", "c", "", "ops", "0f" * 8),
    core.ForwardReply(3, False, "not quorate"),
    core.RetransmitRequest((3, 4, 9)),
    core.Resync(12),
    core.ConfigPart(2, 7, 9, b"\0\xff part", True),
    core.FenceTrialAsked(3, "bmc-b"),
    core.Inquiry(4, "explain", ("web",)),
    core.InquiryTold(4, b"\x78\x9c", "b is not the coordinator"),
    core.FenceTrialTold(3, b"\0card"),
    core.FenceTrialTold(4, problem="it is at work"),
    core.DrbdOutdate(3, "r0"),
    core.DrbdOutdated(3, -1, "drbdadm can't be run"),
    core.ConfigVerdict(2, 9, True, ("group.web: found nothing",), ("it is started anew",)),
    core.FenceNews(
        (("a", 2**60), ("b", 7)),
        (
            core.PastFence("a", 7, "b", 4, "b is dead", "failed", "on", "eve", ("a", "c"), 1, ("bmc-b",), 2, 1.5, 2.5),
            core.PastFence("a", 8, "b", 4, "eve@b confirmed that b is off", "acknowledged"),
        ),
    ),
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
    return by._seals[1].seal(header, payload)


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
        forged_packet(fence_news=pb.FenceNews(known=[pb.Known(by="a", number=1 << 63)])),
        forged_packet(fence_news=pb.FenceNews(fences=[pb.PastFence(by="a", number=1 << 63)])),
        forged_packet(fence_news=pb.FenceNews(fences=[pb.PastFence(by="a", number=1, asked_at=math.inf)])),
        forged(b"\x0a\x02\xff\xfe" + sealed()[HEADER + MAC_BYTES :]),
    ],
    ids=[
        "empty", "magic alone", "no payload", "other magic", "other version", "no protobuf", "no body",
        "incarnation 0", "bad standing", "bad group state", "deadtime is no number", "negative settle",
        "no database takes it", "nor that", "endless time", "bad utf-8",
    ],
)  # fmt: skip
def test_senseless_frames_are_malformed(frame: bytes) -> None:
    assert refusal(codec(), frame) is RejectReason.MALFORMED


def test_a_frame_beyond_the_limit_is_not_even_hashed() -> None:
    assert refusal(codec(), forged(b"\0" * MAX_FRAME)) is RejectReason.TOO_LARGE


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


# -- methods ---------------------------------------------------------------------------------------------------------


def only(method: Method, node: str = "b", life: int = B_LIFE) -> Codec:
    return Codec("office", node, {3: Key(b"m" * 32, method)}, 3, life)


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_every_method_brings_every_message(method: Method, body: core.Body) -> None:
    packet = core.Packet("a", A_LIFE, "b", B_LIFE, body)
    assert only(method).open("ha", only(method, "a", A_LIFE).seal("ha", packet)) == packet


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("other", Method)
def test_a_key_opens_with_its_own_method_alone(method: Method, other: Method) -> None:
    frame = sealed(by=only(method, "a", A_LIFE))
    if method is other:
        only(other).open("ha", frame)
    else:
        assert refusal(only(other), frame) is RejectReason.UNAUTHENTICATED


def test_who_listens_reads_nothing_of_an_encrypted_frame() -> None:
    frame = sealed(by=only(Method.CHACHA20_POLY1305, "a", A_LIFE))
    assert b"office" in sealed()
    assert b"office" not in frame
    assert b"web" not in frame


def test_no_nonce_is_used_twice_over_links_receivers_lives_and_nodes() -> None:
    senders = [only(Method.CHACHA20_POLY1305, node, life) for node in "ac" for life in (1, 1, 2)]
    frames = [sealed(link=link, to=to, by=by) for by in senders for link in ("ha", "lan") for to in "bd"]
    assert len({frame[HEADER : HEADER + 24] for frame in frames}) == len(frames)


def test_garbage_takes_no_place_among_the_derived_keys() -> None:
    receiver, peer = only(Method.CHACHA20_POLY1305), only(Method.CHACHA20_POLY1305, "a", A_LIFE)
    receiver.open("ha", sealed(by=peer))
    seal = receiver._seals[3]
    assert isinstance(seal, AeadSeal)
    known = list(seal._others)
    for number in range(2 * LIVES_CACHED):
        frame = b"hg\x01\x03" + number.to_bytes(16, "big") + bytes(60)
        assert refusal(receiver, frame) is RejectReason.UNAUTHENTICATED
    assert list(seal._others) == known
    for life in range(1, 2 * LIVES_CACHED):
        receiver.open("ha", sealed(to_life=0, by=only(Method.CHACHA20_POLY1305, "a", life)))
    assert len(seal._others) == LIVES_CACHED
    receiver.open("ha", sealed(by=peer))


def test_no_trace_back_tells_a_secret() -> None:
    assert "k" * 8 not in repr(Key(b"k" * 32))


# -- links that know the speaker ---------------------------------------------------------------------------------------


def test_a_link_that_knows_the_speaker_takes_nobody_else_and_no_number_is_lost() -> None:
    receiver, frame = codec(), sealed()
    with pytest.raises(Rejected) as rejected:
        receiver.unseal("ha", frame, frozenset({"c", "d"}))
    assert rejected.value.reason is RejectReason.OTHER_SPEAKER
    assert receiver.unseal("ha", frame, frozenset({"a"})).packet.sender == "a"


def test_each_receiver_and_link_has_numbers_of_its_own_without_gaps() -> None:
    by = codec("a", A_LIFE)
    for _ in range(3):
        sealed(to="c", by=by)
        sealed(link="lan", by=by)
    assert codec().unseal("ha", sealed(by=by)).sequence == 1


# -- keys that change ----------------------------------------------------------------------------------------------


OLD, NEW = Key(b"o" * 32), Key(b"n" * 32, Method.CHACHA20_POLY1305)


def test_keys_change_in_any_order_of_nodes_and_no_frame_is_lost_or_taken_twice() -> None:
    a, b = Codec("office", "a", {1: OLD}, 1, A_LIFE), Codec("office", "b", {1: OLD}, 1, B_LIFE)
    steps = [({1: OLD, 2: NEW}, 1), ({2: NEW, 1: OLD}, 2), ({2: NEW}, 2)]
    taken = []
    for keys, active in steps:
        for node in (b, a):
            node.reload(keys, active)
            for sender, receiver in ((a, b), (b, a)):
                frame = sealed(to=receiver.node, to_life=receiver.incarnation, by=sender)
                receiver.open("ha", frame)
                taken.append((receiver, frame))
    assert len(taken) == 12
    for receiver, frame in taken:
        assert refusal(receiver, frame) in (RejectReason.REPLAYED, RejectReason.UNAUTHENTICATED)


def test_a_key_that_stays_keeps_its_counter_when_others_change() -> None:
    a = Codec("office", "a", {2: NEW}, 2, A_LIFE)
    before = sealed(by=a)
    a.reload({2: NEW, 3: OLD}, 2)
    assert sealed(by=a)[HEADER : HEADER + 24] == before[HEADER : HEADER + 16] + (2).to_bytes(8, "big")


def test_the_same_message_is_sealed_anew_once_the_keys_changed() -> None:
    a, b = Codec("office", "a", {1: OLD}, 1, A_LIFE), Codec("office", "b", {1: OLD, 2: NEW}, 1, B_LIFE)
    b.open("ha", sealed(by=a))
    assert b.peers["a"].opens == {}
    a.reload({1: OLD, 2: NEW}, 1)
    b.open("ha", sealed(by=a))
    assert b.peers["a"].opens == {1: OLD.print(), 2: NEW.print()}
    a.reload({2: NEW}, 2)
    b.open("ha", sealed(by=a))
    assert (b.peers["a"].opens, b.peers["a"].seals) == ({}, 2)


def test_the_arbiters_answers_say_its_keys_too() -> None:
    arbiter = Codec("office", "arbiter", {1: OLD, 2: NEW}, 1, A_LIFE)
    receiver = Codec("office", "b", {1: OLD}, 1, B_LIFE)
    receiver.open("arbiter", sealed(core.ArbiterAnswer(1, True, 1), "arbiter", by=arbiter))
    assert receiver.peers["arbiter"].opens == {1: OLD.print(), 2: NEW.print()}


def test_recordings_and_late_frames_say_nothing_of_a_peers_keys() -> None:
    a, b = Codec("office", "a", {1: OLD, 2: NEW}, 1, A_LIFE), Codec("office", "b", {1: OLD, 2: NEW}, 1, B_LIFE)
    recording = sealed(to_life=0, by=a)
    late = sealed(by=a)
    a.reload({2: NEW}, 2)
    newer = sealed(replace(HEARTBEAT, sent_us=HEARTBEAT.sent_us + 1), by=a)
    b.open("ha", recording)
    assert b.peers == {}
    b.open("ha", newer)
    b.open("ha", late)
    assert (b.peers["a"].opens, b.peers["a"].seals) == ({}, 2)


def test_two_keys_of_one_number_are_told_apart_by_secret_and_by_method() -> None:
    prints = {Key(secret, method).print() for secret in (b"o" * 32, b"n" * 32) for method in Method}
    assert len(prints) == 2 * len(Method)


def test_a_report_that_is_repeated_says_its_own_time_and_a_changed_one_what_changed() -> None:
    ours, theirs = Codec("c", "arbiter", KEYS, 1, A_LIFE), Codec("c", "b", KEYS, 1, B_LIFE)
    report = core.ArbiterReport(5, 4, "a", state=STATE, nodes=("a", "b"))
    reports = [report, replace(report, sent_us=6), replace(report, sent_us=7, claim=5), replace(report, sent_us=8)]
    for said in reports:
        sealed = theirs.seal("link", core.Packet("b", B_LIFE, "arbiter", A_LIFE, said))
        assert ours.open("link", sealed).body == said


def test_a_large_body_is_not_kept() -> None:
    roster = tuple(core.RosterEntry(f"{number:0100}", number) for number in range(50))
    large = convert.body_out(core.ArbiterReport(5, 4, state=replace(STATE, roster=roster), nodes=("a", "b")))[1]
    before = convert._report_of.cache_info().misses, convert._state_of.cache_info().misses
    assert large.ByteSize() > convert.LARGE
    assert convert.body_in(pb.Packet(arbiter_report=large)).state.roster == roster  # type: ignore[union-attr]
    assert (convert._report_of.cache_info().misses, convert._state_of.cache_info().misses) == before
