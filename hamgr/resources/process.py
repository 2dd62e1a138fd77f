"""A program that stays in the foreground: hamgrd starts it, watches it, and finds it again after its own restart.

What is known of it is a mark with the program's line of /proc/PID/stat: number and start time name a process for ever.
The new process writes it itself, before it becomes the program. So at no moment does a program run that no mark tells
of, whenever hamgrd dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable

from hamgr.config.model import ResourceConfig
from hamgr.guard import orders
from hamgr.resources.command import environment, words
from hamgr.resources.mark import Mark, machine_life
from hamgr.resources.processes import Process, of_session, parse_stat, send, still_there
from hamgr.resources.program import KILL_WAIT, CantRun, Finished, exit_of, why_not_run
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings
from hamgr.spawn import NOT_EXECUTABLE, NOT_FOUND, our_turn

START = """
mark=$1 life=$2 output=$3; shift 3
read -r stat </proc/self/stat && printf '%s\\n%s\\n' "$life" "$stat" 1<>"$mark" ||
  { echo "$mark can't be written: is the disk full?"; exit 1; }
exec >>"$output" 2>&1
exec "$0" "$@"
"""
"""Its standard output is a pipe until it becomes the program, so that what keeps it from that is told."""

NOWHERE = "/dev/null"

PATIENCE_SHARE = 0.9
"""Of the stop time-out: so that the reason is told, and not only that the time was up."""

TERM_SHARE = 0.7
"""Of the patience: for who was asked to end by SIGTERM. SIGKILL follows."""

PAUSE = 0.05
"""Seconds between two looks at who is left of those that hamgrd is not the parent of."""


class ForegroundProgram:
    """Options: command, environment, output, settle."""

    def __init__(self, config: ResourceConfig, surroundings: Surroundings) -> None:
        self._command = words(config, "command")
        self._environment = environment(config)
        self._output = str(config.options.get("output", NOWHERE))
        self._settle = float(str(config.options["settle"]))
        self._patience = config.stop_timeout * PATIENCE_SHARE
        self._mark = Mark(surroundings, config.name)
        self._main: Process | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._failed: Callable[[str], None] = _nobody
        self.reason = ""

    async def prepare(self) -> None:
        await asyncio.to_thread(self._mark.reserve)

    def emergency(self) -> list[orders.Order]:
        return [orders.session(str(self._mark.path))]

    def watch(self, failed: Callable[[str], None]) -> None:
        self._failed = failed

    # -- start ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        found = await self.status()
        if found is ResourceStatus.RUNNING:
            return
        if found is ResourceStatus.FAILED:
            raise ResourceError(self.reason)
        await asyncio.to_thread(self._mark.reserve)
        self._forget()
        await our_turn()
        child = self._child = self._spawn()
        try:
            await self._become(child)
            await self.status()
            assert self._main is not None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settle):
                    await self._ended()
                raise ResourceError(f"{self.reason}; a program that puts itself into the background can't be watched")
        except asyncio.CancelledError:
            # It may not have written its mark yet.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(KILL_WAIT):
                    await exit_of(child.pid)
            raise

    def _spawn(self) -> subprocess.Popen[bytes]:
        program, *args = self._command
        given = [str(self._mark.path), machine_life(), self._output]
        try:
            return subprocess.Popen(
                ["/bin/sh", "-c", START, program, *given, *args],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise CantRun(f"{program} can't be run: {error.strerror}") from error

    async def _become(self, child: subprocess.Popen[bytes]) -> None:
        """Wait until the new process has become the program, which closes the pipe. Raises what kept it from that."""
        assert child.stdout is not None
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), child.stdout)
        try:
            said = " ".join((await reader.read()).decode(errors="replace").split())
        finally:
            transport.close()
        if said:
            await exit_of(child.pid)
            raise CantRun(f"{self._command[0]} can't be run: {said}")

    # -- status ---------------------------------------------------------------------------------------------------

    async def status(self) -> ResourceStatus:
        if self._main is None:
            self._main = _marked(await asyncio.to_thread(self._mark.read))
        main = self._main
        if main is None:
            self.reason = ""
            return ResourceStatus.STOPPED
        if still_there(main):
            self.reason = ""
            if self._watcher is None:
                self._watcher = asyncio.create_task(self._watch())
            return ResourceStatus.RUNNING
        self.reason = await self._how_it_ended()
        if left := await asyncio.to_thread(of_session, main):
            self.reason += f"; of its children there are left: {', '.join(map(str, left))}"
            return ResourceStatus.FAILED
        return ResourceStatus.STOPPED

    async def _watch(self) -> None:
        await self._ended()
        self._failed(self.reason)

    async def _ended(self) -> None:
        """Wait for the end of the program, which may be another's child."""
        assert self._main is not None
        with contextlib.suppress(ProcessLookupError):
            await exit_of(self._main.pid)
        self.reason = await self._how_it_ended()

    async def _how_it_ended(self) -> str:
        code = self._child.poll() if self._child is not None else None
        how = "ended" if code is None else Finished(code, "").how
        why = ""
        if code in (NOT_EXECUTABLE, NOT_FOUND):
            why = await asyncio.to_thread(why_not_run, self._command[0], self._environment["PATH"])
        shown = f": {why}" if why else "" if self._output == NOWHERE else f" (see {self._output})"
        return f"{' '.join(self._command)} {how}{shown}"

    # -- stop -----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        await self.status()
        main = self._main
        if main is not None:
            clock = asyncio.get_running_loop().time
            begun = clock()
            send(main, signal.SIGTERM)
            await self._until_ended(main, begun + self._patience * TERM_SHARE)
            # Of a program that ends in order, nothing is left; what is left anyway gets no order of its own.
            left = await asyncio.to_thread(of_session, main)
            while left:
                for process in left:
                    send(process, signal.SIGKILL)
                if clock() >= begun + self._patience:
                    raise ResourceError(
                        f"{', '.join(map(str, left))} was killed, but hangs in the kernel: see its disk"
                    )
                await asyncio.sleep(PAUSE)
                left = await asyncio.to_thread(of_session, main)
        if self._child is not None:
            self._child.poll()
        self._forget()
        await self._mark.forget()

    async def _until_ended(self, main: Process, until: float) -> None:
        if still_there(main):
            with contextlib.suppress(TimeoutError, ProcessLookupError):
                async with asyncio.timeout_at(until):
                    await exit_of(main.pid)

    def _forget(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        self._main = self._child = self._watcher = None
        self.reason = ""

    async def close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)


def _marked(text: str) -> Process | None:
    """Who wrote the mark. One that could not be written whole, on a full disk, is of a process that ended at once."""
    try:
        return parse_stat(text.encode())
    except (ValueError, IndexError):
        return None


def _nobody(reason: str) -> None:
    return
