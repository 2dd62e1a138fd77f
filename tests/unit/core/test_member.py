"""What a node does with its own groups."""

from __future__ import annotations

import pytest

from hamgr.core.cluster import GroupSpec, GroupState
from hamgr.core.effects import Announce, Effect, Probe, StartGroup, StopGroup
from hamgr.core.member import STOP_GRACE, Member

WEB = GroupSpec("web", restarts=1, failure_timeout=60.0, stop_timeout=10.0)
NOW = 100.0


def acts(out: list[Effect]) -> list[Effect]:
    return [effect for effect in out if not isinstance(effect, Announce)]


@pytest.fixture
def member() -> Member:
    """A member whose group was probed and is stopped."""
    member = Member("a", (WEB,))
    member.may_start = True
    member.new_epoch([])
    member.reported(NOW, "web", GroupState.STOPPED, "", [])
    return member


def running(member: Member) -> Member:
    member.order(NOW, ("web",), (), [])
    member.reported(NOW, "web", GroupState.STARTED, "", [])
    return member


def test_a_new_epoch_probes_and_starts_nothing() -> None:
    member = Member("a", (WEB,))
    member.may_start = True
    out: list[Effect] = []
    member.new_epoch(out)
    assert acts(out) == [Probe("web")]
    assert not member.probed
    member.reported(NOW, "web", GroupState.STOPPED, "", out)
    assert member.probed
    assert acts(out) == [Probe("web")]


def test_an_order_starts_the_group(member: Member) -> None:
    out: list[Effect] = []
    member.order(NOW, ("web",), (), out)
    assert acts(out) == [StartGroup("web")]
    assert member.groups["web"].state is GroupState.STARTING


def test_without_a_lease_an_order_starts_nothing(member: Member) -> None:
    member.may_start = False
    out: list[Effect] = []
    member.order(NOW, ("web",), (), out)
    assert acts(out) == []


def test_an_unknown_group_is_not_started_before_its_probe_is_back() -> None:
    member = Member("a", (WEB,))
    member.may_start = True
    out: list[Effect] = []
    member.new_epoch(out)
    member.order(NOW, ("web",), (), out)
    assert acts(out) == [Probe("web")]
    member.reported(NOW, "web", GroupState.STOPPED, "", out)
    assert acts(out) == [Probe("web"), StartGroup("web")]


def test_what_a_probe_finds_running_is_adopted() -> None:
    member = Member("a", (WEB,))
    member.may_start = True
    out: list[Effect] = []
    member.new_epoch(out)
    member.reported(NOW, "web", GroupState.STARTED, "", out)
    member.order(NOW, ("web",), (), out)
    assert acts(out) == [Probe("web")]


def test_release_stops_even_a_start_that_is_under_way(member: Member) -> None:
    out: list[Effect] = []
    member.order(NOW, ("web",), (), out)
    member.order(NOW, (), (), out)
    assert acts(out) == [StartGroup("web"), StopGroup("web")]
    member.reported(NOW, "web", GroupState.STARTED, "", out)
    assert member.groups["web"].state is GroupState.STOPPING, "the report of the superseded start says nothing"
    member.reported(NOW, "web", GroupState.STOPPED, "", out)
    assert member.all_stopped


def test_a_failed_group_is_restarted_here_then_barred(member: Member) -> None:
    running(member)
    out: list[Effect] = []
    member.reported(NOW + 1, "web", GroupState.FAILED, "it died", out)
    member.reported(NOW + 2, "web", GroupState.STOPPED, "", out)
    member.reported(NOW + 3, "web", GroupState.STARTED, "", out)
    assert acts(out) == [StopGroup("web"), StartGroup("web")]
    out.clear()
    member.reported(NOW + 4, "web", GroupState.FAILED, "it died again", out)
    member.reported(NOW + 5, "web", GroupState.STOPPED, "", out)
    assert acts(out) == [StopGroup("web")]
    (report,) = member.reports()
    assert report.barred
    assert report.state is GroupState.STOPPED


def test_a_failure_is_forgotten_after_its_time(member: Member) -> None:
    running(member)
    for now in (NOW + 1, NOW + 2):
        member.reported(now, "web", GroupState.FAILED, "", [])
        member.reported(now, "web", GroupState.STOPPED, "", [])
        member.reported(now, "web", GroupState.STARTED, "", [])
    assert member.groups["web"].barred
    member.expire(max(member.deadlines()), [])
    assert not member.groups["web"].barred


