"""Heartbeats through a disk that all nodes reach: no network at all, and as late as the others look.

Each node has a ring of frames there, and reads those of the others every `poll`. A process of its own does the reading
and the writing (`hamgr.disk.worker`); while it waits for the disk, newer frames take the place of older ones here.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket

from hamgr.config.model import LinkConfig
from hamgr.disk import workers
from hamgr.disk.records import NOBODY, SLOTS, State
from hamgr.disk.ring import FRAME_HEAD, MOST_BYTES, pack
from hamgr.disk.worker import DOWN, FRAME, LARGEST, PILL, RENEW, UP, WRITTEN, Place
from hamgr.links.kernel import Interfaces
from hamgr.links.link import Listener, Local

log = logging.getLogger(__name__)

RESTART = 1.0
"""Seconds before a worker that ended is started again."""

PATIENCE_POLLS, PATIENCE = 3, 1.0
"""A disk that has not answered for so many polls, and for so many seconds, is told of as down."""

WAITING = 256
"""Frames that wait for the disk at most; the oldest gives way."""


class DiskLink:
    """One device, and the worker that has it open."""

    def __init__(self, config: LinkConfig, local: Local, listener: Listener) -> None:
        self._name = config.name
        self._nodes = config.nodes
        self._device = config.devices[local.node]
        self._place = Place(self._device, local.cluster, local.node, secrets.token_bytes(16), config.poll, config.reset)
        self._listener = listener
        self._patience = max(PATIENCE, PATIENCE_POLLS * config.poll)
        self._waiting: dict[tuple[str, str], bytes] = {}
        self._socket: socket.socket | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._asked_at: float | None = None
        """When the worker was asked for what it has not done yet."""
        self._closing = False
        self._up = False
        self._said = (False, "")
        self._slots: dict[str, int] = {}

    async def open(self) -> None:
        self._change(False, f"waits for {self._device}")
        self._keeper = asyncio.create_task(self._keep(), name=f"link {self._name}")

    # -- the worker ---------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            try:
                await self._one_life()
            except OSError as error:
                self._change(False, f"the process for {self._device} can't be started: {error.strerror}")
            await asyncio.sleep(RESTART)

    async def _one_life(self) -> None:
        loop = asyncio.get_running_loop()
        ours, its = workers.connection(2 * LARGEST)
        process = None
        try:
            with its:
                process = await workers.start("hamgr.disk.worker", its, self._place.words())
            self._socket = ours
            self._asked_at = None
            loop.add_reader(ours.fileno(), self._readable)
            self._tick()
            code = await process.wait()
            self._change(False, f"the process for {self._device} ended ({code}); it is started again")
        finally:
            if self._closing:
                # The farewell may still wait.
                self._asked_at = None
                self._ask(State.LEFT)
            self._socket = None
            if self._timer is not None:
                self._timer.cancel()
            loop.remove_reader(ours.fileno())
            ours.close()
            if process is not None:
                await workers.end(process)

    def _readable(self) -> None:
        # A turn of the loop for a few frames: others wait too.
        for _ in range(SLOTS):
            if self._socket is None:
                return
            try:
                message = self._socket.recv(LARGEST)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                # The worker's end is told of by its process; a closed socket would be readable for ever.
                asyncio.get_running_loop().remove_reader(self._socket.fileno())
                return
            self._told(message[:1], message[1:])

    def _told(self, kind: bytes, rest: bytes) -> None:
        if kind == WRITTEN:
            self._asked_at = None
            self._change(True, f"{self._device}, read every {round(self._place.poll * 1000)} ms")
            if self._waiting:
                self._ask()
        elif kind == FRAME:
            self._listener.received(self._name, rest[1:], f"{self._device}, slot {rest[0]}")
        elif kind == UP:
            self._slots = {name: slot for slot, name in enumerate(rest.decode().split("\n"))}
            self._asked_at = None
            self._ask()
        elif kind == DOWN:
            self._asked_at = None
            self._waiting.clear()
            self._change(False, rest.decode(errors="replace"))
        elif kind == PILL:
            sender = rest[len(NOBODY) :].decode(errors="replace")
            does = (
                f"{self._place.reset} resets this machine" if self._place.reset else "the link has no `reset`: nothing"
            )
            log.critical("link %s: a poison pill from %s: %s", self._name, sender, does)

    def _change(self, up: bool, detail: str) -> None:
        if (up, detail) == self._said:
            return
        self._up, self._said = up, (up, detail)
        self._listener.changed(self._name, up, detail)

    # -- what goes to the disk ----------------------------------------------------------------------------------

    def send(self, to: str, frame: bytes, slot: str) -> None:
        if not self._up:
            self._listener.failed(self._name, "the disk is not there")
            return
        self._waiting[to, slot] = frame
        if len(self._waiting) > WAITING:
            del self._waiting[next(iter(self._waiting))]
        if self._asked_at is None:
            # All that is said in this turn of the loop goes to the disk in one write.
            asyncio.get_running_loop().call_soon(self._ask)

    def _tick(self) -> None:
        """The lease moves every poll, whether or not there is something to say."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._place.poll, self._tick)
        if self._asked_at is None:
            self._ask()
        elif self._up and loop.time() - self._asked_at > self._patience:
            self._waiting.clear()
            self._change(False, f"{self._device} has not answered for {loop.time() - self._asked_at:.1f} s")

    def _ask(self, state: State = State.RUNNING) -> None:
        if self._socket is None or self._asked_at is not None:
            return
        batch = pack(self._taken())
        try:
            self._socket.send(RENEW.pack(state) + batch)
        except BlockingIOError:
            # The worker waits for the disk, and has not taken what it was told before.
            self._listener.failed(self._name, "the disk takes nothing")
            return
        except OSError:
            return  # The worker ended.
        self._asked_at = asyncio.get_running_loop().time()

    def _taken(self) -> list[tuple[int, bytes]]:
        """As much as one batch holds; the rest waits for the next."""
        taken, size = [], 0
        for key in list(self._waiting):
            frame = self._waiting[key]
            if size + FRAME_HEAD + len(frame) > MOST_BYTES:
                break
            del self._waiting[key]
            slot = self._slots.get(key[0])
            if slot is None:
                self._listener.failed(self._name, f"the disk has no slot for {key[0]}")
                continue
            taken.append((slot, frame))
            size += FRAME_HEAD + len(frame)
        return taken

    def drop_waiting(self) -> None:
        self._waiting.clear()

    def interfaces_changed(self, interfaces: Interfaces) -> None:
        """A disk has none."""

    async def close(self) -> None:
        self._closing = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
