"""hamgrd's side of the guard: starts it or finds the last one, feeds it, and starts another when it died or hangs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import hamgr
from hamgr.core.status import GuardStatus
from hamgr.guard import orders as said
from hamgr.guard.orders import Order
from hamgr.spawn import by_shell

log = logging.getLogger(__name__)

START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from hamgr.guard.process import main; main()"

START_WAIT = 5.0
"""Seconds for the guard's first word."""

RETRY = 1.0
"""Seconds before another is started after one that did not come up."""

SILENCE = 1.0
"""Seconds without an answer to a feed after which the guard counts as frozen."""

CREDENTIALS = struct.Struct("=iII")


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """socket: where the next hamgrd finds the guard. device, timeout, pretimeout, ioctls: of the watchdog, "" for none.
    trigger: where a "b" resets the machine; "" to leave it running."""

    socket: Path
    device: str = ""
    timeout: float = 0.0
    pretimeout: float = 0.0
    ioctls: bool = True
    trigger: str = ""

    @property
    def words(self) -> list[str]:
        times = [f"{self.timeout:g}", f"{self.pretimeout:g}"]
        return [self.device, *times, "1" if self.ioctls else "0", self.trigger]


class Guarding:
    """changed: called with why there is no guard, and with "" when there is one (again)."""

    def __init__(self, settings: GuardSettings, orders: Sequence[Order], changed: Callable[[str], None]) -> None:
        self._settings = settings
        self._orders = said.pack_orders(orders)
        self._changed = changed
        self._connection: socket.socket | None = None
        self._pid = 0
        self._until: float | None = None
        self._unanswered: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._reason = ""
        self._released = self._ends = False

    @property
    def pid(self) -> int:
        """Of the guard; 0 while there is none."""
        return self._pid

    def status(self) -> GuardStatus:
        return GuardStatus(self._pid, self._settings.device, self._settings.timeout, self._reason)

    def begin(self) -> None:
        """Have a guard soon; that there is one is told, and that there can be none yet."""
        self._again(0.0)

    async def start(self) -> None:
        """As `begin`; the first try has ended when this returns."""
        if not await self._try():
            self._again(RETRY)

    def feed(self, until: float) -> None:
        """Nothing is ended before `until` (the loop's clock)."""
        self._until = until
        if self._connection is None:
            return
        now = time.monotonic()
        if self._unanswered is not None and now - self._unanswered > SILENCE:
            self._read()  # after a pause of ours the answer has been there for long
            if self._connection is None or (self._unanswered is not None and self._frozen(now)):
                return
        if self._unanswered is None:
            self._unanswered = now
        # The clocks differ by the time for which the machine was suspended.
        self._say("feed", repr(until + time.clock_gettime(time.CLOCK_BOOTTIME) - now))

    def act(self, reason: str) -> None:
        """End everything now."""
        self._say("act", reason)

    def release(self) -> None:
        """The node has left: there is nothing to guard."""
        self._released = self._ends = True
        self._say("bye")

    async def close(self) -> None:
        """Let go of the guard, which goes on if it was not released."""
        self._released = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._disconnect()
        if self._ends and self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, START_WAIT)

    # -- one guard ----------------------------------------------------------------------------------------------

    async def _try(self) -> bool:
        try:
            async with asyncio.timeout(START_WAIT):
                connection = await self._adopt()
                if connection is None:
                    connection = await self._begin()
                for message in self._orders:
                    await asyncio.get_running_loop().sock_sendall(connection, message)
        except TimeoutError:
            return self._lack(f"no word from the guard in {START_WAIT:g} s")
        except OSError as error:
            return self._lack(f"the guard can't be started: {error.strerror or error}")
        except ValueError as error:
            return self._lack(str(error))
        self._connection, self._unanswered = connection, None
        asyncio.get_running_loop().add_reader(connection.fileno(), self._read)
        if self._until is not None:
            self.feed(self._until)
        self._reason = ""
        self._changed("")
        return True

    def _lack(self, reason: str) -> bool:
        if reason != self._reason:
            self._reason = reason
            self._changed(reason)
        return False

    async def _adopt(self) -> socket.socket | None:
        """The guard of the last hamgrd, if it is of our kind."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        connection.setblocking(False)
        try:
            connection.connect(str(self._settings.socket))
        except OSError:
            connection.close()
            return None
        pid, _user, _group = CREDENTIALS.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        )
        try:
            async with asyncio.timeout(SILENCE):
                with contextlib.suppress(ValueError):
                    await self._greeted(connection)
                    self._pid = pid
                    log.info("the guard of the last hamgrd goes on (pid %d)", pid)
                    return connection
                connection.send(said.pack("replace"))
                # Until it has let go of the watchdog.
                refusal = await asyncio.get_running_loop().sock_recv(connection, said.LARGEST)
                if refusal:
                    raise ValueError(said.unpack(refusal)[-1])
        except TimeoutError:
            log.warning("the guard of the last hamgrd (pid %d) does not answer: it is killed", pid)
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
        finally:
            if self._pid != pid:
                connection.close()
        return None

    async def _begin(self) -> socket.socket:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        root = str(Path(hamgr.__file__).parent.parent)
        with its:
            arguments = [root, str(its.fileno()), str(self._settings.socket), *self._settings.words]
            self._process = subprocess.Popen(  # noqa: ASYNC220 - asyncio's own would end it with the daemon
                by_shell([sys.executable, "-I", "-S", "-c", START, *arguments]),
                stdin=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                start_new_session=True,
                cwd="/",
            )
        ours.setblocking(False)
        try:
            await self._greeted(ours)
            self._pid = self._process.pid
        except BaseException:
            ours.close()
            with contextlib.suppress(OSError):
                self._process.kill()
            raise
        return ours

    async def _greeted(self, connection: socket.socket) -> None:
        """Raises ValueError for a guard that is not ours, with what it said."""
        message = await asyncio.get_running_loop().sock_recv(connection, said.LARGEST)
        verb, *words = said.unpack(message)
        if verb == "refused":
            raise ValueError(words[0])
        if not message:
            raise ValueError("the guard ended before its first word")
        if verb != "guard" or words[0] != said.PROTOCOL or words[2:] != self._settings.words:
            raise ValueError("a guard with other settings")
        if words[1]:
            log.info("watchdog %s: %s, %g s", self._settings.device, words[1], self._settings.timeout)

    def _say(self, *words: str) -> None:
        if self._connection is None:
            return
        try:
            self._connection.send(said.pack(*words))
        except OSError as error:
            self._lost(f"it can't be told anything ({error.strerror})")

    def _read(self) -> None:
        while self._connection is not None:
            try:
                message = self._connection.recv(said.LARGEST)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self._lost("it is dead")
                return
            verb, *words = said.unpack(message)
            if verb == "fed":
                self._unanswered = None
            else:
                log.critical("the guard acted: %s", " ".join(words))

    def _frozen(self, now: float) -> bool:
        assert self._unanswered is not None
        silence = now - self._unanswered
        with contextlib.suppress(OSError):
            os.kill(self._pid, signal.SIGKILL)
        self._lost(f"it did not answer for {silence:.1f} s")
        return True

    def _lost(self, why: str) -> None:
        self._disconnect()
        if self._released:
            return
        log.warning("the guard is lost: %s; starting another", why)
        self._again(0.0)

    def _disconnect(self) -> None:
        if self._connection is not None:
            asyncio.get_running_loop().remove_reader(self._connection.fileno())
            self._connection.close()
        self._connection, self._pid = None, 0

    def _again(self, pause: float) -> None:
        self._task = asyncio.get_running_loop().create_task(self._keep_trying(pause), name="guard")

    async def _keep_trying(self, pause: float) -> None:
        await asyncio.sleep(pause)
        if not await self._try():
            self._again(RETRY)
