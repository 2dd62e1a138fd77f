"""Status and events as protobuf, and back."""

from __future__ import annotations

from hamgr.admin.events import LoggedEvent
from hamgr.core.cluster import GroupState
from hamgr.core.effects import Announce, Kind
from hamgr.core.status import (
    ArbiterStatus,
    FenceDeviceStatus,
    FenceStatus,
    GroupStatus,
    GuardStatus,
    LinkStatus,
    NodeStatus,
    Status,
)
from hamgr.v1 import admin_pb2 as pb


def status_to_proto(status: Status) -> pb.ClusterStatus:
    arbiter = status.arbiter
    return pb.ClusterStatus(
        cluster=status.cluster,
        node=status.node,
        incarnation=status.incarnation,
        role=status.role,
        epoch=status.epoch,
        coordinator=status.coordinator,
        quorate=status.quorate,
        votes=status.votes,
        majority=status.majority,
        all_votes=status.all_votes,
        lease_left=status.lease_left,
        standby=status.standby,
        arbiter=pb.ArbiterStatus(
            configured=arbiter.configured,
            connected=arbiter.connected,
            answered_ago=arbiter.answered_ago,
            voter=arbiter.voter,
            detail=arbiter.detail,
            votes=arbiter.votes,
            why=arbiter.why,
            address=arbiter.address,
            store=arbiter.store,
            accepted=arbiter.accepted,
        ),
        nodes=[
            pb.NodeStatus(
                name=node.name,
                state=node.state,
                incarnation=node.incarnation,
                standby=node.standby,
                links=[pb.LinkStatus(link=x.link, up=x.up, heard_ago=x.heard_ago, detail=x.detail) for x in node.links],
                unfit=node.unfit,
                health=node.health,
                config=node.config,
                votes=node.votes,
            )
            for node in status.nodes
        ],
        groups=map(group_to_proto, status.groups),
        fences=[
            pb.FenceStatus(
                node=fence.node,
                outcome=fence.outcome,
                level=fence.level,
                attempts=fence.attempts,
                reason=fence.reason,
                detail=fence.detail,
            )
            for fence in status.fences
        ],
        waits=status.waits,
        warnings=status.warnings,
        maintenance=status.maintenance,
        pushing=status.pushing,
        override=status.override,
        electorate=status.electorate,
        devices=[
            pb.FenceDeviceStatus(name=x.name, node=x.node, good=x.good, detail=x.detail, tried_ago=x.tried_ago)
            for x in status.devices
        ],
        guard=_guard_to_proto(status.guard),
    )


def group_to_proto(group: GroupStatus) -> pb.GroupStatus:
    return pb.GroupStatus(
        name=group.name,
        owner=group.owner,
        state=group.state.value,
        target=group.target,
        waits=group.waits,
        states=group.states,
        home=group.home,
        disabled=not group.enabled,
        why=group.why,
    )


def group_from_proto(group: pb.GroupStatus) -> GroupStatus:
    return GroupStatus(
        group.name,
        group.owner,
        GroupState(group.state),
        group.target,
        tuple(group.waits),
        dict(group.states),
        group.home,
        not group.disabled,
        tuple(group.why),
    )


def _guard_to_proto(guard: GuardStatus | None) -> pb.GuardStatus | None:
    if guard is None:
        return None
    timeout = guard.timeout
    return pb.GuardStatus(pid=guard.pid, watchdog=guard.watchdog, watchdog_timeout=timeout, reason=guard.reason)


def status_from_proto(proto: pb.ClusterStatus) -> Status:
    arbiter = proto.arbiter
    answered = arbiter.answered_ago if arbiter.HasField("answered_ago") else None
    return Status(
        cluster=proto.cluster,
        node=proto.node,
        incarnation=proto.incarnation,
        role=proto.role,
        epoch=proto.epoch,
        coordinator=proto.coordinator,
        quorate=proto.quorate,
        votes=proto.votes,
        majority=proto.majority,
        all_votes=proto.all_votes,
        lease_left=proto.lease_left,
        standby=proto.standby,
        arbiter=ArbiterStatus(
            arbiter.configured,
            arbiter.connected,
            answered,
            arbiter.voter,
            arbiter.detail,
            arbiter.votes,
            arbiter.address,
            arbiter.store,
            arbiter.accepted,
            arbiter.why,
        ),
        nodes=tuple(_node(x) for x in proto.nodes),
        groups=tuple(map(group_from_proto, proto.groups)),
        fences=tuple(FenceStatus(x.node, x.outcome, x.level, x.attempts, x.reason, x.detail) for x in proto.fences),
        waits=tuple(proto.waits),
        warnings=tuple(proto.warnings),
        maintenance=proto.maintenance,
        pushing=proto.pushing,
        override=proto.override,
        electorate=proto.electorate,
        devices=tuple(FenceDeviceStatus(x.name, x.node, x.good, x.detail, x.tried_ago) for x in proto.devices),
        guard=_guard(proto.guard) if proto.HasField("guard") else None,
    )


def _guard(proto: pb.GuardStatus) -> GuardStatus:
    return GuardStatus(proto.pid, proto.watchdog, proto.watchdog_timeout, proto.reason)


def _node(proto: pb.NodeStatus) -> NodeStatus:
    links = tuple(map(_link, proto.links))
    health = proto.health if proto.HasField("health") else None
    return NodeStatus(
        proto.name, proto.state, proto.incarnation, proto.standby, links, proto.unfit, health, proto.config, proto.votes
    )


def _link(proto: pb.LinkStatus) -> LinkStatus:
    heard_ago = proto.heard_ago if proto.HasField("heard_ago") else None
    return LinkStatus(proto.link, proto.up, heard_ago, proto.detail)


def event_to_proto(event: LoggedEvent) -> pb.Event:
    said = event.announce
    return pb.Event(
        number=event.number,
        time=event.time,
        monotonic=event.monotonic,
        reporter=event.reporter,
        kind=said.kind.value,
        node=said.node,
        group=said.group,
        link=said.link,
        text=said.text,
        facts=said.facts,
    )


def event_from_proto(proto: pb.Event) -> LoggedEvent:
    said = Announce(Kind(proto.kind), proto.text, proto.node, proto.group, proto.link, dict(proto.facts))
    return LoggedEvent(proto.number, proto.time, proto.monotonic, proto.reporter, said)
