"""Runs the node's own health checks: a command that fails, or that hangs, takes its weight from the node's health.

As the heuristics of corosync-qdevice and the scripts of keepalived. Each check has a task of its own, so that one that
hangs holds up nobody, and runs again `interval` after it ended. A check that did not end yet counts as it did before,
and as good at the start, until its time-out is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from hamgr.config.model import HealthCheckConfig
from hamgr.links.stream import log_end
from hamgr.resources.program import Unkilled, run
from hamgr.resources.resource import ResourceError


class _Check:
    """good: what it counts as. turns: how many results in a row said something else."""

    def __init__(self, config: HealthCheckConfig) -> None:
        self.config = config
        self.good = True
        self.detail = ""
        self.turns = 0
        self.unkilled = Unkilled()

    def take(self, fault: str) -> None:
        if (fault == "") is self.good:
            self.turns = 0
            self.detail = fault
            return
        self.turns += 1
        if self.turns >= (self.config.fall if self.good else self.config.rise):
            self.good, self.turns, self.detail = not self.good, 0, fault


class HealthChecks:
    """All checks of this node. changed: called with the score and what is wrong, when one of them changed."""

    def __init__(self, checks: Sequence[HealthCheckConfig], changed: Callable[[int, str], None]) -> None:
        self._checks = [_Check(config) for config in checks]
        self._changed = changed
        self._told: tuple[int, str] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        for check in self._checks:
            task = asyncio.create_task(self._repeat(check), name=f"health check {check.config.name}")
            task.add_done_callback(log_end)
            self._tasks.append(task)
        if self._checks:
            self._judge()

    async def _repeat(self, check: _Check) -> None:
        while True:
            check.take(await _fault(check))
            self._judge()
            await asyncio.sleep(check.config.interval)

    def _judge(self) -> None:
        score = sum(check.config.weight for check in self._checks if check.good)
        wrong = [f"check {check.config.name} {check.detail}" for check in self._checks if not check.good]
        told = (score, "; ".join(wrong))
        if told != self._told:
            self._told = told
            self._changed(*told)

    def status(self) -> list[tuple[str, bool, int, str]]:
        """Of each check: its name, whether it counts as good, its weight, and what is wrong."""
        return [(check.config.name, check.good, check.config.weight, check.detail) for check in self._checks]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _fault(check: _Check) -> str:
    """What is wrong, as the end of a sentence; "" when the check succeeds."""
    try:
        async with asyncio.timeout(check.config.timeout):
            finished = await run(check.config.command, unkilled=check.unkilled)
    except TimeoutError:
        return f"did not end within {check.config.timeout:g} s"
    except ResourceError as error:
        return f"can't be run: {error}"
    return str(finished) if finished.code else ""
