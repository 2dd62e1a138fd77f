"""The takeover rule: when a group may be started on one node, given what is known of every other.

The five clauses are the whole of hamgr's safety; status, log, documentation and the simulator use their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hamgr.core.messages import Standing


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """What the coordinator knows of one other configured node with regard to one group.

    heard: it is alive. in_view: it is a member of the current view. stopped: it reported in this epoch, by probing
    or by its own action after the newest order to run the group, that the group is stopped there. standing,
    roster_incarnation: the record of its last admitted life. heard_incarnation: its last life that we heard
    ourselves (0: none). watchdog_safe_at: when its watchdog has surely stopped it (None: it has none).
    fencing: what its fencing does now, for the explanation.
    """

    node: str
    heard: bool
    in_view: bool
    stopped: bool
    standing: Standing
    roster_incarnation: int
    heard_incarnation: int
    watchdog_safe_at: float | None
    fencing: str = ""

    @property
    def silent_since_record(self) -> bool:
        """No sign of life came after the life that the record is about."""
        return not self.heard and self.heard_incarnation in (0, self.roster_incarnation)


Clause = Callable[[PeerFacts, float], bool]


def stopped_there(facts: PeerFacts, now: float) -> bool:
    """Clause 1: it is in the view and reported, in this epoch, that the group is stopped there."""
    return facts.in_view and facts.stopped


def fenced(facts: PeerFacts, now: float) -> bool:
    """Clause 2: it was confirmed fenced after the last sign of life of its last incarnation."""
    return facts.standing is Standing.FENCED and facts.silent_since_record


def left_cleanly(facts: PeerFacts, now: float) -> bool:
    """Clause 3: its last incarnation said farewell (nothing runs there) and it was not heard since."""
    return facts.standing is Standing.LEFT and facts.silent_since_record


def stopped_by_watchdog(facts: PeerFacts, now: float) -> bool:
    """Clause 4: it has a watchdog, and lease, stop deadline, watchdog time-out and margin have passed."""
    return not facts.heard and facts.watchdog_safe_at is not None and now >= facts.watchdog_safe_at


def operator_said_so(facts: PeerFacts, now: float) -> bool:
    """Clause 5: an operator confirmed, by name and on record, that it is off."""
    return facts.standing is Standing.ACKNOWLEDGED and facts.silent_since_record


CLAUSES: dict[str, Clause] = {
    "stopped-there": stopped_there,
    "fenced": fenced,
    "left-cleanly": left_cleanly,
    "stopped-by-watchdog": stopped_by_watchdog,
    "operator-said-so": operator_said_so,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """held: node -> the clause that clears it. missing: for each other node, a sentence on what is awaited."""

    held: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]

    @property
    def allowed(self) -> bool:
        return not self.missing


def takeover_verdict(group: str, others: Iterable[PeerFacts], now: float) -> Verdict:
    """May `group` be started, with these other configured nodes? Every one of them needs a clause."""
    held: list[tuple[str, str]] = []
    missing: list[str] = []
    for facts in others:
        clause = next((name for name, holds in CLAUSES.items() if holds(facts, now)), None)
        if clause is None:
            missing.append(_awaited(group, facts, now))
        else:
            held.append((facts.node, clause))
    return Verdict(tuple(held), tuple(missing))


def _awaited(group: str, facts: PeerFacts, now: float) -> str:
    if facts.in_view:
        return f"waits for {facts.node} to report that {group} is stopped there"
    if facts.heard:
        return f"waits for {facts.node}, which is heard, to join and to report"
    watchdog = ""
    if facts.watchdog_safe_at is not None:
        watchdog = f", or {max(0.0, facts.watchdog_safe_at - now):.1f} s for its watchdog"
    fencing = facts.fencing or "it is not known to be off"
    return f"waits for {facts.node} to be off: {fencing}{watchdog}"
