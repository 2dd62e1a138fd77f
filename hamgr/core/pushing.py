"""How all nodes change their configuration, or none: it is staged everywhere, proposed, committed, and switched to.

Staged: each node has the text on disk, and those groups are stopped there that it changes. Proposed: the coordinator
puts its stamp into the cluster state, with a maintenance, and every node stores that. Committed: the stamp becomes the
cluster's; whoever stores that ends and starts anew with the file. A proposal is taken back only by the coordinator that
made it, before it committed it; whoever inherits one can't know, and carries it on. If that comes to no end, it is
withdrawn: what the nodes ran before is committed anew, as a later version, to which those come back who switched
meanwhile. So it is the same file everywhere in the end, whoever dies at any moment. At last the coordinator ends the
maintenance: when every node runs the file, or is known to run nothing.

A node that is not there, and known to run nothing, hinders none of that: a quorum decides, and it is brought the text
when it is back (`hamgr.core.catchup`). Two nodes that are each a quorum alone could not be told in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hamgr.core.coordinator import Coordinator
from hamgr.core.durable import Durable
from hamgr.core.effects import AppliedRecord, Kind
from hamgr.core.electorate import ARBITER
from hamgr.core.events import ConfigStaged
from hamgr.core.messages import ConfigStamp, Forward

if TYPE_CHECKING:
    from hamgr.core.membership import Peer
    from hamgr.core.node import Node
    from hamgr.core.requests import Requester

INHERITED_PATIENCE = 6
"""Deadtimes after which a coordinator withdraws a proposal that it inherited and can't bring to its end."""

TWO = 2
"""Nodes that are each a quorum alone, if nobody decides between them."""

PATIENCE = 3
"""Deadtimes that the nodes have to say that they staged it, and then to store the proposal."""


@dataclass(slots=True)
class _Push:
    """A push that this node carries out as coordinator of `epoch`. until: seconds. added, removed: a node, "" for none.

    In a later epoch, even one of our own, another may have been coordinator in between and have committed it.
    """

    epoch: int
    requester: Requester
    digest: str
    until: float
    added: str
    removed: str


