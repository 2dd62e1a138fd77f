"""What ends a node's groups when its hamgrd can't: `self_fence` of [cluster], and the watchdog of a node."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hamgr.config.durations import show
from hamgr.config.model import WatchdogConfig
from hamgr.config.table import Table
from hamgr.core.cluster import QuorumLoss

SHORTEST = 0.1
"""Seconds: the guard feeds four times in a time-out."""

DETAILS = ("watchdog_timeout", "watchdog_pretimeout", "watchdog_ioctl")


def read_watchdogs(nodes: Mapping[str, Table], on_quorum_loss: QuorumLoss) -> dict[str, WatchdogConfig]:
    found = {name: _watchdog(table, on_quorum_loss) for name, table in nodes.items()}
    return {name: watchdog for name, watchdog in found.items() if watchdog is not None}


def _watchdog(node: Table, on_quorum_loss: QuorumLoss) -> WatchdogConfig | None:
    device = node.file_path("watchdog", Path())
    ioctls = node.flag("watchdog_ioctl", True)
    timeout = node.optional_duration("watchdog_timeout", 1.0 if ioctls else SHORTEST)
    pretimeout = node.optional_duration("watchdog_pretimeout")
    if "watchdog" not in node.values:
        for key in DETAILS:
            if key in node.values:
                node.wrong(key, f"nothing without {node.key('watchdog')}")
        return None
    if timeout is None:
        if "watchdog_timeout" not in node.values:
            node.wrong("watchdog_timeout", 'a duration, such as "10s"')
        return None
    if ioctls and timeout != int(timeout):
        node.wrong("watchdog_timeout", "whole seconds, as the kernel counts them")
    if pretimeout is not None and (pretimeout != int(pretimeout) or pretimeout >= timeout or not ioctls):
        node.wrong("watchdog_pretimeout", f"whole seconds under {show(timeout)}, and a device with ioctls")
    if on_quorum_loss is QuorumLoss.FREEZE:
        node.wrong("watchdog", 'nothing with on_quorum_loss = "freeze": a watchdog resets a node that lost its quorum')
    return WatchdogConfig(device, timeout, pretimeout or 0.0, ioctls)
