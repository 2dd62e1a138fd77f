"""What Heartbeat's files leave to the machine that reads them: which addresses are its own, and who the others are.

Nothing here asks a name server: the answer must be there when the network is not.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hamgr.config.local import has_address
from hamgr.config.model import DEFAULT_LINK_PORT

HOSTS = Path("/etc/hosts")
_ANY_PORT = 9


@dataclass(frozen=True, slots=True)
class Here:
    """names: what this machine may be called in ha.cf. hosts: address -> its names in /etc/hosts.

    has: whether an address is one of this machine's. towards: the address that it speaks from to another one over an
    interface, "" if it can't now. port: of links without a `udpport`.
    """

    names: tuple[str, ...]
    hosts: Mapping[str, tuple[str, ...]]
    has: Callable[[str], bool]
    towards: Callable[[str, str], str]
    port: int = DEFAULT_LINK_PORT

    def named(self, name: str) -> str:
        """The address that /etc/hosts has for a name, or ""."""
        wanted = name.lower()
        # Debian gives a machine's own name to 127.0.1.1, where nobody else finds it.
        known = sorted(self.hosts, key=is_loopback)
        return next((address for address in known if wanted in self.hosts[address]), "")


def is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def this_machine(node: str) -> Here:
    """node: its name, "" for its host name, with or without its domain."""
    host = (node or socket.gethostname()).lower()
    names = (host,) if node else (host, host.partition(".")[0])
    return Here(tuple(dict.fromkeys(names)), _hosts(HOSTS), has_address, _towards, _port())


def _hosts(file: Path) -> dict[str, tuple[str, ...]]:
    """The file of hosts(5); {} when it can't be read."""
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if address:
            found[address] = (*found.get(address, ()), *(name.lower() for name in names))
    return found


def _towards(interface: str, address: str) -> str:
    """What the kernel would write as sender: it knows all routes and rules, and nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    plain = address.partition("%")[0]
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            if family == socket.AF_INET6:
                probe.connect((plain, _ANY_PORT, 0, socket.if_nametoindex(interface)))
            else:
                probe.connect((plain, _ANY_PORT))
            own: str = probe.getsockname()[0].partition("%")[0]
    except (OSError, UnicodeError):
        return ""
    return f"{own}%{interface}" if own.startswith("fe80:") else own


def _port() -> int:
    """Heartbeat's port as /etc/services has it (ha.cf(5), udpport)."""
    try:
        return socket.getservbyname("ha-cluster", "udp")
    except OSError:
        return DEFAULT_LINK_PORT
