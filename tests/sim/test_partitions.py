"""Every partition of three nodes, and some of four and five: one set goes on, and then everything is at rest."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest

from hamgr.core.circle import Circle
from hamgr.sim.cli import main
from hamgr.sim.partitions import Case, all_cases, every_directed, every_symmetric, judge, some_directed

SAMPLE = int(os.environ.get("HAMGR_PARTITIONS", "10"))
"""Of four nodes and of five, each with and without an arbiter; 0: all of them, which takes twenty minutes."""


def wrong(cases: list[Case]) -> list[str]:
    return [f"{verdict.case}: {verdict.wrong}" for case in cases if (verdict := judge(case)).wrong]


@pytest.mark.parametrize("arbiter", [False, True])
def test_every_partition_of_three_nodes_has_one_winner_and_comes_to_rest(arbiter: bool) -> None:
    cases = list(every_directed(3, arbiter))
    assert len(cases) == 64
    assert wrong(cases) == []


def test_with_many_votes_of_the_arbiter_one_of_the_largest_sets_of_three_nodes_goes_on() -> None:
    assert wrong([replace(case, many=True) for case in every_directed(3, True)]) == []


@pytest.mark.parametrize("cuts", ["a->b a->d b->c", "a->b a->c b->d", "a->b b->c d->a"])
def test_with_many_votes_of_the_arbiter_one_that_asks_in_vain_keeps_nobody_from_asking(cuts: str) -> None:
    """A chain: only the two in its middle can be the larger set."""
    ways = tuple((way[0], way[-1]) for way in cuts.split())
    assert wrong([Case(4, True, ways, many=True)]) == []


@pytest.mark.parametrize("arbiter", [False, True])
@pytest.mark.parametrize("nodes", [4, 5])
def test_partitions_of_more_nodes_have_one_winner_and_come_to_rest(nodes: int, arbiter: bool) -> None:
    cases = list(all_cases(nodes, arbiter))
    assert len(cases) == {4: 4096, 5: 1024}[nodes]
    if SAMPLE:
        cases = random.Random(f"{nodes}").sample(cases, SAMPLE)
    assert wrong(cases) == []


@pytest.mark.parametrize("mask", [287, 855, 2901])
def test_two_of_one_half_do_not_go_on_standing_at_once(mask: int) -> None:
    """b and d need each other's vote, and the arbiter's. Twice b's pause was as long as that of d and its wait for the
    arbiter's answer: each time both voted for themselves, and nobody ever led."""
    assert wrong([list(every_directed(4, True))[mask]]) == []


@pytest.mark.parametrize(("mask", "arbiter"), [(118, False), (405, False), (579, False), (675, False), (835, False)])
def test_those_for_whose_sake_a_coordinator_gives_up_stand_one_after_the_other(mask: int, arbiter: bool) -> None:
    """The third vote came to both of the other two at once, when their turns were long past; a was back before they
    were done."""
    assert wrong([list(every_symmetric(5, arbiter))[mask]]) == []


def test_what_is_to_come_of_a_partition_is_noticed_when_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a circle two nodes that don't hear each other both run something."""
    monkeypatch.setattr(Circle, "_choose", lambda self, mesh, present, *more: setattr(self, "inside", present))
    (found,) = wrong([Case(3, False, (("b", "c"),))])
    assert "not all of them hear each other" in found


def test_the_ways_of_five_nodes_by_chance_are_the_same_each_time() -> None:
    assert list(some_directed(5, True, 5, 1)) == list(some_directed(5, True, 5, 1))
    assert len(list(every_symmetric(5, False))) == 1024


def test_the_command_judges_them_and_says_how_many_were_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--partitions", "3", "--sample", "2", "--no-arbiter", "--jobs", "1"]) == 0
    assert "3 nodes: 2 partitions, 0 wrong" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["--partitions", "2"])
    assert ended.value.code == 2
