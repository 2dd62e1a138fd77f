"""Numbers, gaps and requests: what one side says to the other arrives once, and what was lost is asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from wholenodes import Cluster

from hamgr.core.cluster import GroupSpec, GroupState
from hamgr.core.delivery import MAX_ASKED, MAX_MISSING, MAX_SLOTS, Again, Delivery
from hamgr.core.effects import Persist, Send, StandbyRecord
from hamgr.core.messages import (
    Body,
    Farewell,
    Forward,
    LearnRequest,
    Order,
    Packet,
    Report,
    RetransmitRequest,
    ViewUpdate,
    VoteReply,
    VoteRequest,
)

KEEPALIVE = 1.0
LIFE = 7


def delivery() -> Delivery:
    return Delivery(KEEPALIVE)


def sent(box: Delivery, *bodies: Body) -> list[int]:
    numbers = []
    for body in bodies:
        number = box.number("b", LIFE, body)
        box.end_of_step([Send("b", LIFE, body, number)])
        numbers.append(number)
    return numbers


def order(number: int) -> Order:
    return Order(1, 1, number)


def test_messages_are_numbered_from_one_for_each_life_of_a_peer() -> None:
    box = delivery()
    assert sent(box, order(1), Farewell()) == [1, 2]
    assert box.announced("b", LIFE) == 2
    assert box.number("b", LIFE + 1, order(1)) == 1
    assert box.announced("b", LIFE + 1) == 0


def test_a_message_is_handled_once() -> None:
    box = delivery()
    assert box.take(0.0, "b", LIFE, 1, order(1))
    assert not box.take(0.0, "b", LIFE, 1, order(1))
    assert box.take(0.0, "b", LIFE + 1, 1, order(1)), "another life counts anew"


def test_an_older_message_of_a_slot_is_not_handled_after_a_newer_one() -> None:
    box = delivery()
    assert box.take(0.0, "b", LIFE, 2, order(2))
    assert not box.take(0.0, "b", LIFE, 1, order(1))
    assert box.due(9.0, "b", LIFE) == (), "but it is not missing either"


def test_messages_of_different_slots_may_overtake_one_another() -> None:
    box = delivery()
    assert box.take(0.0, "b", LIFE, 3, order(1))
    assert box.take(0.0, "b", LIFE, 1, Forward(1, "standby"))
    assert box.take(0.0, "b", LIFE, 2, Forward(2, "online"))


def test_what_is_missing_is_asked_for_after_half_a_keepalive_and_then_once_a_keepalive() -> None:
    box = delivery()
    box.take(10.0, "b", LIFE, 3, order(1))
    assert box.due(10.4, "b", LIFE) == ()
    assert list(box.deadlines({"b": LIFE})) == [10.5]
    assert box.due(10.5, "b", LIFE) == (1, 2)
    assert box.due(10.6, "b", LIFE) == ()
    assert box.due(11.5, "b", LIFE) == (1, 2)
    box.take(11.6, "b", LIFE, 1, Farewell())
    assert box.due(12.5, "b", LIFE) == (2,)


def test_a_heartbeat_tells_of_a_lost_last_message() -> None:
    box = delivery()
    box.heard_of(1.0, "b", LIFE, 2)
    assert box.due(2.0, "b", LIFE) == (1, 2)
    box.heard_of(2.0, "b", LIFE, 2)
    assert box.take(2.0, "b", LIFE, 2, order(1))


def test_only_the_newest_of_a_slot_is_sent_again_and_the_rest_is_over() -> None:
    box = delivery()
    sent(box, order(1), order(2), VoteRequest(3))
    assert box.again("b", LIFE, (1, 2, 3)) == Again(((2, order(2)), (3, VoteRequest(3))), 1)
    assert box.again("b", LIFE, (1,)) == Again((), 1)


def test_what_is_told_to_be_over_is_not_asked_for_again() -> None:
    box = delivery()
    box.take(0.0, "b", LIFE, 4, order(1))
    box.resync("b", LIFE, 2)
    assert box.due(1.0, "b", LIFE) == (3,)


def test_a_peer_that_asks_for_what_was_thrown_away_gets_the_whole_state() -> None:
    box = delivery()
    forwards = [Forward(number, "standby") for number in range(MAX_SLOTS + 10)]
    sent(box, *forwards[:5], ViewUpdate(VoteReply(1, True).state), order(5), *forwards[5:])
    again = box.again("b", LIFE, (1,))
    assert again.resync == 1
    assert again.messages == ()
    sent(box, order(6), Report(1, 6, True))
    again = box.again("b", LIFE, (1, 2))
    assert [body for _, body in again.messages] == [order(6), Report(1, 6, True)]


def test_what_waits_for_the_disk_is_neither_announced_nor_sent_again_before() -> None:
    """A vote must not leave by way of a retransmission before it is on disk."""
    box = delivery()
    sent(box, order(1))
    vote = VoteReply(2, True, "b")
    number = box.number("b", LIFE, vote)
    box.end_of_step([Persist(9, StandbyRecord(False)), Send("b", LIFE, vote, number)])
    sent(box, LearnRequest())
    assert box.again("b", LIFE, (2,)) == Again()
    box.persisted(9)
    assert box.announced("b", LIFE) == 3
    assert box.again("b", LIFE, (2,)) == Again(((2, vote),))


def test_what_the_disk_refused_never_comes() -> None:
    box = delivery()
    vote = VoteReply(2, True, "b")
    number = box.number("b", LIFE, vote)
    box.end_of_step([Persist(9, StandbyRecord(False)), Send("b", LIFE, vote, number)])
    sent(box, LearnRequest())
    box.unwritten(9)
    assert box.again("b", LIFE, (1, 2)) == Again(((2, LearnRequest()),), 1)


def test_a_request_of_another_life_is_not_answered() -> None:
    box = delivery()
    sent(box, order(1))
    assert box.again("b", LIFE + 1, (1,)) == Again()
    assert box.again("c", LIFE, (1,)) == Again()


def test_memory_is_bounded_whatever_a_peer_says() -> None:
    box = delivery()
    box.heard_of(0.0, "b", LIFE, 2**31)
    assert len(box._in["b"].missing) == MAX_MISSING
    assert len(box.due(1.0, "b", LIFE)) == MAX_ASKED
    for number in range(1, 1000):
        box.take(0.0, "b", LIFE, 2**31 + number, Forward(number, "standby"))
    assert len(box._in["b"].handled) == MAX_SLOTS


@given(st.lists(st.sampled_from(["order", "report", "forward"]), max_size=60), st.randoms(use_true_random=False))
def test_whatever_is_lost_the_newest_of_each_slot_arrives(kinds: list[str], rng: object) -> None:
    """Two sides over a link that loses half of all packets, requests too, until nothing is missing."""
    speaker, listener = delivery(), delivery()
    got: dict[str, Body] = {}
    newest: dict[str, Body] = {}
    now = 0.0

    def arrives() -> bool:
        return bool(rng.random() < 0.5)  # type: ignore[attr-defined]

    def carry(number: int, body: Body) -> None:
        if arrives() and listener.take(now, "a", LIFE, number, body):
            got[type(body).__name__] = body

    for count, kind in enumerate(kinds, 1):
        bodies = {"order": order(count), "report": Report(1, count, True), "forward": Forward(0, "fence", str(count))}
        body = bodies[kind]
        newest[type(body).__name__] = body
        carry(*sent(speaker, body), body)
    for _ in range(400):
        now += KEEPALIVE
        if arrives():
            listener.heard_of(now, "a", LIFE, speaker.announced("b", LIFE))
        missing = listener.due(now, "a", LIFE)
        if missing and arrives():
            again = speaker.again("b", LIFE, missing)
            for number, body in again.messages:
                carry(number, body)
            if again.resync and arrives():
                listener.resync("a", LIFE, again.resync)
    assert got == newest
    assert listener.due(now + 9, "a", LIFE) == ()


def test_a_lost_report_is_asked_for() -> None:
    cluster = Cluster(GroupSpec("web", nodes=("b", "c")))
    lost: list[Packet] = []

    def lose_one(packet: Packet) -> bool:
        body = packet.body
        is_it = isinstance(body, Report) and any(group.state is GroupState.STARTED for group in body.groups)
        if is_it and not lost:
            lost.append(packet)
            return True
        return False

    cluster.withheld = lose_one
    cluster.run(5)
    assert lost
    asked = [packet for packet in cluster.sent if isinstance(packet.body, RetransmitRequest)]
    assert any(lost[0].number in packet.body.missing for packet in asked if isinstance(packet.body, RetransmitRequest))


def test_a_report_that_comes_late_over_a_slow_link_does_not_undo_a_newer_one() -> None:
    cluster = Cluster(GroupSpec("web", nodes=("b", "c")))
    late: list[Packet] = []

    def slow(packet: Packet) -> bool:
        body = packet.body
        if late or not isinstance(body, Report) or body.groups[0].state is not GroupState.STARTING:
            return False
        late.append(packet)
        return True

    cluster.withheld = slow
    cluster.run(5)
    reign = cluster.nodes["a"].coordinator
    assert reign is not None
    assert reign.owner("web") == "b"
    assert late
    cluster.deliver(late[0])
    cluster.run(0.01)
    assert reign.members["b"].state("web") is GroupState.STARTED


def test_two_requests_of_the_same_number_do_not_make_each_other_void() -> None:
    box = delivery()
    assert box.take(0.0, "b", LIFE, 2, Forward(1, "standby", "c"))
    assert box.take(0.0, "b", LIFE, 1, Forward(1, "cleanup", "c", "web"))
