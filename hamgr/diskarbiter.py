"""A node's session with an arbiter that is a disk: reports in, answers out, and a process that reads and writes for it.

`arbiter.diskvote` decides; here its effects are done, one after the other, by `hamgr.disk.voteworker`. A disk that
hangs holds up nothing but the answers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from arbiter.ballot import Slip
from arbiter.decide import Explain, WakeAt
from arbiter.diskvote import (
    Ask,
    Claim,
    DiskArbiter,
    DiskEffect,
    Look,
    Lost,
    PutClaim,
    PutSlip,
    PutState,
    Slot,
    Tell,
    View,
)
from arbiter.explanations import Explanations
from hamgr.core.messages import ArbiterAnswer, ArbiterReport, ClusterState, Stamp
from hamgr.disk import workers
from hamgr.disk.voteworker import LARGEST
from hamgr.links.convert import body_in, body_out
from hamgr.v1 import cluster_pb2 as pb

log = logging.getLogger("hamgr")

LOCK = "disk-arbiter.lock"
"""In the state directory."""

RESTART = 1.0
"""Seconds before a process that ended is started again."""


class DiskSession:
    """Keeps a process that has the disk open, and asks it for one thing at a time. Only the newest report counts."""

    def __init__(
        self,
        device: str,
        cluster: str,
        node: str,
        incarnation: int,
        state_dir: Path,
        patience: float,
        on_answer: Callable[[ArbiterAnswer, str], None],
        on_lost: Callable[[str], None],
    ) -> None:
        """patience: seconds after which a disk that has not answered is told of."""
        self._device = device
        self._cluster = cluster
        self._state_dir = state_dir
        self._explanations: Explanations | None = None
        self._words = [device, cluster, node, str(state_dir / LOCK)]
        self._node = node
        self._incarnation = incarnation
        self._patience = patience
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._arbiter = DiskArbiter(node, incarnation)
        self._votes = ""
        """Of whose making the arbiter's part of the disk is that our arbiter knows."""
        self._newest: ArbiterReport | None = None
        self._asked: Ask | None = None
        self._complaint: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._socket: socket.socket | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._muted = False

    async def start(self) -> None:
        self._explanations = Explanations(self._state_dir)
        self._keeper = asyncio.create_task(self._keep(), name="the session with the arbiter's disk")

    def send(self, report: ArbiterReport) -> None:
        if self._muted:
            return
        self._newest = report
        if self._socket is not None:
            self._perform(self._arbiter.report(_now(), report))

    def mute(self) -> None:
        """Write nothing anymore, ever."""
        self._muted = True
        self._newest = None
        if self._timer is not None:
            self._timer.cancel()

    # -- the process --------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            try:
                await self._one_life()
            except OSError as error:
                self._on_lost(f"the process for {self._device} can't be started: {error.strerror}")
            await asyncio.sleep(RESTART)

    async def _one_life(self) -> None:
        loop = asyncio.get_running_loop()
        ours, its = workers.connection(LARGEST)
        process = None
        try:
            with its:
                process = await workers.start("hamgr.disk.voteworker", its, self._words)
            self._socket = ours
            loop.add_reader(ours.fileno(), self._readable)
            if self._newest is not None:
                self.send(self._newest)
            code = await process.wait()
            self._on_lost(f"the process for {self._device} ended ({code}); it is started again")
        finally:
            loop.remove_reader(ours.fileno())
            self._socket = None
            ours.close()
            if self._asked is not None:
                self._answered({"failed": f"the process for {self._device} ended"})
            if process is not None:
                await workers.end(process)

    def _readable(self) -> None:
        assert self._socket is not None
        try:
            message = self._socket.recv(LARGEST)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            # Its end is told of by its process; a closed socket would be readable for ever.
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            return
        self._answered(json.loads(message))

    # -- what the arbiter wants ---------------------------------------------------------------------------------

    def _perform(self, effects: list[DiskEffect]) -> None:
        for effect in effects:
            match effect:
                case Tell(answer):
                    self._on_answer(answer, self._device)
                case Lost(reason):
                    self._on_lost(reason)
                case WakeAt(time):
                    if self._timer is not None:
                        self._timer.cancel()
                    if not self._muted:
                        loop = asyncio.get_running_loop()
                        self._timer = loop.call_later(max(0.0, time - _now()), self._tick)
                case Explain(text, sides=sides):
                    told = "; ".join(f"{side.claimant}: {side.facts}" for side in sides)
                    log.info("arbiter %s: %s%s", self._device, text, f" ({told})" if told else "")
                    if self._explanations is not None:
                        self._explanations.keep(self._cluster, effect)
                case Look() | PutClaim() | PutSlip() | PutState():
                    self._ask(effect)

    def _tick(self) -> None:
        self._timer = None
        if self._socket is not None and not self._muted:
            self._perform(self._arbiter.tick(_now()))

    def _ask(self, ask: Ask) -> None:
        loop = asyncio.get_running_loop()
        self._asked = ask
        self._complaint = loop.call_later(self._patience, self._complain, 1)
        try:
            if self._muted or self._socket is None:
                raise OSError(0, "this node is silent" if self._muted else "the process ended")
            self._socket.send(json.dumps({"votes": self._votes, **_request(ask)}).encode())
        except OSError as error:
            # Not within this turn: whoever asks does not expect the end before the beginning is over.
            loop.call_soon(self._answered, {"failed": f"{self._device}: {error.strerror}"})

    def _complain(self, times: int) -> None:
        self._on_lost(f"{self._device} has not answered for {times * self._patience:g} s")
        loop = asyncio.get_running_loop()
        self._complaint = loop.call_later(self._patience, self._complain, times + 1)

    def _answered(self, reply: dict[str, Any]) -> None:
        asked, self._asked = self._asked, None
        if asked is None:
            return
        if self._complaint is not None:
            self._complaint.cancel()
        if failed := reply.get("failed"):
            self._perform(self._arbiter.failed(_now(), failed))
        elif reply["votes"] != self._votes:
            # Another disk, or one that was initialised anew: what we knew of it is worth nothing.
            self._votes = reply["votes"]
            self._arbiter = DiskArbiter(self._node, self._incarnation, reply["store"])
            if self._newest is not None:
                self._perform(self._arbiter.report(_now(), self._newest))
        elif isinstance(asked, Look):
            try:
                view = _view(reply)
            except (ValueError, DecodeError, zlib.error) as error:
                self._perform(self._arbiter.failed(_now(), f"{self._device}: a cluster state makes no sense: {error}"))
                return
            self._perform(self._arbiter.done(_now(), view))
        else:
            self._perform(self._arbiter.done(_now()))

    async def close(self) -> None:
        self.mute()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        for timer in (self._timer, self._complaint):
            if timer is not None:
                timer.cancel()
        if self._explanations is not None:
            await self._explanations.close()
            self._explanations = None


