"""Whose watchdog may be counted on, and until when it has surely reset its machine: clause 4 of the takeover rule.

A daemon that ends in maintenance disarms its watchdog, and what it ran goes on. So the cluster state with which a
maintenance begins, and which a quorum has before anybody ends in it (`hamgr.core.leaving`), takes all watchdogs back.
Each counts again when its node has a state without maintenance on its disk, and says that its watchdog is armed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from hamgr.core.cluster import ClusterSpec
from hamgr.core.membership import Peer
from hamgr.core.messages import RosterEntry, Stamp, Standing

DOUBT = "its watchdog does not count: when it was last heard, a maintenance was on its disk, or none was armed"


class Watchdogs:
    """The watchdogs as one coordinator counts them. roster: the coordinator's own, which it changes."""

    def __init__(self, spec: ClusterSpec, roster: dict[str, RosterEntry], elected_at: float) -> None:
        self._spec = spec
        self._roster = roster
        self._elected_at = elected_at
        self._unattended_since: Stamp | None = None
        """The first cluster state of this reign in which no maintenance is on, after the last one in which one was."""

    def stamped(self, stamp: Stamp, maintenance: bool) -> None:
        """A new cluster state was made."""
        self._unattended_since = None if maintenance else self._unattended_since or stamp

    def take_back(self) -> None:
        """A maintenance is on."""
        for name, entry in self._roster.items():
            if entry.reset_ms:
                self._roster[name] = dataclasses.replace(entry, reset_ms=0)

    def note(self, said: Iterator[tuple[str, int, Stamp]]) -> None:
        """No maintenance is on; said: what each member says of its watchdog, and of the state on its disk."""
        for name, reset_ms, stored in said:
            entry, since = self._roster[name], self._unattended_since
            counts = entry.reset_ms > 0 or (since is not None and stored >= since)
            if entry.reset_ms != (reset_ms if counts else 0):
                self._roster[name] = dataclasses.replace(entry, reset_ms=reset_ms if counts else 0)

    def doubt(self, peer: Peer) -> str:
        """Why nobody counts on a watchdog that the node has by our file; "" if somebody does, or needs not."""
        entry = self._roster[peer.name]
        doubtful = entry.standing is Standing.MEMBER and not entry.reset_ms and not peer.heard
        return DOUBT if doubtful and self._is_watched(peer.name) else ""

    def _is_watched(self, node: str) -> bool:
        # In a two_node cluster each node is a quorum alone: no lease ever runs out, and no watchdog bites for it.
        return self._spec.node(node).watchdog_timeout is not None and not self._spec.two_node

    def safe_at(self, peer: Peer) -> float | None:
        """When its watchdog has surely stopped what runs there, if it is not heard until then; None: never."""
        timing, entry = self._spec.timing, self._roster[peer.name]
        timeout = self._spec.node(peer.name).watchdog_timeout
        if timeout is None or not self._is_watched(peer.name):
            return None
        # Another coordinator may have kept the node's lease alive: for one lease after our election at most, since
        # its own had to run out by then; and the node's lasts one lease longer than that.
        last_lease_began = max(self._elected_at + timing.lease, peer.heard_at)
        if entry.standing is Standing.MEMBER:
            # Its own word: what it runs with may differ from our file.
            return last_lease_began + entry.reset_ms / 1000 + self._spec.watchdog_margin if entry.reset_ms else None
        # No life that was let run anything is to be waited for.
        stop = sum(group.stop_timeout for group in self._spec.groups)
        return last_lease_began + timing.lease + stop + timeout + self._spec.watchdog_margin
