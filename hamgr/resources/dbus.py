"""One connection to a D-Bus peer: calls that are answered, and signals that come.

The message format and the authentication are jeepney's, which does no input or output of its own; the connection is the
loop's, without a thread.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, HeaderFields, Message, MessageFlag, MessageType, Parser, new_method_call
from jeepney.auth import BEGIN, AuthenticationError, Authenticator

CONNECT_TIMEOUT = 3.0
"""Seconds for a connection to be ready for calls: it is on this machine."""

BUS = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")

Signal = Callable[[str, str, tuple[Any, ...]], None]
"""A signal that came: the object's path, the signal's name, its values."""


class CallFailed(Exception):
    """The peer answered with an error: its D-Bus name, and a text for people."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text or name)
        self.name = name


class Disconnected(Exception):
    """There is no connection (any more); what was asked may have been done or not."""


class Connection(asyncio.Protocol):
    """Made by `connect`. closed: called once, when the peer closes; not after `close`."""

    def __init__(self, signal: Signal, closed: Callable[[], None]) -> None:
        self._signal = signal
        self._closed = closed
        self._transport: asyncio.Transport | None = None
        self._authenticator = Authenticator()
        self._parser = Parser()
        self._serials = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def ready(self) -> asyncio.Future[None]:
        """Done when the peer has let us in."""
        return self._ready

    async def call(self, peer: DBusAddress, member: str, signature: str = "", *values: Any) -> tuple[Any, ...]:
        """Raises CallFailed or Disconnected. Calls are handled in the order in which they are made."""
        if self._transport is None or self._transport.is_closing():
            raise Disconnected("the connection is closed")
        message = new_method_call(peer, member, signature or None, values)
        # A name that has no owner for a moment must not make the bus start something.
        message.header.flags = MessageFlag.no_auto_start
        serial = next(self._serials)
        waiting: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[serial] = waiting
        try:
            self._transport.write(message.serialise(serial))
            answer = await waiting
        finally:
            self._waiting.pop(serial, None)
        if answer.header.message_type is MessageType.error:
            text = answer.body[0] if answer.body and isinstance(answer.body[0], str) else ""
            raise CallFailed(answer.header.fields.get(HeaderFields.error_name, ""), text)
        return tuple(answer.body)

    def close(self) -> None:
        self._closed = _nothing
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # With BEGIN ahead of the answer, as systemd's own clients do it: a message that came in one piece with BEGIN
        # would lie unread in systemd until the next one.
        transport.write((self._authenticator.data_to_send() or b"") + BEGIN)

    def data_received(self, data: bytes) -> None:
        try:
            if not self._authenticator.authenticated:
                self._authenticator.feed(data)
                if self._authenticator.authenticated and not self._ready.done():
                    self._ready.set_result(None)
                return
            self._parser.add_data(data)
            while (message := self._parser.get_next_message()) is not None:
                self._received(message)
        except (AuthenticationError, ValueError, KeyError, IndexError) as error:
            # What follows in the stream can't be told any more.
            self._end(Disconnected(f"the peer speaks no D-Bus: {error}"))

    def _received(self, message: Message) -> None:
        fields = message.header.fields
        if message.header.message_type is MessageType.signal:
            self._signal(fields[HeaderFields.path], fields[HeaderFields.member], tuple(message.body))
        elif message.header.message_type in (MessageType.method_return, MessageType.error):
            waiting = self._waiting.get(fields[HeaderFields.reply_serial])
            if waiting is not None and not waiting.done():
                waiting.set_result(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(Disconnected("the connection was closed"))

    def _end(self, why: Disconnected) -> None:
        if self._transport is not None:
            self._transport.abort()
        for waiting in (self._ready, *self._waiting.values()):
            if not waiting.done():
                waiting.set_exception(why)
        if self._ready.done() and not self._ready.cancelled():
            self._ready.exception()  # nobody may be waiting for it
        closed, self._closed = self._closed, _nothing
        closed()


def _nothing() -> None:
    return


async def connect(socket: Path, signal: Signal, closed: Callable[[], None]) -> Connection:
    """Raises Disconnected."""
    loop = asyncio.get_running_loop()
    connection: Connection | None = None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, connection = await loop.create_unix_connection(lambda: Connection(signal, closed), str(socket))
            await connection.ready
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, TimeoutError):
            raise Disconnected(f"{socket}: no answer in {CONNECT_TIMEOUT:g} s") from None
        if isinstance(error, OSError):
            raise Disconnected(f"{socket}: {error.strerror or error}") from error
        raise
    return connection
