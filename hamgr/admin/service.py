"""The admin service of a daemon: gRPC on a Unix socket that only its owner can open."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from hamgr.admin.convert import event_to_proto, status_to_proto
from hamgr.admin.events import EventLog
from hamgr.core.events import Verb
from hamgr.core.messages import PastFence
from hamgr.core.status import Status
from hamgr.links.convert import past_fence_out
from hamgr.v1 import admin_pb2 as pb
from hamgr.v1 import admin_pb2_grpc

if TYPE_CHECKING:
    from hamgr.admin.drbd import Verdict
    from hamgr.admin.fences import Tried
    from hamgr.admin.push import Staged

_PRIVATE = 0o177
"""The umask under which the socket is made: 0600 from its first moment."""


class AdminError(Exception):
    """The admin socket can't be opened; the text names it and says why."""


class Host(Protocol):
    """The daemon as the admin service sees it."""

    @property
    def events(self) -> EventLog: ...

    def status(self) -> Status: ...

    async def ask(
        self,
        verb: Verb,
        node: str,
        group: str,
        operator: str,
        config: str = "",
        nodes: tuple[str, ...] = (),
        groups: tuple[str, ...] = (),
    ) -> tuple[bool, str]:
        """Wait for the core's answer: done, and a sentence."""
        ...


class LinksDesk(Protocol):
    def report(self) -> pb.LinksReport: ...


class KeysDesk(Protocol):
    def report(self) -> pb.KeysReport: ...

    async def reload(self, operator: str, force: bool = False) -> tuple[bool, str]:
        """Read the key file again: done, and a sentence."""
        ...


class PushDesk(Protocol):
    async def stage(self, text: bytes, check_only: bool) -> Staged: ...

    async def switch(self, digest_of_text: str, operator: str) -> tuple[bool, str]: ...


class FenceHistory(Protocol):
    def of(self, node: str = "") -> list[PastFence]:
        """The fencings of one node, or all, the oldest first."""
        ...


class DrbdDesk(Protocol):
    async def fence_peer(self, resource: str, host: str, patience: float) -> Verdict: ...


class FenceDesk(Protocol):
    def try_all(self) -> AsyncIterator[Tried]: ...


class InquiryDesk(Protocol):
    async def explain(self, group: str) -> pb.ExplainReply: ...

    async def plan(self, groups: tuple[str, ...]) -> pb.RebalancePlan: ...


class AlertsDesk(Protocol):
    async def test(self, name: str, operator: str) -> pb.TestAlertsReply: ...


class AdminServer:
    """Opens with `start`, ends with `close`."""

    def __init__(
        self,
        path: Path,
        host: Host,
        links: LinksDesk,
        keys: KeysDesk,
        push: PushDesk,
        history: FenceHistory,
        alerts: AlertsDesk,
        drbd: DrbdDesk,
        fences: FenceDesk,
        inquiries: InquiryDesk,
    ) -> None:
        self._path = path
        self._service = Service(host, links, keys, push, history, alerts, drbd, fences, inquiries)
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Raises AdminError."""
        _remove_stale(self._path)
        server = grpc.aio.server()
        admin_pb2_grpc.add_AdminServicer_to_server(self._service, server)
        before = os.umask(_PRIVATE)
        try:
            server.add_insecure_port(f"unix:{self._path}")
        except RuntimeError as error:
            raise AdminError(f"admin socket {self._path}: can't be opened: {error}") from None
        finally:
            os.umask(before)
        await server.start()
        self._server = server

    async def close(self) -> None:
        if self._server is not None:
            await self._server.stop(0.5)
            self._path.unlink(missing_ok=True)
            self._server = None


def _remove_stale(path: Path) -> None:
    """Remove the socket of a dead daemon; gRPC would silently take a living one's place."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not path.exists():
            return
        if not path.is_socket():
            raise AdminError(f"admin socket {path}: found a file that is not a socket; move it away")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
    except OSError as error:
        raise AdminError(f"admin socket {path}: {error.strerror}") from None
    raise AdminError(f"admin socket {path}: another hamgrd answers there; end it first, or set admin_socket")


