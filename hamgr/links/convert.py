"""Core messages to protobuf and back.

Only authenticated bytes come here, yet a body that makes no sense raises ValueError and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from hamgr.core import messages as core
from hamgr.core.cluster import GroupState
from hamgr.core.electorate import Electorate, Electorates
from hamgr.v1 import cluster_pb2 as pb

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

T = TypeVar("T")

_STANDINGS = list(core.Standing)
_STATES = list(GroupState)
_NO_STATE = core.ClusterState()

KNOWN = 8192
"""Bodies of a kind whose core messages are kept, the ones used last: what comes each second is mostly the same again,
and an arbiter hears it from thousands of nodes."""

LARGE = 4096
"""Bytes; what has more is not kept, so that nobody can fill the memory with it."""


def _standing(number: int) -> core.Standing:
    if not 0 <= number < len(_STANDINGS):
        raise ValueError(f"standing {number}")
    return _STANDINGS[number]


def _state(number: int) -> GroupState:
    if not 0 <= number < len(_STATES):
        raise ValueError(f"group state {number}")
    return _STATES[number]


def _duration(seconds: float) -> float:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{seconds} seconds")
    return seconds


def _kept(read: _lru_cache_wrapper[T], data: bytes) -> T:
    return read(data) if len(data) <= LARGE else read.__wrapped__(data)


def _stamp_out(stamp: core.Stamp) -> pb.Stamp:
    return pb.Stamp(epoch=stamp.epoch, view=stamp.view)


def _stamp_in(stamp: pb.Stamp) -> core.Stamp:
    return core.Stamp(stamp.epoch, stamp.view)


def _config_out(config: core.ConfigStamp) -> pb.ConfigStamp | None:
    if config == core.ConfigStamp():
        return None
    return pb.ConfigStamp(
        version=config.version, digest=bytes.fromhex(config.digest), added=config.added, removed=config.removed
    )


def _config_in(config: pb.ConfigStamp) -> core.ConfigStamp:
    return core.ConfigStamp(config.version, config.digest.hex(), config.added, config.removed)


def _voters_out(voters: Electorate) -> pb.Electorate | None:
    return pb.Electorate(nodes=voters.nodes, arbiter=voters.arbiter, tie=voters.tie) if voters else None


def _voters_in(voters: pb.Electorate) -> Electorate:
    return Electorate(dict(voters.nodes), voters.arbiter, tie=voters.tie)


def _state_out(state: core.ClusterState) -> pb.ClusterState | None:
    if state is _NO_STATE or state == _NO_STATE:
        return None
    return pb.ClusterState(
        stamp=_stamp_out(state.stamp),
        coordinator=state.coordinator,
        roster=[
            pb.RosterEntry(
                node=entry.node,
                incarnation=entry.incarnation,
                standing=_STANDINGS.index(entry.standing),  # type: ignore[arg-type]
                reset_ms=entry.reset_ms,
            )
            for entry in state.roster
        ],
        pins=[pb.Pin(group=group, node=node) for group, node in state.pins],
        maintenance=state.maintenance,
        config=_config_out(state.config),
        proposed=_config_out(state.proposed),
        pushing=state.pushing,
        shots=[pb.Shot(node=shot.node, age=shot.age) for shot in state.shots],
        owners=[pb.Pin(group=group, node=node) for group, node in state.owners],
        voters=_voters_out(state.electorates.current),
        coming_voters=_voters_out(state.electorates.coming),
        arbiter=bytes.fromhex(state.arbiter),
        next_arbiter=bytes.fromhex(state.next_arbiter),
    )


def _state_in(state: pb.ClusterState) -> core.ClusterState:
    return _kept(_state_of, state.SerializeToString())


@lru_cache(KNOWN)
def _state_of(data: bytes) -> core.ClusterState:
    if not data:
        return _NO_STATE
    state = pb.ClusterState.FromString(data)
    return core.ClusterState(
        _stamp_in(state.stamp),
        state.coordinator,
        tuple(
            core.RosterEntry(entry.node, entry.incarnation, _standing(entry.standing), entry.reset_ms)
            for entry in state.roster
        ),
        tuple((pin.group, pin.node) for pin in state.pins),
        state.maintenance,
        _config_in(state.config),
        _config_in(state.proposed),
        state.pushing,
        tuple(core.Shot(shot.node, shot.age) for shot in state.shots),
        tuple((owner.group, owner.node) for owner in state.owners),
        Electorates(_voters_in(state.voters), _voters_in(state.coming_voters)),
        arbiter=state.arbiter.hex(),
        next_arbiter=state.next_arbiter.hex(),
    )


def _heartbeat_out(body: core.Heartbeat) -> pb.Heartbeat:
    return pb.Heartbeat(
        sent_us=body.sent_us,
        epoch=body.epoch,
        coordinator=body.coordinator,
        stored=_stamp_out(body.stored),
        initialised=body.initialised,
        load=body.load,
        leaving=body.leaving,
        echoes=[pb.Echo(node=echo.node, incarnation=echo.incarnation, sent_us=echo.sent_us) for echo in body.echoes],
        running=body.running,
        config=bytes.fromhex(body.config),
        staged=bytes.fromhex(body.staged),
        applied=body.applied,
        hears=body.hears,
        mesh=body.mesh,
        reset_ms=body.reset_ms,
        settled=_stamp_out(body.settled) if body.settled.epoch else None,
    )


def _heartbeat_in(body: pb.Heartbeat) -> core.Heartbeat:
    return core.Heartbeat(
        body.sent_us,
        body.epoch,
        body.coordinator,
        _stamp_in(body.stored),
        body.initialised,
        body.load,
        body.leaving,
        tuple(core.Echo(echo.node, echo.incarnation, echo.sent_us) for echo in body.echoes),
        tuple(body.running),
        body.config.hex(),
        body.staged.hex(),
        body.applied,
        tuple(body.hears),
        tuple(body.mesh),
        body.reset_ms,
        _stamp_in(body.settled),
    )


def _report_out(body: core.Report) -> pb.Report:
    return pb.Report(
        epoch=body.epoch,
        number=body.number,
        probed=body.probed,
        groups=[
            pb.GroupReport(
                group=group.group,
                state=_STATES.index(group.state),  # type: ignore[arg-type]
                barred=group.barred,
                detail=group.detail,
                unready=group.unready,
                soon=group.soon,
            )
            for group in body.groups
        ],
        standby=body.standby,
        unfit=body.unfit,
        health=body.health,
    )


def _report_in(body: pb.Report) -> core.Report:
    return core.Report(
        body.epoch,
        body.number,
        body.probed,
        tuple(
            core.GroupReport(group.group, _state(group.state), group.barred, group.detail, group.unready, group.soon)
            for group in body.groups
        ),
        body.standby,
        body.unfit,
        body.health,
    )


def _arbiter_report_out(body: core.ArbiterReport) -> pb.ArbiterReport:
    return pb.ArbiterReport(
        sent_us=body.sent_us,
        epoch=body.epoch,
        coordinator=body.coordinator,
        initialised=body.initialised,
        claim=body.claim,
        alive=body.alive,
        health=body.health,
        load=body.load,
        state=_state_out(body.state),
        nodes=body.nodes,
        tie_breaker=body.tie_breaker,
        deadtime=body.deadtime,
        settle=body.settle,
        vote_seen=body.vote_seen,
        votes=body.votes,
        arbiter_votes=body.arbiter_votes,
        store=bytes.fromhex(body.store),
        stored=_stamp_out(body.stored),
        config=bytes.fromhex(body.config),
        applied=body.applied,
    )


def _arbiter_report_in(body: pb.ArbiterReport) -> core.ArbiterReport:
    sent_us = body.sent_us
    body.ClearField("sent_us")  # all else is as it was in the last report, mostly
    return core.ArbiterReport(sent_us, *_kept(_report_of, body.SerializeToString()))


@lru_cache(KNOWN)
def _report_of(data: bytes) -> tuple[Any, ...]:
    """What follows `sent_us`."""
    body = pb.ArbiterReport.FromString(data)
    return (
        body.epoch,
        body.coordinator,
        body.initialised,
        body.claim,
        tuple(body.alive),
        body.health,
        body.load,
        _state_in(body.state),
        tuple(body.nodes),
        body.tie_breaker,
        _duration(body.deadtime),
        _duration(body.settle),
        body.vote_seen,
        _votes_in(body),
        body.arbiter_votes if body.HasField("arbiter_votes") else 1,
        body.store.hex(),
        _stamp_in(body.stored),
        body.config.hex(),
        body.applied if body.HasField("applied") else None,
    )


def _votes_in(body: pb.ArbiterReport) -> tuple[int, ...]:
    if body.votes and len(body.votes) != len(body.nodes):
        raise ValueError(f"{len(body.votes)} numbers of votes for {len(body.nodes)} nodes")
    return tuple(body.votes)


def _arbiter_answer_out(body: core.ArbiterAnswer) -> pb.ArbiterAnswer:
    return pb.ArbiterAnswer(
        echo_us=body.echo_us,
        voter=body.voter,
        epoch=body.epoch,
        coordinator=body.coordinator,
        vote_epoch=body.vote_epoch,
        voted_for=body.voted_for,
        stored=_stamp_out(body.stored),
        refused=body.refused,
        state=_state_out(body.state),
        why=body.why,
        store=bytes.fromhex(body.store),
        undead=body.undead,
    )


def _arbiter_answer_in(body: pb.ArbiterAnswer) -> core.ArbiterAnswer:
    return core.ArbiterAnswer(
        body.echo_us,
        body.voter,
        body.epoch,
        body.coordinator,
        body.vote_epoch,
        body.voted_for,
        _stamp_in(body.stored),
        body.refused,
        _state_in(body.state),
        body.why,
        store=body.store.hex(),
        undead=tuple(body.undead),
    )


def _number(number: int) -> int:
    """Of a fencing: microseconds since 1970, which go into a database's signed 64 bits, and can still grow."""
    if number >= 1 << 62:
        raise ValueError(f"number {number} of a fencing")
    return number


