"""What only the coordinator knows, told at any node: this one asks it over the links of the cluster."""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import Callable
from dataclasses import asdict

from google.protobuf.message import DecodeError

from hamgr.admin.convert import group_to_proto
from hamgr.admin.peers import Asked, Links, Served
from hamgr.core.messages import Inquiry, InquiryTold, Packet
from hamgr.core.status import Balance, Status
from hamgr.v1 import admin_pb2 as pb

REPEAT = 0.5
"""Seconds after which a question that was not answered is put again."""

PATIENCE = 3.0
"""Seconds for the way to the coordinator and back, and for a change of coordinators."""

MOST = 1 << 20
"""Bytes of an answer, unpacked."""

MOST_MOVES = 500
"""Of one plan: what is left is told when these are done."""

HEARD = ("online", "joining", "suspect")

EXPLAIN, REBALANCE = "explain", "rebalance"


class Unanswered(Exception):
    """The coordinator has not answered, or there is none; the text says it."""


class InquiryDesk:
    """One node's part: questions that begin here, and those that others ask this one as the coordinator."""

    def __init__(
        self,
        node: str,
        status: Callable[[], Status],
        links: Links,
        balance: Callable[[tuple[str, ...]], Balance | None],
    ) -> None:
        self._node = node
        self._status = status
        self._balance = balance
        self._asked: Asked[InquiryTold] = Asked(links)
        self._served: Served[InquiryTold] = Served(links)

    # -- a question that begins here ----------------------------------------------------------------------------

    async def explain(self, group: str) -> pb.ExplainReply:
        """Why it runs where it does; if the coordinator does not say it, what is known here, and why no more."""
        here = self._explained(group)
        if here.problem:
            return here
        try:
            return pb.ExplainReply.FromString(await self._ask(EXPLAIN, (group,)))
        except (Unanswered, DecodeError) as error:
            known = self._explained(group)
            known.group.waits.extend(self._status().waits)
            known.problem = str(error)
            return known

    async def plan(self, groups: tuple[str, ...]) -> pb.RebalancePlan:
        """Which groups to move, or which of these, so that the nodes are more even."""
        names = [group.name for group in self._status().groups]
        if unknown := [group for group in groups if group not in names]:
            there = ", ".join(names) or "none"
            return pb.RebalancePlan(problem=f"no group {', '.join(unknown)}; there are: {there}")
        try:
            return pb.RebalancePlan.FromString(await self._ask(REBALANCE, groups))
        except (Unanswered, DecodeError) as error:
            return pb.RebalancePlan(problem=str(error))

    async def _ask(self, about: str, groups: tuple[str, ...]) -> bytes:
        """Raises Unanswered."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while True:
            status = self._status()
            try:
                if status.role == "coordinator":
                    return await self._answer(about, groups)
                return await self._told(status, about, groups)
            except Unanswered:
                if loop.time() >= until:
                    raise
            # Who follows a new coordinator, or none, may be told so in a moment.
            await asyncio.sleep(REPEAT / 5)

    async def _told(self, status: Status, about: str, groups: tuple[str, ...]) -> bytes:
        """What the one that leads says to it; asked once. Raises Unanswered."""
        leader = next((node for node in status.nodes if node.name == status.coordinator), None)
        if leader is None or leader.state not in HEARD:
            gone = f"{leader.name} decides, and is {leader.state}" if leader is not None else "nobody decides now"
            raise Unanswered(f"{gone}; `hamgr status` says what is awaited")
        order = Inquiry(self._asked.number(), about, groups)
        told = await self._asked.ask(leader.name, leader.incarnation, order.request, order, REPEAT)
        if told is None:
            raise Unanswered(f"{leader.name} decides, and has not answered {self._node}")
        if told.problem:
            raise Unanswered(told.problem)
        try:
            return zlib.decompressobj().decompress(told.card, MOST)
        except zlib.error:
            raise Unanswered(f"the answer of {leader.name} makes no sense") from None

    # -- what comes from others ---------------------------------------------------------------------------------

    def takes(self, packet: Packet) -> bool:
        """Is the packet this desk's? If so, it is dealt with."""
        match packet.body:
            case Inquiry() as order:
                self._served.serve(packet.sender, packet.incarnation, order.request, lambda: self._serve(order))
            case InquiryTold() as told:
                self._asked.told(packet.sender, told.request, told)
            case _:
                return False
        return True

    async def _serve(self, order: Inquiry) -> InquiryTold:
        try:
            if self._status().role != "coordinator":
                raise Unanswered(f"{self._node} is not the coordinator now")
            return InquiryTold(order.request, zlib.compress(await self._answer(order.about, order.groups), 9))
        except Unanswered as error:
            return InquiryTold(order.request, problem=str(error))

    # -- the answers --------------------------------------------------------------------------------------------

    async def _answer(self, about: str, groups: tuple[str, ...]) -> bytes:
        """The coordinator's. Raises Unanswered."""
        if about == EXPLAIN and len(groups) == 1:
            found = self._explained(groups[0])
            if found.problem:
                raise Unanswered(f"{self._node} runs another configuration: {found.problem}")
            return found.SerializeToString()
        if about == REBALANCE:
            balance = self._balance(groups)
            if balance is None:
                raise Unanswered(f"{self._node} is not the coordinator now")
            # A thread: with many groups it takes longer than a heartbeat can wait.
            moves = await asyncio.to_thread(list, itertools.islice(balance.moves, MOST_MOVES))
            told = [pb.Move(**asdict(move)) for move in moves]
            plan = pb.RebalancePlan(moves=told, fixed=balance.fixed, hindrance=balance.hindrance)
            return plan.SerializeToString()
        raise Unanswered(f"{self._node} runs another version of hamgr, and can't say that")

    def _explained(self, group: str) -> pb.ExplainReply:
        """As this node knows it."""
        status = self._status()
        found = next((one for one in status.groups if one.name == group), None)
        if found is None:
            names = ", ".join(one.name for one in status.groups) or "none"
            return pb.ExplainReply(problem=f"no group {group}; there are: {names}")
        by, epoch, arbiter = self._node, status.epoch, status.arbiter.why
        return pb.ExplainReply(group=group_to_proto(found), by=by, epoch=epoch, arbiter=arbiter)

    async def close(self) -> None:
        await self._served.close()
