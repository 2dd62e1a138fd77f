"""fence_hamgr_null: a fence agent that does nothing, says that it worked, and proves nothing."""

from __future__ import annotations

from collections.abc import Mapping

from fence_agents.agent import Agent, Power, UsageError, Warn, off_then_on, run_from_process
from fence_agents.options import Action

_WARNING = (
    "THIS AGENT FENCES NOTHING. It reports success without touching any machine: the node that it 'fenced' may "
    "still run, still answer on its addresses and still write to shared storage, and two nodes may then run the "
    "same service and destroy its data. It exists for benchmarks, and for those who knowingly run without "
    "fencing, as Heartbeat without STONITH did. It has no status action, because there is nothing to read back."
)


class NullDevice:
    """Nothing."""

    def status(self) -> Power:
        raise UsageError("there is no device to ask")

    def on(self) -> None:
        """Succeeds by definition."""

    def off(self) -> str:
        return "not at all, nothing was done"

    def reboot(self, warn: Warn) -> str:
        return off_then_on(self, warn)

    def monitor(self) -> None:
        """Succeeds by definition."""


def _open(_values: Mapping[str, str]) -> NullDevice:
    return NullDevice()


AGENT = Agent(
    name="fence_hamgr_null",
    shortdesc="FENCES NOTHING: reports success without doing anything",
    longdesc=_WARNING,
    options=(),
    actions=(Action.ON, Action.OFF, Action.REBOOT, Action.MONITOR, Action.METADATA, Action.VALIDATE_ALL),
    open=_open,
)


def main() -> int:
    return run_from_process(AGENT)