def past_fence_out(fence: core.PastFence) -> pb.PastFence:
    return pb.PastFence(**asdict(fence))


def past_fence_in(fence: pb.PastFence) -> core.PastFence:
    return core.PastFence(
        by=fence.by,
        number=_number(fence.number),
        node=fence.node,
        epoch=fence.epoch,
        reason=fence.reason,
        outcome=fence.outcome,
        detail=fence.detail,
        operator=fence.operator,
        votes=tuple(fence.votes),
        level=fence.level,
        devices=tuple(fence.devices),
        attempts=fence.attempts,
        asked_at=_duration(fence.asked_at),
        finished_at=_duration(fence.finished_at),
    )


_Out = Callable[[Any], Any]
_In = Callable[[Any], core.Body]

_BODIES: dict[type[core.Body], tuple[str, _Out, _In]] = {
    core.Heartbeat: ("heartbeat", _heartbeat_out, _heartbeat_in),
    core.VoteRequest: (
        "vote_request",
        lambda body: pb.VoteRequest(epoch=body.epoch),
        lambda body: core.VoteRequest(body.epoch),
    ),
    core.VoteReply: (
        "vote_reply",
        lambda body: pb.VoteReply(
            epoch=body.epoch, granted=body.granted, voted_for=body.voted_for, state=_state_out(body.state)
        ),
        lambda body: core.VoteReply(body.epoch, body.granted, body.voted_for, _state_in(body.state)),
    ),
    core.ViewUpdate: (
        "view_update",
        lambda body: pb.ViewUpdate(state=_state_out(body.state)),
        lambda body: core.ViewUpdate(_state_in(body.state)),
    ),
    core.Order: (
        "order",
        lambda body: pb.Order(epoch=body.epoch, view=body.view, number=body.number, run=body.run, keep=body.keep),
        lambda body: core.Order(body.epoch, body.view, body.number, tuple(body.run), tuple(body.keep)),
    ),
    core.Report: ("report", _report_out, _report_in),
    core.Farewell: ("farewell", lambda body: pb.Farewell(), lambda body: core.Farewell()),
    core.FarewellAck: ("farewell_ack", lambda body: pb.FarewellAck(), lambda body: core.FarewellAck()),
    core.LearnRequest: ("learn_request", lambda body: pb.LearnRequest(), lambda body: core.LearnRequest()),
    core.LearnReply: (
        "learn_reply",
        lambda body: pb.LearnReply(epoch=body.epoch, state=_state_out(body.state)),
        lambda body: core.LearnReply(body.epoch, _state_in(body.state)),
    ),
    core.Forward: (
        "forward",
        lambda body: pb.Forward(
            request=body.request,
            verb=body.verb,
            node=body.node,
            group=body.group,
            operator=body.operator,
            config=bytes.fromhex(body.config),
            epoch=body.epoch,
            groups=body.groups,
        ),
        lambda body: core.Forward(
            body.request,
            body.verb,
            body.node,
            body.group,
            body.operator,
            body.config.hex(),
            body.epoch,
            tuple(body.groups),
        ),
    ),
    core.ForwardReply: (
        "forward_reply",
        lambda body: pb.ForwardReply(request=body.request, done=body.done, text=body.text),
        lambda body: core.ForwardReply(body.request, body.done, body.text),
    ),
    core.RetransmitRequest: (
        "retransmit_request",
        lambda body: pb.RetransmitRequest(missing=body.missing),
        lambda body: core.RetransmitRequest(tuple(body.missing)),
    ),
    core.Resync: ("resync", lambda body: pb.Resync(upto=body.upto), lambda body: core.Resync(body.upto)),
    core.ConfigPart: (
        "config_part",
        lambda body: pb.ConfigPart(
            push=body.push, index=body.index, count=body.count, data=body.data, check_only=body.check_only
        ),
        lambda body: core.ConfigPart(body.push, body.index, body.count, body.data, body.check_only),
    ),
    core.ConfigVerdict: (
        "config_verdict",
        lambda body: pb.ConfigVerdict(
            push=body.push, taken=body.taken, judged=body.judged, problems=body.problems, notes=body.notes
        ),
        lambda body: core.ConfigVerdict(body.push, body.taken, body.judged, tuple(body.problems), tuple(body.notes)),
    ),
    core.FenceNews: (
        "fence_news",
        lambda body: pb.FenceNews(
            known=[pb.Known(by=name, number=number) for name, number in body.known],
            fences=map(past_fence_out, body.fences),
        ),
        lambda body: core.FenceNews(
            tuple((known.by, _number(known.number)) for known in body.known), tuple(map(past_fence_in, body.fences))
        ),
    ),
    core.DrbdOutdate: (
        "drbd_outdate",
        lambda body: pb.DrbdOutdate(request=body.request, resource=body.resource),
        lambda body: core.DrbdOutdate(body.request, body.resource),
    ),
    core.DrbdOutdated: (
        "drbd_outdated",
        lambda body: pb.DrbdOutdated(request=body.request, code=body.code, text=body.text),
        lambda body: core.DrbdOutdated(body.request, body.code, body.text),
    ),
    core.FenceTrialAsked: (
        "fence_trial_asked",
        lambda body: pb.FenceTrialAsked(request=body.request, device=body.device),
        lambda body: core.FenceTrialAsked(body.request, body.device),
    ),
    core.FenceTrialTold: (
        "fence_trial_told",
        lambda body: pb.FenceTrialTold(request=body.request, card=body.card, problem=body.problem),
        lambda body: core.FenceTrialTold(body.request, body.card, body.problem),
    ),
    core.Inquiry: (
        "inquiry",
        lambda body: pb.Inquiry(request=body.request, about=body.about, groups=body.groups),
        lambda body: core.Inquiry(body.request, body.about, tuple(body.groups)),
    ),
    core.InquiryTold: (
        "inquiry_told",
        lambda body: pb.InquiryTold(request=body.request, card=body.card, problem=body.problem),
        lambda body: core.InquiryTold(body.request, body.card, body.problem),
    ),
    core.ArbiterReport: ("arbiter_report", _arbiter_report_out, _arbiter_report_in),
    core.ArbiterAnswer: ("arbiter_answer", _arbiter_answer_out, _arbiter_answer_in),
}
_BY_FIELD = {field: into for field, _out, into in _BODIES.values()}


def body_out(body: core.Body) -> tuple[str, Any]:
    """The name of the oneof field and its protobuf message."""
    field, out, _into = _BODIES[type(body)]
    return field, out(body)


def body_in(packet: pb.Packet) -> core.Body:
    """The core's message. Raises ValueError for an empty or senseless one."""
    field = packet.WhichOneof("body")
    if field is None:
        raise ValueError("no body")
    return _BY_FIELD[field](getattr(packet, field))
