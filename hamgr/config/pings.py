"""The ping targets of a configuration: `[ping.NAME]`, as Heartbeat's `ping` and `ping_group` (ha.cf(5))."""

from __future__ import annotations

from hamgr.config import addresses
from hamgr.config.model import PingConfig
from hamgr.config.problems import describe
from hamgr.config.table import Table
from hamgr.core.cluster import Timing

HIGHEST_WEIGHT = 1000
TARGETS = "an array of IPv4 or IPv6 addresses; the group answers when any of them does"


def read(root: Table, timing: Timing) -> tuple[PingConfig, ...]:
    """All groups of ping targets. Notes every mistake."""
    found = []
    for name, table in root.tables("ping").items():
        if allowed := addresses.check_name(name):
            root.mistakes.note(table.path, describe(name), allowed)
        targets = table.texts("targets", (), TARGETS)
        if not targets and not (table.values.get("targets")):
            table.wrong("targets", TARGETS)
        for target in targets:
            if allowed := addresses.check_address(target):
                root.mistakes.note(table.key("targets"), describe(target), allowed)
        found.append(
            PingConfig(
                name=name,
                targets=tuple(addresses.normal(t) for t in targets if not addresses.check_address(t)),
                weight=table.number("weight", 1, 1, HIGHEST_WEIGHT),
                interval=table.duration("interval", timing.keepalive),
                deadtime=table.duration("deadtime", timing.deadtime),
            )
        )
        table.finish()
    return tuple(found)
