"""A file system that is mounted on one machine at a time.

What is mounted is read from the kernel's list. Nothing here touches the file system itself: that would hang with it.
It is never unmounted lazily: what still has files open would go on writing to a disk that another node mounts by then.
"""

from __future__ import annotations

import asyncio
import os
import signal

from hamgr.config.model import ResourceConfig
from hamgr.core.effects import Kind
from hamgr.guard import orders
from hamgr.resources.mark import Begun, Mark
from hamgr.resources.mounts import Device, Mount, below, mounted, top
from hamgr.resources.processes import Process, send, still_there, users_of
from hamgr.resources.program import ENVIRONMENT, Finished, Unkilled, run
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings

PATIENCE_SHARE = 0.9
"""Of the stop time-out: so that the reason is told, and not only that the time was up."""

TERM_SHARE = 0.4
"""Of the patience that is left: for who was asked to end by SIGTERM. SIGKILL follows."""

PAUSE = 0.1
LONGEST_PAUSE = 1.0
"""Seconds between two tries, and looks at who still uses it."""

FSCK_GOOD = (0, 1)
"""No errors, and errors that were corrected (fsck(8))."""

NAMED = 5
"""Processes that a message names."""


WITHOUT_US = 'while mountpoint -q -- "$0" && ! umount -- "$0"; do sleep 0.2; done'
"""By sh: what the guard has killed may take a moment to let go of its files."""


