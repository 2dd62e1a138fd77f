"""What operators ask for: each request finds the coordinator, is decided there, and is answered exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from hamgr.core.cluster import SELECTIONS, ClusterSpec, GroupSpec, Mode
from hamgr.core.coordinator import Coordinator
from hamgr.core.effects import Kind, Reply, StandbyRecord
from hamgr.core.events import OperatorAsked, Verb
from hamgr.core.fencing import Plan
from hamgr.core.messages import Forward, ForwardReply
from hamgr.core.placement import candidates_of

if TYPE_CHECKING:
    from hamgr.core.node import Node


class Requester(NamedTuple):
    """The node at which an operator asked, its life (incarnation), and the number of the request in that life."""

    node: str
    life: int
    request: int


REQUEST_TIMEOUT = 60.0
"""Seconds after which a forwarded request that nobody answered is given back as failed."""

REMEMBERED = 64
"""Answers that a coordinator keeps, so that a repeated request is not carried out twice."""


_TOGETHER = (Verb.MAINTENANCE_ON, Verb.MAINTENANCE_OFF, Verb.PUSH, Verb.WITHDRAW, Verb.ACCEPT_ARBITER)
"""What only a quorum can decide, since it must outlive this coordinator."""


_VERBS = frozenset(verb.value for verb in Verb)


@dataclass(slots=True)
class _Pending:
    """A request of an operator at this node, on its way to the coordinator."""

    forward: Forward
    until: float


@dataclass(slots=True)
class _Standby:
    """The coordinator waits for a node to say that it is on standby (or online)."""

    wanted: bool
    until: float
    requests: list[Requester]
    forward: Forward


@dataclass(slots=True)
class _Maintenance:
    """The coordinator waits until every member has stored that it begins or ends."""

    wanted: bool
    until: float
    requester: Requester | None


class Requests:
    """The operators' requests at one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._pending: dict[int, _Pending] = {}
        self._standbys: dict[str, _Standby] = {}
        self._answers: dict[Requester, ForwardReply | None] = {}
        self._maintenance: _Maintenance | None = None

    def asked(self, now: float, event: OperatorAsked) -> None:
        node = self._node
        if event.verb is Verb.LEAVE:
            node.leaving.begin()
            node.emit(Reply(event.request, True, f"{node.name} stops its groups and leaves"))
            return
        if event.verb is Verb.OVERRIDE:
            done, text = node.override.asked(now, event)
            node.emit(Reply(event.request, done, text))
            return
        refusal = self._wrong_names(event)
        if refusal:
            node.emit(Reply(event.request, False, refusal))
            return
        forward = Forward(
            event.request,
            event.verb.value,
            event.node,
            event.group,
            event.operator,
            event.config,
            node.election.epoch,
            event.groups,
        )
        if node.coordinator is not None:
            self._serve(now, node.coordinator, node.name, forward)
        elif node.election.following:
            self._pending[event.request] = _Pending(forward, now + REQUEST_TIMEOUT)
            node.send(node.election.following, forward)
        elif event.verb is Verb.CONFIRM_FENCED and node.spec.two_node:
            self._acknowledge_alone(event)
        else:
            text = f"{node.name} has no quorum and follows no coordinator: nothing can be decided now"
            node.emit(Reply(event.request, False, text))

    def _wrong_names(self, event: OperatorAsked) -> str:
        spec = self._node.spec
        if event.verb is Verb.PUSH:
            return ""
        if event.node and event.node not in spec.names:
            return f"node {event.node!r} is not configured; there are {', '.join(spec.names)}"
        groups = [group.name for group in spec.groups]
        selects = event.verb in (Verb.STANDBY, Verb.TAKEOVER) and event.group in SELECTIONS
        for group in (event.group, *event.groups):
            if group and group not in groups and not selects:
                return f"group {group!r} is not configured; there are {', '.join(groups) or 'none'}"
        return ""

    def _acknowledge_alone(self, event: OperatorAsked) -> None:
        """A two_node cluster that waits for the other node: the operator's word lets this one go on alone."""
        node = self._node
        if node.membership.peers[event.node].heard:
            node.emit(Reply(event.request, False, f"{event.node} is heard: it is not off"))
            return
        node.acknowledged.add(event.node)
        node.shooting.acknowledge(event.node, event.operator)
        node.emit(Reply(event.request, True, f"{event.node} counts as off"))

    def forwarded(self, now: float, sender: str, forward: Forward) -> None:
        node = self._node
        if node.coordinator is not None:
            self._serve(now, node.coordinator, sender, forward)
        elif sender == node.election.following and forward.node == node.name:
            self._obey(now, sender, forward)

    def _obey(self, now: float, sender: str, forward: Forward) -> None:
        """The coordinator passes on what concerns this node itself."""
        node = self._node
        if forward.verb in (Verb.STANDBY.value, Verb.ONLINE.value):
            self._set_standby(forward.verb == Verb.STANDBY.value)
        elif forward.verb == Verb.CLEANUP.value:
            self._clean(now, forward.group)
            node.send(sender, ForwardReply(forward.request, True, f"{forward.group} may run on {node.name} again"))

    def _clean(self, now: float, group: str) -> None:
        for name in self._node.member.groups:
            if group in ("", name):
                self._node.clean(now, name)

    def _set_standby(self, standby: bool) -> None:
        node = self._node
        if node.standby == standby:
            node.report_due = True
            return
        node.standby = standby
        node.persist(StandbyRecord(standby))
        text = f"{node.name} goes on standby: its groups move" if standby else f"{node.name} is online again"
        node.tell(Kind.STANDBY, text, node.name)
        node.report_due = True

    def replied(self, sender: str, request: int, done: bool, text: str) -> None:
        if self._pending.pop(request, None) is not None:
            self._node.emit(Reply(request, done, text))

    def answer(self, requester: Requester, done: bool, text: str) -> None:
        node = self._node
        reply = ForwardReply(requester.request, done, text)
        self._answers[requester] = reply
        if requester.node == node.name:
            node.emit(Reply(requester.request, done, text))
        elif requester.life == node.membership.peers[requester.node].incarnation:
            node.send(requester.node, reply)

    # -- at the coordinator -------------------------------------------------------------------------------------

    def _serve(self, now: float, coordinator: Coordinator, origin: str, forward: Forward) -> None:
        life = self._node.incarnation if origin == self._node.name else self._node.membership.peers[origin].incarnation
        requester = Requester(origin, life, forward.request)
        if requester in self._answers:
            answer = self._answers[requester]
            if answer is not None and origin != self._node.name:
                self._node.send(origin, answer)
            return
        while len(self._answers) >= REMEMBERED:
            del self._answers[next(iter(self._answers))]
        self._answers[requester] = None
        self._node.touch()
        if forward.verb not in _VERBS:
            text = f"{self._node.name} runs another version of hamgr, and does not know {forward.verb!r}"
            self.answer(requester, False, text)
            return
        if coordinator.alone and Verb(forward.verb) in _TOGETHER:
            self.answer(requester, False, "that takes a quorum, and there is only an operator's override")
            return
        match Verb(forward.verb):
            case Verb.STANDBY | Verb.ONLINE:
                self._serve_standby(now, coordinator, requester, forward)
            case Verb.TAKEOVER:
                self._serve_takeover(coordinator, requester, forward)
            case Verb.FENCE:
                self._serve_fence(now, coordinator, requester, forward)
            case Verb.CONFIRM_FENCED:
                self._serve_confirmation(coordinator, requester, forward)
            case Verb.CONFIRM:
                self._serve_confirm(now, coordinator, requester, forward)
            case Verb.CLEANUP:
                self._serve_cleanup(now, coordinator, requester, forward)
            case Verb.REBALANCE:
                self._serve_rebalance(coordinator, requester, forward)
            case Verb.MAINTENANCE_ON | Verb.MAINTENANCE_OFF:
                self._serve_maintenance(now, coordinator, requester, forward)
            case Verb.PUSH:
                self._node.pushing.serve(now, coordinator, requester, forward)
            case Verb.WITHDRAW:
                self._node.pushing.serve_withdrawal(coordinator, requester, forward, now)
            case Verb.ACCEPT_ARBITER:
                self._node.accepting.serve(now, coordinator, requester, forward)
            case Verb.LEAVE | Verb.OVERRIDE:
                self.answer(requester, False, "that is asked of the node itself")

    def _serve_standby(self, now: float, coordinator: Coordinator, requester: Requester, forward: Forward) -> None:
        node = self._node
        target = forward.node or requester.node
        wanted = forward.verb == Verb.STANDBY.value
        member = coordinator.members.get(target)
        if member is None:
            self.answer(requester, False, f"{target} is not a member of the view now")
            return
        if wanted and forward.group not in ("", "all"):
            self._give_up(coordinator, requester, target, forward.group)
            return
        if wanted:
            stuck = self._nowhere_to_go(coordinator, target)
            if stuck:
                self.answer(requester, False, stuck)
                return
        command = Forward(forward.request, forward.verb, target, "", forward.operator)
        self._standbys[target] = _Standby(wanted, now + REQUEST_TIMEOUT, [requester], command)
        if target == node.name:
            self._set_standby(wanted)
        else:
            node.send(target, command)

    def _nowhere_to_go(self, coordinator: Coordinator, leaving: str) -> str:
        spec = self._node.spec
        for group in spec.groups:
            if coordinator.owner(group.name) != leaving:
                continue
            if not self._able(coordinator, group, leaving):
                return f"standby of {leaving} is refused: no other node could run {group.name} now"
        return ""

    def _give_up(self, coordinator: Coordinator, requester: Requester, leaving: str, selection: str) -> None:
        """hb_standby local|foreign|failback: hand these groups over, once."""
        moves = {}
        for group in _selected(self._node.spec, selection, leaving, giving=True):
            if coordinator.owner(group.name) != leaving:
                continue
            others = self._able(coordinator, group, leaving)
            if not others:
                self.answer(requester, False, f"no other node could run {group.name} now")
                return
            moves[group.name] = others[0]
        for name, target in moves.items():
            coordinator.pin(name, target)
        told = ", ".join(f"{name} to run on {target}" for name, target in moves.items())
        self.answer(requester, True, told or f"{leaving} runs none of the {selection} groups")

    def _able(self, coordinator: Coordinator, group: GroupSpec, leaving: str) -> list[str]:
        """The other nodes that could run the group now, best first."""
        found = []
        for name in candidates_of(self._node.spec, group):
            member = coordinator.members.get(name)
            if name == leaving or member is None or not coordinator.fit(name):
                continue
            report = member.groups.get(group.name)
            if report is None or not report.barred:
                found.append(name)
        return found

    def settle_standbys(self) -> None:
        """Answer those whose node has reported what was asked."""
        coordinator = self._node.coordinator
        for target in list(self._standbys):
            wish = self._standbys[target]
            member = coordinator.members.get(target) if coordinator is not None else None
            if member is not None and member.report is not None and member.report.standby == wish.wanted:
                word = "on standby" if wish.wanted else "online"
                del self._standbys[target]
                for requester in wish.requests:
                    self.answer(requester, True, f"{target} is {word}")

    def _serve_maintenance(self, now: float, coordinator: Coordinator, requester: Requester, forward: Forward) -> None:
        wanted = forward.verb == Verb.MAINTENANCE_ON.value
        lost = [
            peer.name
            for peer in self._node.membership.peers.values()
            if peer.name not in coordinator.members and coordinator.ruling.standing(peer) is None
        ]
        if lost and not wanted:
            names = ", ".join(lost)
            text = f"{names} would be fenced: start hamgrd there first, or say `hamgr fence ack` if it is off"
            self.answer(requester, False, text)
            return
        if coordinator.proposed.version:
            self.answer(requester, False, "a configuration is being pushed: look at `hamgr status`")
            return
        coordinator.pushing = False
        if wanted != coordinator.maintenance:
            who = forward.operator or "an operator"
            what = "begins: nothing is started, stopped or fenced" if wanted else "ends"
            self._node.tell(Kind.MAINTENANCE, f"maintenance {what} ({who})", operator=forward.operator)
        coordinator.maintenance = wanted
        self._maintenance = _Maintenance(wanted, now + REQUEST_TIMEOUT, requester)

    def end_maintenance(self, now: float, coordinator: Coordinator, why: str) -> None:
        """What began it is over."""
        coordinator.maintenance = coordinator.pushing = False
        self._maintenance = _Maintenance(False, float("inf"), None)
        self._node.tell(Kind.MAINTENANCE, f"maintenance ends: {why}")
        self._node.touch()

    def settle_maintenance(self, now: float) -> None:
        """Every member must have stored it. At its end everything is probed anew, under a new epoch: who knows what the
        humans did meanwhile."""
        node = self._node
        wish, coordinator = self._maintenance, node.coordinator
        if wish is None or coordinator is None or coordinator.state.maintenance is not wish.wanted:
            return
        stored = [node.stored.stamp]
        for name in coordinator.members:
            beat = node.membership.peers[name].heartbeat if name != node.name else None
            if beat is not None:
                stored.append(beat.stored)
        if min(stored) < coordinator.state.stamp:
            return
        self._maintenance = None
        if wish.requester is not None:
            self.answer(wish.requester, True, "maintenance is on" if wish.wanted else "maintenance is over")
        if not wish.wanted:
            node.later_epoch(now, node.election.epoch + 1)

    def _serve_takeover(self, coordinator: Coordinator, requester: Requester, forward: Forward) -> None:
        spec = self._node.spec
        target = forward.node or requester.node
        member = coordinator.members.get(target)
        if coordinator.maintenance:
            self.answer(requester, False, "in maintenance nothing is moved: hamgr maintenance off")
            return
        if member is None:
            self.answer(requester, False, f"{target} is not a member of the view now")
            return
        if not coordinator.fit(target):
            self.answer(requester, False, f"{target} can't run groups now: it is on standby or unfit")
            return
        groups = _selected(spec, forward.group, target, giving=False)
        if [group.name for group in groups if not group.enabled] == [forward.group]:
            self.answer(requester, False, f"{forward.group} runs nowhere: enabled = false in the configuration")
            return
        groups = [group for group in groups if group.enabled]
        if not groups:
            self.answer(requester, True, f"there is no {forward.group} group of {target}")
            return
        tied = [group for group in groups if group.together_with and forward.group == group.name]
        if tied:
            leaders = " and ".join(tied[0].together_with)
            self.answer(requester, False, f"{forward.group} runs where {leaders} runs: take that over")
            return
        able = [
            group.name
            for group in groups
            if target in candidates_of(spec, group)
            and not group.together_with
            and not any(report.barred or report.unready for name, report in member.groups.items() if name == group.name)
            and not coordinator.room.lacks(group, target)
        ]
        if not able:
            what = forward.group or "any group"
            unready = [member.groups[group.name].unready for group in groups if group.name in member.groups]
            lacks = [coordinator.room.lacks(group, target) for group in groups]
            why = next(filter(None, unready + lacks), "not configured for it, or it failed there")
            self.answer(requester, False, f"{target} may not run {what}: {why}")
            return
        for name in able:
            coordinator.pin(name, target)
        self.answer(requester, True, f"{', '.join(able)} to run on {target}")

    def _serve_rebalance(self, coordinator: Coordinator, requester: Requester, forward: Forward) -> None:
        node = self._node
        if not node.authoritative():
            self.answer(requester, False, "without a quorum nothing is moved")
            return
        done, text = coordinator.rebalancing.move(forward.groups, forward.group, forward.node, node.prompt)
        self.answer(requester, done, text)

    def _serve_fence(self, now: float, coordinator: Coordinator, requester: Requester, forward: Forward) -> None:
        node = self._node
        target = forward.node
        if target == node.name:
            self.answer(requester, False, f"{target} is the coordinator and does not fence itself: put it on standby")
            return
        if not node.authoritative():
            self.answer(requester, False, "without a quorum nobody is fenced")
            return
        if node.spec.node(target).fence_levels == 0:
            self.answer(requester, False, f"{target} has no fence device")
            return
        peer = node.membership.peers[target]
        who = forward.operator or "an operator"
        plan = coordinator.fencing.want(now, target, peer.incarnation, f"{who} asked for it")
        coordinator.fencing.asked_for(now, plan, who)
        plan.requests.append(requester)

    def _serve_confirm(self, now: float, coordinator: Coordinator, requester: Requester, forward: Forward) -> None:
        """What the coordinator proposes may be done: a node be fenced, a group move."""
        node = self._node
        everything = not forward.node and not forward.group
        if everything and forward.epoch != coordinator.epoch:
            # It was meant for what another coordinator had asked: nobody has read our questions yet.
            text = f"meanwhile {node.name} decides: look at what it asks (`hamgr status`), and say it again"
            self.answer(requester, False, text)
            return
        plans = [
            plan for plan in coordinator.fencing.open_questions() if everything or plan.node == forward.node
        ]
        proposed = coordinator.asking.proposed
        moves = {group: target for group, target in proposed.items() if everything or group == forward.group}
        by_hand = [plan.node for plan in plans if node.spec.mode is Mode.MANUAL]
        by_hand += [group for group in moves if node.spec.group(group).mode is Mode.MANUAL]
        if by_hand:
            text = f"{', '.join(by_hand)}: mode is manual: say `hamgr fence NODE`, `hamgr takeover GROUP --node NODE`"
            self.answer(requester, False, text)
            return
        if not plans and not moves:
            what = f" for {forward.node or forward.group}" if not everything else ""
            self.answer(requester, False, f"nothing{what} waits for a confirmation now")
            return
        who = forward.operator or "an operator"
        for plan in plans:
            coordinator.fencing.confirmed(now, plan, who)
        for group, target in moves.items():
            coordinator.pin(group, target)
        told = [f"{plan.node} is to be fenced" for plan in plans]
        told += [f"{group} is to run on {to}" for group, to in moves.items()]
        node.tell(Kind.TAKEOVER_CONFIRMED, f"{who} confirmed: {'; '.join(told)}", operator=forward.operator)
        self.answer(requester, True, "; ".join(told))

    def fence_ended(self, plan: Plan, confirmed: bool) -> None:
        for requester in plan.requests:
            text = f"{plan.node} is off" if confirmed else f"{plan.node} is not fenced: {plan.detail}"
            self.answer(requester, confirmed, text)
        plan.requests.clear()

    def _serve_confirmation(self, coordinator: Coordinator, requester: Requester, forward: Forward) -> None:
        node = self._node
        if forward.node == node.name or node.membership.peers[forward.node].heard:
            self.answer(requester, False, f"{forward.node} is heard: it is not off")
            return
        coordinator.acknowledged(forward.node)
        node.shooting.acknowledge(forward.node, forward.operator)
        self.answer(requester, True, f"{forward.node} counts as off")

    def _serve_cleanup(self, now: float, coordinator: Coordinator, requester: Requester, forward: Forward) -> None:
        node = self._node
        targets = [forward.node] if forward.node else list(coordinator.members)
        for target in targets:
            if target == node.name:
                self._clean(now, forward.group)
            elif target in coordinator.members:
                node.send(target, Forward(forward.request, forward.verb, target, forward.group, forward.operator))
            else:
                self.answer(requester, False, f"{target} is not a member of the view now")
                return
        what = forward.group or "all groups"
        kept = [
            name
            for name, member in coordinator.members.items()
            if name not in targets and any(r.barred for r in member.groups.values() if forward.group in ("", r.group))
        ]
        more = f"; it stays away from {', '.join(kept)}: hamgr cleanup {forward.group} --node {kept[0]}" if kept else ""
        self.answer(requester, True, f"failures of {what} on {', '.join(targets)} are forgotten{more}")

    def pulse(self, now: float) -> None:
        """Once a keepalive: repeat what is on its way, and give up what took too long."""
        node = self._node
        for request in list(self._pending):
            pending = self._pending[request]
            if now >= pending.until or not node.election.initialised:
                del self._pending[request]
                node.emit(Reply(request, False, "no coordinator answered in time; look at `hamgr status`"))
            elif node.coordinator is not None:
                del self._pending[request]
                self._serve(now, node.coordinator, node.name, pending.forward)
            elif node.election.following:
                node.send(node.election.following, pending.forward)
        if self._maintenance is not None and (node.coordinator is None or now >= self._maintenance.until):
            requester, self._maintenance = self._maintenance.requester, None
            if requester is not None:
                self.answer(requester, False, "not every member stored it in time; look at `hamgr status`")
        for target in list(self._standbys):
            wish = self._standbys[target]
            if now >= wish.until or node.coordinator is None or target not in node.coordinator.members:
                del self._standbys[target]
                for requester in wish.requests:
                    self.answer(requester, False, f"{target} did not answer")
            elif target != node.name:
                node.send(target, wish.forward)


def _selected(spec: ClusterSpec, selection: str, node: str, giving: bool) -> list[GroupSpec]:
    """The groups that a name, or one of Heartbeat's words, means for this node; giving: it gives them up."""
    if selection in ("", "all"):
        return list(spec.groups)
    if selection not in SELECTIONS:
        return [group for group in spec.groups if group.name == selection]
    at_home = selection == "local" or (selection == "failback" and not giving)
    return [group for group in spec.groups if (candidates_of(spec, group)[0] == node) is at_home]
