"""What an alert says: one event or several, as a subject and a text, as JSON, and as a program's environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hamgr import __version__
from hamgr.admin.events import LoggedEvent
from hamgr.core.effects import Kind

MOST_LINES = 50
"""Events that one message tells in full; of more it says how many."""

LONGEST_TEXT = 300
"""Characters of one event's sentence. All of a message goes in one variable: 128 KiB, execve(2)."""

LONGEST_FACT = 100

TEST = "test"
"""In the place of an event's name in a message that only shows that it arrives."""

_GRAVE = (
    Kind.SPLIT_BRAIN,
    Kind.SELF_FENCE,
    Kind.ADDRESS_CONFLICT,
    Kind.QUORUM_LOST,
    Kind.FENCE_FAILED,
    Kind.FENCE_LIMITED,
    Kind.TAKEOVER_ASKED,
    Kind.TAKEOVER_WAITS,
    Kind.GROUP_FAILED,
    Kind.DISK_FAILED,
    Kind.NODE_DEAD,
    Kind.FENCE_ASKED,
    Kind.FENCE_CONFIRMED,
)
"""The event of several that a message is named after, the gravest first."""

_TASKS = {
    Kind.FENCE_ASKED: "off",
    Kind.FENCE_CONFIRMED: "off",
    Kind.FENCE_FAILED: "off",
    Kind.FENCE_ACKNOWLEDGED: "off",
    Kind.GROUP_STARTED: "start",
    Kind.GROUP_STOPPED: "stop",
    Kind.GROUP_FAILED: "monitor",
}
_FAILURES = (Kind.FENCE_FAILED, Kind.GROUP_FAILED)


@dataclass(frozen=True, slots=True)
class Message:
    """events: at least one, the oldest first; none in a test. dropped: how many more there were, which nobody kept."""

    cluster: str
    alert: str
    reporter: str
    events: tuple[LoggedEvent, ...]
    dropped: int = 0
    text_of_test: str = ""

    @property
    def main(self) -> LoggedEvent | None:
        """The gravest event."""
        return min(self.events, key=lambda event: _rank(event.announce.kind), default=None)

    @property
    def subject(self) -> str:
        main = self.main
        if main is None:
            return f"[{self.cluster}] {TEST}: {self.text_of_test}"
        count = len(self.events) + self.dropped
        more = f" (and {count - 1} more)" if count > 1 else ""
        return f"[{self.cluster}] {main.announce.kind.value}: {_short(main)}{more}"

    @property
    def text(self) -> str:
        """A line an event."""
        if not self.events:
            return self.text_of_test
        told, more = self.events[:MOST_LINES], len(self.events) - MOST_LINES
        lines = [f"{shown_time(event.time)} {event.announce.kind.value}: {_short(event)}" for event in told]
        if more > 0:
            lines.append(f"... and {more} more: see `hamgr watch --past 1000` on {self.reporter}")
        if self.dropped:
            lines.append(f"{self.dropped} older events were dropped, since no message got through for too long")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """What a webhook gets. (`text`: chat services show that.)"""
        return {
            "cluster": self.cluster,
            "reporter": self.reporter,
            "alert": self.alert,
            "subject": self.subject,
            "text": f"{self.subject}\n{self.text}" if len(self.events) > 1 or self.dropped else self.subject,
            "count": len(self.events) + self.dropped,
            "dropped": self.dropped,
            "test": not self.events,
            "events": [_as_json(event) for event in self.events[:MOST_LINES]],
        }

    def environment(self, now: float) -> dict[str, str]:
        """What a program gets: our own names, and those of Pacemaker's alert agents ("Pacemaker Explained", Alerts)."""
        main = self.main
        at = main.time if main is not None else now
        kind = main.announce.kind.value if main is not None else TEST
        node = main.announce.node if main is not None else self.reporter
        group = main.announce.group if main is not None else ""
        sentence = _short(main) if main is not None else self.text_of_test
        text = self.text if len(self.events) > 1 or self.dropped else sentence
        own = {
            "EVENT": kind,
            "NODE": node,
            "GROUP": group,
            "LINK": main.announce.link if main is not None else "",
            "TEXT": text,
            "SUBJECT": self.subject,
            "TIME": shown_time(at),
            "CLUSTER": self.cluster,
            "REPORTER": self.reporter,
            "ALERT": self.alert,
            "COUNT": str(max(1, len(self.events)) + self.dropped),
        }
        known = main.announce.kind if main is not None else Kind.WARNING
        seconds, micros = divmod(round(at * 1e6), 1_000_000)
        theirs = {
            "kind": _pacemaker_kind(known, group),
            "version": f"hamgr-{__version__}",
            "node": node or self.reporter,
            "nodeid": "",
            "node_sequence": str(main.number if main is not None else 0),
            "desc": sentence,
            "task": _TASKS.get(known, ""),
            "rsc": group,
            "rc": "1" if known in _FAILURES else "0",
            "target_rc": "0",
            "status": "4" if known in _FAILURES else "0",  # PCMK_EXEC_ERROR, PCMK_EXEC_DONE
            "interval": "0",
            "timestamp": shown_time(at),
            "timestamp_epoch": str(seconds),
            "timestamp_usec": f"{micros:06d}",
        }
        return {f"HAMGR_{name}": value for name, value in own.items()} | {
            f"CRM_alert_{name}": value for name, value in theirs.items()
        }


def listed(events: Sequence[LoggedEvent]) -> str:
    """Which events, shortly: for the log."""
    return ", ".join(dict.fromkeys(event.announce.kind.value for event in events))


def shown_time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(timespec="milliseconds")


def _rank(kind: Kind) -> int:
    return _GRAVE.index(kind) if kind in _GRAVE else len(_GRAVE)


def _pacemaker_kind(kind: Kind, group: str) -> str:
    if kind.value.startswith("fence-"):
        return "fencing"
    return "resource" if group else "node"


def _short(event: LoggedEvent) -> str:
    """Its sentence on one line."""
    words = " ".join(event.announce.text.split())
    return words if len(words) <= LONGEST_TEXT else f"{words[:LONGEST_TEXT]}..."


def _as_json(event: LoggedEvent) -> dict[str, Any]:
    """With the names that `hamgr watch --json` has."""
    said = event.announce
    return {
        "number": event.number,
        "time": event.time,
        "reporter": event.reporter,
        "kind": said.kind.value,
        "node": said.node,
        "group": said.group,
        "link": said.link,
        "text": _short(event),
        "facts": {name: value[:LONGEST_FACT] for name, value in said.facts.items()},
    }
