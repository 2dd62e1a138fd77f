"""A mark: what hamgr itself did with a resource, kept over a restart of hamgrd and forgotten when the machine boots.

It is written over itself in the place that it has had since hamgrd started: a disk that fills up later does not matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from hamgr.resources.processes import Process, find, of_group, parse_stat, send, still_there
from hamgr.resources.program import CantRun, Unkilled
from hamgr.resources.resource import ResourceError, Surroundings

DIRECTORY = "marks"
BEGUN = "begun"

DISK_WAIT = 1.0
"""Seconds for what is written if it can be: the disk may hang."""

SIZE = 1024
"""Bytes of a mark, which holds a line of /proc/PID/stat at most."""


class Mark:
    """One file in the state directory: the life of the machine, and a text. What is not async is for a thread."""

    def __init__(self, surroundings: Surroundings, resource: str) -> None:
        self.path = surroundings.state_dir / DIRECTORY / f"{surroundings.group}.{resource}"

    def reserve(self) -> None:
        """Have a place on the disk. Does not fail: the next write will, and say why."""
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self.path.open("xb") as file:
                file.write(b"\n" * SIZE)

    def read(self) -> str:
        """What was written in this life of the machine; "" if nothing was."""
        try:
            life, text, *_ = self.path.read_text(errors="replace").split("\n", 2)
        except (FileNotFoundError, ValueError):
            return ""
        except OSError as error:
            raise ResourceError(f"{self.path} can't be read: {error.strerror}") from error
        return text.strip() if life == machine_life() else ""

    def write(self, text: str) -> None:
        """Not synced: what a crash of the machine loses would be forgotten anyway."""
        content = f"{machine_life()}\n{text}\n".encode()
        assert len(content) <= SIZE
        self.reserve()
        try:
            descriptor = os.open(self.path, os.O_WRONLY)
            try:
                os.pwrite(descriptor, content.ljust(SIZE), 0)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise ResourceError(f"{self.path} can't be written: {error.strerror}") from error

    def clear(self) -> None:
        if self.read():
            self.write("")

    async def forget(self) -> None:
        """After a stop, which does not fail by it: a mark too much is only doubt, and leads to another stop."""
        with contextlib.suppress(ResourceError, TimeoutError):
            async with asyncio.timeout(DISK_WAIT):
                await asyncio.to_thread(self.clear)


def machine_life() -> str:
    """Changes with every boot, and with every start of a container: with the end of all processes."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    started = Path("/proc/1/stat").read_text().rsplit(")", 1)[1].split()[19]
    return f"{boot} {started} {os.readlink('/proc/self/ns/pid')}"


class Begun:
    """Whether hamgr may have started a resource here since the boot, and whether such a start is still on its way.

    If it has not, nothing can be running of a script that is missing, as of one on a file system that is mounted on the
    other node now. If it has, the service may live without its script.

    A hamgrd that is killed leaves the script that it started to itself: until that has ended, `status` says "stopped"
    of what will run. So the process of a start notes itself, and the next hamgrd ends it before it does anything else.
    """

    def __init__(self, mark: Mark) -> None:
        self._mark = mark
        self._noted = False
        self._settled = False

    async def reserve(self) -> None:
        await asyncio.to_thread(self._mark.reserve)

    @contextlib.asynccontextmanager
    async def start(self) -> AsyncIterator[Sequence[str]]:
        """Around the run of a start, which is noted in what this gives. Raises ResourceError."""
        await self.end_earlier()
        nothing_before = await self.nothing_can_run()
        await asyncio.to_thread(self._mark.reserve)
        try:
            yield [str(self._mark.path), machine_life()]
        except CantRun:
            if nothing_before:
                await self.over()
            raise
        self._noted = False
        await self.found_running()

    async def hindrance(self) -> str:
        """What a hamgrd before this one left on its way; "" if nothing."""
        process = await self._earlier()
        return f"a start that an earlier hamgrd began is still on its way: {process}" if process is not None else ""

    async def end_earlier(self) -> None:
        """Raises ResourceError if it can't be ended."""
        process = await self._earlier()
        if process is not None:
            unkilled = Unkilled()
            await unkilled.note(process.group)
            for one in await asyncio.to_thread(of_group, process.group):
                send(one, signal.SIGKILL)
            await unkilled.gone()
            self._settled = True

    async def _earlier(self) -> Process | None:
        """The starts of this hamgrd end before anything else begins, so that this is looked for once."""
        if self._settled:
            return None
        try:
            process = parse_stat((await asyncio.to_thread(self._mark.read)).encode())
        except (ValueError, IndexError):
            process = None
        if process is not None and still_there(process):
            return find(process.pid)  # by the name that it has now
        self._settled = True
        return None

    async def _note(self) -> None:
        await asyncio.to_thread(self._mark.write, BEGUN)
        self._noted = True

    async def found_running(self) -> None:
        """That it runs is more than that it can be noted: it is tried once."""
        if not self._noted:
            self._noted = True
            with contextlib.suppress(ResourceError, TimeoutError):
                async with asyncio.timeout(DISK_WAIT):
                    await self._note()

    async def over(self) -> None:
        """After a stop."""
        await self._mark.forget()
        self._noted = False

    async def nothing_can_run(self) -> bool:
        return await asyncio.to_thread(self._mark.read) == ""
