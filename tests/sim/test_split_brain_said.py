"""Who says that a group has two owners must be right: a false alarm is a violation, and the simulator sees it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from hamgr.core.cluster import GroupSpec
from hamgr.core.effects import Announce, Effect, Kind
from hamgr.core.tidings import Tidings
from hamgr.sim.run import plan, run
from hamgr.sim.shape import Wanted


def test_a_false_alarm_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def cry_wolf(tidings: Tidings, groups: Iterable[GroupSpec], members: object, out: list[Effect]) -> None:
        for group in groups:
            out.append(Announce(Kind.SPLIT_BRAIN, f"{group.name} runs everywhere", "", group.name))

    monkeypatch.setattr(Tidings, "split_brain", cry_wolf)
    failure = run(plan(1, Wanted())).failure
    assert failure is not None
    assert failure.name == "split-brain"
