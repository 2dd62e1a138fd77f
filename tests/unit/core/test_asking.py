"""Where a group may run without a human's word, and from when on it is known to run elsewhere."""

from __future__ import annotations

from hamgr.core.asking import Asking
from hamgr.core.cluster import GroupSpec, GroupState, Mode
from hamgr.core.effects import Effect, Kind
from hamgr.core.members import MemberRecord
from hamgr.core.messages import GroupReport, Report, Stamp, Standing

WEB = GroupSpec("web", mode=Mode.ASK)


def member(state: GroupState = GroupState.STOPPED) -> MemberRecord:
    found = MemberRecord(1, Stamp(1, 1))
    group = GroupReport("web", state)
    found.report = Report(1, 1, True, (group,))
    found.groups = {"web": group}
    return found


def asking(owner: str, **members: MemberRecord) -> Asking:
    found = Asking((WEB,), (("web", owner),), members, {"a": Standing.MEMBER, "b": Standing.MEMBER}.get)
    found.stamped(Stamp(1, 1))
    return found


def target_of(found: Asking, target: str, *able: str, owner: str = "", pin: str = "") -> tuple[str, list[Effect]]:
    out: list[Effect] = []
    return found.may_go(5.0, WEB, owner, pin, target, able, out), out


def test_it_runs_where_it_ran_last_and_asks_for_another_node() -> None:
    found = asking("a", a=member(), b=member())
    assert target_of(found, "b", "a", "b") == ("a", [])
    target, (told,) = target_of(found, "b", "b")
    assert target == ""
    assert told.kind is Kind.TAKEOVER_ASKED  # type: ignore[union-attr]
    assert found.proposed == {"web": "b"}


def test_a_move_begins_when_the_cluster_state_names_the_new_node_and_is_stored() -> None:
    found = asking("a", a=member(), b=member())
    assert target_of(found, "b", "a", "b", pin="b")[0] == "b"
    assert not found.may_start("web", "b", lambda stamp: True)
    assert found.unsaid
    found.stamped(Stamp(1, 2))
    assert not found.unsaid
    assert not found.may_start("web", "b", lambda stamp: stamp < Stamp(1, 2)), "not everywhere yet"
    assert found.may_start("web", "b", lambda stamp: stamp == Stamp(1, 2))
    assert found.owners == {"web": "b"}


def test_what_was_not_started_on_the_new_node_yet_goes_back_without_a_question() -> None:
    found = asking("a", a=member(), b=member())
    found.may_start("web", "b", lambda stamp: False)
    found.stamped(Stamp(1, 2))
    assert target_of(found, "a", "a") == ("a", [])
    assert found.owners == {"web": "a"}


def test_what_was_let_start_on_the_new_node_goes_back_after_a_question_only() -> None:
    found = asking("a", a=member(), b=member())
    found.may_start("web", "b", lambda stamp: False)
    found.stamped(Stamp(1, 2))
    assert found.may_start("web", "b", lambda stamp: True)
    assert target_of(found, "a", "a")[0] == ""


def test_what_is_found_running_is_where_it_ran_last() -> None:
    found = asking("a", b=member(GroupState.STARTED))
    assert target_of(found, "b", "b", owner="b") == ("b", [])
    assert found.owners == {"web": "b"}
