"""What a link is: it carries frames between nodes and knows nothing of what is in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeAlias

from hamgr.config.model import LinkConfig, TlsConfig
from hamgr.links.codec import RejectReason
from hamgr.links.kernel import Interfaces


class LinkError(Exception):
    """A link can't be opened, and time won't mend it: which, where and why, in one sentence."""


class Listener(Protocol):
    """Whom a link tells. None of it raises."""

    def received(
        self, link: str, frame: bytes, source: str, speakers: frozenset[str] | None = None
    ) -> RejectReason | None:
        """A frame came, from an address to be shown to people; None if it was taken, else why not.

        speakers: the nodes one of which must have said it, as the link itself knows; None: it doesn't know.
        """

    def failed(self, link: str, reason: str) -> None:
        """A frame could not be sent."""

    def changed(self, link: str, up: bool, detail: str) -> None:
        """The link itself went down or came up: its interface, carrier, address or device. Said when it changes."""


class Link(Protocol):
    """One heartbeat link to all peers that it joins."""

    async def open(self) -> None:
        """Bind and begin to receive. What may still come (an interface, an address, a device) is waited for, and told
        with `Listener.changed`. Raises LinkError for the rest."""

    def send(self, to: str, frame: bytes, slot: str) -> None:
        """Send to one peer, now or never: it does not block, and a fault of the network raises nothing.

        slot: what the frame says. On a slow link it takes the place of one for the same peer and slot that still
        waits: newer ones say the same and more.
        """

    def drop_waiting(self) -> None:
        """Forget the frames that wait to be sent."""

    def interfaces_changed(self, interfaces: Interfaces) -> None:
        """The kernel reported a change of some interface; also called once before `open`."""

    async def close(self) -> None:
        """End it; nothing is received afterwards."""


@dataclass(frozen=True, slots=True)
class Local:
    """What a link must know of the machine that it runs on."""

    node: str
    tls: TlsConfig | None = None
    cluster: str = ""


LinkFactory: TypeAlias = Callable[[LinkConfig, Local, Listener], Link]


def _udp(config: LinkConfig, local: Local, listener: Listener) -> Link:
    from hamgr.links.udp import udp_link

    return udp_link(config, local, listener)


def _broadcast(config: LinkConfig, local: Local, listener: Listener) -> Link:
    from hamgr.links.shared import broadcast_link

    return broadcast_link(config, local, listener)


def _multicast(config: LinkConfig, local: Local, listener: Listener) -> Link:
    from hamgr.links.shared import multicast_link

    return multicast_link(config, local, listener)


def _grpc(config: LinkConfig, local: Local, listener: Listener) -> Link:
    from hamgr.links.stream import StreamLink

    return StreamLink(config, local, listener)


def _serial(config: LinkConfig, local: Local, listener: Listener) -> Link:
    from hamgr.links.serial import SerialLink

    return SerialLink(config, local, listener)


def _disk(config: LinkConfig, local: Local, listener: Listener) -> Link:
    from hamgr.links.disk import DiskLink

    return DiskLink(config, local, listener)


LINK_KINDS: Mapping[str, LinkFactory] = MappingProxyType(
    {"udp": _udp, "broadcast": _broadcast, "multicast": _multicast, "serial": _serial, "grpc": _grpc, "disk": _disk}
)
"""The kinds of links by the name that the configuration has for them. Their modules are loaded when they are used."""
