"""Whole nodes, joined by a perfect network: the cluster in which tests look at decisions."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from hamgr.core.cluster import ClusterSpec, GroupSpec, GroupState, LinkSpec, NodeSpec, Timing
from hamgr.core.durable import Durable
from hamgr.core.effects import (
    Announce,
    Effect,
    Fence,
    Kind,
    Persist,
    Probe,
    Record,
    Reply,
    Send,
    StartGroup,
    StopGroup,
    WakeAt,
)
from hamgr.core.events import (
    Event,
    FenceFinished,
    FenceOutcome,
    PacketReceived,
    Persisted,
    ResourceReported,
    Tick,
)
from hamgr.core.messages import Packet
from hamgr.core.node import Node

TIMING = Timing(keepalive=0.2, warntime=0.5, deadtime=1.0, initdead=3.0, lease=3.0)


class Cluster:
    """Three nodes on one link, with 1 ms a packet, 2 ms a write and 5 ms a script."""

    def __init__(self, *groups: GroupSpec, configs: Mapping[str, str] = MappingProxyType({}), **policy: Any) -> None:
        """configs: node name -> the digest of its configuration. policy: more of the `ClusterSpec`; delays: of nodes'
        fence levels."""
        delays = policy.pop("delays", {})
        nodes = tuple(NodeSpec(name, fence_delays=delays.get(name, ())) for name in "abc")
        self.spec = ClusterSpec("t", nodes, groups, TIMING, links=(LinkSpec("ha"),), **policy)
        self.now = 0.0
        self.told: list[tuple[float, str, Announce]] = []
        self.active: dict[str, set[str]] = {name: set() for name in "abc"}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._wakes: dict[str, int] = {}
        self.off: set[str] = set()
        self.sent: list[Packet] = []
        self.records: list[tuple[str, Record]] = []
        self.replies: list[Reply] = []
        self.outcome = FenceOutcome.CONFIRMED
        """How fencings end."""
        self._disks = {name: Durable(initialised=True) for name in "abc"}
        self.withheld: Callable[[Packet], bool] = lambda packet: False
        """Which packets don't arrive."""
        self.nodes = {
            name: Node(self.spec, name, life, Durable(initialised=True), 0.0, configs.get(name, ""))
            for life, name in enumerate("abc", 10)
        }
        for name in "abc":
            self._at(0.0, name, Tick())

    def _at(self, delay: float, name: str, event: Event) -> None:
        heapq.heappush(self._queue, (self.now + delay, next(self._count), lambda: self.post(name, event)))

    def post(self, name: str, event: Event) -> None:
        if name not in self.off:
            for effect in self.nodes[name].step(self.now, event):
                self._perform(name, effect)

    def _perform(self, name: str, effect: Effect) -> None:
        match effect:
            case Send(to, to_incarnation, body, number):
                packet = Packet(name, self.nodes[name].incarnation, to, to_incarnation, body, number)
                self.sent.append(packet)
                if not self.withheld(packet):
                    self.deliver(packet)
            case WakeAt(time):
                wake = self._wakes[name] = next(self._count)
                heapq.heappush(
                    self._queue,
                    (time, wake, lambda: self.post(name, Tick()) if self._wakes[name] == wake else None),
                )
            case Persist(serial, record):
                self.records.append((name, record))
                self._disks[name] = self._disks[name].apply(record)
                self._at(0.002, name, Persisted(serial))
            case Reply():
                self.replies.append(effect)
            case Probe(group):
                state = GroupState.STARTED if group in self.active[name] else GroupState.STOPPED
                self._at(0.005, name, ResourceReported(group, state))
            case StartGroup(group):
                self.active[name].add(group)
                self._at(0.005, name, ResourceReported(group, GroupState.STARTED))
            case StopGroup(group):
                self.active[name].discard(group)
                self._at(0.005, name, ResourceReported(group, GroupState.STOPPED))
            case Fence(fence, node):
                if self.outcome is FenceOutcome.CONFIRMED:
                    self.power_off(node)
                self._at(0.02, name, FenceFinished(fence, node, self.outcome, "off", 2))
            case Announce():
                self.told.append((self.now, name, effect))

    def deliver(self, packet: Packet) -> None:
        self._at(0.001, packet.to, PacketReceived("ha", packet))

    def power_off(self, name: str) -> None:
        self.off.add(name)
        self.active[name].clear()

    def power_on(self, name: str) -> None:
        """Another life, with the disk of the last one."""
        self.off.discard(name)
        life = self.nodes[name].incarnation + 100
        self.nodes[name] = Node(self.spec, name, life, self._disks[name], self.now)
        self._at(0.0, name, Tick())

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _count, act = heapq.heappop(self._queue)
            act()
        self.now = end

    def owners(self, group: str) -> list[str]:
        return [name for name in "abc" if group in self.active[name]]

    def kinds(self, group: str = "") -> list[Kind]:
        return [announce.kind for _time, _name, announce in self.told if announce.group == group]
