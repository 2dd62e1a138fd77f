"""All links of a node at once: a message goes out on every one, sealed for each, and what comes in is opened."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from hamgr.config.model import Config, LinkConfig
from hamgr.core.messages import Body, Heartbeat, Packet, slot
from hamgr.links.codec import MAX_FRAME, Codec, Rejected, RejectReason
from hamgr.links.counters import Counters
from hamgr.links.kernel import InterfaceMonitor, Interfaces
from hamgr.links.link import LINK_KINDS, Link, Local
from hamgr.links.quality import Quality

Deliver = Callable[[str, Packet], None]
LinkChange = Callable[[str, bool, str], None]


@dataclass(slots=True)
class LinkState:
    """What a link said of itself last."""

    config: LinkConfig
    up: bool = True
    detail: str = ""


class Transport:
    """The links of one node; the `Listener` of each of them.

    deliver: called with (link, packet) for each packet that is meant for us. changed: called with (link, up, detail)
    when a link itself goes down or comes up.
    """

    def __init__(self, config: Config, node: str, codec: Codec, deliver: Deliver, changed: LinkChange) -> None:
        self._codec = codec
        self._deliver = deliver
        self._changed = changed
        self._muted = False
        self.counters = Counters()
        self.states = {link.name: LinkState(link) for link in config.links if node in link.nodes}
        local = Local(node, config.tls, config.spec.name)
        self._links: dict[str, Link] = {
            name: LINK_KINDS[state.config.kind](state.config, local, self) for name, state in self.states.items()
        }
        self.quality = {
            (peer, name): Quality() for name, state in self.states.items() for peer in state.config.peers(node)
        }
        """(peer, link) -> how well it works."""
        self._monitor = InterfaceMonitor(self._interfaces_changed)
        self._reach = {
            peer: [name for name, state in self.states.items() if peer in state.config.nodes]
            for peer in config.spec.names
        }

    async def open(self) -> None:
        """Open all links, or none: raises LinkError for the first that can't be."""
        try:
            await self._monitor.start()
            for link in self._links.values():
                await link.open()
        except BaseException:
            await self.close()
            raise

    def send(self, to: str, to_incarnation: int, body: Body, number: int = 0) -> None:
        """Send a message to a node, on every link that leads there."""
        if self._muted:
            return
        packet = Packet(self._codec.node, self._codec.incarnation, to, to_incarnation, body, number)
        about = slot(body)
        beats = isinstance(body, Heartbeat)
        now_us = time.monotonic_ns() // 1000
        for name in self._reach[to]:
            quality = self.quality[to, name]
            frame = self._codec.seal(name, packet, quality.clocks(now_us) if beats else None)
            if len(frame) > MAX_FRAME:
                # The peer would refuse it, and end a stream that brought it.
                self.failed(name, f"a {type(body).__name__} of {len(frame)} bytes, allowed {MAX_FRAME}")
                continue
            quality.sent(len(frame))
            self._links[name].send(to, frame, about)

    def mute(self) -> None:
        """Send nothing anymore, ever; not what waits either."""
        self._muted = True
        for link in self._links.values():
            link.drop_waiting()

    # -- what the links tell ------------------------------------------------------------------------------------

    def received(
        self, link: str, frame: bytes, source: str, speakers: frozenset[str] | None = None
    ) -> RejectReason | None:
        try:
            unsealed = self._codec.unseal(link, frame, speakers)
        except Rejected as rejected:
            if rejected.reason is not RejectReason.NOT_FOR_US or not self._is_shared(link):
                self.counters.rejected(link, rejected.reason, source)
            return rejected.reason
        packet = unsealed.packet
        quality = self.quality.get((packet.sender, link))
        if quality is None:
            # A node of other clusters' files, or one that is not on this link.
            self.counters.rejected(link, RejectReason.WRONG_LINK, source)
            return RejectReason.WRONG_LINK
        now_us = time.monotonic_ns() // 1000
        quality.arrived(now_us, len(frame), packet.incarnation, unsealed.sequence, unsealed.clocks)
        self._deliver(link, packet)
        return None

    def failed(self, link: str, reason: str) -> None:
        self.counters.of(link).send_failures += 1

    def changed(self, link: str, up: bool, detail: str) -> None:
        state = self.states[link]
        was_up, state.up, state.detail = state.up, up, detail
        if was_up != up:
            self._changed(link, up, detail)

    def _is_shared(self, link: str) -> bool:
        """Everybody on a shared medium hears what is meant for others."""
        return self.states[link].config.kind in ("broadcast", "multicast")

    def _interfaces_changed(self, interfaces: Interfaces) -> None:
        for link in self._links.values():
            link.interfaces_changed(interfaces)

    async def close(self) -> None:
        await self._monitor.close()
        for link in self._links.values():
            await link.close()
