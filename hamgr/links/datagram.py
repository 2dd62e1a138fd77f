"""A link of datagrams, whatever way they are addressed: its socket lives and dies with the interface it is bound to.

An interface or an address that is not there yet is waited for; one that goes and comes back is bound to anew.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from hamgr.config.model import LinkConfig
from hamgr.links.kernel import Interface, Interfaces
from hamgr.links.link import LinkError, Listener

log = logging.getLogger(__name__)

READ_SIZE = 65536
READS_A_WAKE_UP = 64
"""Datagrams read before others get their turn in the loop, however many wait."""

REBIND = 1.0
"""Seconds between two attempts to bind to what another program has."""

DSCP_CS6 = 0x30 << 2
"""The class of network control (RFC 4594, 3.2): queues in between let heartbeats pass first."""

PRIORITY = 6
"""SO_PRIORITY (socket(7)): the same wish, for our own machine's queues."""

NOT_YET = frozenset({errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENXIO})
"""How the kernel says that an address or an interface is not there."""

Destination: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


class NotYet(Exception):
    """The link can't work now, and may later: what it waits for."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a socket is bound. interface: None when any will do. address: "" when every one of it will do."""

    interface: Interface | None
    address: str = ""

    def __str__(self) -> str:
        on = [self.interface.name] if self.interface is not None else []
        return " on ".join([self.address] * bool(self.address) + on) or "any address"

    @property
    def key(self) -> tuple[int, str]:
        """An interface that was deleted and made again has another index, and needs another socket."""
        return (self.interface.index if self.interface is not None else 0, self.address)


class Manner(Protocol):
    """How the datagrams of a link are addressed."""

    def place(self, interfaces: Interfaces) -> Place:
        """Where to bind now. Raises NotYet."""

    def bind(self, place: Place) -> socket.socket:
        """A socket, bound and non-blocking. Raises OSError."""

    def destination(self, to: str, place: Place) -> Destination:
        """Where a datagram for this peer is sent to."""


class DatagramLink:
    """One socket for all peers."""

    def __init__(self, config: LinkConfig, listener: Listener, manner: Manner) -> None:
        self._name = config.name
        self._port = config.port
        self._listener = listener
        self._manner = manner
        self._interfaces: Interfaces = {}
        self._socket: socket.socket | None = None
        self._place: Place | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._opened = False

    async def open(self) -> None:
        self._opened = True
        self._refresh(first=True)

    def interfaces_changed(self, interfaces: Interfaces) -> None:
        self._interfaces = interfaces
        if self._opened:
            self._refresh()

    def _refresh(self, first: bool = False) -> None:
        """Be bound to where we should be now, and say whether the link works."""
        self._stop_retrying()
        try:
            place = self._manner.place(self._interfaces)
        except NotYet as waits:
            self._release()
            self._listener.changed(self._name, False, str(waits))
            return
        where = f"{place} port {self._port}"
        if self._socket is None or self._place is None or place.key != self._place.key:
            self._release()
            try:
                self._bind(place)
            except OSError as error:
                self._fail(f"can't bind {where}: {error.strerror or error}", first and error.errno not in NOT_YET)
                return
        self._place = place
        interface = place.interface
        if interface is not None and not interface.carrier:
            self._listener.changed(self._name, False, f"{interface.name} has no carrier")
        else:
            self._listener.changed(self._name, True, where)

    def _bind(self, place: Place) -> None:
        bound = self._manner.bind(place)
        self._socket = bound
        asyncio.get_running_loop().add_reader(bound, self._readable)

    def _fail(self, reason: str, for_good: bool) -> None:
        if for_good:
            raise LinkError(f"link {self._name}: {reason}")
        self._listener.changed(self._name, False, reason)
        self._retry = asyncio.get_running_loop().call_later(REBIND, self._refresh)

    def _stop_retrying(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _release(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _readable(self) -> None:
        for _ in range(READS_A_WAKE_UP):
            if self._socket is None:
                return
            try:
                frame, source = self._socket.recvfrom(READ_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                # An ICMP answer to something that we sent (udp(7)): that peer's silence tells the same.
                log.debug("link %s: %s", self._name, error)
                return
            self._listener.received(self._name, frame, str(source[0]))

    def send(self, to: str, frame: bytes, slot: str) -> None:
        if self._socket is None or self._place is None:
            self._listener.failed(self._name, "the link is not bound")
            return
        try:
            self._socket.sendto(frame, self._manner.destination(to, self._place))
        except OSError as error:
            self._listener.failed(self._name, error.strerror or str(error))

    def drop_waiting(self) -> None:
        """Nothing waits: a datagram leaves at once or never."""

    async def close(self) -> None:
        self._opened = False
        self._stop_retrying()
        self._release()


def new_socket(name: str, family: int, interface: str) -> socket.socket:
    """A datagram socket for heartbeats, which hears `interface` alone ("" for all). Raises OSError."""
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if interface:
            _bind_to_interface(made, name, interface)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, DSCP_CS6)
        else:
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, DSCP_CS6)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, PRIORITY)
    except OSError:
        made.close()
        raise
    return made


def _bind_to_interface(made: socket.socket, name: str, interface: str) -> None:
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    except PermissionError:
        log.warning("link %s: not permitted to bind to %s; bound by address only", name, interface)
