"""A gRPC stream spoken by hand over one TCP connection, for a load of thousands of them: no more HTTP/2 (RFC 9113) than
a session with the arbiter needs. With gRPC's own client the load would take more of a small machine than the arbiter
that is measured, and its delays would be measured as well.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Callable, Iterable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x8
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
INITIAL_WINDOW_SIZE = 0x4
WINDOW = 2**31 - 1
USUAL_WINDOW = 65535
STREAM = 1


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: str, value: str) -> bytes:
    """A header field that is not put into any table (RFC 7541, 6.2.2); both texts shorter than 127 bytes."""
    return b"".join((b"\0", bytes((len(name),)), name.encode(), bytes((len(value),)), value.encode()))


class Stream(asyncio.Protocol):
    """One call of a method whose messages are all `bytes data = 1`."""

    def __init__(self, headers: Iterable[tuple[str, str]], on_message: Callable[[bytes], None]) -> None:
        self._headers = b"".join(literal(name, value) for name, value in headers)
        self._on_message = on_message
        self._bytes = bytearray()
        self._messages = bytearray()
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(
            PREFACE
            + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, WINDOW))
            + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW - USUAL_WINDOW))
            + frame(HEADERS, END_HEADERS, STREAM, self._headers)
        )

    def send(self, data: bytes) -> None:
        """What the arbiter grants us to send it grants again as soon as it has read: that is not counted here."""
        assert self._transport is not None
        message = b"\x0a" + _varint(len(data)) + data
        self._transport.write(frame(DATA, 0, STREAM, b"\0" + struct.pack(">I", len(message)) + message))

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        while len(self._bytes) >= 9:
            size = int.from_bytes(self._bytes[:3], "big")
            if len(self._bytes) < 9 + size:
                return
            kind, flags = self._bytes[3], self._bytes[4]
            payload = bytes(self._bytes[9 : 9 + size])
            del self._bytes[: 9 + size]
            self._take(kind, flags, payload)

    def _take(self, kind: int, flags: int, payload: bytes) -> None:
        assert self._transport is not None
        if kind == DATA:
            self._messages += payload
            self._read_messages()
        elif kind == SETTINGS and not flags & ACK:
            self._transport.write(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self._transport.write(frame(PING, ACK, 0, payload))
        elif kind in (RESET, GOAWAY) or (kind == HEADERS and flags & END_STREAM):
            self._end(f"ended by the arbiter: frame {kind}, {payload!r}")

    def _read_messages(self) -> None:
        while len(self._messages) >= 5:
            size = int.from_bytes(self._messages[1:5], "big")
            if len(self._messages) < 5 + size:
                return
            message = bytes(self._messages[5 : 5 + size])
            del self._messages[: 5 + size]
            self._on_message(_data_of(message))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"the connection broke: {exc}")

    def _end(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))


def _data_of(message: bytes) -> bytes:
    """The field `data` of a message that has no other."""
    at = 2 if message[1] < 0x80 else 3
    return message[at:]


async def call(
    target: str,
    method: str,
    metadata: Iterable[tuple[str, str]],
    on_message: Callable[[bytes], None],
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
) -> Stream:
    """Connect, and call the method. Raises OSError."""
    host, _, port = target.rpartition(":")
    headers = [
        (":method", "POST"),
        (":scheme", "https" if tls else "http"),
        (":path", method),
        (":authority", server_name or target),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *metadata,
    ]
    loop = asyncio.get_running_loop()
    named = server_name if tls else None
    _, stream = await loop.create_connection(
        lambda: Stream(headers, on_message), host, int(port), ssl=tls, server_hostname=named
    )
    return stream
