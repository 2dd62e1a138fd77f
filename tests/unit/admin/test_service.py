"""The admin service over a real Unix socket, and the bounded event log."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from hamgr.admin.convert import event_from_proto, status_from_proto
from hamgr.admin.drbd import Answer
from hamgr.admin.drbd import Verdict as DrbdVerdict
from hamgr.admin.events import KEPT, EventLog
from hamgr.admin.fences import Tried
from hamgr.admin.push import Staged, Verdict
from hamgr.admin.service import AdminError, AdminServer
from hamgr.core.cluster import GroupState
from hamgr.core.effects import Announce, Kind
from hamgr.core.events import Verb
from hamgr.core.messages import PastFence
from hamgr.core.status import ArbiterStatus, GroupStatus, LinkStatus, NodeStatus, Status
from hamgr.fencing.trial import Trial
from hamgr.links.convert import past_fence_in
from hamgr.v1 import admin_pb2 as pb
from hamgr.v1 import admin_pb2_grpc

STATUS = Status(
    "office", "a", 7, "coordinator", 3, "a", True, 3, 2, 2.5, False,
    ArbiterStatus(True, True, None, True),
    (NodeStatus("b", "dead", 1, False, (LinkStatus("lan", False, None), LinkStatus("ha", True, 0.5))),),
    (GroupStatus("web", "", GroupState.STOPPED, "a", ("b is not fenced",), {"a": "stopped"}),),
    (),
)  # fmt: skip

PAST = PastFence("a", 7, "b", 3, "b is dead", "confirmed", "bmc-b: off", "", ("a", "c"), 1, ("bmc-b",), 2, 5.0, 5.5)


class Host:
    def __init__(self) -> None:
        self.events = EventLog("a")
        self.asked: list[tuple[Verb, str, str, str]] = []

    def status(self) -> Status:
        return STATUS

    async def ask(self, verb: Verb, node: str, group: str, operator: str) -> tuple[bool, str]:
        self.asked.append((verb, node, group, operator))
        return verb is not Verb.FENCE, "because"


class Links:
    def report(self) -> pb.LinksReport:
        return pb.LinksReport(node="a", links=[pb.OwnLink(link="lan", kind="udp", up=True)])


class Keys:
    def report(self) -> pb.KeysReport:
        return pb.KeysReport(file="/k", keys=[pb.KeyStatus(number=2, method="sha1", unknown_to=["b"])])

    async def reload(self, operator: str, force: bool = False) -> tuple[bool, str]:
        return force, f"{operator} asked"


class Drbds:
    async def fence_peer(self, resource: str, host: str, patience: float) -> DrbdVerdict:
        return DrbdVerdict(Answer.OUTDATED, f"{resource} of {host} within {patience:g}")


class Trials:
    async def try_all(self) -> AsyncIterator[Tried]:
        yield Tried("a", "bmc-b", Trial("bmc-b", "b", "a", 1, "fence_x", "on", ()))
        yield Tried("c", "bmc-b", None, "c is dead")


class Inquiries:
    async def explain(self, group: str) -> pb.ExplainReply:
        return pb.ExplainReply(by="a", problem=f"no group {group}")

    async def plan(self, groups: tuple[str, ...]) -> pb.RebalancePlan:
        return pb.RebalancePlan(problem=f"no group {' '.join(groups)}")


class AlertsOf:
    async def test(self, name: str, operator: str) -> pb.TestAlertsReply:
        return pb.TestAlertsReply(results=[pb.AlertResult(alert=name, way=f"for {operator}", done=True)])


class Pushes:
    async def stage(self, text: bytes, check_only: bool) -> Staged:
        return Staged("0f" * 8, (Verdict("a"), Verdict("b", (text.decode(),), (str(check_only),))))

    async def switch(self, digest_of_text: str, operator: str) -> tuple[bool, str]:
        return True, f"{operator} has {digest_of_text}"


class Fences:
    def of(self, node: str = "") -> list[PastFence]:
        return [PAST] if node in ("", PAST.node) else []


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Path, Host, admin_pb2_grpc.AdminAsyncStub]]:
    host, path = Host(), tmp_path / "admin.sock"
    server = AdminServer(path, host, Links(), Keys(), Pushes(), Fences(), AlertsOf(), Drbds(), Trials(), Inquiries())
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        yield path, host, admin_pb2_grpc.AdminStub(channel)
    await server.close()


async def test_the_status_arrives_as_it_was_sent(served) -> None:
    assert status_from_proto(await served[2].GetStatus(pb.StatusRequest())) == STATUS


async def test_the_report_on_the_links_arrives_as_it_was_made(served) -> None:
    assert await served[2].GetLinks(pb.LinksRequest()) == Links().report()


async def test_keys_are_reported_and_reloaded(served) -> None:
    stub = served[2]
    assert await stub.GetKeys(pb.KeysRequest()) == Keys().report()
    for force in (False, True):
        answer = await stub.ReloadKeys(pb.ReloadKeysRequest(operator="me@here", force=force))
        assert (answer.done, answer.text) == (force, "me@here asked")


async def test_a_confirmation_is_for_a_node_a_group_or_all(served) -> None:
    _, host, stub = served
    for name in ("b", "web", ""):
        await stub.Confirm(pb.ConfirmRequest(name=name, operator="me@here"))
    assert [asked[1:3] for asked in host.asked] == [("b", ""), ("", "web"), ("", "")]


async def test_the_history_of_one_node_arrives_as_it_is_kept(served) -> None:
    stub = served[2]
    found = await stub.GetFenceHistory(pb.FenceHistoryRequest(node="b"))
    assert list(map(past_fence_in, found.fences)) == [PAST]
    assert not (await stub.GetFenceHistory(pb.FenceHistoryRequest(node="a"))).fences


async def test_a_test_of_an_alert_comes_back_with_how_it_went(served) -> None:
    reply = await served[2].TestAlerts(pb.TestAlertsRequest(alert="ops", operator="me"))
    assert [(one.alert, one.way, one.done) for one in reply.results] == [("ops", "for me", True)]


async def test_drbd_gets_its_exit_code(served) -> None:
    reply = await served[2].FenceDrbdPeer(pb.FenceDrbdPeerRequest(resource="r0", peer="b", patience=5))
    assert (reply.code, reply.text) == (4, "r0 of b within 5")


async def test_the_socket_is_private(served) -> None:
    assert stat.S_IMODE(served[0].stat().st_mode) == 0o600


async def test_a_request_reaches_the_host_and_its_refusal_comes_back(served) -> None:
    _, host, stub = served
    answer = await stub.Fence(pb.FenceRequest(node="b", operator="me@here"))
    assert (answer.done, answer.text) == (False, "because")
    await stub.Standby(pb.StandbyRequest(operator="me@here"))
    assert host.asked == [(Verb.FENCE, "b", "", "me@here"), (Verb.STANDBY, "a", "", "me@here")]


async def test_a_watcher_gets_past_and_new_events_in_order(served) -> None:
    _, host, stub = served
    host.events.append(Announce(Kind.STARTED, "one"), 1.5, 1.0)
    call = stub.Watch(pb.WatchRequest(past=5, follow=True))
    first = event_from_proto(await asyncio.wait_for(call.read(), 30))
    host.events.append(Announce(Kind.VIEW, "two", facts={"epoch": "1"}), 2.5, 2.0)
    second = event_from_proto(await asyncio.wait_for(call.read(), 30))
    assert (first.number, first.announce.text, second.number, second.announce.facts) == (1, "one", 2, {"epoch": "1"})
    call.cancel()


async def test_a_slow_watcher_loses_the_oldest_and_is_told_how_many() -> None:
    log = EventLog("a")
    watcher = log.subscribe()
    for number in range(KEPT + 7):
        log.append(Announce(Kind.VIEW, str(number)), 0.0, 0.0)
    note, first = await anext(watcher), await anext(watcher)
    assert note.announce.facts == {"dropped": "7"}
    assert first.number == 8


async def test_a_dead_daemons_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    server = AdminServer(path, Host(), Links(), Keys(), Pushes(), Fences(), AlertsOf(), Drbds(), Trials(), Inquiries())
    await server.start()
    await server.close()


async def test_a_living_daemons_socket_is_left_alone(served) -> None:
    with pytest.raises(AdminError, match="another hamgrd answers there"):
        await AdminServer(
            served[0], Host(), Links(), Keys(), Pushes(), Fences(), AlertsOf(), Drbds(), Trials(), Inquiries()
        ).start()
    assert served[0].exists()


async def test_a_configuration_is_staged_with_a_verdict_of_each_node_and_then_switched_to(
    served: tuple[Path, Host, admin_pb2_grpc.AdminAsyncStub],
) -> None:
    stub = served[2]
    reply = await stub.StageConfig(pb.StageConfigRequest(text=b"bad", check_only=True))
    verdicts = [(verdict.node, list(verdict.problems), list(verdict.notes)) for verdict in reply.verdicts]
    assert verdicts == [("a", [], []), ("b", ["bad"], ["True"])]
    answer = await stub.SwitchConfig(pb.SwitchConfigRequest(digest=reply.digest, operator="eve"))
    assert (answer.done, answer.text) == (True, "eve has 0f0f0f0f0f0f0f0f")


async def test_trials_of_fence_devices_come_one_by_one_with_those_that_could_not_be(served) -> None:
    found = [trial async for trial in served[2].TestFences(pb.TestFencesRequest())]
    assert [(one.tester, one.device, one.problem) for one in found] == [("a", "bmc-b", ""), ("c", "bmc-b", "c is dead")]
    assert Trial.from_dict(json.loads(found[0].json)).power == "on"
    assert found[1].json == ""
