"""The status of a node in words and figures, from what the node knows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from hamgr.core.cluster import GroupSpec, GroupState, QuorumLoss
from hamgr.core.membership import Liveness, Peer
from hamgr.core.messages import Standing
from hamgr.core.placement import candidates_of
from hamgr.core.reasons import known_here, why
from hamgr.core.status import ArbiterStatus, FenceStatus, GroupStatus, LinkStatus, NodeStatus, Status, runs_another

if TYPE_CHECKING:
    from hamgr.core.node import Node

_LIVENESS = {
    Liveness.UNSEEN: "unseen",
    Liveness.ALIVE: "online",
    Liveness.SUSPECT: "suspect",
    Liveness.DEAD: "dead",
    Liveness.LEFT: "left",
}
_STANDING = {Standing.FENCED: "fenced", Standing.LEFT: "left", Standing.ACKNOWLEDGED: "acknowledged"}

_TELLING = (
    GroupState.STARTED,
    GroupState.STARTING,
    GroupState.STOPPING,
    GroupState.STOP_FAILED,
    GroupState.FAILED,
    GroupState.UNKNOWN,
    GroupState.STOPPED,
)
"""Of several nodes' states of a group, the earliest here says most."""


def status_of(node: Node, now: float) -> Status:
    spec = node.spec
    answered = node.arbitration.answered_at
    return Status(
        cluster=spec.name,
        node=node.name,
        incarnation=node.incarnation,
        role=node.role,
        epoch=node.election.epoch,
        coordinator=node.election.following,
        quorate=node.quorate(now),
        votes=node.votes(),
        majority=node.electorate.majority,
        all_votes=node.electorate.votes,
        lease_left=node.leases.until - now,
        standby=node.standby,
        arbiter=ArbiterStatus(
            configured=spec.arbiter,
            connected=node.arbitration.connected,
            answered_ago=now - answered if answered > float("-inf") else None,
            voter=node.arbitration.answer is not None and node.arbitration.answer.voter,
            detail=node.arbitration.detail,
            votes=node.electorate.arbiter,
            why=node.arbitration.why(node.election.epoch) if node.coordinator is not None else "",
            address=node.arbitration.where,
            store=node.arbitration.said.store if node.arbitration.said is not None else "",
            accepted=node.stored.arbiter,
        ),
        nodes=tuple(dataclasses.replace(_node(node, name, now), votes=node.electorate.of(name)) for name in spec.names),
        groups=tuple(_group(node, group) for group in spec.groups),
        fences=_fences(node),
        waits=tuple(_waits(node, now)),
        warnings=tuple(_warnings(node)),
        maintenance=node.stored.maintenance,
        override=_override(node),
        electorate=str(node.electorate),
        pushing=node.stored.pushing or node.stored.proposed.version > 0,
    )


def _node(node: Node, name: str, now: float) -> NodeStatus:
    coordinator = node.coordinator
    if name == node.name:
        unfit = node.records.failure or ("it is leaving" if node.leaving.began else "")
        return NodeStatus(
            name, "self", node.incarnation, node.standby, unfit=unfit, health=node.health, config=node.config
        )
    peer = node.membership.peers[name]
    state = _LIVENESS[peer.liveness]
    standby, unfit, health = False, "", None
    if coordinator is not None:
        if not peer.heard:
            state = _STANDING.get(coordinator.standing(name), state)
        member = coordinator.members.get(name)
        if member is None and peer.heard:
            state = "joining"
        elif member is not None and member.report is not None:
            standby, health = member.report.standby, member.report.health
            unfit = member.report.unfit or coordinator.circle.outside.get(name, "")
    elif not peer.heard:
        state = _recorded(node, peer) or state
    links = tuple(
        LinkStatus(link, peer.link_up.get(link, False), _ago(peer, link, now), node.membership.own_down.get(link, ""))
        for link in (node.membership.links[name] or tuple(peer.link_up))
    )
    config = peer.heartbeat.config if peer.heartbeat is not None else ""
    return NodeStatus(name, state, peer.incarnation, standby, links, unfit, health, config)


def _recorded(node: Node, peer: Peer) -> str:
    """How the last cluster state that we stored has a node that we don't hear."""
    for entry in node.stored.roster:
        if entry.node == peer.name and peer.incarnation in (0, entry.incarnation):
            return _STANDING.get(entry.standing, "")
    return ""


def _ago(peer: Peer, link: str, now: float) -> float | None:
    heard = peer.link_heard.get(link)
    return None if heard is None else now - heard


def _group(node: Node, group: GroupSpec) -> GroupStatus:
    found = _group_as_known(node, group)
    return dataclasses.replace(found, home=candidates_of(node.spec, group)[0], enabled=group.enabled)


def _group_as_known(node: Node, group: GroupSpec) -> GroupStatus:
    coordinator = node.coordinator
    name = group.name
    if coordinator is None:
        return dataclasses.replace(_group_by_heartbeats(node, name), why=known_here(node, group))
    states = {member: record.state(name) for member, record in coordinator.members.items()}
    owner = coordinator.owner(name)
    state = min(states.values(), key=_TELLING.index, default=GroupState.UNKNOWN)
    return GroupStatus(
        name,
        owner,
        states[owner] if owner else state,
        coordinator.targets.get(name, ""),
        coordinator.waits.get(name, ()),
        why=why(coordinator, group),
        states={member: value.value for member, value in states.items()},
    )


