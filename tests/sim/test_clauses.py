"""Each clause of the takeover rule, taken away: the simulator must see what comes of it."""

from __future__ import annotations

import pytest

from hamgr.core import transition
from hamgr.core.messages import Standing
from hamgr.core.transition import CLAUSES, Clause
from hamgr.sim.run import Failure, plan, run
from hamgr.sim.shape import Wanted

SEEDS = range(1, 60)


def first_failure(watchdog: bool, but: str = "") -> Failure | None:
    """What the first failing seed shows, with watchdogs or as the seeds like. but: failures of this name are passed
    over."""
    wanted = Wanted(watchdog=True if watchdog else None, arbiter_on_disk=False)
    for seed in SEEDS:
        failure = run(plan(seed, wanted)).failure
        if failure is not None and failure.name != but:
            return failure
    return None


def broken(failure: Failure | None) -> bool:
    return failure is not None and failure.name in ("one-owner", "takeover-rule")


@pytest.mark.parametrize("watchdog", [False, True])
@pytest.mark.parametrize("name", list(CLAUSES))
def test_a_clause_that_always_holds_is_caught(monkeypatch: pytest.MonkeyPatch, name: str, watchdog: bool) -> None:
    monkeypatch.setitem(CLAUSES, name, lambda facts, now: True)
    assert broken(first_failure(watchdog))


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
    monkeypatch.setitem(CLAUSES, name, clause)
    # What can't be under the whole rule (a human's group that is cleared while it runs) may end in an assertion.
    assert broken(first_failure(watchdog, but="exception"))


def test_without_a_break_the_same_seeds_show_nothing() -> None:
    assert list(transition.CLAUSES) == [
        "stopped-there",
        "fenced",
        "left-cleanly",
        "stopped-by-watchdog",
        "operator-said-so",
    ]
    assert first_failure(watchdog=False) is None
    assert first_failure(watchdog=True) is None
