"""Runs one group: starts its resources in order, stops them in reverse, and watches them while they run."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine

from hamgr.config.model import GroupConfig, ResourceConfig
from hamgr.core.cluster import GroupState
from hamgr.guard.orders import Order
from hamgr.resources.kinds import RESOURCE_KINDS
from hamgr.resources.resource import (
    Explaining,
    Guarded,
    Looking,
    Resource,
    ResourceError,
    ResourceStatus,
    Surroundings,
    Watching,
)

log = logging.getLogger(__name__)

NOWHERE = Surroundings()

CLEARING_UP = 30.0
"""Seconds that an operation which was ended may take to clear up. All that it does then has shorter bounds; this is for
a resource that is itself broken: who waits for the next report must get one."""

Report = Callable[[str, GroupState, str], None]
Member = tuple[ResourceConfig, Resource]
Operation = Callable[[], Awaitable[tuple[GroupState, str]]]


class GroupRunner:
    """Performs the core's effects for one group.

    `start`, `stop` and `probe` begin an operation and return at once; its end is reported exactly once, unless a newer
    operation came first: that one ends the older, whose end is then not reported.
    """

    def __init__(self, config: GroupConfig, report: Report, surroundings: Surroundings = NOWHERE) -> None:
        self._name = config.name
        self._members: list[Member] = [
            (resource, RESOURCE_KINDS[resource.kind].build(resource, surroundings)) for resource in config.resources
        ]
        self._report = report
        self._task: asyncio.Task[None] | None = None
        self._unfinished: set[asyncio.Task[None]] = set()
        self._monitors: list[asyncio.Task[None]] = []
        self._lost: dict[str, str] = {}
        """Of the operation under way: which resources ended meanwhile, and why."""
        for resource_config, member in self._members:
            if isinstance(member, Watching):
                member.watch(functools.partial(self._noticed, resource_config.name))

    async def prepare(self) -> None:
        """Make ready what takes time; to be called once, before the first operation."""
        for _config, resource in self._members:
            await resource.prepare()

    def start(self) -> None:
        self._begin(self._start)

    def stop(self) -> None:
        self._begin(self._stop)

    def probe(self) -> None:
        self._begin(self._probe)

    def emergency(self) -> list[Order]:
        """What ends the group without us, as far as its resources can tell."""
        members = [resource for _config, resource in reversed(self._members)]
        return [order for member in members if isinstance(member, Guarded) for order in member.emergency()]

    # -- operations ---------------------------------------------------------------------------------------------

    def _begin(self, operation: Operation) -> None:
        """Let the operation run after the one that is under way was ended, and the monitors with it."""
        for task in (self._task, *self._monitors):
            # A report may call back into us: the task that runs now has done its work, and ends by itself.
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self._monitors.clear()
        # Also those that were ended before, and are not done yet: what they began must be gone before this begins.
        # They are not cancelled once more, which would keep them from clearing up.
        older = set(self._unfinished)
        self._task = self._spawn(self._run(operation, older))

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return task

    async def _run(self, operation: Operation, older: set[asyncio.Task[None]]) -> None:
        if older and (await asyncio.wait(older, timeout=CLEARING_UP))[1]:
            state = GroupState.STOP_FAILED if operation == self._stop else GroupState.FAILED
            self._report(self._name, state, f"an earlier operation did not end within {CLEARING_UP:g} s")
            return
        self._lost.clear()
        state, detail = await operation()
        if self._task is not asyncio.current_task():
            return
        if state is GroupState.STARTED and self._lost:
            state, detail = GroupState.FAILED, "; ".join(f"{name}: {why}" for name, why in self._lost.items())
        if state is GroupState.STARTED:
            self._monitors = [self._spawn(self._monitor(member)) for member in self._members]
        self._report(self._name, state, detail)

    async def _start(self) -> tuple[GroupState, str]:
        for config, resource in self._members:
            problem = await timed(resource.start(), config.start_timeout, "start")
            if problem:
                return GroupState.FAILED, f"{config.name}: {problem}"
            # What it was before, and on the way, its start has mended.
            self._lost.pop(config.name, None)
        return GroupState.STARTED, ""

    async def _stop(self) -> tuple[GroupState, str]:
        """One that can't be stopped keeps none of the others from being stopped: the address goes in any case."""
        problems = []
        for config, resource in reversed(self._members):
            problem = await timed(resource.stop(), config.stop_timeout, "stop")
            if problem:
                problems.append(f"{config.name}: {problem}")
        if problems:
            return GroupState.STOP_FAILED, "; ".join(problems)
        return GroupState.STOPPED, ""

    async def _probe(self) -> tuple[GroupState, str]:
        found: dict[str, ResourceStatus] = {}
        problems = []
        for config, resource in self._members:
            status, problem = await status_of(config, resource)
            found[config.name] = status
            if problem:
                problems.append(f"{config.name}: {problem}")
        states = set(found.values())
        if states == {ResourceStatus.RUNNING}:
            return GroupState.STARTED, ""
        # A check that finds an answer owns nothing here: what it asks may run on every node from the boot on.
        owned = {found[config.name] for config, resource in self._members if not isinstance(resource, Looking)}
        if (owned or states) == {ResourceStatus.STOPPED}:
            return GroupState.STOPPED, ""
        told = ", ".join(f"{name} is {status.value}" for name, status in found.items())
        return GroupState.FAILED, "; ".join([told, *problems])

    async def _monitor(self, member: Member) -> None:
        config, resource = member
        while True:
            await asyncio.sleep(config.monitor_interval)
            status, problem = await status_of(config, resource)
            if asyncio.current_task() not in self._monitors:
                return
            if status is not ResourceStatus.RUNNING:
                told = resource.reason if isinstance(resource, Explaining) else ""
                self._fail(config.name, problem or told or f"is {status.value}")
                return

    def _noticed(self, name: str, why: str) -> None:
        """A resource says by itself that it ended."""
        if self._monitors:
            self._fail(name, why)
        else:
            self._lost[name] = why

    def _fail(self, name: str, why: str) -> None:
        """Report it, and watch no more: what comes next is the coordinator's to say."""
        monitors, self._monitors = self._monitors, []
        for monitor in monitors:
            if monitor is not asyncio.current_task():
                monitor.cancel()
        self._report(self._name, GroupState.FAILED, f"{name}: {why}")

    async def close(self) -> None:
        """End what is under way, without stopping any resource."""
        for task in (self._task, *self._monitors):
            if task is not None:
                task.cancel()
        await asyncio.gather(*self._unfinished, return_exceptions=True)
        for _config, resource in self._members:
            await resource.close()


async def timed(operation: Awaitable[None], timeout: float, what: str) -> str:
    """Run it for `timeout` seconds at most; "" if it succeeded, else what went wrong."""
    try:
        # Not wait_for: it may swallow a cancellation that comes together with the end (until Python 3.12).
        async with asyncio.timeout(timeout):
            await operation
    except TimeoutError:
        return f"{what} did not end within {timeout:g} s"
    except ResourceError as error:
        return str(error)
    except Exception as error:
        # A kind of resource that is itself broken: who waits for the report must still get one.
        log.exception("%s broke", what)
        return f"{what} broke: {error!r}"
    return ""


async def status_of(config: ResourceConfig, resource: Resource) -> tuple[ResourceStatus, str]:
    try:
        async with asyncio.timeout(config.monitor_timeout):
            found = await resource.status()
            failed = found is ResourceStatus.FAILED
            return found, resource.reason if failed and isinstance(resource, Explaining) else ""
    except TimeoutError:
        return ResourceStatus.FAILED, f"status did not end within {config.monitor_timeout:g} s"
    except ResourceError as error:
        return ResourceStatus.FAILED, str(error)
    except Exception as error:
        log.exception("the status of %s broke", config.name)
        return ResourceStatus.FAILED, f"status broke: {error!r}"
