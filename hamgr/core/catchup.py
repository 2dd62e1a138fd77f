"""How a node that missed a push comes to run what the cluster runs: until it does, it leads nobody and starts nothing.

It may know fewer nodes than there are, so it could neither fence them nor wait for them. What it counts votes by is the
cluster state alone, which it learns from any quorum; its file takes nobody out of that. Who has the text brings it
(`BringConfig`), and it starts anew with that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hamgr.core.effects import BringConfig
from hamgr.core.electorate import Electorates
from hamgr.core.messages import ClusterState, ConfigStamp, Heartbeat

if TYPE_CHECKING:
    from hamgr.core.membership import Peer
    from hamgr.core.node import Node


class CatchUp:
    """What one node knows of missed configurations: that it missed one, or that others did."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._brought: dict[tuple[str, int], float] = {}
        """Node, with its life -> when it was brought the text last."""

    # -- this node ----------------------------------------------------------------------------------------------

    def outdated(self, config: ConfigStamp) -> bool:
        """The cluster switched to this configuration, and this node's file is an older one."""
        node = self._node
        return config.version > node.pushing.applied and config.digest != node.config

    def may_lead(self, state: ClusterState) -> bool:
        """May this node be coordinator, if this is the newest state that it or its voters know? In the middle of a push
        it may: nothing is started before all have switched."""
        return not self.outdated(state.config) or (state.maintenance and self._node.pushing.has(state.config.digest))

    def outdone(self) -> bool:
        """A voter that is heard was brought to a later configuration: it, or another one like it, shall lead."""
        node = self._node
        voters = node.electorates.voters
        return any(
            peer.heard
            and peer.name in voters
            and peer.heartbeat is not None
            and peer.heartbeat.applied > node.pushing.applied
            and peer.heartbeat.config != node.config
            for peer in node.membership.peers.values()
        )

    def refusal(self, peer: Peer) -> str:
        """Why this peer gets no vote of ours; "" if nothing speaks against it."""
        state, beat = self._node.stored, peer.heartbeat
        if state.maintenance or beat is None or not missed(beat, state.config):
            return ""
        return f"{peer.name} missed configuration {state.config.version}"

    def electorates(self, state: ClusterState, recorded: Electorates) -> Electorates:
        """The voters of a state, as this node counts them. Changed by hand, its file takes out whom it names no more;
        an older file does not."""
        if recorded.current and self.outdated(state.config):
            return recorded
        return self._node.spec.electorates(recorded)

    # -- the others ---------------------------------------------------------------------------------------------

    def pulse(self, now: float) -> None:
        """Once a keepalive: have the text brought to those who lack it."""
        node = self._node
        lacking = self.lacking() if node.config == node.stored.config.digest else set()
        self._brought = {life: at for life, at in self._brought.items() if life in lacking}
        for name, life in sorted(lacking):
            if now >= self._brought.get((name, life), float("-inf")) + node.spec.timing.deadtime:
                self._brought[(name, life)] = now
                node.urgent.append(BringConfig(name, life, node.config))

    def lacking(self) -> set[tuple[str, int]]:
        """Who has to be brought the configuration, and has it on record that it is the cluster's: of the members, as
        coordinator; else our coordinator, if it inherited a push and is wiped. Each with its life."""
        node = self._node
        stored = node.stored
        mine = [node.election.following] if node.coordinator is None else [*node.coordinator.members]
        found = set()
        for name in mine:
            peer = node.membership.peers.get(name)
            beat = peer.heartbeat if peer is not None and peer.heard else None
            if peer is None or beat is None or beat.stored.epoch < stored.stamp.epoch:
                continue
            if missed(beat, stored.config) and beat.staged != stored.config.digest:
                found.add((name, peer.incarnation))
        return found

    def waits(self) -> list[str]:
        """What is still to be done, in sentences."""
        node = self._node
        config = node.stored.config
        found = []
        if self.outdated(config) and not node.pushing.has(config.digest):
            found.append(
                f"{node.name} missed configuration {config.version} ({config.digest}), so it leads nobody and starts"
                " nothing: waits for a node that runs it to bring it here (or copy the file, and start hamgrd)"
            )
        if node.coordinator is not None:
            found += [
                f"{name} missed configuration {config.version}: it is brought there, and starts nothing before that"
                for name, _life in sorted(self.lacking())
            ]
        return found


def missed(beat: Heartbeat, config: ConfigStamp) -> bool:
    """Does who says this run an older configuration than this one?"""
    return beat.applied < config.version and beat.config != config.digest
