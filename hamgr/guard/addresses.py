"""Takes addresses away from this machine: one dump, and one request for each place that has one (rtnetlink(7)).

The requests of `hamgr.netlink` once more, without what that module imports: the guard is a third smaller for it.
"""

from __future__ import annotations

import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

RTM_DELADDR, RTM_GETADDR = 21, 22
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
ERROR, DONE = 2, 3
HEADER, IFADDR, ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBBBI"), struct.Struct("=HH")
IFA_ADDRESS, IFA_LOCAL = 1, 2

READ_SIZE = 65536
PATIENCE = 1.0
"""Seconds for an answer of the kernel, which is there before send(2) returns."""


def numeric(address: str) -> bytes:
    """The bytes of an IPv4 or IPv6 address."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def remove(addresses: Collection[str]) -> list[str]:
    """Remove them wherever they are; returns those that were there, and those that can't be removed with the reason."""
    wanted = {numeric(address): address for address in addresses}
    done: list[str] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as kernel:
        kernel.settimeout(PATIENCE)
        found = list(_ask(kernel, RTM_GETADDR, REQUEST | DUMP, IFADDR.pack(0, 0, 0, 0, 0)))
        for body in found:
            family, prefix, _flags, _scope, index = IFADDR.unpack_from(body)
            attributes = _attributes(body)
            # On a point-to-point interface IFA_ADDRESS is the other end's.
            kind = IFA_LOCAL if IFA_LOCAL in attributes else IFA_ADDRESS
            value = attributes.get(kind, b"")
            if value not in wanted:
                continue
            request = IFADDR.pack(family, prefix, 0, 0, index) + ATTRIBUTE.pack(4 + len(value), kind) + value
            try:
                list(_ask(kernel, RTM_DELADDR, REQUEST | ACK, request))
                done.append(wanted[value])
            except OSError as error:
                done.append(f"{wanted[value]} can't be removed: {error.strerror or error}")
    return done


def _ask(kernel: socket.socket, kind: int, flags: int, body: bytes) -> Iterator[bytes]:
    kernel.send(HEADER.pack(HEADER.size + len(body), kind, flags, 1, 0) + body)
    while True:
        data = kernel.recv(READ_SIZE)
        at = 0
        while at + HEADER.size <= len(data):
            length, answer, _flags, _sequence, _port = HEADER.unpack_from(data, at)
            found = data[at + HEADER.size : at + length]
            if answer == DONE:
                return
            if answer == ERROR:
                (code,) = struct.unpack_from("=i", found)
                if code:
                    raise OSError(-code, f"error {-code}")
                return
            yield found
            at += (length + 3) & ~3


def _attributes(body: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = IFADDR.size
    while at + ATTRIBUTE.size <= len(body):
        length, kind = ATTRIBUTE.unpack_from(body, at)
        if length < ATTRIBUTE.size:
            break
        found[kind] = body[at + ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found
