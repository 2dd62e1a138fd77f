"""Events as the log has them, for tests of alerts."""

from __future__ import annotations

from hamgr.admin.events import LoggedEvent
from hamgr.core.effects import Announce, Kind

AT = 1_800_000_000.25


def event(kind: Kind, text: str = "b is dead", number: int = 1, node: str = "b", group: str = "") -> LoggedEvent:
    return LoggedEvent(number, AT + number, float(number), "a", Announce(kind, text, node, group))
