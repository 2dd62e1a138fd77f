"""The failure detector: who counts as alive, and who is believed to have started anew."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamgr.core.cluster import Timing
from hamgr.core.membership import Change, Liveness, Membership, microseconds
from hamgr.core.messages import Echo, Heartbeat

TIMING = Timing(keepalive=0.2, warntime=0.5, deadtime=1.0, initdead=5.0, lease=3.0)
ME, MY_LIFE = "a", 100


def beat(sent: float, echo: float | None, epoch: int = 1, my_life: int = MY_LIFE) -> Heartbeat:
    echoes = () if echo is None else (Echo(ME, my_life, microseconds(echo)),)
    return Heartbeat(sent_us=microseconds(sent), epoch=epoch, echoes=echoes)


@pytest.fixture
def membership() -> Membership:
    return Membership(ME, MY_LIFE, {"b": ("ha", "lan"), "c": ("ha", "lan")}, TIMING)


def meet(membership: Membership, now: float, life: int = 7, sent: float = 50.0) -> None:
    """Take b in: first heard, then proven by an echo."""
    membership.heartbeat(now, "ha", "b", life, beat(sent, None))
    membership.heartbeat(now + 0.002, "ha", "b", life, beat(sent + 0.002, now + 0.001))
    assert membership.peers["b"].incarnation == life


def kinds(changes: list) -> list[Change]:
    return [changed.change for changed in changes]


def test_a_peer_is_believed_after_it_echoed_a_later_heartbeat_of_ours(membership: Membership) -> None:
    assert kinds(membership.heartbeat(10.0, "ha", "b", 7, beat(50.0, 9.9))) == [Change.CANDIDATE]
    assert membership.heartbeat(10.1, "ha", "b", 7, beat(50.1, 9.9)) == []
    assert not membership.alive()
    changes = membership.heartbeat(10.2, "ha", "b", 7, beat(50.2, 10.1))
    assert kinds(changes) == [Change.UP, Change.LINK_UP]
    assert membership.alive() == ["b"]


def test_an_echo_of_an_earlier_life_of_ours_proves_nothing(membership: Membership) -> None:
    membership.heartbeat(10.0, "ha", "b", 7, beat(50.0, None))
    membership.heartbeat(10.2, "ha", "b", 7, beat(50.2, 10.1, my_life=MY_LIFE - 1))
    assert not membership.alive()


def test_an_echo_of_the_future_proves_nothing(membership: Membership) -> None:
    membership.heartbeat(10.0, "ha", "b", 7, beat(50.0, None))
    membership.heartbeat(10.2, "ha", "b", 7, beat(50.2, 11.0))
    assert not membership.alive()


def test_packets_of_an_earlier_life_are_ignored_for_ever(membership: Membership) -> None:
    meet(membership, 10.0, life=7)
    meet(membership, 11.0, life=8)
    assert membership.heartbeat(11.1, "ha", "b", 7, beat(90.0, 11.05)) == []
    assert membership.peers["b"].incarnation == 8


def test_a_replayed_life_that_we_never_met_can_not_take_over(membership: Membership) -> None:
    meet(membership, 10.0, life=8)
    for now in (10.1, 10.2, 10.3):
        membership.heartbeat(now, "ha", "b", 7, beat(40.0, None))
    assert membership.peers["b"].incarnation == 8


def test_a_node_is_suspected_then_dead_only_when_all_links_are_silent(membership: Membership) -> None:
    meet(membership, 10.0)
    membership.heartbeat(10.1, "lan", "b", 7, beat(50.1, 10.05))
    membership.heartbeat(10.9, "lan", "b", 7, beat(50.9, 10.8))
    assert kinds(membership.expire(11.2)) == [Change.LINK_DOWN]
    assert membership.alive() == ["b"]
    assert kinds(membership.expire(11.5)) == [Change.SUSPECTED]
    assert kinds(membership.expire(11.9)) == [Change.DEAD]
    assert membership.peers["b"].liveness is Liveness.DEAD


def test_the_deadlines_are_exactly_when_something_changes(membership: Membership) -> None:
    meet(membership, 10.0)
    due = min(membership.deadlines())
    assert membership.expire(due - 0.001) == []
    assert membership.expire(due) != []


def test_a_peer_that_does_not_hear_us_is_dead_too(membership: Membership) -> None:
    meet(membership, 10.0)
    changes = []
    now = 10.0
    while now < 12.0 and Change.DEAD not in kinds(changes):
        now += 0.2
        membership.heartbeat(now, "ha", "b", 7, beat(now + 40, 10.0))
        changes += membership.expire(now)
    dead = next(changed for changed in changes if changed.change is Change.DEAD)
    assert dead.deaf
    assert now <= 10.0 + TIMING.deadtime + 3 * TIMING.keepalive


def test_a_late_heartbeat_of_the_past_refreshes_nothing(membership: Membership) -> None:
    meet(membership, 10.0)
    membership.heartbeat(10.9, "ha", "b", 7, beat(50.9, 10.8))
    membership.heartbeat(11.8, "ha", "b", 7, beat(50.1, 10.05))
    assert kinds(membership.expire(11.95))[-1] is Change.DEAD


def test_a_fenced_peer_is_not_revived_by_what_was_still_in_the_wires(membership: Membership) -> None:
    meet(membership, 10.0)
    membership.fenced("b", 12.0)
    assert membership.heartbeat(12.1, "ha", "b", 7, beat(52.0, 11.9)) == []
    assert not membership.alive()
    changes = membership.heartbeat(12.5, "ha", "b", 7, beat(52.4, 12.3))
    assert kinds(changes)[0] is Change.UP, "it lives although the fence said off: that must be seen"


def test_a_pause_of_ours_is_nobodys_silence(membership: Membership) -> None:
    meet(membership, 10.0)
    membership.paused(5.0, 15.1)
    assert membership.expire(15.1) == []
    assert kinds(membership.expire(16.1))[-1] is Change.DEAD


def test_the_number_of_unproven_lives_is_bounded(membership: Membership) -> None:
    for life in range(1, 200):
        membership.heartbeat(10.0, "ha", "b", life, beat(50.0, None))
    assert len(membership.peers["b"].candidates) <= 4
    assert len(membership.echoes()) <= 4


def test_two_nodes_that_count_each_other_as_dead_find_each_other_again() -> None:
    clock = {"a": 0.0, "b": 40.0}
    nodes = {
        "a": Membership("a", 1, {"b": ("ha",)}, TIMING),
        "b": Membership("b", 2, {"a": ("ha",)}, TIMING),
    }

    def exchange(now: float) -> None:
        for one, other in (("a", "b"), ("b", "a")):
            sent = Heartbeat(microseconds(now + clock[one]), 1, echoes=nodes[one].echoes())
            nodes[other].heartbeat(now + clock[other], "ha", one, nodes[one].incarnation, sent)

    for step in range(5):
        exchange(step * 0.2)
    assert nodes["a"].alive() == ["b"]
    for name, node in nodes.items():
        node.expire(20.0 + clock[name])
        assert node.alive() == []
    for step in range(5):
        exchange(20.0 + step * 0.2)
    assert nodes["a"].alive() == ["b"]
    assert nodes["b"].alive() == ["a"]


def test_a_peer_that_no_own_link_leads_to_is_suspected_at_once_and_dead_at_its_deadline(membership: Membership) -> None:
    meet(membership, 10.0)
    membership.heartbeat(10.1, "lan", "b", 7, beat(50.1, 10.05))
    assert membership.link_changed("ha", False, "eth1 has no carrier") == []
    assert membership.peers["b"].link_up == {"ha": False, "lan": True}
    changes = membership.link_changed("lan", False, "eth0 has no carrier")
    assert [(changed.change, changed.node, changed.cut_off) for changed in changes] == [(Change.SUSPECTED, "b", True)]
    assert membership.expire(11.09) == []
    assert kinds(membership.expire(11.1)) == [Change.DEAD]


def test_a_link_that_is_said_to_be_down_does_not_come_up_by_being_heard(membership: Membership) -> None:
    meet(membership, 10.0)
    membership.link_changed("ha", False, "eth1 has no carrier")
    assert membership.heartbeat(10.1, "ha", "b", 7, beat(50.1, 10.05)) == []
    assert not membership.peers["b"].link_up["ha"]
    membership.link_changed("ha", True, "")
    assert kinds(membership.heartbeat(10.2, "ha", "b", 7, beat(50.2, 10.15))) == [Change.LINK_UP]


def test_a_suspect_is_trusted_again_when_it_is_heard_whatever_the_kernel_says(membership: Membership) -> None:
    meet(membership, 10.0)
    for link in ("ha", "lan"):
        membership.link_changed(link, False, "no carrier")
    assert membership.peers["b"].liveness is Liveness.SUSPECT
    assert kinds(membership.heartbeat(10.1, "ha", "b", 7, beat(50.1, 10.05))) == [Change.TRUSTED]


def test_a_copy_over_another_link_counts_for_that_link_and_for_nothing_else(membership: Membership) -> None:
    meet(membership, 10.0)
    newest = beat(50.1, 10.05)
    membership.heartbeat(10.1, "ha", "b", 7, newest)
    assert not membership.is_copy(10.1, "lan", "b", 7, newest), "lan was not heard yet: that is news"
    membership.heartbeat(10.1, "lan", "b", 7, newest)
    assert membership.is_copy(10.2, "lan", "b", 7, newest)
    assert membership.peers["b"].link_heard["lan"] == 10.2
    assert membership.peers["b"].heard_at == 10.1
    assert not membership.is_copy(10.2, "lan", "b", 7, beat(50.2, 10.15)), "a newer heartbeat"
    assert not membership.is_copy(10.2, "lan", "b", 8, newest), "another life"
    assert not membership.is_copy(10.2, "lan", "z", 7, newest)


@given(st.lists(st.tuples(st.sampled_from("bc"), st.sampled_from(["ha", "lan"]), st.integers(0, 9)), max_size=60))
def test_when_expire_finds_nothing_before_its_time_there_is_nothing_to_find(said: list[tuple[str, str, int]]) -> None:
    """Another one, which looks each time, comes to the same at every step."""
    lazy, eager = (Membership(ME, MY_LIFE, {"b": ("ha", "lan"), "c": ("ha", "lan")}, TIMING) for _ in range(2))
    now = 10.0
    for sender, link, tenths in said:
        now += tenths / 10
        changes = []
        for one in (lazy, eager):
            if one is eager:
                one.due = now
            found = one.heartbeat(now, link, sender, 7, beat(now, now - 0.001))
            changes.append(found + one.expire(now))
        assert changes[0] == changes[1]
        assert lazy.due <= min(lazy.deadlines(), default=float("inf"))
