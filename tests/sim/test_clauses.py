"""Each clause of the takeover rule, taken away: the simulator must see what comes of it."""

from __future__ import annotations

import pytest

from hamgr.core.messages import Standing
from hamgr.core.transition import CLAUSES, Clause
from hamgr.sim.run import plan, run
from hamgr.sim.shape import Wanted

SEEDS = range(1, 60)


def with_watchdogs(watchdog: bool) -> Wanted:
    """With watchdogs, or as the seeds like."""
    return Wanted(watchdog=True if watchdog else None, arbiter_on_disk=False)


def first_failure(watchdog: bool, but: str = "") -> tuple[int, str]:
    """The first failing seed, and what it shows; 0 if there is none. but: failures of this name are passed over."""
    for seed in SEEDS:
        failure = run(plan(seed, with_watchdogs(watchdog))).failure
        if failure is not None and failure.name != but:
            return seed, failure.name
    return 0, ""


def assert_caught(monkeypatch: pytest.MonkeyPatch, name: str, clause: Clause, watchdog: bool, but: str = "") -> None:
    """The broken clause is seen as what it is; and it is the break that is seen, for without it the same seed shows
    nothing."""
    with monkeypatch.context() as broken:
        broken.setitem(CLAUSES, name, clause)
        seed, shown = first_failure(watchdog, but)
    assert shown in ("one-owner", "takeover-rule")
    assert run(plan(seed, with_watchdogs(watchdog))).failure is None


@pytest.mark.parametrize("watchdog", [False, True])
@pytest.mark.parametrize("name", list(CLAUSES))
def test_a_clause_that_always_holds_is_caught(monkeypatch: pytest.MonkeyPatch, name: str, watchdog: bool) -> None:
    assert_caught(monkeypatch, name, lambda facts, now: True, watchdog)


WEAKENED: dict[str, tuple[str, Clause, bool]] = {
    "in the view is enough": ("stopped-there", lambda facts, now: facts.in_view, False),
    "silent is as good as fenced": ("fenced", lambda facts, now: not facts.heard, False),
    "silent is as good as left": (
        "left-cleanly",
        lambda facts, now: not facts.heard and facts.standing is not Standing.FENCED,
        False,
    ),
    "a watchdog needs no time": (
        "stopped-by-watchdog",
        lambda facts, now: not facts.heard and facts.watchdog_safe_at is not None,
        True,
    ),
    "an operator said so of somebody": (
        "operator-said-so",
        lambda facts, now: not facts.in_view and facts.heard_incarnation > 0,
        False,
    ),
}


@pytest.mark.parametrize("how", list(WEAKENED))
def test_a_clause_that_holds_too_early_is_caught(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    name, clause, watchdog = WEAKENED[how]
    # What can't be under the whole rule (a human's group that is cleared while it runs) may end in an assertion.
    assert_caught(monkeypatch, name, clause, watchdog, but="exception")


def test_each_clause_of_the_rule_is_broken_here() -> None:
    assert {name for name, _, _ in WEAKENED.values()} == set(CLAUSES)
