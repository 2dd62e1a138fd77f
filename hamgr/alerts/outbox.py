"""The messages of one alert on their way: a bounded queue, one message at a time, again and again until it arrives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_exponential

from hamgr.admin.events import LoggedEvent
from hamgr.alerts.carrier import NotSent
from hamgr.alerts.message import Message, listed
from hamgr.config.model import AlertConfig

log = logging.getLogger("hamgr.alerts")

MOST_WAITING = 200
"""Events that wait for one alert; of more the oldest are dropped, and counted."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between two attempts: twice as many each time."""

Carry = Callable[[AlertConfig, Message], Awaitable[None]]
Tell = Callable[[str], None]


class Outbox:
    """Of one alert. `put` never waits; `run` is the task that delivers, and ends after `finish`."""

    def __init__(
        self,
        alert: AlertConfig,
        cluster: str,
        reporter: str,
        carry: Carry,
        tell: Tell,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        """tell: is told in a sentence what was given up."""
        self.alert = alert
        self.fault = ""
        """Why nothing gets through now, in a sentence; "" after the last message did."""
        self._cluster = cluster
        self._reporter = reporter
        self._carry = carry
        self._tell = tell
        self._first_pause = first_pause
        self._waiting: deque[LoggedEvent] = deque()
        self._dropped = 0
        self._arrived = asyncio.Event()
        self._finishing = asyncio.Event()

    def put(self, event: LoggedEvent) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(event)
        self._arrived.set()

    def finish(self) -> None:
        """One more attempt for what waits, at once and all in one, and no more."""
        self._finishing.set()
        self._arrived.set()

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self._deliver(self._next())
                await self._rest(self.alert.min_interval)
            if self._finishing.is_set():
                return

    def _next(self) -> Message:
        """All that waits; one event where each is to be a message of its own."""
        single = self.alert.min_interval == 0 and not self._finishing.is_set()
        events = (self._waiting.popleft(),) if single else tuple(self._waiting)
        if not single:
            self._waiting.clear()
        dropped, self._dropped = self._dropped, 0
        return Message(self._cluster, self.alert.name, self._reporter, events, dropped)

    async def _deliver(self, message: Message) -> None:
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(NotSent),
            wait=wait_exponential(multiplier=self._first_pause, max=LONGEST_PAUSE),
            stop=self._over,
            sleep=self._rest,
            before_sleep=self._complain,
            reraise=True,
        )
        try:
            await attempts(self._carry, self.alert, message)
            self.fault = ""
        except NotSent as error:
            lost = len(message.events) + message.dropped
            text = f"alert {self.alert.name} gave up a message of {lost} events ({listed(message.events)}): {error}"
            self.fault = f"alert {self.alert.name} does not get through: {error} (hamgr alert test {self.alert.name})"
            self._tell(text)

    def _over(self, state: RetryCallState) -> bool:
        return self._finishing.is_set() or stop_after_delay(self.alert.give_up)(state)

    def _complain(self, state: RetryCallState) -> None:
        """To the log once a message; the rest is said when it is given up."""
        assert state.outcome is not None
        self.fault = f"alert {self.alert.name} does not get through: {state.outcome.exception()}"
        if state.attempt_number == 1:
            log.warning("%s", self.fault)

    async def _rest(self, seconds: float) -> None:
        """Wait, unless it is to end."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._finishing.wait(), seconds)
