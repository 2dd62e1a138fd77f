"""A promotable OCF resource, such as DRBD: it is started on every node of its group, and promoted on one.

For the group, only what is promoted runs. The rest, being started, is looked after in the background from the first
minute of the daemon, since a copy of the data must be kept where the group does not run. What was started stays started
when the daemon ends: a restart of hamgrd is no reason to lose the second copy.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping

from hamgr.config.model import ResourceConfig
from hamgr.core.effects import Kind
from hamgr.guard.orders import Order
from hamgr.resources.ocf_advice import metadata
from hamgr.resources.ocf_agent import (
    DEGRADED,
    DEGRADED_PROMOTED,
    NOT_RUNNING,
    RUNNING_PROMOTED,
    SUCCESS,
    clone_meta,
)
from hamgr.resources.ocf_calls import Calls
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings
from hamgr.selfdescription import MetadataError

log = logging.getLogger(__name__)


SCORE_PATIENCE = 30.0
SCORE_SHARE = 0.5
"""Seconds for which a start waits for a good promotion score at most, and which share of its time."""

SCORE_PAUSE = 1.0
"""Seconds between two looks at it."""


def _good(score: int | None) -> bool:
    return score is not None and score >= 0


def _report_a_fault(step: asyncio.Task[None]) -> None:
    """A fault of ours in the background is told, and the next look is taken all the same."""
    if not step.cancelled() and (fault := step.exception()) is not None:
        log.error("looking after a promotable resource broke", exc_info=fault)


PROMOTED = frozenset({RUNNING_PROMOTED, DEGRADED_PROMOTED})
STARTED = frozenset({SUCCESS, DEGRADED})


class Promotable:
    """Options: as of `hamgr.resources.ocf.Ocf`.

    One call of the agent at a time. An order of the group ends a monitor of the background; it waits for a start of the
    background, but for a stop, which has no time to lose.
    """

    def __init__(self, config: ResourceConfig, surroundings: Surroundings) -> None:
        self._config = config
        self._around = surroundings
        self._peers = tuple(node for node in surroundings.group_nodes if node != surroundings.node)
        self._meta = clone_meta(len(self._peers) + 1)
        self._calls = Calls(config, surroundings, self._meta)
        self._notifies = False
        self._turn = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None
        self._step: asyncio.Task[None] | None = None
        self._starting = False
        self._asked = asyncio.Event()
        self._told = ""
        self._why_not = ""
        self.reason = ""

    async def prepare(self) -> None:
        await self._calls.prepare()
        self._notifies = await asyncio.to_thread(self._offers_notify)
        self._meta["notify"] = "true" if self._notifies else "false"
        if self._around.candidate:
            self._ready(f"{self._calls.agent} is not started yet", soon=True)
            self._keeper = asyncio.create_task(self._keep())

    def _offers_notify(self) -> bool:
        try:
            return metadata(self._calls.agent).offers("notify")
        except (OSError, MetadataError):
            return False

    def emergency(self) -> list[Order]:
        return self._calls.emergency("demote")

    # -- what the group orders ----------------------------------------------------------------------------------

    async def start(self) -> None:
        async with self._own_turn():
            await self._calls.settled()
            code, said = await self._calls.monitor()
            if code in PROMOTED:
                self._is_promoted()
                return
            if code not in STARTED:
                await self._start(code, said)
            self._calls.role = "running"
            await self._check_score()
            await self._change("promote")
            self._is_promoted()

    def _is_promoted(self) -> None:
        self._calls.role = "promoted"
        self._ready("")

    def _ready(self, why_not: str, *, soon: bool = False) -> None:
        """Say whether the group may be brought here; "" if it may. soon: what is missing is on its way."""
        if why_not != self._why_not:
            self._why_not = why_not
            self._around.unready(self._config.name, why_not, soon)

    async def _check_score(self) -> None:
        """It may come with a monitor: some agents set none before, and DRBD's may wait until the other node is known to
        be dead."""
        clock = asyncio.get_running_loop().time
        until = clock() + min(SCORE_PATIENCE, self._config.start_timeout * SCORE_SHARE)
        while not _good(score := await self._calls.promotion_score()):
            if clock() >= until:
                raise ResourceError(self._objection(score))
            await asyncio.sleep(min(SCORE_PAUSE, until - clock()))
            await self._calls.monitor()

    def _objection(self, score: int | None) -> str:
        """Why it can't be promoted with this score; "" if it can."""
        if _good(score):
            return ""
        has = "no promotion score" if score is None else f"the promotion score {score}"
        return (
            f"{self._calls.agent} can't be promoted on {self._around.node}: it gave itself {has}, so its data here may"
            " be older than another node's"
        )

    async def stop(self) -> None:
        """Demote it. What can't be demoted is stopped; nothing promoted is left."""
        async with self._own_turn(at_once=True):
            await self._calls.settled()
            code, said = await self._calls.monitor()
            if code in STARTED or code == NOT_RUNNING or await self._calls.nothing_can_run(code):
                self._calls.role = "running" if code in STARTED else ""
                return
            try:
                await self._change("demote")
                self._calls.role = "running"
            except ResourceError as error:
                log.warning("%s: %s; it is stopped as a whole", self._config.name, error)
                await self._stop(f"{said}; {error}")

    async def end(self) -> None:
        """Stop it as a whole, unpromoted as it is."""
        async with self._own_turn():
            await self._stop(f"{self._config.name} is ended")

    async def status(self) -> ResourceStatus:
        if self._starting:
            # It was seen not running, and an agent's start leaves it unpromoted.
            return self._not_promoted(f"{self._calls.agent} is being started")
        async with self._own_turn():
            code, said = await self._calls.monitor()
        if code in PROMOTED:
            self.reason = ""
            self._is_promoted()
            self._note(said if code == DEGRADED_PROMOTED else "")
            return ResourceStatus.RUNNING
        if code in STARTED or code == NOT_RUNNING or await self._calls.nothing_can_run(code):
            self._calls.role = "running" if code in STARTED else ""
            return self._not_promoted(f"{self._calls.agent} is not promoted" if code in STARTED else said)
        raise ResourceError(said)

    def _not_promoted(self, reason: str) -> ResourceStatus:
        self.reason = reason
        return ResourceStatus.STOPPED

    @contextlib.asynccontextmanager
    async def _own_turn(self, *, at_once: bool = False) -> AsyncIterator[None]:
        if self._step is not None and (at_once or not self._starting):
            self._step.cancel()
        try:
            async with self._turn:
                yield
        finally:
            self._asked.set()

    # -- what is done with the agent ----------------------------------------------------------------------------

    async def _start(self, code: int, said: str) -> None:
        if code != NOT_RUNNING and not await self._calls.nothing_can_run(code):
            raise ResourceError(said)
        await self._calls.started_here()
        await self._calls.succeed("start", self._notification("", "start"))
        self._calls.role = "running"
        await self._notify("post", "start")

    async def _stop(self, why: str) -> None:
        self._calls.role = ""
        code, said = await self._calls.call("stop")
        if code != SUCCESS:
            raise ResourceError(f"{why}; {said}")
        await self._calls.stopped_here()

    async def _change(self, action: str) -> None:
        await self._notify("pre", action)
        await self._calls.succeed(action, self._notification("", action))
        await self._notify("post", action)

    async def _notify(self, when: str, operation: str) -> None:
        """Agents are told of changes on their own node. One that fails has changed nothing."""
        if not self._notifies:
            return
        code, said = await self._calls.call("notify", self._notification(when, operation))
        if code != SUCCESS:
            log.warning("%s: %s", self._config.name, said)

    def _notification(self, when: str, operation: str) -> Mapping[str, str]:
        """Who is what, as Pacemaker tells it: before the operation, also after it. Of the other nodes we know that they
        keep one started, too."""
        if not self._notifies:
            return {}
        me, others = self._around.node, " ".join(self._peers)
        here = {
            "start": {"start": me, "inactive": me, "slave": others, "active": others},
            "promote": {"promote": me, "slave": f"{me} {others}".strip(), "active": f"{me} {others}".strip()},
            "demote": {"demote": me, "master": me, "slave": others, "active": f"{me} {others}".strip()},
        }[operation]
        names = ("start", "stop", "promote", "demote", "master", "slave", "active", "inactive")
        told = {"notify_type": when, "notify_operation": operation} if when else {}
        for name in names:
            nodes = here.get(name, "")
            told[f"notify_{name}_uname"] = nodes
            told[f"notify_{name}_resource"] = " ".join([self._calls.instance] * len(nodes.split()))
        told |= {f"notify_promoted_{what}": told[f"notify_master_{what}"] for what in ("uname", "resource")}
        told |= {f"notify_unpromoted_{what}": told[f"notify_slave_{what}"] for what in ("uname", "resource")}
        told["notify_available_uname"] = told["notify_all_uname"] = f"{me} {others}".strip()
        return told

    # -- the background -----------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Have it started, for as long as the daemon runs. The group's first probe comes first."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.monitor_interval):
                await self._asked.wait()
        while True:
            if not self._around.hands_off() and self._calls.role != "promoted":
                self._step = asyncio.create_task(self._look_after())
                self._step.add_done_callback(_report_a_fault)
                try:
                    await asyncio.wait([self._step])
                finally:
                    self._step.cancel()
                    self._step = None
            await asyncio.sleep(self._config.monitor_interval)

    async def _look_after(self) -> None:
        async with self._turn:
            if self._calls.role == "promoted" or self._around.hands_off():
                return  # it came while we waited
            failed = ""
            try:
                self._note(await self._improve())
            except ResourceError as error:
                failed = str(error)
            except TimeoutError:
                failed = f"{self._calls.agent} did not answer in time"
            finally:
                self._starting = False
            if failed:
                self._note(failed)
            self._ready(failed or self._objection(await self._calls.promotion_score()))

    async def _improve(self) -> str:
        """One look, and what it takes to have it started; what is left to say to the operators."""
        async with asyncio.timeout(self._config.monitor_timeout):
            code, said = await self._calls.monitor()
        if code in PROMOTED:
            # The group's next probe sees it too. Who promoted it by hand knows why; we take nothing from him.
            return f"{said}, though group {self._around.group} does not run here"
        if code in STARTED:
            self._calls.role = "running"
            return said if code == DEGRADED else ""
        if code != NOT_RUNNING and not await self._calls.nothing_can_run(code):
            async with asyncio.timeout(self._config.stop_timeout):
                await self._stop(said)
            self._note(f"{said}; it was stopped, and is started again")
        self._starting = True
        async with asyncio.timeout(self._config.start_timeout):
            await self._start(NOT_RUNNING, said)
        log.info("%s: %s is started, not promoted", self._config.name, self._calls.agent)
        return ""

    def _note(self, text: str) -> None:
        """Told once, until something else is to be told."""
        if text and text != self._told:
            self._around.tell(Kind.WARNING, f"{self._config.name}: {text}")
        self._told = text

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            if self._step is not None:
                self._step.cancel()
            await asyncio.gather(self._keeper, *([self._step] if self._step else []), return_exceptions=True)
