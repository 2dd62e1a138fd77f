"""What is concluded from the answers of a watched address."""

from __future__ import annotations

from hamgr.lab.answers import Answer, Outage, outages, overlaps


def udp(time: float, node: str) -> Answer:
    return Answer("udp", time, time + 0.0005, node)


def arp(sent: float, node: str) -> Answer:
    return Answer("arp", sent, sent + 0.0002, node)


def test_a_line_of_the_prober_is_read_back() -> None:
    assert Answer.parse("udp 12.500000 12.501000 a\n") == Answer("udp", 12.5, 12.501, "a")


def test_steady_answers_are_no_outage() -> None:
    assert outages([udp(i * 0.002, "a") for i in range(100)], longest_gap=0.01, until=0.2) == []


def test_a_gap_is_an_outage_from_answer_to_answer() -> None:
    one, other = udp(1.0, "a"), udp(2.2, "b")
    assert outages([one, other], 0.01, 2.2) == [Outage(one.received, other.received, "a", "b")]


def test_an_outage_that_lasts_has_no_end() -> None:
    (outage,) = outages([udp(1.0, "a")], 0.01, until=3.0)
    assert outage.end is None
    assert abs(outage.duration(now=3.0) - 1.9995) < 1e-9


def test_the_witness_does_not_hide_the_clients_outage() -> None:
    answers = [udp(1.0, "a"), arp(1.5, "b"), udp(2.0, "b")]
    assert len(outages(answers, 0.01, 2.0)) == 1


def test_a_move_to_the_other_node_is_no_overlap() -> None:
    assert overlaps([udp(1.0, "a"), udp(1.002, "a"), udp(1.004, "b"), arp(1.0, "a"), arp(1.01, "b")]) == []


def test_two_answers_to_one_arp_question_are_two_owners() -> None:
    (overlap,) = overlaps([arp(1.0, "a"), arp(1.0, "b"), arp(1.01, "b")])
    assert (overlap.node, overlap.other) == ("a", "b")


def test_one_answer_told_twice_is_one_owner() -> None:
    assert overlaps([arp(1.0, "a"), arp(1.0, "a")]) == []


def test_there_and_back_at_once_is_two_owners() -> None:
    assert len(overlaps([udp(1.0, "a"), udp(1.002, "b"), udp(1.004, "a")])) == 1


def test_a_fail_back_after_a_while_is_not() -> None:
    assert overlaps([udp(1.0, "a"), udp(1.5, "b"), udp(3.0, "a")]) == []