def _now() -> float:
    return asyncio.get_running_loop().time()


def _request(ask: Ask) -> dict[str, Any]:
    match ask:
        case Look(states):
            return {"do": "look", "states": states}
        case PutClaim(claim):
            stored = [claim.stored.epoch, claim.stored.view]
            report = _report_out(claim.report).hex()
            return {"do": "claim", "life": claim.life, "beat": claim.beat, "stored": stored, "report": report}
        case PutSlip(slip):
            values = {name: getattr(slip, name) for name in Slip.__slots__}
            return {"do": "slip", "slip": values}
        case PutState(state):
            content = zlib.compress(_report_out(ArbiterReport(0, 0, state=state)))
            return {"do": "state", "stamp": [state.stamp.epoch, state.stamp.view], "content": content.hex()}


def _view(reply: dict[str, Any]) -> View:
    """Raises ValueError, DecodeError or zlib.error for a cluster state that makes no sense."""
    slots = []
    for slot in reply["slots"]:
        slip = None if slot["slip"] is None else Slip(**slot["slip"])
        slots.append(Slot(slot["node"], slip, _claim(slot["claim"]), slot["damage"]))
    state = ClusterState()
    if reply["state"] is not None:
        state = _report_in(zlib.decompress(bytes.fromhex(reply["state"]["content"]))).state
    return View(tuple(slots), state)


def _claim(written: dict[str, Any] | None) -> Claim | None:
    """None for one that another version wrote, or nobody."""
    if written is None:
        return None
    try:
        report = _report_in(bytes.fromhex(written["report"]))
    except (ValueError, DecodeError):
        return None
    return Claim(written["life"], written["beat"], Stamp(*written["stored"]), report)


def _report_out(report: ArbiterReport) -> bytes:
    message: bytes = body_out(report)[1].SerializeToString()
    return message


def _report_in(content: bytes) -> ArbiterReport:
    """Raises ValueError or DecodeError."""
    report = body_in(pb.Packet(arbiter_report=pb.ArbiterReport.FromString(content)))
    assert isinstance(report, ArbiterReport)
    if len(report.votes) not in (0, len(report.nodes)):
        raise ValueError("votes of other nodes")
    return report