class Pushing:
    """The configurations of one node. applied: the version that its file was last brought to."""

    def __init__(self, node: Node, durable: Durable) -> None:
        self._node = node
        self.applied = durable.applied
        self._staged = {staged.digest: staged.idle for staged in durable.staged}
        self._push: _Push | None = None
        self._carried = (0, 0.0)
        """The epoch in which we carry on a proposal that we inherited, and until when (seconds)."""
        self._pending_since: float | None = None

    # -- every node ---------------------------------------------------------------------------------------------

    def staged(self, event: ConfigStaged) -> None:
        """A configuration is on disk here, and could be switched to once its idle groups are stopped."""
        self._staged.pop(event.digest, None)
        self._staged[event.digest] = event.idle
        self._node.beat_soon = True
        self._node.touch()

    def says_staged(self) -> str:
        """What our heartbeats say: the configuration that is proposed, else the newest one, if it is staged and what it
        changes is stopped here."""
        node = self._node
        digest = node.stored.proposed.digest
        if digest not in self._staged:
            digest = next(reversed(self._staged), "")
        return digest if digest and digest != node.config and not self._active(digest) else ""

    def _active(self, digest: str) -> list[str]:
        groups = self._node.member.groups
        return [name for name in self._staged[digest] if name in groups and groups[name].active]

    @property
    def removes(self) -> str:
        """The node that a push of ours is to remove; "" for none."""
        return self._push.removed if self._push is not None else ""

    def has(self, digest: str) -> bool:
        """The text of this configuration is on disk here."""
        return digest in self._staged

    @property
    def pending(self) -> bool:
        """A configuration is committed that this node does not run yet, and it has what it needs for that."""
        committed = self._node.stored.config
        return committed.version > self.applied and committed.digest in self._staged

    def follow(self, now: float) -> None:
        """Switch to what is committed: end, and start anew with it. The coordinator lets the others store it first."""
        node = self._node
        committed = node.stored.config
        if committed.version <= self.applied or committed.digest == node.config or not self.pending:
            self._pending_since = None
            return
        if node.leaving.began:
            return
        if self._pending_since is None:
            self._pending_since = now
        if node.stored.maintenance and (self._active(committed.digest) or self._leads_others(now)):
            return
        node.tell(Kind.CONFIG, f"{node.name} starts anew with configuration {committed.version}", node.name)
        node.leaving.begin(restart=True)

    def _leads_others(self, now: float) -> bool:
        """We are coordinator of somebody who may not have stored the commitment yet."""
        node, coordinator = self._node, self._node.coordinator
        assert self._pending_since is not None
        if coordinator is None or now >= self._pending_since + PATIENCE * node.spec.timing.deadtime:
            return False
        for name in coordinator.members:
            beat = node.membership.peers[name].heartbeat if name != node.name else None
            knows = beat is None or beat.stored >= coordinator.state.stamp or beat.config == node.stored.config.digest
            if not knows:
                return True
        return False

    def note(self) -> None:
        """What runs here is what is committed: write down that there is nothing to be done about it."""
        node = self._node
        committed = node.stored.config
        if committed.version > self.applied and committed.digest == node.config and not node.records.failure:
            self.applied = committed.version
            node.persist(AppliedRecord(committed.version))
            node.beat_soon = True

    def waits(self) -> list[str]:
        """What a push waits for, in sentences, as far as this node can tell."""
        node, state = self._node, self._node.stored
        if not state.pushing:
            return []
        found = []
        behind = [node.name] if self.applied < state.config.version else []
        for peer in node.membership.peers.values():
            if peer.heard and peer.heartbeat is not None and peer.heartbeat.applied < state.config.version:
                behind.append(peer.name)
        active = self._active(state.config.digest) if self.pending else []
        if state.proposed.version:
            found.append(self._waits_for_commit())
        elif active:
            found.append(f"configuration {state.config.version}: waits for {', '.join(active)} to be stopped here")
        elif behind:
            found.append(f"configuration {state.config.version}: waits for {', '.join(behind)} to start anew with it")
        absent = [peer.name for peer in node.membership.peers.values() if not peer.heard]
        if absent and node.coordinator is not None:
            absent = self._lost_nodes(node.coordinator)
        if absent:
            found.append(
                f"the end of a push: waits for hamgrd on {', '.join(absent)} (look into its log there, start it);"
                " or, to go on without: hamgr maintenance off"
            )
        return found

    def _waits_for_commit(self) -> str:
        node, coordinator = self._node, self._node.coordinator
        proposed = node.stored.proposed
        what = f"a push of configuration {proposed.version}: waits until it is stored and committed"
        if proposed.removed in node.electorates.voters:
            what = (
                f"a push of configuration {proposed.version}: waits for {proposed.removed} to be taken out of the"
                " voters, which takes a quorum of those who stay"
            )
        what += "; hamgr config withdraw takes it back"
        if coordinator is not None and self._carried[0] == coordinator.epoch:
            what += f", as happens by itself in {max(0.0, self._carried[1] - node.now):.0f} s"
        return what

    # -- the coordinator ----------------------------------------------------------------------------------------

    def serve(self, now: float, coordinator: Coordinator, requester: Requester, forward: Forward) -> None:
        node = self._node
        known = forward.node in (*node.spec.names, ARBITER)
        added, removed = ("", forward.node) if known else (forward.node, "")
        refusal = ""
        if coordinator.proposed.digest == forward.config != "":
            refusal = "its coordinator was lost, and it is carried on: look at `hamgr status`"
        elif self._push is not None or coordinator.proposed.version:
            refusal = "another configuration is being pushed"
        elif coordinator.pushing:
            refusal = "the last push has not come to its end: look at `hamgr status`"
        elif coordinator.maintenance:
            refusal = "a maintenance is on: hamgr maintenance off"
        elif lost := self._lost_nodes(coordinator):
            names = ", ".join(lost)
            refusal = f"{names} may run something: start hamgrd there, or have it off (hamgr fence, hamgr fence ack)"
        elif self._two_would_part(coordinator, removed):
            refusal = "of two nodes without an arbiter each is a quorum by its own file: both must be there for a push"
        if refusal:
            node.requests.answer(requester, False, refusal)
            return
        if all(self._runs(name, forward.config) for name in coordinator.members):
            node.requests.answer(requester, True, "every node runs it already")
            return
        until = now + PATIENCE * node.spec.timing.deadtime
        self._push = _Push(coordinator.epoch, requester, forward.config, until, added, removed)
        node.touch()

    def _away(self, coordinator: Coordinator) -> list[Peer]:
        """The configured nodes that are no members."""
        return [peer for peer in self._node.membership.peers.values() if peer.name not in coordinator.members]

    def _lost_nodes(self, coordinator: Coordinator) -> list[str]:
        """Those of them that may run something."""
        return [peer.name for peer in self._away(coordinator) if coordinator.ruling.standing(peer) is None]

    def _two_would_part(self, coordinator: Coordinator, removed: str) -> bool:
        """Somebody misses it who, with another file, would be or would face a quorum of one."""
        spec = self._node.spec
        after = [name for name in spec.names if name != removed]
        decides = (spec.arbiter and removed != ARBITER) or spec.auto_tie_breaker not in ("", removed)
        to_two = len(after) == TWO and not decides
        missing = {peer.name for peer in self._away(coordinator)}
        return bool(missing) if spec.two_node else to_two and bool(missing - {removed})

    def _runs(self, name: str, digest: str) -> bool:
        node = self._node
        if name == node.name:
            return node.config == digest
        beat = node.membership.peers[name].heartbeat
        return beat is not None and beat.config == digest

    def _has(self, name: str, digest: str) -> bool:
        node = self._node
        if self._runs(name, digest):
            return True
        if name == node.name:
            return self.says_staged() == digest
        beat = node.membership.peers[name].heartbeat
        return beat is not None and beat.staged == digest

    def settle(self, now: float, coordinator: Coordinator) -> None:
        """Do the next step of a push, as soon as it may be done."""
        if self._push is not None and self._push.epoch != coordinator.epoch:
            self._lost()
        if coordinator.proposed.version:
            if coordinator.state.proposed == coordinator.proposed:
                self._commit(now, coordinator)
        elif self._push is not None and coordinator.maintenance:
            self._give_back("a maintenance was begun meanwhile: nothing is changed")
        elif self._push is not None:
            self._propose(now, coordinator, self._push)
        elif coordinator.pushing:
            self._end(now, coordinator)

    def _propose(self, now: float, coordinator: Coordinator, push: _Push) -> None:
        node = self._node
        lacking = [name for name in coordinator.members if not self._has(name, push.digest)]
        absent = self._hindered(coordinator, push)
        if absent or now >= push.until:
            names = ", ".join(absent or lacking)
            why = "was lost meanwhile" if absent else "did not stage it, or runs a group that it changes"
            self._give_back(f"{names} {why}: nothing is changed")
        elif not lacking:
            coordinator.proposed = ConfigStamp(coordinator.config.version + 1, push.digest, push.added, push.removed)
            push.until = now + PATIENCE * node.spec.timing.deadtime
            coordinator.maintenance = coordinator.pushing = True
            node.tell(Kind.MAINTENANCE, "maintenance begins: a configuration is pushed")
            node.touch()

    def _hindered(self, coordinator: Coordinator, push: _Push) -> list[str]:
        """Who was lost since the push began, and hinders it."""
        lost = self._lost_nodes(coordinator)
        if not lost and self._two_would_part(coordinator, push.removed):
            return [peer.name for peer in self._away(coordinator)]
        return lost

    def _give_back(self, text: str) -> None:
        push, self._push = self._push, None
        if push is not None:
            self._node.requests.answer(push.requester, False, text)

    def _commit(self, now: float, coordinator: Coordinator) -> None:
        node, push = self._node, self._push
        proposed = coordinator.proposed
        if push is not None:
            absent = self._hindered(coordinator, push)
            late = [name for name in coordinator.members if not self._stored(name, coordinator, proposed.digest)]
            votes_still = proposed.removed in coordinator.electorates.voters
            if absent or ((late or votes_still) and now >= push.until):
                what = "did not store it in time" if absent or late else "could not be taken out of the voters in time"
                self._take_back(now, coordinator, f"{', '.join(absent or late or [proposed.removed])} {what}")
                return
            ready = not late and node.stored_by_quorum(coordinator.state.stamp)
        else:
            ready = node.stored_by_quorum(coordinator.state.stamp)
            if node.spec.two_node:  # where another quorum need not know of it
                ready = all(
                    self._stored(peer.name, coordinator, "") or coordinator.ruling.standing(peer) is not None
                    for peer in node.membership.peers.values()
                )
        if not ready:
            return
        if proposed.removed in coordinator.electorates.voters:
            if push is None and now >= self._carried_until(now, coordinator):
                self._withdraw(coordinator, f"{proposed.removed} could not be taken out of the voters in time")
            return
        coordinator.config, coordinator.proposed = proposed, ConfigStamp()
        if proposed.added:
            coordinator.expect(proposed.added)
        text = f"configuration {proposed.version} ({proposed.digest}) is committed: every node starts anew with it"
        node.tell(Kind.CONFIG, text, digest=proposed.digest, version=str(proposed.version))
        if push is not None:
            self._push = None
            node.requests.answer(push.requester, True, text)
        node.touch()

    # -- its end, if it can't be committed ----------------------------------------------------------------------

    def serve_withdrawal(self, coordinator: Coordinator, requester: Requester, forward: Forward, now: float) -> None:
        """An operator takes back a push that is not committed yet."""
        node = self._node
        who = forward.operator or "an operator"
        proposed = coordinator.proposed
        if self._push is not None and proposed.version:
            self._take_back(now, coordinator, f"{who} withdrew it")
        elif self._push is not None:
            self._give_back(f"{who} withdrew it: nothing is changed")
        elif not proposed.version:
            why = "no configuration is being pushed"
            if coordinator.pushing:
                why = f"configuration {coordinator.config.version} is committed: push the last one anew (FILE.previous)"
            node.requests.answer(requester, False, why)
            return
        elif node.spec.two_node:
            why = "of two nodes one may have committed it: the other must be there, or be off (hamgr fence ack)"
            node.requests.answer(requester, False, why)
            return
        elif not self._withdrawn(coordinator):
            self._withdraw(coordinator, f"{who} said so")
        node.requests.answer(requester, True, "the push is withdrawn: every node keeps, or comes back to, what it ran")

    def _take_back(self, now: float, coordinator: Coordinator, why: str) -> None:
        """Nobody has seen it committed, since only we could have done that."""
        coordinator.proposed = ConfigStamp()
        self._give_back(f"{why}: nothing is changed")
        self._node.requests.end_maintenance(now, coordinator, "the push is taken back")
        self._node.touch()

    def _withdraw(self, coordinator: Coordinator, why: str) -> None:
        """Its coordinator may have committed it, and switched, before it was lost: a later version undoes that too."""
        node, given_up = self._node, coordinator.proposed
        coordinator.proposed = ConfigStamp(given_up.version + 1, self._before(coordinator))
        text = f"the push of configuration {given_up.version} ({given_up.digest}) is withdrawn: {why}"
        node.tell(Kind.CONFIG, text, digest=coordinator.proposed.digest, version=str(coordinator.proposed.version))
        node.touch()

    def _before(self, coordinator: Coordinator) -> str:
        return coordinator.config.digest or self._node.config

    def _withdrawn(self, coordinator: Coordinator) -> bool:
        """What is proposed is what was there before."""
        return coordinator.proposed.digest == self._before(coordinator)

    def _carried_until(self, now: float, coordinator: Coordinator) -> float:
        """When we withdraw what we inherited."""
        if self._carried[0] != coordinator.epoch:
            self._carried = (coordinator.epoch, now + INHERITED_PATIENCE * self._node.spec.timing.deadtime)
        return self._carried[1]

    # -- who has it ---------------------------------------------------------------------------------------------

    def _stored(self, name: str, coordinator: Coordinator, digest: str) -> bool:
        """It has the newest cluster state on disk (and, at that time, still has this configuration staged)."""
        node = self._node
        if name == node.name:
            stored = node.stored.stamp
        else:
            beat = node.membership.peers[name].heartbeat
            if beat is None or name not in coordinator.members:
                return False
            stored = beat.stored
        return stored >= coordinator.state.stamp and (not digest or self._has(name, digest))

    def _end(self, now: float, coordinator: Coordinator) -> None:
        node = self._node
        version = coordinator.config.version
        for name in coordinator.members:
            beat = node.membership.peers[name].heartbeat if name != node.name else None
            applied = self.applied if name == node.name else (beat.applied if beat is not None else -1)
            if applied < version:
                return
        if not self._lost_nodes(coordinator):
            node.requests.end_maintenance(now, coordinator, "the push is over")

    def pulse(self) -> None:
        """Once a keepalive: who asked learns that another coordinator will carry it on, or nobody."""
        if self._push is not None and self._node.coordinator is None:
            self._lost()

    def _lost(self) -> None:
        self._give_back("the coordinator was lost meanwhile: look at `hamgr status` for what became of it")
