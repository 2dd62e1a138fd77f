"""The way of messages: a storm is one message, what fails is tried again, and nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from alerted import event

from hamgr.alerts.carrier import NotSent
from hamgr.alerts.message import Message
from hamgr.alerts.outbox import MOST_WAITING, Outbox
from hamgr.config.model import AlertConfig
from hamgr.core.effects import Kind

PATIENCE = 5.0


class Receiver:
    """Takes messages, refuses the first so many, or holds them until it is let go."""

    def __init__(self, refusals: int = 0) -> None:
        self.messages: list[Message] = []
        self.attempts = 0
        self.open = asyncio.Event()
        self.open.set()
        self._refusals = refusals
        self._came = asyncio.Condition()

    async def __call__(self, alert: AlertConfig, message: Message) -> None:
        self.attempts += 1
        async with self._came:
            self._came.notify_all()
        await self.open.wait()
        if self.attempts <= self._refusals:
            raise NotSent("come back later")
        async with self._came:
            self.messages.append(message)
            self._came.notify_all()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self._came:
            await self._came.wait_for(true)


@asynccontextmanager
async def outbox(receiver: Receiver, min_interval: float, give_up: float = 60.0) -> AsyncIterator[tuple[Outbox, list]]:
    told: list[str] = []
    alert = AlertConfig("ops", frozenset(Kind), min_interval=min_interval, give_up=give_up)
    box = Outbox(alert, "office", "a", receiver, told.append, first_pause=0.001)
    task = asyncio.create_task(box.run())
    try:
        yield box, told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def numbers(message: Message) -> list[int]:
    return [one.number for one in message.events]


async def test_a_storm_is_one_message_after_the_first() -> None:
    receiver = Receiver()
    async with outbox(receiver, min_interval=0.1) as (box, _told):
        box.put(event(Kind.LINK_DOWN, number=1))
        await receiver.until(lambda: len(receiver.messages) == 1)
        for number in range(2, 60):
            box.put(event(Kind.LINK_DOWN, number=number))
        await receiver.until(lambda: len(receiver.messages) == 2)
    assert [numbers(message) for message in receiver.messages] == [[1], list(range(2, 60))]


async def test_without_an_interval_each_event_is_a_message() -> None:
    receiver = Receiver()
    async with outbox(receiver, min_interval=0.0) as (box, _told):
        for number in (1, 2, 3):
            box.put(event(Kind.LINK_DOWN, number=number))
        await receiver.until(lambda: len(receiver.messages) == 3)
    assert [numbers(message) for message in receiver.messages] == [[1], [2], [3]]


async def test_what_is_refused_is_tried_again_until_it_arrives() -> None:
    receiver = Receiver(refusals=3)
    async with outbox(receiver, min_interval=0.0) as (box, told):
        box.put(event(Kind.LINK_DOWN))
        await receiver.until(lambda: len(receiver.messages) == 1)
        box.put(event(Kind.LINK_UP))
        await receiver.until(lambda: len(receiver.messages) == 2)
        assert box.fault == ""
    assert receiver.attempts == 5
    assert told == []


async def test_what_never_arrives_is_given_up_and_told_and_the_next_is_tried() -> None:
    receiver = Receiver(refusals=10**6)
    async with outbox(receiver, min_interval=0.0, give_up=0.02) as (box, told):
        box.put(event(Kind.LINK_DOWN))
        await receiver.until(lambda: bool(told) or receiver.attempts > 10**5)
        assert told == ["alert ops gave up a message of 1 events (link-down): come back later"]
        assert box.fault.startswith("alert ops does not get through: come back later")
        tried = receiver.attempts
        box.put(event(Kind.NODE_DEAD))
        await receiver.until(lambda: receiver.attempts > tried)


async def test_a_full_queue_drops_the_oldest_and_says_how_many() -> None:
    receiver = Receiver()
    receiver.open.clear()
    async with outbox(receiver, min_interval=0.001) as (box, _told):
        box.put(event(Kind.LINK_DOWN, number=0))
        await receiver.until(lambda: receiver.attempts == 1)
        for number in range(1, MOST_WAITING + 8):
            box.put(event(Kind.LINK_DOWN, number=number))
        receiver.open.set()
        await receiver.until(lambda: len(receiver.messages) == 2)
    late = receiver.messages[1]
    assert (late.dropped, numbers(late)[0], len(late.events)) == (7, 8, MOST_WAITING)
    assert "7 older events were dropped" in late.text


async def test_at_the_end_what_waits_gets_one_attempt_at_once() -> None:
    receiver = Receiver()
    async with outbox(receiver, min_interval=3600.0) as (box, _told):
        box.put(event(Kind.LINK_DOWN, number=1))
        await receiver.until(lambda: len(receiver.messages) == 1)
        box.put(event(Kind.NODE_DEAD, number=2))
        box.put(event(Kind.NODE_DEAD, number=3))
        box.finish()
        await receiver.until(lambda: len(receiver.messages) == 2)
    assert numbers(receiver.messages[1]) == [2, 3]
