"""The alerts of a daemon: takes the events as they are announced, and puts each where it is to be told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from hamgr.admin.events import EventLog, LoggedEvent, Subscription
from hamgr.alerts.carrier import NotSent, carry, way
from hamgr.alerts.message import Message
from hamgr.alerts.outbox import Outbox
from hamgr.alerts.turns import Turns
from hamgr.config.model import Config
from hamgr.v1 import admin_pb2 as pb

log = logging.getLogger("hamgr.alerts")

LAST_WORDS = 2.0
"""Seconds in which the last messages must get through when the daemon ends."""

HOLD_MARGIN = 5.0
"""Seconds beside two deadtimes: an election, and the way of what was said last."""


class Alerts:
    """Opens with `start`, before anything is announced, and ends with `close`.

    coordinator: who is it, as this node knows. tell: makes an event of a sentence.
    """

    def __init__(self, config: Config, node: str, coordinator: Callable[[], str], tell: Callable[[str], None]) -> None:
        self._cluster = config.spec.name
        self._node = node
        self._turns = Turns(node, coordinator, 2 * config.spec.timing.deadtime + HOLD_MARGIN)
        self._outboxes = [Outbox(alert, self._cluster, node, carry, tell) for alert in config.alerts]
        self._tasks: list[asyncio.Task[None]] = []
        self._subscription: Subscription | None = None

    def faults(self) -> tuple[str, ...]:
        """Which alerts don't get through now, and why, in sentences."""
        return tuple(outbox.fault for outbox in self._outboxes if outbox.fault)

    def start(self, events: EventLog) -> None:
        if not self._outboxes:
            return
        self._subscription = events.subscribe()
        self._tasks = [asyncio.create_task(outbox.run()) for outbox in self._outboxes]
        listener = asyncio.create_task(self._listen(self._subscription))
        for task in (*self._tasks, listener):
            task.add_done_callback(_ended)
        self._listener = listener

    async def close(self) -> None:
        """Let what was said last get through, if it can be done at once."""
        if self._subscription is None:
            return
        self._subscription.close()
        self._listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listener
        for event in self._subscription.rest():
            self._take(event)
        self._put(self._turns.due(float("inf")), [])
        for outbox in self._outboxes:
            outbox.finish()
        await asyncio.wait(self._tasks, timeout=LAST_WORDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._subscription = None

    async def _listen(self, events: Subscription) -> None:
        arriving: asyncio.Future[LoggedEvent] | None = None
        try:
            while True:
                if arriving is None:
                    arriving = asyncio.ensure_future(anext(events))
                rest = self._turns.deadline - time.monotonic()
                await asyncio.wait([arriving], timeout=None if rest == float("inf") else max(0.0, rest))
                if arriving.done():
                    event, arriving = arriving.result(), None
                    self._take(event)
                else:
                    self._put(self._turns.due(time.monotonic()), [])
        finally:
            if arriving is not None and not arriving.cancel():
                self._take(arriving.result())

    def _take(self, event: LoggedEvent) -> None:
        self._put(self._turns.take(event, time.monotonic()), [event])

    def _put(self, ours: list[LoggedEvent], everybodys: list[LoggedEvent]) -> None:
        for outbox in self._outboxes:
            for event in everybodys if outbox.alert.every_node else ours:
                if event.announce.kind in outbox.alert.events:
                    outbox.put(event)

    async def test(self, name: str, operator: str) -> pb.TestAlertsReply:
        """Send a message by each alert (or the one of that name), once, and say how it went."""
        chosen = [outbox for outbox in self._outboxes if name in ("", outbox.alert.name)]
        return pb.TestAlertsReply(results=await asyncio.gather(*(self._try(outbox, operator) for outbox in chosen)))

    async def _try(self, outbox: Outbox, operator: str) -> pb.AlertResult:
        alert = outbox.alert
        text = f"{operator} asked hamgr on {self._node} to show that alert {alert.name} arrives"
        began = time.monotonic()
        try:
            await carry(alert, Message(self._cluster, alert.name, self._node, (), text_of_test=text))
            fault = outbox.fault = ""
        except NotSent as error:
            fault = str(error)
        seconds = time.monotonic() - began
        return pb.AlertResult(alert=alert.name, way=way(alert), done=not fault, text=fault, seconds=seconds)


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("this is a fault of hamgr; please report it: no more alerts come", exc_info=error)
