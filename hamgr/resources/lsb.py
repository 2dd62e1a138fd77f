"""A service with an init script: any executable with `start`, `stop` and `status` (LSB 5, 22.2)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from typing import IO

from hamgr.config.model import ResourceConfig
from hamgr.resources.resource import ResourceError, ResourceStatus

TAIL = 4096
"""Bytes of a script's output that are kept for the explanation."""

SHOWN = 200
"""Characters of the output's end that an explanation shows."""

STATUS_RUNNING = 0
STATUS_STOPPED = 3

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C", "LC_ALL": "C"}


class Lsb:
    """Options: script (absolute path), args (put before the action, as Heartbeat's haresources did)."""

    def __init__(self, config: ResourceConfig) -> None:
        self._script = str(config.options["script"])
        args = config.options.get("args", [])
        assert isinstance(args, list)
        self._args = [str(arg) for arg in args]

    async def prepare(self) -> None:
        return

    async def start(self) -> None:
        code, output = await self._run("start")
        if code != 0:
            raise ResourceError(f"{self._script} start ended with {code}{output}")

    async def stop(self) -> None:
        code, output = await self._run("stop")
        if code != 0:
            raise ResourceError(f"{self._script} stop ended with {code}{output}")

    async def status(self) -> ResourceStatus:
        code, _output = await self._run("status")
        if code == STATUS_RUNNING:
            return ResourceStatus.RUNNING
        return ResourceStatus.STOPPED if code == STATUS_STOPPED else ResourceStatus.FAILED

    async def _run(self, action: str) -> tuple[int, str]:
        """Run the script to its end. Output goes to a file: a child that keeps it open keeps nobody waiting."""
        with tempfile.TemporaryFile() as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    self._script,
                    *self._args,
                    action,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=ENVIRONMENT,
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                raise ResourceError(f"{self._script} can't be run: {error.strerror}") from error
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                # Time is up, or a newer operation came: nothing of this one may go on.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
                raise
            return code, _tail(output)

    async def close(self) -> None:
        return


def _tail(output: IO[bytes]) -> str:
    """The end of what the script said, as ": ..."; "" if it said nothing."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - TAIL))
    words = " ".join(output.read(TAIL).decode(errors="replace").split())
    return f": {words[-SHOWN:]}" if words else ""