class Service(admin_pb2_grpc.AdminServicer):
    """The calls. A node that isn't named is the daemon's own."""

    def __init__(
        self,
        host: Host,
        links: LinksDesk,
        keys: KeysDesk,
        push: PushDesk,
        history: FenceHistory,
        alerts: AlertsDesk,
        drbd: DrbdDesk,
        fences: FenceDesk,
        inquiries: InquiryDesk,
    ) -> None:
        self._host = host
        self._links = links
        self._keys = keys
        self._push = push
        self._history = history
        self._alerts = alerts
        self._drbd = drbd
        self._fences = fences
        self._inquiries = inquiries

    async def TestFences(self, request: pb.TestFencesRequest, context: Any) -> AsyncIterator[pb.FenceTrial]:
        async for tried in self._fences.try_all():
            trial = json.dumps(tried.trial.as_dict()) if tried.trial else ""
            yield pb.FenceTrial(tester=tried.tester, device=tried.device, json=trial, problem=tried.problem)

    async def FenceDrbdPeer(self, request: pb.FenceDrbdPeerRequest, context: Any) -> pb.FenceDrbdPeerReply:
        verdict = await self._drbd.fence_peer(request.resource, request.peer, request.patience)
        return pb.FenceDrbdPeerReply(code=verdict.answer, text=verdict.text)

    async def TestAlerts(self, request: pb.TestAlertsRequest, context: Any) -> pb.TestAlertsReply:
        return await self._alerts.test(request.alert, request.operator)

    async def StageConfig(self, request: pb.StageConfigRequest, context: Any) -> pb.StageConfigReply:
        staged = await self._push.stage(request.text, request.check_only)
        verdicts = [
            pb.ConfigVerdictOfNode(node=verdict.node, problems=verdict.problems, notes=verdict.notes)
            for verdict in staged.verdicts
        ]
        return pb.StageConfigReply(digest=staged.digest, verdicts=verdicts)

    async def SwitchConfig(self, request: pb.SwitchConfigRequest, context: Any) -> pb.Answer:
        done, text = await self._push.switch(request.digest, request.operator)
        return pb.Answer(done=done, text=text)

    async def GetKeys(self, request: pb.KeysRequest, context: Any) -> pb.KeysReport:
        return self._keys.report()

    async def ReloadKeys(self, request: pb.ReloadKeysRequest, context: Any) -> pb.Answer:
        done, text = await self._keys.reload(request.operator, request.force)
        return pb.Answer(done=done, text=text)

    async def GetLinks(self, request: pb.LinksRequest, context: Any) -> pb.LinksReport:
        return self._links.report()

    async def GetStatus(self, request: pb.StatusRequest, context: Any) -> pb.ClusterStatus:
        return status_to_proto(self._host.status())

    async def Explain(self, request: pb.ExplainRequest, context: Any) -> pb.ExplainReply:
        return await self._inquiries.explain(request.group)

    async def PlanRebalance(self, request: pb.PlanRebalanceRequest, context: Any) -> pb.RebalancePlan:
        return await self._inquiries.plan(tuple(request.groups))

    async def Rebalance(self, request: pb.RebalanceRequest, context: Any) -> pb.Answer:
        scope = tuple(request.groups)
        done, text = await self._host.ask(
            Verb.REBALANCE, request.node, request.group, request.operator, groups=scope
        )
        return pb.Answer(done=done, text=text)

    async def Watch(self, request: pb.WatchRequest, context: Any) -> AsyncIterator[pb.Event]:
        if not request.follow:
            for event in self._host.events.past(request.past):
                yield event_to_proto(event)
            return
        subscription = self._host.events.subscribe(request.past)
        try:
            # The caller learns from the headers that from now on it misses nothing.
            await context.send_initial_metadata(())
            async for event in subscription:
                yield event_to_proto(event)
        finally:
            subscription.close()

    async def Standby(self, request: pb.StandbyRequest, context: Any) -> pb.Answer:
        verb = Verb.ONLINE if request.online else Verb.STANDBY
        return await self._ask(verb, self._or_own(request.node), request.groups, request.operator)

    async def Takeover(self, request: pb.TakeoverRequest, context: Any) -> pb.Answer:
        return await self._ask(Verb.TAKEOVER, self._or_own(request.node), request.group, request.operator)

    async def Fence(self, request: pb.FenceRequest, context: Any) -> pb.Answer:
        return await self._ask(Verb.FENCE, request.node, "", request.operator)

    async def ConfirmFenced(self, request: pb.ConfirmFencedRequest, context: Any) -> pb.Answer:
        return await self._ask(Verb.CONFIRM_FENCED, request.node, "", request.operator)

    async def GetFenceHistory(self, request: pb.FenceHistoryRequest, context: Any) -> pb.FenceHistory:
        return pb.FenceHistory(fences=map(past_fence_out, self._history.of(request.node)))

    async def Confirm(self, request: pb.ConfirmRequest, context: Any) -> pb.Answer:
        is_node = any(node.name == request.name for node in self._host.status().nodes)
        node, group = (request.name, "") if is_node else ("", request.name)
        return await self._ask(Verb.CONFIRM, node, group, request.operator)

    async def Cleanup(self, request: pb.CleanupRequest, context: Any) -> pb.Answer:
        return await self._ask(Verb.CLEANUP, self._or_own(request.node), request.group, request.operator)

    async def Leave(self, request: pb.LeaveRequest, context: Any) -> pb.Answer:
        return await self._ask(Verb.LEAVE, "", "", request.operator)

    async def WithdrawConfig(self, request: pb.WithdrawConfigRequest, context: Any) -> pb.Answer:
        return await self._ask(Verb.WITHDRAW, "", "", request.operator)

    async def Maintenance(self, request: pb.MaintenanceRequest, context: Any) -> pb.Answer:
        verb = Verb.MAINTENANCE_ON if request.on else Verb.MAINTENANCE_OFF
        return await self._ask(verb, "", "", request.operator)

    async def OverrideQuorum(self, request: pb.OverrideQuorumRequest, context: Any) -> pb.Answer:
        done, text = await self._host.ask(Verb.OVERRIDE, "", "", request.operator, nodes=tuple(request.off))
        return pb.Answer(done=done, text=text)

    async def AcceptArbiter(self, request: pb.AcceptArbiterRequest, context: Any) -> pb.Answer:
        done, text = await self._host.ask(Verb.ACCEPT_ARBITER, "", "", request.operator, request.store)
        return pb.Answer(done=done, text=text)

    def _or_own(self, node: str) -> str:
        return node or self._host.status().node

    async def _ask(self, verb: Verb, node: str, group: str, operator: str) -> pb.Answer:
        done, text = await self._host.ask(verb, node, group, operator)
        return pb.Answer(done=done, text=text)
