"""A failure is made small, and what is left of it still fails."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hamgr.core.transition import CLAUSES
from hamgr.sim.cli import main
from hamgr.sim.faults import Fault
from hamgr.sim.run import plan, run
from hamgr.sim.shape import Wanted
from hamgr.sim.shrink import shrink


def test_it_finds_the_two_faults_that_it_takes() -> None:
    faults = [Fault(float(at), ("kill", f"n{at}")) for at in range(40)]

    def fails(some: Sequence[Fault]) -> bool:
        return faults[7] in some and faults[31] in some

    assert shrink(faults, fails) == [faults[7], faults[31]]


def test_what_needs_no_fault_shrinks_to_nothing() -> None:
    assert shrink([Fault(1.0, ("kill", "a"))], lambda some: True) == []


def test_a_broken_rule_shrinks_to_a_few_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLAUSES, "fenced", lambda facts, now: not facts.heard)
    what = next(what for seed in range(1, 60) if run(what := plan(seed, Wanted())).failure is not None)

    def fails(some: Sequence[Fault]) -> bool:
        return run(what, some).failure is not None

    small = shrink(what.faults, fails)
    assert fails(small)
    assert len(small) <= len(what.faults) // 2


def test_the_command_tells_seed_invariant_and_minimal_timeline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CLAUSES, "fenced", lambda facts, now: not facts.heard)
    seed = next(seed for seed in range(1, 60) if run(plan(seed, Wanted())).failure is not None)
    assert main(["--seed", str(seed)]) == 1
    out = capsys.readouterr().out
    assert f"seed {seed} breaks the invariant" in out
    assert "faults are enough" in out


def test_good_seeds_end_with_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "10", "--jobs", "1"]) == 0
    assert "10 seeds" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["--nodes", "1"], ["--seeds", "0"], ["--two-node", "--nodes", "3"], ["--duration", "-1"], ["--what"]]
)
def test_wrong_usage_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "error" in capsys.readouterr().err
