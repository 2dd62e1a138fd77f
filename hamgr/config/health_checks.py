"""The health checks of a configuration: `[health.NAME]`, a node's own commands that say whether it is well."""

from __future__ import annotations

import os
from typing import Any

from hamgr.config import addresses
from hamgr.config.model import HealthCheckConfig
from hamgr.config.pings import HIGHEST_WEIGHT
from hamgr.config.problems import describe
from hamgr.config.table import Table

COMMAND = 'an array of words, an absolute path first: ["/usr/local/bin/check-storage", "--quick"]'
INTERVAL, TIMEOUT = 10.0, 5.0
"""Seconds."""
MOST_TURNS = 100


def read(root: Table) -> tuple[HealthCheckConfig, ...]:
    """All of them. Notes every mistake."""
    found = []
    for name, table in root.tables("health").items():
        if allowed := addresses.check_name(name):
            root.mistakes.note(table.path, describe(name), allowed)
        found.append(
            HealthCheckConfig(
                name=name,
                command=table.take("command", (), _command, COMMAND),
                weight=table.number("weight", 1, 1, HIGHEST_WEIGHT),
                interval=table.duration("interval", INTERVAL),
                timeout=table.duration("timeout", TIMEOUT),
                fall=table.number("fall", 1, 1, MOST_TURNS),
                rise=table.number("rise", 1, 1, MOST_TURNS),
            )
        )
        table.finish()
    return tuple(found)


def _command(value: Any) -> tuple[str, ...]:
    words = isinstance(value, list) and value and all(isinstance(word, str) and "\0" not in word for word in value)
    if not words or not os.path.isabs(value[0]):
        raise ValueError(COMMAND)
    return tuple(value)
