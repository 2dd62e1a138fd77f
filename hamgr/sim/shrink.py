"""Finds a small part of a failing run's faults that still fails (delta debugging, Zeller and Hildebrandt 2002)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hamgr.sim.faults import Fault

Fails = Callable[[Sequence[Fault]], bool]


def shrink(faults: Sequence[Fault], fails: Fails, tries: int = 150) -> list[Fault]:
    """A subset, in order, for which `fails` still holds; from which, given tries enough, none can be left out."""
    kept = list(faults)
    parts = 2
    while kept and tries > 0:
        size = max(1, len(kept) // parts)
        for begin in range(0, len(kept), size):
            without = kept[:begin] + kept[begin + size :]
            tries -= 1
            if fails(without):
                kept, parts = without, max(2, parts - 1)
                break
            if tries <= 0:
                break
        else:
            if size == 1:
                break
            parts = min(len(kept), parts * 2)
    return kept
