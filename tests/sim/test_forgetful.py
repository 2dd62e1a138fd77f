"""Voters that lose their record in the middle of an election: each care that is taken, left out, is noticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arbiter.decide import ClusterArbiter
from hamgr.core import node as core
from hamgr.core.election import Claim
from hamgr.core.electorate import ARBITER
from hamgr.core.learning import Learning
from hamgr.core.messages import Stamp
from hamgr.sim.run import plan, run
from hamgr.sim.scenario import play, read
from hamgr.sim.shape import Wanted

FOLDER = Path(__file__).parent.parent / "scenarios"
SEEDS = range(1, 20)


def asks_at_once(learning: Learning, node: core.Node, now: float) -> None:
    """It waits until nobody counts its old votes, and believes what it was told before that."""
    begin(learning, node, now)
    learning._asks_from = now


def votes_later(learning: Learning, now: float) -> None:
    if now >= learning._node.started_at + learning._node.membership.mutual_time:
        settle(learning, now)


begin, settle = Learning.__init__, Learning.settle


def stored_without_asking_again(node: core.Node, wanted: Callable[[int, Stamp], bool]) -> set[str]:
    found = voters_with(node, wanted)
    answer = node.arbitration.answer
    return found | {ARBITER} if answer is not None and wanted(answer.epoch, answer.stored) else found


voters_with = core.Node._voters_with


@pytest.mark.parametrize(
    ("breaks", "story", "shown"),
    [
        (
            {(Learning, "__init__"): asks_at_once, (Learning, "settle"): votes_later},
            "wiped-while-a-claim-waits",
            "one-vote: c votes for b and for c in epoch 2",
        ),
        (
            {(Claim, "arbiter"): property(lambda claim: claim.arbiter_us > 0)},
            "arbiter-wiped-while-a-claim-waits",
            "one-coordinator: b and a are both coordinator of epoch 2",
        ),
        (
            {(core.Node, "_voters_with"): stored_without_asking_again},
            "arbiter-wiped-while-a-view-waits",
            "quorums-meet: d leads epoch 4, and none of its voters has stored what was decided",
        ),
    ],
)
def test_a_care_that_is_not_taken_is_noticed(
    monkeypatch: pytest.MonkeyPatch, breaks: dict[tuple[type, str], Any], story: str, shown: str
) -> None:
    for (owner, name), broken in breaks.items():
        monkeypatch.setattr(owner, name, broken)
    assert shown in play(read(FOLDER / story)).failure


def test_an_arbiter_that_votes_before_it_has_learned_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterArbiter, "_learn", lambda arbiter, notes: at_once(arbiter))
    outcomes = (run(plan(seed, Wanted(forgetful=True, arbiter_on_disk=False))) for seed in SEEDS)
    failure = next((outcome.failure for outcome in outcomes if outcome.failure is not None), None)
    assert failure is not None
    assert failure.name in ("one-vote", "one-coordinator", "quorums-meet")


def at_once(arbiter: ClusterArbiter) -> None:
    arbiter._book = type(arbiter._book)(True, arbiter._book.vote_epoch, arbiter._book.voted_for, arbiter._book.state)
