"""Heartbeats: what a node says each keepalive, and what it makes of those it hears."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hamgr.core.effects import Kind, Send
from hamgr.core.membership import Change, Changed, Peer, microseconds
from hamgr.core.messages import Heartbeat, Stamp
from hamgr.core.status import runs_another

if TYPE_CHECKING:
    from hamgr.core.node import Node


class Beats:
    """The heartbeats of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.said_load = 0
        """What we run, as we said last. Of two nodes who runs more shoots first: both must know who that is."""

    def heard(self, now: float, link: str, peer: Peer, incarnation: int, beat: Heartbeat) -> None:
        """Take in a heartbeat; who leads, and in which epoch, is learned from it."""
        node = self._node
        before = peer.heartbeat
        self.changes(now, node.membership.heartbeat(now, link, peer.name, incarnation, beat))
        if peer.heartbeat is not beat or not peer.heard:
            return  # whoever does not hear us leads us nowhere
        if before is None or _substance(before) != _substance(beat):
            node.dirty = node.mesh.stale = True
        if (before is None or before.config != beat.config) and runs_another(node.config, beat.config):
            text = f"{peer.name} runs another configuration file than {node.name}: what they do may not fit together"
            node.tell(Kind.WARNING, text, peer.name, own=node.config, other=beat.config)
        election = node.election
        declares = beat.coordinator == peer.name
        if declares and beat.epoch >= election.epoch:
            if node.coordinator is not None and beat.epoch == election.epoch:
                self._two_coordinators(peer.name, beat.epoch)
            elif election.follow(peer.name, beat.epoch):
                node.new_coordinator(now)
        elif beat.initialised and beat.epoch > election.epoch:
            if beat.coordinator or election.following in ("", node.name, peer.name):
                node.later_epoch(now, beat.epoch)
            # Else it only stands, or stood: that takes us from no coordinator. Ours hears it too, or it can't join.
        elif election.following == peer.name and not declares:
            node.lose_coordinator(now)

    def _two_coordinators(self, other: str, epoch: int) -> None:
        """Votes were forged or forgotten (a store was put back from a backup, say). Neither goes on with this epoch."""
        node = self._node
        node.tell(
            Kind.WARNING,
            f"{other} claims to be coordinator of epoch {epoch} as well as {node.name}: a record of votes was lost or"
            " put back; a new epoch is voted",
            other,
        )
        node.later_epoch(node.now, epoch + 1)

    def changes(self, now: float, changes: list[Changed]) -> None:
        """Tell what became of peers and links, and draw the conclusions."""
        node = self._node
        for changed in changes:
            name = changed.node
            match changed.change:
                case Change.CANDIDATE:
                    self._send_to(now, name)
                    continue
                case Change.UP:
                    node.leaving.heard.pop(name, None)
                    node.acknowledged.discard(name)
                    node.tell(Kind.NODE_UP, f"{name} is heard", name)
                    node.beat_soon = True
                case Change.RESTARTED:
                    node.leaving.heard.pop(name, None)
                    node.election.forget_vote(name)
                    node.tell(Kind.NODE_UP, f"{name} has started anew, its earlier life is over", name)
                    node.beat_soon = True
                    if node.election.following == name:
                        node.lose_coordinator(now)
                case Change.SUSPECTED:
                    why = f"nothing heard for {changed.silent_for * 1000:.0f} ms"
                    if changed.cut_off:
                        why = f"no own link leads to it: {'; '.join(node.membership.own_down.values())}"
                    text = f"{name} is suspected: {why}"
                    node.tell(Kind.NODE_SUSPECTED, text, name, silent_ms=f"{changed.silent_for * 1000:.0f}")
                case Change.TRUSTED:
                    node.tell(Kind.NODE_UP, f"{name} is heard again", name)
                case Change.DEAD:
                    why = "it does not hear us" if changed.deaf else "no link hears it"
                    text = f"{name} is dead: {why} for {changed.silent_for * 1000:.0f} ms"
                    node.tell(Kind.NODE_DEAD, text, name, silent_ms=f"{changed.silent_for * 1000:.0f}")
                    node.election.forget_vote(name)
                    node.beat_soon = True
                    if node.election.following == name:
                        node.lose_coordinator(now)
                case Change.LINK_UP:
                    node.tell(Kind.LINK_UP, f"link {changed.link} to {name} works", name, link=changed.link)
                    continue
                case Change.LINK_DOWN:
                    silent = f"{changed.silent_for * 1000:.0f} ms"
                    text = f"link {changed.link} to {name} is down: nothing heard for {silent}"
                    node.tell(Kind.LINK_DOWN, text, name, link=changed.link)
                    continue
            node.dirty = node.mesh.stale = True

    def send(self, now: float) -> None:
        """Say to everybody that we live, and to the arbiter."""
        node = self._node
        node.beat_soon = False
        if node.leaving.until is not None:
            return
        beat = self._make(now)
        self.said_load = beat.load
        for name in node.membership.peers:
            self._send(name, beat)
        node.arbitration.report(now)

    def _send(self, name: str, beat: Heartbeat) -> None:
        node = self._node
        life = node.membership.addressee(name)
        node.urgent.append(Send(name, life, beat, node.delivery.announced(name, life)))

    def _send_to(self, now: float, name: str) -> None:
        node = self._node
        if node.leaving.until is None:
            self._send(name, self._make(now))

    def _make(self, now: float) -> Heartbeat:
        node = self._node
        hears = (node.name, *node.membership.alive())
        following = node.election.following
        if node.coordinator is not None and now >= node.leases.until:
            following = ""
        return Heartbeat(
            sent_us=microseconds(now),
            epoch=node.election.epoch,
            coordinator=following,
            stored=node.stored.stamp,
            initialised=node.election.initialised,
            load=node.member.load,
            leaving=node.leaving.began,
            echoes=node.membership.echoes(),
            running=node.member.running,
            config=node.config,
            staged=node.pushing.says_staged(),
            applied=node.pushing.applied,
            settled=node.coordinator.settled if node.coordinator is not None else Stamp(),
            hears=() if node.mesh.small else hears,
            mesh=() if node.mesh.small or len(node.mesh.best) == len(hears) else tuple(sorted(node.mesh.best)),
            reset_ms=node.leases.reset_ms,
        )


def _substance(beat: Heartbeat) -> tuple[object, ...]:
    """What of a heartbeat decisions depend on, beyond that it came."""
    pushed = (beat.staged, beat.applied)
    others = (beat.hears, beat.mesh)
    return (beat.epoch, beat.coordinator, beat.stored, beat.initialised, beat.leaving, beat.reset_ms, pushed, others)
