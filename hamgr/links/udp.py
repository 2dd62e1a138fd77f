"""Heartbeats over UDP unicast, IPv4 and IPv6: each peer at its own address."""

from __future__ import annotations

import errno
import socket

from hamgr.config.model import LinkConfig
from hamgr.links.datagram import NOT_YET, DatagramLink, Destination, NotYet, Place, new_socket
from hamgr.links.kernel import Interfaces
from hamgr.links.link import Listener, Local


class Unicast:
    """Bound to this node's address, and to an interface if one is configured."""

    def __init__(self, config: LinkConfig, node: str) -> None:
        self._name = config.name
        self._address = config.addresses[node]
        self._interface = config.interfaces.get(node, "")
        self._family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        self._port = config.port
        self._peers: dict[str, Destination] = {
            peer: _resolve(config.addresses[peer], config.port, self._family) for peer in config.peers(node)
        }

    def place(self, interfaces: Interfaces) -> Place:
        plain = self._address.partition("%")[0]
        if self._interface:
            interface = interfaces.get(self._interface)
            if interface is None:
                raise NotYet(f"waits for interface {self._interface}")
            found = plain in interface.addresses
        else:
            interface = next((one for one in interfaces.values() if plain in one.addresses), None)
            found = interface is not None
        # An address may be ours without being listed: all of 127/8 is, and what a local route names.
        if not found and not self._assigned():
            on = f" on {self._interface}" if self._interface else ""
            raise NotYet(f"waits for address {self._address}{on}")
        return Place(interface, self._address)

    def _assigned(self) -> bool:
        """Only an assigned address can be bound (ip(7): EADDRNOTAVAIL)."""
        with socket.socket(self._family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(_resolve(self._address, 0, self._family))
            except OSError as error:
                return error.errno not in {*NOT_YET, errno.EAFNOSUPPORT}
        return True

    def bind(self, place: Place) -> socket.socket:
        bound = new_socket(self._name, self._family, self._interface)
        try:
            bound.bind(_resolve(self._address, self._port, self._family))
        except OSError:
            bound.close()
            raise
        return bound

    def destination(self, to: str, place: Place) -> Destination:
        return self._peers[to]


def _resolve(address: str, port: int, family: int) -> Destination:
    """The socket address of an IP address, with the scope of a link-local one."""
    found: Destination = socket.getaddrinfo(address, port, family, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4]  # type: ignore[assignment]
    return found


def udp_link(config: LinkConfig, local: Local, listener: Listener) -> DatagramLink:
    return DatagramLink(config, listener, Unicast(config, local.node))
