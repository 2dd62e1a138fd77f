"""Heartbeats over UDP unicast, IPv4 and IPv6."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import socket

from hamgr.config.model import LinkConfig
from hamgr.links.kernel import Interfaces
from hamgr.links.link import LinkError, Listener, Local

log = logging.getLogger(__name__)

READ_SIZE = 65536
READS_A_WAKE_UP = 64
"""Datagrams read before others get their turn in the loop, however many wait."""

DSCP_CS6 = 0x30 << 2
"""The class of network control (RFC 4594, 3.2): queues in between let heartbeats pass first."""

PRIORITY = 6
"""SO_PRIORITY (socket(7)): the same wish, for our own machine's queues."""


class UdpLink:
    """One socket, bound to this node's address and the link's port; each peer is asked at its own address."""

    def __init__(self, config: LinkConfig, local: Local, listener: Listener) -> None:
        self._config = config
        self._node = local.node
        self._interface = config.interfaces.get(local.node, "")
        self._listener = listener
        self._socket: socket.socket | None = None
        self._peers = {name: (config.addresses[name], config.port) for name in config.peers(local.node)}

    async def open(self) -> None:
        config = self._config
        address = config.addresses[self._node]
        version = ipaddress.ip_address(address.split("%")[0]).version
        family = socket.AF_INET6 if version == 6 else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if self._interface:
                self._bind_to_interface(bound, self._interface)
            if version == 6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, DSCP_CS6)
            else:
                bound.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, DSCP_CS6)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, PRIORITY)
            bound.bind(socket.getaddrinfo(address, config.port, family, socket.SOCK_DGRAM)[0][4])
        except OSError as error:
            bound.close()
            on = f" on {self._interface}" if self._interface else ""
            where = f"{address} port {config.port}{on}"
            raise LinkError(f"link {config.name}: can't bind {where}: {error.strerror}") from error
        self._socket = bound
        asyncio.get_running_loop().add_reader(bound, self._readable)

    def _bind_to_interface(self, bound: socket.socket, interface: str) -> None:
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        except PermissionError:
            log.warning("link %s: not permitted to bind to %s; bound by address only", self._config.name, interface)

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
                log.debug("link %s: %s", self._config.name, error)
                return
            self._listener.received(self._config.name, frame, str(source[0]))

    def send(self, to: str, frame: bytes, slot: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(frame, self._peers[to])
        except OSError as error:
            self._listener.failed(self._config.name, error.strerror or str(error))
            if error.errno == errno.ENODEV:
                self._find_interface_again()

    def _find_interface_again(self) -> None:
        """A socket is bound to one interface, not to its name (socket(7)): one that came back is bound to anew."""
        if self._socket is not None and self._interface:
            with contextlib.suppress(OSError):  # not back yet: the next heartbeat asks again
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode())

    def interfaces_changed(self, interfaces: Interfaces) -> None:
        """Not acted on yet: the next heartbeat finds out."""

    def drop_waiting(self) -> None:
        """Nothing waits: a datagram leaves at once or never."""

    async def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
