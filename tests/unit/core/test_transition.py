"""The takeover rule, clause by clause."""

from __future__ import annotations

import dataclasses

import pytest

from hamgr.core.messages import Standing
from hamgr.core.transition import CLAUSES, PeerFacts, takeover_verdict

UNKNOWN = PeerFacts(
    node="m",
    heard=False,
    in_view=False,
    stopped=False,
    standing=Standing.MEMBER,
    roster_incarnation=7,
    heard_incarnation=7,
    watchdog_safe_at=None,
)


def with_facts(**changes: object) -> PeerFacts:
    return dataclasses.replace(UNKNOWN, **changes)


@pytest.mark.parametrize(
    ("clause", "facts"),
    [
        ("stopped-there", with_facts(heard=True, in_view=True, stopped=True)),
        ("fenced", with_facts(standing=Standing.FENCED)),
        ("left-cleanly", with_facts(standing=Standing.LEFT)),
        ("stopped-by-watchdog", with_facts(watchdog_safe_at=100.0)),
        ("operator-said-so", with_facts(standing=Standing.ACKNOWLEDGED)),
    ],
)
def test_each_clause_alone_clears_a_node(clause: str, facts: PeerFacts) -> None:
    verdict = takeover_verdict("web", [facts], now=100.0)
    assert verdict.allowed
    assert verdict.held == (("m", clause),)
    assert [name for name, holds in CLAUSES.items() if holds(facts, 100.0)] == [clause]


@pytest.mark.parametrize(
    "facts",
    [
        UNKNOWN,
        with_facts(heard=True),
        with_facts(heard=True, in_view=True),
        with_facts(stopped=True),
        with_facts(standing=Standing.FENCED, heard=True),
        with_facts(standing=Standing.FENCED, heard_incarnation=8),
        with_facts(standing=Standing.LEFT, heard_incarnation=8),
        with_facts(standing=Standing.LEFT, heard=True),
        with_facts(standing=Standing.ACKNOWLEDGED, heard_incarnation=8),
        with_facts(standing=Standing.UNKNOWN),
        with_facts(watchdog_safe_at=100.1),
        with_facts(watchdog_safe_at=1.0, heard=True),
    ],
)
def test_anything_less_forbids_the_start_and_says_what_is_awaited(facts: PeerFacts) -> None:
    verdict = takeover_verdict("web", [facts], now=100.0)
    assert not verdict.allowed
    assert len(verdict.missing) == 1
    assert "waits for m" in verdict.missing[0]


def test_every_other_node_needs_a_clause() -> None:
    cleared = with_facts(node="x", standing=Standing.FENCED)
    verdict = takeover_verdict("web", [cleared, UNKNOWN], now=0.0)
    assert verdict.held == (("x", "fenced"),)
    assert len(verdict.missing) == 1


def test_a_failed_fencing_is_told_with_the_command_that_ends_the_wait() -> None:
    facts = with_facts(fencing="fencing failed, next try in 3.0 s; hamgr fence ack m")
    assert "hamgr fence ack m" in takeover_verdict("web", [facts], now=0.0).missing[0]
