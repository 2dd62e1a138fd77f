"""What the cluster knows of DRBD's peer, and asking that peer to outdate its disk: the answers of `hamgr-drbd-fence`.

DRBD lost the connection for its data, and wants to know before it goes on alone. If the node is heard, its own DRBD is
asked, over whatever link works; what it says is a fact. If it is not heard, only the cluster's confirmation counts that
it is off or has left. Silence is no answer: DRBD then keeps waiting, as its fencing policy says.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hamgr.admin.peers import Asked, Links, Served
from hamgr.core.messages import DrbdOutdate, DrbdOutdated, Packet
from hamgr.core.status import NodeStatus, Status
from hamgr.resources import program

log = logging.getLogger(__name__)

REPEAT = 1.0
"""Seconds after which a request that was not answered is sent again."""

LOOK = 0.1
"""Seconds between two looks at what the cluster knows."""

OUTDATE_TIMEOUT = 20.0
"""Seconds for `drbdadm outdate`, which may wait for the disk."""

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,126}")
"""Of a DRBD resource; nothing that drbdadm would take for an option."""

HEARD = ("online", "joining", "suspect")
OFF = ("fenced", "acknowledged")


class Answer(enum.IntEnum):
    """The exit codes of a fence-peer handler, as DRBD's kernel takes them; DRBD goes on with none but these."""

    UNKNOWN = 1
    INCONSISTENT = 3
    OUTDATED = 4
    UNREACHABLE = 5
    PRIMARY = 6
    OFF = 7


_OF_DRBDADM = {0: Answer.OUTDATED, 5: Answer.INCONSISTENT, 17: Answer.PRIMARY}
"""How `drbdadm outdate` ends: done (or was so already), worse than outdated, refused by a primary."""


@dataclass(frozen=True, slots=True)
class Verdict:
    answer: Answer
    text: str


class DrbdDesk:
    """One node's part: questions that begin here, and requests that come from others."""

    def __init__(
        self, node: str, status: Callable[[], Status], links: Links, drbdadm: Sequence[str] = ("drbdadm",)
    ) -> None:
        self._node = node
        self._status = status
        self._drbdadm = drbdadm
        self._asked: Asked[DrbdOutdated] = Asked(links)
        self._served: Served[DrbdOutdated] = Served(links)

    # -- a question that begins here ----------------------------------------------------------------------------

    async def fence_peer(self, resource: str, host: str, patience: float) -> Verdict:
        """What is known of the peer's copy of a resource, within so many seconds. host: as DRBD calls it."""
        if not NAME.fullmatch(resource):
            return Verdict(Answer.UNKNOWN, f"{resource!r} is no name of a DRBD resource")
        peer = self._peer(host)
        if not peer:
            return Verdict(Answer.UNKNOWN, f"{host or 'the peer'} is no other node of this cluster")
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        order = DrbdOutdate(self._asked.number(), resource)
        while True:
            # Looked at anew each time: a node that is heard may die, and one that is silent may be fenced.
            verdict, pause = self._known(self._status(), peer), LOOK
            if verdict is None and (said := await self._ask(peer, order)) is None:
                verdict = Verdict(Answer.UNKNOWN, f"{peer} is asked to outdate {resource}, and has not answered")
            elif verdict is None and said is not None:
                verdict = Verdict(_OF_DRBDADM.get(said.code, Answer.UNKNOWN), f"{peer} says: {said.text}")
                order, pause = DrbdOutdate(self._asked.number(), resource), REPEAT
            assert verdict is not None
            if verdict.answer is not Answer.UNKNOWN or loop.time() >= until:
                log.info("DRBD %s, peer %s: %s (%d)", resource, peer, verdict.text, verdict.answer)
                return verdict
            await asyncio.sleep(pause)

    def _peer(self, host: str) -> str:
        """The node of that host name, whole or short; of two nodes the other one, when DRBD does not say. "": none."""
        others = {node.name.lower(): node.name for node in self._status().nodes if node.name != self._node}
        if not host:
            return next(iter(others.values())) if len(others) == 1 else ""
        return others.get(host.lower()) or others.get(host.lower().partition(".")[0]) or ""

    def _known(self, status: Status, peer: str) -> Verdict | None:
        """What the cluster knows; None when the peer itself can be asked."""
        node = _find(status, peer)
        if node.state in HEARD:
            return None
        if not status.quorate:
            # What is on our disk may be old: others may have seen the peer since.
            return Verdict(Answer.UNKNOWN, f"{peer} is not heard, and this node has no quorum to know more")
        if node.state in OFF:
            return Verdict(Answer.OFF, f"{peer} is off: {node.state}")
        if node.state == "left":
            return Verdict(Answer.UNREACHABLE, f"{peer} has left the cluster cleanly: nothing runs there")
        return Verdict(Answer.UNKNOWN, f"{peer} is {node.state}, and not confirmed off yet")

    async def _ask(self, peer: str, order: DrbdOutdate) -> DrbdOutdated | None:
        """What the peer says; None when it says nothing for a while: then the same order is sent again."""
        return await self._asked.ask(peer, _find(self._status(), peer).incarnation, order.request, order, REPEAT)

    # -- what comes from others ---------------------------------------------------------------------------------

    def takes(self, packet: Packet) -> bool:
        """Is the packet this desk's? If so, it is dealt with."""
        match packet.body:
            case DrbdOutdate() as order:
                self._served.serve(packet.sender, packet.incarnation, order.request, lambda: self._outdate(order))
            case DrbdOutdated() as said:
                self._asked.told(packet.sender, said.request, said)
            case _:
                return False
        return True

    async def _outdate(self, order: DrbdOutdate) -> DrbdOutdated:
        resource = order.resource
        if not NAME.fullmatch(resource):
            return DrbdOutdated(order.request, -1, "that is no name of a DRBD resource")
        try:
            async with asyncio.timeout(OUTDATE_TIMEOUT):
                ended = await program.run([*self._drbdadm, "outdate", resource])
        except TimeoutError:
            return DrbdOutdated(order.request, -1, f"drbdadm outdate {resource} did not end in {OUTDATE_TIMEOUT:g} s")
        except (program.CantRun, OSError) as error:
            return DrbdOutdated(order.request, -1, str(error))
        meaning = {0: "is outdated", 5: "is inconsistent", 17: "is primary here and stays so"}.get(ended.code)
        text = f"{resource} {meaning}" if meaning else f"drbdadm outdate {resource} {ended}"
        log.info("DRBD, at the request of a peer: %s", text)
        return DrbdOutdated(order.request, ended.code, text)

    async def close(self) -> None:
        await self._served.close()


def _find(status: Status, name: str) -> NodeStatus:
    return next(node for node in status.nodes if node.name == name)
