"""A service with an init script: any executable with `start`, `stop` and `status` (LSB 5, 22.2)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from typing import IO

from hamgr.config.model import ResourceConfig
from hamgr.resources.resource import ResourceError, ResourceStatus
from hamgr.spawn import by_shell, our_turn, why_not_loaded

TAIL = 4096
"""Bytes of a script's output that are kept for the explanation."""

KILL_WAIT = 1.0
"""Seconds to wait for the end of a script that was killed: one that hangs in the kernel may not end for hours."""

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
        """Run the script to its end. Output goes to a file, in memory: a child that keeps it open keeps nobody waiting.
        """
        await our_turn()
        try:
            with os.fdopen(os.memfd_create("output"), "w+b") as output:
                # Not asyncio's: a cancellation while it spawns would kill the script, but not the script's children.
                process = subprocess.Popen(  # noqa: ASYNC220 - asyncio's own does the same, with a thread to wait
                    by_shell([self._script, *self._args, action]),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=ENVIRONMENT,
                    cwd="/",
                    start_new_session=True,
                )
                code, said = await _ended(process), _tail(output)
        except OSError as error:
            raise ResourceError(f"{self._script} can't be run: {error.strerror}") from error
        if reason := why_not_loaded(self._script, code, said):
            raise ResourceError(f"{self._script} can't be run: {reason}")
        return code, f": {said[-SHOWN:]}" if said else ""

    async def close(self) -> None:
        return


async def _ended(process: subprocess.Popen[bytes]) -> int:
    """The exit code of the leader of a process group. Who does not wait for the end leaves nothing of the group."""
    try:
        await _exit(process)
    except (asyncio.CancelledError, OSError):
        # Time is up, or a newer operation came: nothing of this one may go on.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(KILL_WAIT):
                await _exit(process)
        process.poll()
        raise
    return process.wait()


async def _exit(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has ended, without reaping it. Raises OSError if it can't be watched (pidfd_open(2))."""
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(process.pid)
    try:
        ended = asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _tail(output: IO[bytes]) -> str:
    """The end of what the script said, in one line."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - TAIL))
    return " ".join(output.read(TAIL).decode(errors="replace").split())
