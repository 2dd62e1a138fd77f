"""What a message says: named after the gravest event, short however many there are."""

from __future__ import annotations

from alerted import AT, event

from hamgr.alerts.message import MOST_LINES, Message
from hamgr.core.effects import Kind


def message(*events, dropped: int = 0) -> Message:
    return Message("office", "ops", "a", events, dropped)


def test_one_event_is_its_sentence() -> None:
    one = message(event(Kind.NODE_DEAD))
    assert one.subject == "[office] node-dead: b is dead"
    assert one.text.endswith(" node-dead: b is dead")
    assert one.as_json()["text"] == one.subject


def test_several_are_named_after_the_gravest() -> None:
    several = message(event(Kind.LINK_DOWN, "lan is down"), event(Kind.FENCE_FAILED, "b is not fenced", 2))
    assert several.subject == "[office] fence-failed: b is not fenced (and 1 more)"
    assert [line.partition(" ")[2] for line in several.text.splitlines()] == [
        "link-down: lan is down",
        "fence-failed: b is not fenced",
    ]


def test_of_very_many_it_says_how_many() -> None:
    many = message(*(event(Kind.LINK_DOWN, number=number) for number in range(MOST_LINES + 30)))
    assert len(many.text.splitlines()) == MOST_LINES + 1
    assert "and 30 more" in many.text
    assert len(many.as_json()["events"]) == MOST_LINES


def test_a_program_finds_our_names_and_those_of_pacemaker() -> None:
    found = message(event(Kind.GROUP_FAILED, "web failed on b", 7, "b", "web")).environment(AT)
    assert found["HAMGR_EVENT"] == "group-failed"
    assert (found["HAMGR_NODE"], found["HAMGR_GROUP"], found["HAMGR_REPORTER"]) == ("b", "web", "a")
    assert (found["CRM_alert_kind"], found["CRM_alert_rsc"], found["CRM_alert_task"]) == ("resource", "web", "monitor")
    assert (found["CRM_alert_timestamp_epoch"], found["CRM_alert_timestamp_usec"]) == ("1800000007", "250000")


def test_fencing_is_of_its_own_kind_for_pacemakers_agents() -> None:
    found = message(event(Kind.FENCE_CONFIRMED, "b is off")).environment(AT)
    assert (found["CRM_alert_kind"], found["CRM_alert_rc"]) == ("fencing", "0")
    assert message(event(Kind.FENCE_FAILED)).environment(AT)["CRM_alert_rc"] == "1"


def test_a_sentence_of_several_lines_stays_on_one() -> None:
    assert "\n" not in message(event(Kind.GROUP_FAILED, "web failed:\n no such\tfile")).subject
