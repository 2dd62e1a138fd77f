"""Requests to the kernel's tables of interfaces, addresses and routes, each one atomic step (rtnetlink(7)).

The kernel has answered before send(2) returns: nothing is waited for, a cancelled task leaves nothing half asked, and
any number of resources can share one socket.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_GETNEIGH = 30

REQUEST, ACK, EXCL, REPLACE, CREATE = 0x1, 0x4, 0x200, 0x100, 0x400
DUMP = 0x300
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE = 0x3FFF
"""Of an attribute's type; the two bits above say that it is nested, or in network order."""

READ_SIZE = 65536
EVENT_BUFFER = 1 << 20
"""Bytes of events that the kernel keeps for us; hundreds of addresses that come at once fit in."""


class Message(NamedTuple):
    """kind: RTM_...; body: what follows the header."""

    kind: int
    body: bytes


class Netlink:
    """One socket. groups: the multicast groups whose events it gets (RTMGRP_...); one with groups asks nothing."""

    def __init__(self, groups: int = 0) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self.socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        if groups:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, EVENT_BUFFER)
        self.socket.bind((0, groups))
        self._sequence = 0

    def ask(self, kind: int, flags: int, body: bytes) -> None:
        """A change. Raises OSError with the kernel's reason."""
        for _ in self._exchange(kind, REQUEST | ACK | flags, body):
            pass

    def dump(self, kind: int, body: bytes) -> list[Message]:
        """A whole table. Raises OSError."""
        return list(self._exchange(kind, REQUEST | DUMP, body))

    def _exchange(self, kind: int, flags: int, body: bytes) -> Iterator[Message]:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        self.socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)
        while True:
            for kind, sequence, found in _split(self.socket.recv(READ_SIZE)):
                if sequence != self._sequence:
                    continue  # the rest of an answer that nobody read to its end
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    (code,) = struct.unpack_from("=i", found)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return
                yield Message(kind, found)

    def events(self) -> Iterator[Message]:
        """What was told since the last call. Raises OSError (ENOBUFS) when events were lost."""
        while True:
            try:
                data = self.socket.recv(READ_SIZE)
            except BlockingIOError:
                return
            for kind, _, body in _split(data):
                yield Message(kind, body)

    def close(self) -> None:
        self.socket.close()


def _split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _flags, sequence, _port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        yield kind, sequence, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def attributes(body: bytes, offset: int) -> dict[int, bytes]:
    """The attributes that stand behind a fixed part of `offset` bytes."""
    found = {}
    while offset + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def packed(values: Mapping[int, bytes]) -> bytes:
    """Attributes as the kernel reads them."""
    parts = []
    for kind, value in values.items():
        length = _ATTRIBUTE.size + len(value)
        parts.append(_ATTRIBUTE.pack(length, kind) + value + b"\0" * (-length % 4))
    return b"".join(parts)
