"""What a link is: it carries frames between nodes and knows nothing of what is in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol, TypeAlias

from hamgr.config.model import LinkConfig
from hamgr.links.codec import RejectReason

Receive: TypeAlias = Callable[[str, bytes, str], RejectReason | None]
"""Called for each frame with (link, frame, source): None if it was taken, else why not. Never raises."""

NoteFailure: TypeAlias = Callable[[str, str], None]
"""Called with (link, reason) for each frame that could not be sent."""


class LinkError(Exception):
    """A link can't be opened: which, where and why, in one sentence."""


class Link(Protocol):
    """One heartbeat link to all peers."""

    async def open(self) -> None:
        """Bind and begin to receive. Raises LinkError."""

    def send(self, to: str, frame: bytes) -> None:
        """Send to one peer, now or never: it does not block, and a fault of the network raises nothing."""

    def drop_waiting(self) -> None:
        """Forget the frames that wait to be sent."""

    async def close(self) -> None:
        """End it; nothing is received afterwards."""


LinkFactory: TypeAlias = Callable[[LinkConfig, str, Receive, NoteFailure], Link]


def _udp(config: LinkConfig, node: str, receive: Receive, failed: NoteFailure) -> Link:
    from hamgr.links.udp import UdpLink

    return UdpLink(config, node, receive, failed)


def _grpc(config: LinkConfig, node: str, receive: Receive, failed: NoteFailure) -> Link:
    from hamgr.links.stream import StreamLink

    return StreamLink(config, node, receive, failed)


LINK_KINDS: Mapping[str, LinkFactory] = MappingProxyType({"udp": _udp, "grpc": _grpc})
"""The kinds of links by the name that the configuration has for them. Their modules are loaded when they are used."""