def _group_by_heartbeats(node: Node, name: str) -> GroupStatus:
    """What a node that is not coordinator knows: its own state of the group, and who says to run it."""
    own = node.member.groups[name].state
    states = {node.name: own.value}
    if own not in (GroupState.STOPPED, GroupState.UNKNOWN):
        return GroupStatus(name, node.name, own, "", (), states)
    for peer in node.membership.peers.values():
        if peer.heartbeat is not None and name in peer.heartbeat.running:
            states[peer.name] = GroupState.STARTED.value
            return GroupStatus(name, peer.name, GroupState.STARTED, "", (), states)
    return GroupStatus(name, "", own, "", (), states)


def _fences(node: Node) -> tuple[FenceStatus, ...]:
    if node.coordinator is None:
        return ()
    return tuple(
        FenceStatus(
            plan.node,
            "failed" if plan.state.value == "retry" else plan.state.value,
            plan.level,
            plan.attempts,
            plan.reason,
            plan.detail,
        )
        for plan in node.coordinator.fencing.plans.values()
    )


def _waits(node: Node, now: float) -> list[str]:
    election = node.election
    found = [*node.pushing.waits(), *node.catchup.waits()]
    if not election.initialised:
        found.append(
            "this node has a new or wiped state directory and may not vote until others with"
            f" {node.electorate.to_learn} votes told it the epoch;"
            " only if the whole cluster is new: hamgr init on each node, before the start"
        )
    elif not election.following:
        heard = 1 + len(node.membership.alive())
        arbiter = ""
        if node.spec.arbiter:
            arbiter = ", the arbiter answers" if node.arbitration.connected else ", the arbiter does not answer"
        found.append(
            f"no coordinator: {heard} of {len(node.spec.names)} nodes heard{arbiter};"
            f" {node.voting.needed()} votes of {node.electorate.votes} are needed"
        )
        lost = frozenset(peer.name for peer in node.membership.peers.values() if not peer.heard)
        if lost and not node.quorate(now) and not node.override.refusal(now, lost):
            found.append(
                f"or for a human: if {', '.join(sorted(lost))} {'is' if len(lost) == 1 else 'are'} off,"
                " seen with your own eyes: hamgr quorum override"
            )
        if node.voting.needed() > node.electorate.majority:
            (peer,) = node.membership.peers
            found.append(f"in a push both nodes decide; if {peer} is off: hamgr fence ack {peer}")
    elif node.coordinator is not None and not node.authoritative():
        found.append("too few votes to decide anything until the election is over")
    elif node.coordinator is None:
        found += [f"{election.following} is the coordinator: hamgr status there tells what groups wait for"] * (
            not node.quorate(now)
        )
    return found


def _override(node: Node) -> str:
    lent = node.override.lent
    if not lent:
        return ""
    who, lost = node.override.operator, ", ".join(sorted(lent))
    return f"{node.name} goes on without a quorum: {who} decided in place of {lost}"


def _warnings(node: Node) -> list[str]:
    found = []
    if node.leases.quorum_lost and (runs := [*node.member.running, *node.member.stop_failed]):
        freezes = node.spec.on_quorum_loss is QuorumLoss.FREEZE
        what = 'stays as it is (on_quorum_loss = "freeze")' if freezes else "is being stopped"
        found.append(f"without a quorum, {', '.join(runs)} on {node.name} {what}")
    if node.records.failure:
        found.append(f"the state directory can't be written: {node.records.failure}")
    if node.spec.arbiter and not node.arbitration.connected:
        found.append(f"the arbiter does not answer: {node.arbitration.detail}")
    elif node.spec.arbiter and node.arbitration.answer is None:
        found.append(f"the arbiter's vote does not count: {node.arbitration.detail}")
    elif node.spec.arbiter and node.arbitration.answer is not None and not node.arbitration.answer.voter:
        found.append(
            "the arbiter has a new record of this cluster, or an old one, and does not vote before enough nodes have"
            " told it what they know: those that it does not hear must be no quorum with its vote"
        )
    voters = node.electorates
    if without := sorted(node.spec.voters - voters.voters):
        found.append(f"{', '.join(without)}: no vote now, until it is back as a member; {voters.current}")
    if voters.coming:
        both = "" if voters.may_be_given_up else "; until that is done a quorum of both is needed"
        found.append(f"the voters are being changed from {voters.current}; to {voters.coming}{both}")
    if node.hindrance:
        found.append(f"{node.name} has less health, so that groups keep away from it: {node.hindrance}")
    own_down = node.membership.own_down
    for peer in node.membership.peers.values():
        if peer.heartbeat is not None and runs_another(node.config, peer.heartbeat.config):
            found.append(f"{peer.name} runs another configuration file than {node.name} (compare them)")
    found += [f"own link {link} is down: {reason}" for link, reason in own_down.items()]
    for peer in node.membership.peers.values():
        if peer.heard:
            links = node.membership.links[peer.name]
            down = [link for link in links if not peer.link_up.get(link) and link not in own_down]
            found += [f"link {link} to {peer.name} is down" for link in down]
    return found
