"""The daemon's side of the warm worker: starts it, hands it calls, starts it again when it died."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import time
from typing import Any

from hamgr.fencing.process import AgentExit
from hamgr.fencing.worker import LENGTH, frame

log = logging.getLogger(__name__)

RESTART_PAUSE = 0.5
"""Seconds before a worker that died is started again."""

GRACE = 1.0
"""Seconds beyond an agent's time-out until the worker itself counts as hung."""


class WorkerLost(Exception):
    """The worker died during the call: what the agent did is not known."""


class WarmWorker:
    """One worker process. `agents` are the names it can run now; none while it is not there."""

    def __init__(self) -> None:
        self.agents: frozenset[str] = frozenset()
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last_number = 0
        self._ready = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self, timeout: float = 5.0) -> None:
        """Start it and wait until it is warm; if it isn't in time, the agents run as plain programs."""
        self._keeper = asyncio.create_task(self._keep(), name="fence worker")
        try:
            await self.wait_ready(timeout)
        except TimeoutError:
            log.warning("the warm fence worker is not ready after %g s; fence agents start cold", timeout)

    async def wait_ready(self, timeout: float) -> None:
        """Until it can take calls. Raises TimeoutError."""
        await asyncio.wait_for(self._ready.wait(), timeout)

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def call(self, agent: str, stdin: str, timeout: float) -> AgentExit:
        """Run one of `agents`. Raises WorkerLost."""
        if self._writer is None:
            raise WorkerLost("the warm fence worker is not running")
        began = time.monotonic()
        self._last_number += 1
        number = self._last_number
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._writer.write(frame({"id": number, "agent": agent, "stdin": stdin, "timeout": timeout}))
        try:
            result = await asyncio.wait_for(answer, timeout + GRACE)
        except TimeoutError:
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
            raise WorkerLost(f"the warm fence worker hung for {timeout + GRACE:g} s and was killed") from None
        except asyncio.CancelledError:
            if self._writer is not None:
                self._writer.write(frame({"cancel": number}))
            raise
        finally:
            self._waiting.pop(number, None)
        return AgentExit(result["code"], result["stdout"], result["stderr"], time.monotonic() - began)

    async def _keep(self) -> None:
        while True:
            await self._one_life()
            log.warning("the warm fence worker ended; starting it again in %g s, agents start cold", RESTART_PAUSE)
            await asyncio.sleep(RESTART_PAUSE)

    async def _one_life(self) -> None:
        ours, its = socket.socketpair()
        with its:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "hamgr.fencing.worker",
                str(its.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                start_new_session=True,
            )
        self._process = process
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            while True:
                (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                self._take(json.loads(await reader.readexactly(length)), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._writer, self.agents = None, frozenset()
            self._ready.clear()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(WorkerLost("the warm fence worker died during the call"))
            writer.close()
            if process.returncode is None:
                process.kill()
            await process.wait()
            self._process = None

    def _take(self, message: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if "agents" in message:
            self.agents, self._writer = frozenset(message["agents"]), writer
            self._ready.set()
            return
        answer = self._waiting.get(message["id"])
        if answer is not None and not answer.done():
            answer.set_result(message)
