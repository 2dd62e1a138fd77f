"""Nodes that claim epochs of an arbiter, and notice when a vote was given twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from hamgr.config.model import ArbiterConfig
from hamgr.core.messages import ArbiterAnswer, ArbiterReport
from hamgr.links.arbiter import ArbiterSession
from hamgr.links.codec import Codec
from hamgr.links.keys import load_keys

REPORT = ArbiterReport(1, 4, nodes=("a", "b"), alive=("a",), deadtime=1.0, settle=0.1)


class Claimant:
    """A node that keeps on reporting, and notes every vote that it hears of. votes: epoch -> who has it."""

    def __init__(self, name: str, key: Path, ports: list[int], votes: dict[int, str], life: int = 0) -> None:
        self.name = name
        self._votes = votes
        self.report = replace(REPORT, alive=(name,))
        self.answer: ArbiterAnswer | None = None
        self.losses: list[str] = []
        keys = load_keys(key)
        more = tuple(("127.0.0.1", port) for port in ports[1:])
        config = ArbiterConfig("127.0.0.1", ports[0], more)
        codec = Codec("office", name, keys.keys, keys.active, ord(name) + 1000 * life)
        self.session = ArbiterSession(config, codec, self._answered, self.losses.append, deadtime=1.0)

    def _answered(self, answer: ArbiterAnswer, _where: str) -> None:
        self.answer = answer
        if answer.voted_for:
            first = self._votes.setdefault(answer.vote_epoch, answer.voted_for)
            assert first == answer.voted_for, f"{first} and {answer.voted_for} have the vote of {answer.vote_epoch}"

    def claim(self, epoch: int) -> None:
        self.report = replace(self.report, claim=epoch)

    async def keep_on(self) -> None:
        while True:
            self.report = replace(self.report, sent_us=self.report.sent_us + 1)
            self.session.send(self.report)
            await asyncio.sleep(0.05)


@asynccontextmanager
async def speaking(*nodes: Claimant) -> AsyncIterator[None]:
    async with AsyncExitStack() as sessions:
        for node in nodes:
            await node.session.start()
            sessions.push_async_callback(node.session.close)
        tasks = [asyncio.create_task(node.keep_on()) for node in nodes]
        sessions.callback(lambda: [task.cancel() for task in tasks])
        yield
