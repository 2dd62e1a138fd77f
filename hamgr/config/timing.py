"""The cluster's deadlines: what is derived when it isn't given, and which combinations are impossible.

Derived values: keepalive = deadtime / 10 (1 s without a deadtime, never under 10 ms), deadtime = 10 keepalive,
warntime = deadtime / 2 (halfway between keepalive and deadtime when that is not above keepalive),
initdead = 30 s or 3 deadtime, the longer, settle = keepalive, lease = 2 deadtime + settle + 4 keepalive.
"""

from __future__ import annotations

from hamgr.config.durations import show
from hamgr.config.table import Mistakes, Table
from hamgr.core.cluster import MIN_DURATION, Timing

DEFAULT_KEEPALIVE = 1.0
DEFAULT_INITDEAD = 30.0
_ROUNDING = 1e-9
"""Seconds: sums of decimal fractions must not fail a comparison by their last bit."""


def read(timing: Table, arbiter: Table, has_arbiter: bool) -> Timing:
    """The timing of `[timing]` and of `[arbiter] settle`, completed and checked."""
    before = len(timing.mistakes.problems)
    keepalive = timing.optional_duration("keepalive")
    warntime = timing.optional_duration("warntime")
    deadtime = timing.optional_duration("deadtime")
    initdead = timing.optional_duration("initdead")
    lease = timing.optional_duration("lease")
    settle = arbiter.optional_duration("settle", 0.0) if has_arbiter else None
    timing.finish()
    if keepalive is None:
        keepalive = DEFAULT_KEEPALIVE if deadtime is None else max(deadtime / 10, MIN_DURATION)
    if deadtime is None:
        deadtime = 10 * keepalive
    if warntime is None:
        warntime = deadtime / 2 if deadtime / 2 > keepalive else (keepalive + deadtime) / 2
    if initdead is None:
        initdead = max(DEFAULT_INITDEAD, 3 * deadtime)
    if settle is None:
        settle = keepalive
    if lease is None:
        lease = 2 * deadtime + settle + 4 * keepalive
    whole = Timing(keepalive, warntime, deadtime, initdead, lease, settle)
    if len(timing.mistakes.problems) == before:
        # With a mistaken value in it, a combination says nothing.
        _check(whole, has_arbiter, timing.mistakes)
    return whole


def _check(timing: Timing, has_arbiter: bool, mistakes: Mistakes) -> None:
    keepalive, warntime, deadtime = timing.keepalive, timing.warntime, timing.deadtime
    if keepalive >= deadtime:
        _impossible(mistakes, "keepalive", "deadtime", timing, f"keepalive under deadtime ({show(deadtime)})")
    elif keepalive >= warntime:
        _impossible(mistakes, "keepalive", "warntime", timing, f"keepalive under warntime ({show(warntime)})")
    if warntime >= deadtime:
        _impossible(mistakes, "warntime", "deadtime", timing, f"warntime under deadtime ({show(deadtime)})")
    if timing.initdead < deadtime:
        _impossible(mistakes, "initdead", "deadtime", timing, f"initdead from deadtime ({show(deadtime)}) up")
    least = deadtime + 2 * keepalive + (timing.settle if has_arbiter else 0.0)
    if timing.lease < least - _ROUNDING:
        terms = "deadtime + settle + 2 keepalive" if has_arbiter else "deadtime + 2 keepalive"
        _impossible(mistakes, "lease", "deadtime", timing, f"lease from {show(least)} up ({terms})")


def _impossible(mistakes: Mistakes, one: str, other: str, timing: Timing, allowed: str) -> None:
    found = f"{one} {show(getattr(timing, one))} with {other} {show(getattr(timing, other))}"
    mistakes.note(f"timing.{one}, timing.{other}", found, allowed)
