"""Has `hamgr join --renew` look once in a while whether this node's certificate at the arbiter is to be renewed.

It runs as a program of its own: it needs a cryptographic library and may wait for the network and the disk, and hamgrd
shall have neither the memory nor the time for that. The next session with the arbiter takes what it wrote.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

from hamgr.spawn import by_shell

log = logging.getLogger(__name__)

FIRST = 20.0
"""Seconds after the start, when there is time for it."""

INTERVAL = 3600.0
"""Seconds. An hour is soon enough: the arbiter renews when a third of the validity is left."""

PATIENCE = 120.0


class Renewal:
    """command: what is started; the usual one is that of this very Python."""

    def __init__(self, identity: Path, config: Path, command: list[str] | None = None) -> None:
        usual = [sys.executable, "-m", "hamgr.cli.main", "--config", str(config)]
        self._command = [*(command or usual), "join", "--renew", "--identity", str(identity)]
        self._task: asyncio.Task[None] | None = None
        self._said = ""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="the renewal of the certificate at the arbiter")

    async def _run(self) -> None:
        await asyncio.sleep(FIRST)
        while True:
            await self._ask()
            await asyncio.sleep(INTERVAL)

    async def _ask(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *by_shell(self._command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(PATIENCE):
                output, _ = await process.communicate()
        except TimeoutError:
            output = b"it did not end in time"
        finally:
            if process.returncode is None:
                process.kill()
        said = output.decode(errors="replace").strip()
        if process.returncode == 0:
            if "renewed" in said:
                log.info("%s", said)
            self._said = ""
        elif said != self._said:
            self._said = said
            log.warning("the certificate at the arbiter was not looked at: %s", said)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
