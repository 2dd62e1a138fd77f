"""Tries fence devices in a daemon, which knows who is heard, and who is being fenced just now."""

from __future__ import annotations

from collections.abc import Callable

from hamgr.config.model import Config, FenceDeviceConfig
from hamgr.core.status import Status
from hamgr.fencing.runner import FenceRunner
from hamgr.fencing.trial import Hearing, Trial, try_device

_HEARD = ("online", "self", "joining", "suspect")
"""States of a node of which something was heard just now."""


def hearing(status: Status, node: str) -> Hearing:
    """What is known of a node without its fence device."""
    heard = any(one.name == node and one.state in _HEARD for one in status.nodes)
    return Hearing.HEARD if heard else Hearing.SILENT


class FenceTrials:
    """Of the devices of one configuration, from one node."""

    def __init__(self, config: Config, node: str, runner: FenceRunner, status: Callable[[], Status]) -> None:
        self._config = config
        self._node = node
        self._runner = runner
        self._status = status

    async def now(self, device: FenceDeviceConfig) -> Trial | None:
        """None while the device is at work: a BMC has few sessions, and what is switched reads now so, now so."""
        if self._at_work(device.node):
            return None
        before = hearing(self._status(), device.node)
        trial = await try_device(self._runner, self._config, device, self._node, before)
        changed = self._at_work(device.node) or hearing(self._status(), device.node) is not before
        return None if changed else trial

    def _at_work(self, node: str) -> bool:
        return any(fence.node == node and fence.outcome in ("running", "delayed") for fence in self._status().fences)
