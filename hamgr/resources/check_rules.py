"""The rules that a resource must keep for a group to be run with it, tried on the resource itself.

It may be started when it runs and stopped when it does not, and says at every moment what is true: without that, hamgrd
would start a service beside another's, or fence a node for nothing. As ocf-tester does it, for every kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from hamgr.config.model import ResourceConfig
from hamgr.resources.group import status_of, timed
from hamgr.resources.program import left_holding
from hamgr.resources.resource import Explaining, Lasting, Resource, ResourceStatus

RUNNING, STOPPED = ResourceStatus.RUNNING, ResourceStatus.STOPPED

TIMES = 2
"""How often each thing is asked for."""

STATUS_SAYS = {
    STOPPED: "while it is stopped, status must say so (LSB: exit code 3, OCF: 7)",
    RUNNING: "while it is started, status must say that it runs (exit code 0)",
}
SUCCEEDS = {
    "start": ("a start must succeed", "a start of what is started already must succeed"),
    "stop": ("a stop must succeed, or else its node is fenced", "a stop of what is stopped already must succeed"),
}
USABLE = "its options must suit this machine, once what comes before it is started"
HOLDS = "what it leaves in the background must not hold its output: redirect it, such as >/dev/null 2>&1"


def _no_objections() -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Tried:
    """A resource under trial. only_looks: as its kind says. objections: what this machine, or the agent itself, has
    against its options now; may block."""

    config: ResourceConfig
    resource: Resource
    only_looks: bool = False
    objections: Callable[[], Sequence[str]] = _no_objections


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was asked of a resource. action: "start", "stop", "status", or "options" for an objection. after:
    what had been done with it. seconds: how long it took, allowed: how long it may. rule: the one that it broke; ""
    if none."""

    resource: str
    action: str
    after: str
    found: str
    seconds: float
    allowed: float
    rule: str = ""


class Halted(Exception):
    """The trial can't go on; the text says why."""


async def _go_on() -> str:
    return ""


class Trial:
    """Tries resources in the order of their group, each with those before it started."""

    def __init__(
        self,
        members: Sequence[Tried],
        note: Callable[[Step], None],
        hindrance: Callable[[], Awaitable[str]] = _go_on,
    ) -> None:
        """note: gets each step as it is done. hindrance: asked before each step; why it may not be taken, or ""."""
        self._members = members
        self._note = note
        self._hindrance = hindrance
        self._begun: list[Tried] = []
        self.unstarted = ""
        """The resource that did not start, so that those after it were not tried; "" if all did."""

    async def run(self, wanted: Sequence[str], *, end: bool = True) -> None:
        """Try the wanted ones. In the end all is stopped, also after a cancellation. Raises Halted.

        end: also what goes on when a resource is stopped (see `Lasting`).
        """
        last = max(index for index, member in enumerate(self._members) if member.config.name in wanted)
        members = self._members[: last + 1]
        try:
            for member in members:
                await self._at_first(member)
            for member in members:
                good = not (tried := member.config.name in wanted) or await self._try(member)
                if not (tried and member.only_looks):
                    good = await self._start(member, "a stop" if tried else "") and good
                    if tried:
                        await self._status(member, RUNNING, "a new start")
                if not good and member is not members[-1]:
                    self.unstarted = member.config.name
                    return
        finally:
            await self._leave_stopped(end)

    async def _at_first(self, member: Tried) -> None:
        """What runs here is somebody's: it is not ours to be stopped and started."""
        if member.only_looks:
            return
        for _ in range(TIMES):
            if await self._status(member, STOPPED, "") is RUNNING:
                raise Halted(
                    f"{member.config.name} says that it runs, and nothing was started; if it does, stop it first; if "
                    "it does not, its status is wrong"
                )

    async def _try(self, member: Tried) -> bool:
        """Whether it could be started."""
        for objection in await asyncio.to_thread(member.objections):
            self._note(Step(member.config.name, "options", "", objection, 0.0, 0.0, USABLE))
        for after in ("", "a start"):
            if not (good := await self._start(member, after)):
                break
            await self._status(member, RUNNING, "a second start" if after else "a start")
        if member.only_looks:
            return good
        for after in ("", "a stop"):
            await self._stop(member, after)
            await self._status(member, STOPPED, "a second stop" if after else "a stop")
        return good

    async def _start(self, member: Tried, after: str) -> bool:
        if member not in self._begun:
            self._begun.append(member)
        return await self._act(member, "start", member.resource.start, member.config.start_timeout, after)

    async def _stop(self, member: Tried, after: str) -> bool:
        return await self._act(member, "stop", member.resource.stop, member.config.stop_timeout, after)

    async def _act(
        self, member: Tried, action: str, operation: Callable[[], Awaitable[None]], allowed: float, after: str
    ) -> bool:
        await self._may_go_on()
        holding: list[str] = []
        token = left_holding.set(holding)
        began = _now()
        try:
            problem = await timed(operation(), allowed, action)
        finally:
            left_holding.reset(token)
        rule = SUCCEEDS[action][after == f"a {action}"] if problem else HOLDS if holding else ""
        self._note(Step(member.config.name, action, after, problem or "done", _now() - began, allowed, rule))
        return not problem

    async def _status(self, member: Tried, wanted: ResourceStatus, after: str) -> ResourceStatus:
        await self._may_go_on()
        began = _now()
        found, problem = await status_of(member.config, member.resource)
        told = member.resource.reason if isinstance(member.resource, Explaining) else ""
        why = problem or (told if found is not wanted else "")
        said = f"{found.value}: {why}" if why else found.value
        rule = "" if found is wanted else STATUS_SAYS[wanted]
        seconds = _now() - began
        self._note(Step(member.config.name, "status", after, said, seconds, member.config.monitor_timeout, rule))
        return found

    async def _may_go_on(self) -> None:
        if why := await self._hindrance():
            raise Halted(why)

    async def _leave_stopped(self, end: bool) -> None:
        """In reverse, and whatever hinders: that is what was begun here."""
        self._hindrance = _go_on
        for member in reversed(self._begun):
            if not member.only_looks:
                stopped = await self._stop(member, "all")
                if stopped and end and isinstance(member.resource, Lasting):
                    await self._act(member, "stop", member.resource.end, member.config.stop_timeout, "its stop")
                await self._status(member, STOPPED, "all")
        self._begun.clear()


def _now() -> float:
    return asyncio.get_running_loop().time()
