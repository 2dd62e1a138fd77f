"""Which traffic the switch drops."""

from __future__ import annotations

from hamgr.lab.switch import Faults


def test_a_healthy_switch_drops_nothing() -> None:
    assert "drop" not in Faults().ruleset()


def test_a_cut_drops_a_cards_traffic_both_ways_and_no_other() -> None:
    rules = Faults(cuts={("a", "ha")}).ruleset()
    drops = [line.strip() for line in rules.splitlines() if line.endswith("drop")]
    assert drops == ['iifname "a-ha" drop', 'oifname "a-ha" drop']


def test_separated_machines_are_separated_in_both_directions() -> None:
    rules = Faults(separated={frozenset("ab")}).ruleset()
    assert 'iifname "a-*" oifname "b-*" drop' in rules
    assert 'iifname "b-*" oifname "a-*" drop' in rules


def test_healing_one_link_leaves_the_others_cut() -> None:
    faults = Faults({("a", "ha"), ("a", "lan"), ("b", "ha")}, {frozenset("ab")})
    faults.heal("a", "ha")
    assert faults.cuts == {("a", "lan"), ("b", "ha")}
    assert faults.separated


def test_healing_a_machine_leaves_the_others_cut() -> None:
    faults = Faults({("a", "ha"), ("b", "ha")}, {frozenset("ab"), frozenset("bc")})
    faults.heal("a")
    assert faults.cuts == {("b", "ha")}
    assert faults.separated == {frozenset("bc")}


def test_healing_all_leaves_nothing_cut() -> None:
    faults = Faults({("a", "ha"), ("b", "lan")}, {frozenset("ab")})
    faults.heal()
    assert faults == Faults()
