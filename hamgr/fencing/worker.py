"""The warm worker's own program: forks a child with the agent already imported for each call it is asked for.

Talks over a Unix socket, its fd in argv: frames of a 4-byte length and a JSON object. In: id, agent, stdin,
timeout; or cancel. Out: agents (once, when ready); then id, code (null: killed at the time-out), stdout, stderr.
It ends, with all agents, at the end of the socket: that is, with the daemon.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.metadata
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

OUTPUT_LIMIT = 64 * 1024
LENGTH = struct.Struct("!I")
_PR_SET_PDEATHSIG = 1
_AGENT_PREFIX = "fence_hamgr_"


def frame(message: dict[str, Any]) -> bytes:
    body = json.dumps(message).encode()
    return LENGTH.pack(len(body)) + body


@dataclass(slots=True)
class _Call:
    number: int
    pid: int
    pidfd: int
    deadline: float
    pipes: dict[int, bytearray]
    killed: bool = field(default=False)


def our_agents() -> dict[str, Callable[[], int]]:
    """The console scripts of this distribution that are fence agents, imported."""
    scripts = importlib.metadata.distribution("hamgr").entry_points.select(group="console_scripts")
    return {script.name: script.load() for script in scripts if script.name.startswith(_AGENT_PREFIX)}


class Worker:
    """Serves one daemon until its socket ends."""

    def __init__(self, daemon: socket.socket, agents: dict[str, Callable[[], int]]) -> None:
        self._daemon = daemon
        self._agents = agents
        self._selector = selectors.DefaultSelector()
        self._selector.register(daemon, selectors.EVENT_READ)
        self._calls: dict[int, _Call] = {}
        self._received = bytearray()
        self._prctl = ctypes.CDLL(None).prctl

    def serve(self) -> None:
        self._send({"agents": sorted(self._agents)})
        try:
            while self._turn():
                pass
        finally:
            for call in list(self._calls.values()):
                self._kill(call)

    def _turn(self) -> bool:
        nearest = min((c.deadline for c in self._calls.values() if not c.killed), default=None)
        wait = None if nearest is None else max(0.0, nearest - time.monotonic())
        for key, _ in self._selector.select(wait):
            if key.fileobj is self._daemon:
                data = self._daemon.recv(OUTPUT_LIMIT)
                if not data:
                    return False
                self._received += data
                self._take_requests()
            elif key.data is not None:
                self._progress(key.data, key.fd)
        now = time.monotonic()
        for call in self._calls.values():
            if call.deadline <= now and not call.killed:
                self._kill(call)
        return True

    def _take_requests(self) -> None:
        while len(self._received) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._received)
            end = LENGTH.size + length
            if len(self._received) < end:
                return
            request = json.loads(bytes(self._received[LENGTH.size : end]))
            del self._received[:end]
            if "cancel" in request:
                for call in self._calls.values():
                    if call.number == request["cancel"]:
                        self._kill(call)
            else:
                self._start(request)

    def _start(self, request: dict[str, Any]) -> None:
        stdin = os.memfd_create("stdin")
        os.write(stdin, request["stdin"].encode())
        os.lseek(stdin, 0, os.SEEK_SET)
        (out_read, out_write), (err_read, err_write) = os.pipe(), os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(request["agent"], parent, (stdin, out_write, err_write))
        for fd in (stdin, out_write, err_write):
            os.close(fd)
        call = _Call(
            request["id"],
            pid,
            os.pidfd_open(pid),
            time.monotonic() + request["timeout"],
            {out_read: bytearray(), err_read: bytearray()},
        )
        self._calls[pid] = call
        for fd in (call.pidfd, *call.pipes):
            if fd != call.pidfd:
                os.set_blocking(fd, False)
            self._selector.register(fd, selectors.EVENT_READ, call)

    def _become(self, agent: str, parent: int, standard: tuple[int, int, int]) -> None:
        """In the child: be the agent, and never return."""
        code = 1
        try:
            os.setsid()
            self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(code)
            for number, fd in enumerate(standard):
                os.dup2(fd, number)
            os.closerange(3, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 4096 else 4096)
            sys.argv = [agent]
            code = self._agents[agent]()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _progress(self, call: _Call, fd: int) -> None:
        if call.pid not in self._calls:
            return
        if fd in call.pipes:
            self._read(call, fd)
            return
        # Whatever the agent left behind goes with it; unreaped, its process id still names its group.
        self._kill(call, by_deadline=False)
        _, status = os.waitpid(call.pid, 0)
        for pipe in call.pipes:
            while self._read(call, pipe):
                pass
        for open_fd in (call.pidfd, *call.pipes):
            with contextlib.suppress(KeyError):
                self._selector.unregister(open_fd)
            os.close(open_fd)
        del self._calls[call.pid]
        stdout, stderr = (bytes(kept).decode(errors="replace") for kept in call.pipes.values())
        code = None if call.killed else os.waitstatus_to_exitcode(status)
        self._send({"id": call.number, "code": code, "stdout": stdout, "stderr": stderr})

    def _read(self, call: _Call, fd: int) -> bool:
        try:
            chunk = os.read(fd, OUTPUT_LIMIT)
        except BlockingIOError:
            return False
        if not chunk:
            with contextlib.suppress(KeyError):
                self._selector.unregister(fd)
            return False
        kept = call.pipes[fd]
        kept += chunk[: OUTPUT_LIMIT - len(kept)]
        return True

    def _kill(self, call: _Call, by_deadline: bool = True) -> None:
        call.killed = call.killed or by_deadline
        with contextlib.suppress(ProcessLookupError):
            os.killpg(call.pid, signal.SIGKILL)
        if by_deadline:
            # The child may not have its own group yet.
            with contextlib.suppress(ProcessLookupError):
                os.kill(call.pid, signal.SIGKILL)

    def _send(self, message: dict[str, Any]) -> None:
        self._daemon.sendall(frame(message))


def main() -> int:
    # The daemon ends it, by closing the socket; a Ctrl-C at the terminal must not end a fence half-way.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    daemon = socket.socket(fileno=int(sys.argv[1]))
    agents = our_agents()
    gc.collect()
    gc.freeze()
    with contextlib.suppress(ConnectionError):
        Worker(daemon, agents).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
