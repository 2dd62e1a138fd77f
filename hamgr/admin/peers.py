"""What the desks of two nodes say to each other over the links of the cluster, where a message may be lost."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from hamgr.core.messages import Body

Told = TypeVar("Told", bound=Body)


class Links(Protocol):
    def send(self, to: str, to_incarnation: int, body: Body, number: int = 0) -> None: ...


class Asked(Generic[Told]):
    """Questions that this node asks others: each is put to one life of a node, and its answer is waited for."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._numbers = itertools.count(1)
        self._waiting: dict[tuple[str, int], asyncio.Future[Told]] = {}

    def number(self) -> int:
        """Of a new question; one that is put again keeps its number, so that it is answered once."""
        return next(self._numbers)

    async def ask(self, to: str, life: int, number: int, question: Body, patience: float) -> Told | None:
        """None if nothing was answered within so many seconds."""
        waiting: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting[to, number] = waiting
        try:
            self._links.send(to, life, question)
            async with asyncio.timeout(patience):
                return await waiting
        except TimeoutError:
            return None
        finally:
            del self._waiting[to, number]

    def told(self, sender: str, number: int, answer: Told) -> None:
        """What a node answered; dropped if nobody waits for it."""
        waiting = self._waiting.get((sender, number))
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)


class Served(Generic[Told]):
    """Work that other nodes ask this one for: it is done once, and answered. Of each sender the newest
    question counts; one that is repeated when it is done is given the same answer once more."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._newest: dict[str, tuple[int, int, asyncio.Task[Told]]] = {}
        """Sender -> its life, its newest question, and the work on that."""
        self._replies: set[asyncio.Task[None]] = set()

    def serve(self, sender: str, life: int, request: int, work: Callable[[], Coroutine[Any, Any, Told]]) -> None:
        """work: makes the answer to this question; called if the question is new."""
        known_life, newest, task = self._newest.get(sender, (0, 0, None))
        if task is None or known_life != life or newest < request:
            task = asyncio.create_task(work())
            self._newest[sender] = (life, request, task)
        elif newest > request or not task.done():
            return  # the answer to the first one is on its way
        reply = asyncio.create_task(self._reply(sender, life, task))
        self._replies.add(reply)
        reply.add_done_callback(self._replies.discard)

    async def _reply(self, sender: str, life: int, task: asyncio.Task[Told]) -> None:
        self._links.send(sender, life, await asyncio.shield(task))

    async def close(self) -> None:
        tasks = [*self._replies, *(task for _, _, task in self._newest.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