def test_orders_end_with_the_epoch(member: Member) -> None:
    running(member)
    out: list[Effect] = []
    member.new_epoch(out)
    member.reported(NOW, "web", GroupState.STARTED, "", out)
    member.reported(NOW, "web", GroupState.FAILED, "", out)
    member.reported(NOW, "web", GroupState.STOPPED, "", out)
    assert StartGroup("web") not in out, "it may be started elsewhere by now"


def test_a_stop_that_never_ends_is_a_failed_stop(member: Member) -> None:
    running(member)
    member.give_up(NOW, "the quorum is lost", [])
    member.expire(NOW + WEB.stop_timeout + STOP_GRACE - 0.1, [])
    assert not member.stop_failed
    member.expire(NOW + WEB.stop_timeout + STOP_GRACE, [])
    assert member.stop_failed == ["web"]


def test_a_failed_stop_is_tried_again_when_an_operator_says_so(member: Member) -> None:
    running(member)
    member.give_up(NOW, "", [])
    member.reported(NOW, "web", GroupState.STOP_FAILED, "busy", [])
    out: list[Effect] = []
    member.order(NOW, (), (), out)
    assert acts(out) == []
    member.cleanup(NOW, "web", out)
    assert acts(out) == [StopGroup("web")]


def test_giving_up_stops_groups_of_every_state() -> None:
    member = Member("a", (WEB,))
    out: list[Effect] = []
    member.give_up(NOW, "the quorum is lost", out)
    assert acts(out) == [StopGroup("web")]


def test_what_may_only_be_kept_is_not_started_again(member: Member) -> None:
    running(member)
    out: list[Effect] = []
    member.order(NOW, (), ("web",), out)
    assert acts(out) == []
    member.reported(NOW, "web", GroupState.FAILED, "it died", out)
    member.reported(NOW, "web", GroupState.STOPPED, "", out)
    assert acts(out) == [StopGroup("web")]
    assert not member.groups["web"].barred
    member.order(NOW, ("web",), (), out)
    assert acts(out) == [StopGroup("web"), StartGroup("web")]


def test_who_gave_a_group_up_starts_it_only_under_a_new_order(member: Member) -> None:
    running(member)
    for _ in range(2):
        member.reported(NOW, "web", GroupState.FAILED, "", [])
        member.reported(NOW, "web", GroupState.STOPPED, "", [])
        member.reported(NOW, "web", GroupState.STARTED, "", [])
    assert member.groups["web"].barred
    out: list[Effect] = []
    member.cleanup(NOW, "web", out)
    assert acts(out) == [], "it may run elsewhere by now"
    member.order(NOW, ("web",), (), out)
    assert acts(out) == [StartGroup("web")]


def test_what_someone_took_from_a_running_group_may_be_put_back_only_under_an_order(member: Member) -> None:
    assert not member.may_mend("web"), "it is stopped"
    member.order(NOW, ("web",), (), [])
    assert not member.may_mend("web"), "it is starting"
    member.reported(NOW, "web", GroupState.STARTED, "", [])
    assert member.may_mend("web")
    member.hands_off = True
    assert not member.may_mend("web"), "someone works on it"
    member.hands_off = False
    member.void_orders()
    assert not member.may_mend("web"), "the epoch ended"


def test_a_group_that_may_only_be_kept_is_not_mended(member: Member) -> None:
    running(member)
    member.order(NOW, (), ("web",), [])
    assert not member.may_mend("web")


def test_a_group_that_failed_in_maintenance_is_looked_at_when_that_ends(member: Member) -> None:
    running(member)
    out: list[Effect] = []
    member.leave_alone(True, out)
    member.reported(NOW, "web", GroupState.FAILED, "gone", out)
    assert acts(out) == []
    member.leave_alone(False, out)
    assert acts(out) == [Probe("web")]
    member.reported(NOW, "web", GroupState.FAILED, "gone", out)
    assert acts(out) == [Probe("web"), StopGroup("web")]


def test_an_order_that_came_in_maintenance_starts_nothing_after_it(member: Member) -> None:
    out: list[Effect] = []
    member.leave_alone(True, out)
    member.order(NOW, ("web",), (), out)
    member.leave_alone(False, out)
    member.reported(NOW, "web", GroupState.STOPPED, "", out)
    assert acts(out) == [Probe("web")]
