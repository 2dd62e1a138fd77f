"""A failover as a table: what was announced when, in milliseconds from the moment that began it.

Pure functions of recorded events; all times are seconds of CLOCK_MONOTONIC, which all namespaces share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hamgr.core.effects import Kind
from hamgr.lab.observe import EventRecord

TOLD = frozenset(
    kind.value
    for kind in (
        Kind.NODE_UP,
        Kind.NODE_SUSPECTED,
        Kind.NODE_DEAD,
        Kind.NODE_OUTSIDE,
        Kind.NODE_LEFT,
        Kind.NODE_FENCED,
        Kind.VOTE_ASKED,
        Kind.VOTE_GIVEN,
        Kind.VOTE_REFUSED,
        Kind.COORDINATOR,
        Kind.QUORUM_LOST,
        Kind.FENCE_ASKED,
        Kind.FENCE_CONFIRMED,
        Kind.FENCE_FAILED,
        Kind.IP_REQUEST,
        Kind.IP_REQUEST_RESP,
        Kind.FENCE_LIMITED,
        Kind.TAKEOVER_ASKED,
        Kind.TAKEOVER_CONFIRMED,
        Kind.REBALANCE,
        Kind.TAKEOVER_WAITS,
        Kind.GROUP_STARTING,
        Kind.GROUP_STARTED,
        Kind.GROUP_STOPPING,
        Kind.GROUP_STOPPED,
        Kind.GROUP_FAILED,
        Kind.SELF_FENCE,
    )
)
"""The announcements that make up the story of a failover."""


@dataclass(frozen=True, slots=True)
class Row:
    """Something that happened at `time`; who: the node that says it, or whoever saw it."""

    time: float
    who: str
    what: str
    text: str


def rows(events: Iterable[EventRecord], since: float, until: float) -> list[Row]:
    """The story's announcements between two moments, in order of time."""
    told = [
        Row(event.time, event.reporter, event.kind, event.text)
        for event in events
        if event.kind in TOLD and since <= event.time <= until
    ]
    return sorted(told, key=lambda row: row.time)


def first(events: Iterable[EventRecord], kind: Kind, since: float, *, node: str = "") -> EventRecord | None:
    """The first announcement of this kind after `since`, about `node` if one is named."""
    found = [e for e in events if e.kind == kind.value and e.time >= since and (not node or e.node == node)]
    return min(found, key=lambda event: event.time, default=None)


def table(story: Sequence[Row], origin: float, width: int) -> list[str]:
    """One line a row: milliseconds from `origin`, who, what, and the sentence, cut at `width` characters."""
    what_width = max((len(row.what) for row in story), default=0)
    who_width = max((len(row.who) for row in story), default=0)
    lines = []
    for row in sorted(story, key=lambda row: row.time):
        milliseconds = 1000 * (row.time - origin)
        line = f"{milliseconds:+9.1f} ms  {row.who:<{who_width}}  {row.what:<{what_width}}  {row.text}".rstrip()
        lines.append(line if len(line) <= width else f"{line[: width - 3]}...")
    return lines
