"""The guard itself: it waits for the next feed, and acts when there was none in time.

hamgrd says until when the node may run what it runs. While that time has not come, the watchdog is fed. When it has:
the watchdog is fed no more; the addresses of all groups are taken away, then the machine is reset by sysrq, if that
is configured, else the processes are ended. A new hamgrd finds the guard of the last one by its socket.

`hamgr.guarding` starts it: DIRECTORY (of the package) CONNECTION SOCKET DEVICE TIMEOUT PRETIMEOUT IOCTLS TRIGGER.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import struct
import sys
import time

from hamgr.guard import addresses, ending
from hamgr.guard.orders import ADDRESS, LARGEST, PROTOCOL, pack, unpack, unpack_orders
from hamgr.guard.watchdog import Unusable, Watchdog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hamgr.guard.orders import Order

FOREVER = float("inf")

LOOK_AGAIN = 1.0
"""Seconds between two looks at the clock at most: one that went on while the machine slept is noticed."""

LAST_DESCRIPTOR = 64
"""The guard has a handful."""

PRIORITY = 2
"""Of SCHED_RR: above hamgrd's default."""

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
PR_SET_NAME = 15
CREDENTIALS = struct.Struct("=iII")

IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE)


class Guard:
    """trigger: where a "b" resets the machine; "" to leave it running."""

    def __init__(self, connection: socket.socket, path: str, settings: list[str]) -> None:
        device, timeout, pretimeout, ioctls, self._trigger = settings
        self._settings = settings
        self._connection: socket.socket | None = connection
        self._path = path
        self._orders: list[Order] = []
        self._until = FOREVER
        self._acted = False
        self._watchdog = Watchdog(device, float(timeout), float(pretimeout), ioctls == "1") if device else None
        self._fed = 0.0
        self._listener = _listener(path)

    def run(self) -> None:
        self._greet()
        while True:
            self._judge(now())
            sources = [self._listener] if self._connection is None else [self._listener, self._connection]
            ready = select.select(sources, [], [], self._wait(now()))[0]
            if self._connection in ready:
                self._read()
            if self._listener in ready:
                self._accept()
            self._reap()
            if self._connection is None and self._until == FOREVER:
                return self._end()
            if self._connection is None and self._acted and self._watchdog is None:
                return None

    def _wait(self, at: float) -> float:
        wait = LOOK_AGAIN
        if not self._acted:
            wait = min(wait, self._until - at)
            if self._watchdog is not None:
                wait = min(wait, self._fed + self._watchdog.interval - at)
        return max(0.0, wait)

    def _judge(self, at: float) -> None:
        if at < self._until:
            if self._watchdog is not None and at >= self._fed + self._watchdog.interval:
                self._feed(self._watchdog, at)
        elif not self._acted:
            self._act("hamgrd did not say in time that this node may go on")

    def _feed(self, watchdog: Watchdog, at: float) -> None:
        try:
            watchdog.feed()
        except OSError as error:
            self._say("acted", f"{watchdog.path} can't be fed: {error.strerror}; the machine will be reset")
        self._fed = at

    # -- hamgrd -------------------------------------------------------------------------------------------------

    def _greet(self) -> None:
        identity = self._watchdog.identity if self._watchdog is not None else ""
        self._say("guard", PROTOCOL, identity, *self._settings)

    def _say(self, *words: str) -> None:
        if self._connection is None:
            return
        with contextlib.suppress(OSError):  # one that is frozen reads nothing
            self._connection.send(pack(*words), socket.MSG_DONTWAIT)

    def _accept(self) -> None:
        """A new life of hamgrd."""
        connection, _ = self._listener.accept()
        _pid, user, _group = CREDENTIALS.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        )
        if user != os.geteuid():
            connection.close()
            return
        if self._connection is not None:
            self._connection.close()
        connection.setblocking(False)
        self._connection = connection
        self._greet()

    def _read(self) -> None:
        """All that was said until now: nothing is judged before it is known."""
        while self._connection is not None:
            try:
                message = self._connection.recv(LARGEST)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self._connection.close()
                self._connection = None
                return
            self._take(*unpack(message))

    def _take(self, verb: str, *words: str) -> None:
        if verb == "feed":
            self._until = float(words[0])
            self._acted = self._acted and now() >= self._until
            self._say("fed")
        elif verb == "orders":
            self._orders = unpack_orders(words)
        elif verb == "more":
            self._orders += unpack_orders(words)
        elif verb == "act":
            self._until = 0.0
            self._act(words[0])
        elif verb == "replace" and self._watchdog is not None and self._until != FOREVER:
            # The others count on it: what the last hamgrd ran may be running.
            text = f"the guard of the last hamgrd keeps {self._watchdog.path} until the time that it was given is over"
            self._say("refused", f"{text}: end hamgrd cleanly before its watchdog is changed")
        elif verb in ("bye", "replace"):
            self._until = FOREVER
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _end(self) -> None:
        os.unlink(self._path)
        if self._watchdog is not None:
            self._watchdog.disarm()

    # -- the end ------------------------------------------------------------------------------------------------

    def _act(self, why: str) -> None:
        self._acted = True
        try:
            done = addresses.remove([order[1] for order in self._orders if order[0] == ADDRESS])
        except OSError as error:
            done = [f"addresses can't be removed: {error.strerror or error}"]
        if self._trigger:
            try:
                with open(self._trigger, "w") as trigger:
                    trigger.write("b")
            except OSError as error:
                done.append(f"{self._trigger}: {error.strerror}; the machine is not reset")
        if os.fork() == 0:
            try:
                self._report(why, done)
            finally:
                os._exit(0)

    def _report(self, why: str, done: list[str]) -> None:
        """In a process of its own: what follows may hang, and so may the log."""
        for number in IGNORED:
            signal.signal(number, signal.SIG_DFL)
        _set_oom_score(0)
        shown = f"hamgr-guard: {why}. Addresses removed: {', '.join(done) or 'none was here'}"
        _log(shown)
        self._say("acted", why)
        os.closerange(3, LAST_DESCRIPTOR)  # the watchdog is the guard's alone, and so is its end
        for text in ending.end(self._orders):
            _log(f"hamgr-guard: {text}")
        if self._watchdog is not None:
            _log(f"hamgr-guard: {self._watchdog.path} is fed no more; it resets this machine")

    def _reap(self) -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


def _log(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, (text + "\n").encode(errors="replace"))


def now() -> float:
    """Also counts while the machine is suspended, when leases of others end."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _listener(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    listener.bind(path)
    os.umask(before)
    listener.listen(4)
    return listener


def _set_oom_score(score: int) -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
    except OSError:
        pass


def _stand_firm() -> None:
    """Whatever can be had of these is good; a guard without them still guards."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NAME, b"hamgr-guard", 0, 0, 0)
    libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)
    _set_oom_score(-1000)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    # Once for nothing, so that all of it is in memory.
    addresses.remove([])


def main() -> None:
    descriptor, path, *settings = sys.argv[1:]
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    connection = socket.socket(fileno=int(descriptor))
    connection.setblocking(False)
    try:
        guard = Guard(connection, path, settings)
    except Unusable as error:
        connection.send(pack("refused", str(error)))
        return
    except OSError as error:
        connection.send(pack("refused", f"{path}: {error.strerror}"))
        return
    _stand_firm()
    guard.run()