class Filesystem:
    """Options: device, directory, fstype, options, force_unmount, fsck, probe."""

    def __init__(self, config: ResourceConfig, surroundings: Surroundings) -> None:
        options = config.options
        self._device = Device(str(options["device"]))
        self._directory = os.path.normpath(str(options["directory"]))
        self._fstype = str(options.get("fstype", ""))
        self._options = str(options.get("options", ""))
        self._force = options.get("force_unmount", True) is True
        self._fsck = options.get("fsck", False) is True
        self._probe = options.get("probe", False) is True
        self._patience = config.stop_timeout * PATIENCE_SHARE
        self._tell = surroundings.tell
        self._begun = Begun(Mark(surroundings, config.name))
        self._unkilled = Unkilled()
        self.reason = ""

    def emergency(self) -> list[orders.Order]:
        return [orders.run(self._patience, ENVIRONMENT.items(), ["/bin/sh", "-c", WITHOUT_US, self._directory])]

    async def prepare(self) -> None:
        await self._begun.reserve()

    # -- start ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self._unkilled.gone()
        if self._look() is ResourceStatus.RUNNING:
            return
        if self.reason:
            raise ResourceError(self.reason)
        path = self._device.path
        if path.startswith("/dev/") and not os.path.exists(path):
            raise ResourceError(f"{self._device.named} is not here: is the disk attached?")
        await self._make_directory()
        if self._fsck:
            finished = await run(["fsck", "-p", path or self._device.named], unkilled=self._unkilled)
            if finished.code not in FSCK_GOOD:
                raise ResourceError(f"fsck of {self._device.named} {finished}; repair it by hand")
        await self._mount()

    async def _make_directory(self) -> None:
        """As OCF's Filesystem does: a node that never had it mounted need not have the directory either."""
        try:
            await asyncio.to_thread(os.makedirs, self._directory, exist_ok=True)
        except OSError as error:
            raise ResourceError(f"{self._directory} can't be made as a directory: {error.strerror}") from error

    async def _mount(self) -> None:
        command = ["mount"]
        if self._fstype:
            command += ["-t", self._fstype]
        if self._options:
            command += ["-o", self._options]
        command += [self._device.named, self._directory]
        async with self._begun.start() as noted:
            finished = await run(command, unkilled=self._unkilled, noted=noted)
        if finished.code != 0:
            raise ResourceError(f"mount of {self._device.named} on {self._directory} {finished}")
        if self._look() is not ResourceStatus.RUNNING:
            raise ResourceError(self.reason or f"mount ended with 0, but {self._directory} has nothing mounted on it")

    # -- status ---------------------------------------------------------------------------------------------------

    async def status(self) -> ResourceStatus:
        found = self._look()
        if hindrance := self._unkilled.reason or await self._begun.hindrance():
            self.reason = hindrance
            return ResourceStatus.FAILED
        if found is ResourceStatus.RUNNING and self._probe and (problem := await self._unreadable()):
            self.reason = problem
            return ResourceStatus.FAILED
        return found

    def _look(self) -> ResourceStatus:
        """By the kernel's list alone."""
        mounts = mounted()
        number = self._device.number()
        here = top(mounts, self._directory)
        self.reason = ""
        if here is None:
            elsewhere = [mount for mount in self._ours(mounts, number) if mount.directory != self._directory]
            if elsewhere:
                self.reason = f"{self._device.named} is mounted on {elsewhere[0].directory}, not on {self._directory}"
                return ResourceStatus.FAILED
            return ResourceStatus.STOPPED
        if not self._device.is_source_of(here, number):
            self.reason = f"{here.source} is mounted on {self._directory}, not {self._device.named}"
            return ResourceStatus.FAILED
        if here.read_only and "ro" not in self._options.split(","):
            self.reason = (
                f"{self._device.named} on {self._directory} is read-only: the disk is write-protected, or had an error"
                " (see dmesg)"
            )
            return ResourceStatus.FAILED
        return ResourceStatus.RUNNING

    def _ours(self, mounts: list[Mount], number: tuple[int, int] | None) -> list[Mount]:
        """Where the device is mounted. It is for one machine: wherever that is, the group has not let it go.

        What has no path, as an export of NFS, may be mounted by others as well; ours is what is on our directory.
        """
        return [
            mount
            for mount in mounts
            if self._device.is_source_of(mount, number) and (self._device.path or mount is top(mounts, self._directory))
        ]

    async def _unreadable(self) -> str:
        """Read past the cache, in a process of its own: this may hang, and is then ended by the monitor's time-out."""
        commands = [["ls", "-a", self._directory]]
        if self._device.number() is not None:
            commands.append(["dd", f"if={self._device.path}", "of=/dev/null", "bs=4096", "count=1", "iflag=direct"])
        for command in commands:
            finished = await run(command)
            if finished.code != 0:
                return f"{self._device.named} can't be read: {' '.join(command)} {finished}"
        return ""

    # -- stop -----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        await self._begun.end_earlier()
        await self._unkilled.gone()
        clock = asyncio.get_running_loop().time
        until = clock() + self._patience
        mercy = clock() + self._patience * TERM_SHARE
        pause = PAUSE
        asked: set[Process] = set()
        while (failed := await self._unmount()) is not None:
            mount, finished = failed
            users = await asyncio.to_thread(users_of, mount)
            if clock() >= until:
                raise ResourceError(f"{mount.directory} can't be unmounted: umount {finished}; {_named(users)}")
            if self._force and users:
                self._end(mount, users, asked, killing=clock() >= mercy)
            asked.update(users)
            await self._until_gone(users, min(until, max(mercy, clock() + pause)), pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _unmount(self) -> tuple[Mount, Finished] | None:
        """Unmount all that is ours, and what is mounted below it. Returns what could not be, and how that failed."""
        while True:
            mounts = mounted()
            ours = self._ours(mounts, self._device.number())
            if not ours:
                return None
            target = (below(mounts, ours[-1].directory) or [ours[-1]])[0]
            finished = await run(["umount", target.directory], unkilled=self._unkilled)
            if finished.code != 0:
                return target, finished
            if target.directory != self._directory:
                self._tell(Kind.WARNING, f"{target.source} was mounted on {target.directory} as well: unmounted")

    def _end(self, mount: Mount, users: list[Process], asked: set[Process], *, killing: bool) -> None:
        """Ask each once to end, and kill who does not."""
        others = [process for process in users if process.pid != os.getpid()]
        new = [process for process in others if killing or process not in asked]
        for process in new:
            send(process, signal.SIGKILL if killing else signal.SIGTERM)
        if new:
            how = "killed" if killing else "asked to end (SIGTERM)"
            self._tell(Kind.WARNING, f"{mount.directory} is busy: {_named(new)}; {how}")

    async def _until_gone(self, users: list[Process], until: float, pause: float) -> None:
        """Wait until none of them is there, or the time has come; a moment in any case."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, min(pause, until - clock())))
        while clock() < until and any(still_there(process) for process in users):  # noqa: ASYNC110 - others end
            await asyncio.sleep(PAUSE)

    async def close(self) -> None:
        return


def _named(users: list[Process]) -> str:
    if not users:
        return "no process uses it: look for an NFS export, a swap file or a loop device on it"
    more = f" and {len(users) - NAMED} more" if len(users) > NAMED else ""
    return "used by " + ", ".join(map(str, users[:NAMED])) + more
