"""All links of a node at once: a message goes out on every one, sealed for each, and what comes in is opened."""

from __future__ import annotations

from collections.abc import Callable

from hamgr.config.model import Config
from hamgr.core.messages import Body, Packet
from hamgr.links.codec import MAX_FRAME, Codec, Counters, Rejected, RejectReason
from hamgr.links.link import LINK_KINDS, Link

Deliver = Callable[[str, Packet], None]


class Transport:
    """The links of one node. deliver: called with (link, packet) for each packet that is meant for us."""

    def __init__(self, config: Config, node: str, codec: Codec, deliver: Deliver) -> None:
        self._codec = codec
        self._deliver = deliver
        self._muted = False
        self.counters = Counters()
        self._links: dict[str, Link] = {}
        self._reach: dict[str, list[str]] = {}
        for link in config.links:
            self._links[link.name] = LINK_KINDS[link.kind](link, node, self._receive, self._failed)
            for peer in link.addresses:
                self._reach.setdefault(peer, []).append(link.name)

    async def open(self) -> None:
        """Open all links, or none: raises LinkError for the first that can't be."""
        try:
            for link in self._links.values():
                await link.open()
        except BaseException:
            await self.close()
            raise

    def send(self, to: str, to_incarnation: int, body: Body) -> None:
        """Send a message to a node, on every link that leads there."""
        if self._muted:
            return
        packet = Packet(self._codec.node, self._codec.incarnation, to, to_incarnation, body)
        for name in self._reach[to]:
            frame = self._codec.seal(name, packet)
            count = self.counters.of(name)
            if len(frame) > MAX_FRAME:
                # The peer would refuse it, and end a stream that brought it.
                self._failed(name, f"a {type(body).__name__} of {len(frame)} bytes, allowed {MAX_FRAME}")
                continue
            count.frames_out += 1
            count.bytes_out += len(frame)
            self._links[name].send(to, frame)

    def mute(self) -> None:
        """Send nothing anymore, ever; not what waits either."""
        self._muted = True
        for link in self._links.values():
            link.drop_waiting()

    def _receive(self, link: str, frame: bytes, source: str) -> RejectReason | None:
        count = self.counters.of(link)
        count.frames_in += 1
        count.bytes_in += len(frame)
        try:
            packet = self._codec.open(link, frame)
        except Rejected as rejected:
            self.counters.rejected(link, rejected.reason, source)
            return rejected.reason
        self._deliver(link, packet)
        return None

    def _failed(self, link: str, reason: str) -> None:
        self.counters.of(link).send_failures += 1

    async def close(self) -> None:
        for link in self._links.values():
            await link.close()
