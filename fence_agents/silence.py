"""Watches addresses of a machine and tells since when nothing there has answered, neither a ping nor a TCP connection.

A refused connection is an answer too: it takes a living kernel to refuse. What a router or our own kernel says about a
machine (unreachable) is none.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import secrets
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fence_agents.agent import FenceError, UsageError

ANSWER_TIMEOUT = 0.5
"""Seconds until a question counts as not answered."""

PAUSE = 0.1
"""Seconds between two questions to one address."""

QUESTIONS = 3
"""So many in a row must stay without an answer, until an address counts as silent."""

_ECHO = struct.Struct("!BBHHH")
"""Type, code, checksum, identifier, sequence number (RFC 792, RFC 4443)."""
_REQUEST, _REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
_TOKEN_BYTES = 16
_READ_SIZE = 2048


@dataclass(frozen=True, slots=True)
class Address:
    """port None: is pinged. Else a TCP connection is made and closed again."""

    host: str
    port: int | None = None

    def __str__(self) -> str:
        if self.port is None:
            return f"{self.host} (ping)"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def version(self) -> int:
        return ipaddress.ip_address(self.host).version


def parse_addresses(option: str, text: str) -> tuple[Address, ...]:
    """ "10.0.0.2, 10.0.1.2:22, fd00::2, [fd00::2]:22". Raises UsageError."""
    found = []
    for word in text.replace(",", " ").split():
        host, port = word, ""
        if word.startswith("["):
            host, _, port = word[1:].partition("]")
            port = port.removeprefix(":")
        elif word.count(":") == 1:
            host, _, port = word.partition(":")
        try:
            ipaddress.ip_address(host)
            number = int(port) if port else None
            if number is not None and not 0 < number < 1 << 16:
                raise ValueError
        except ValueError:
            allowed = "IP addresses, each to be pinged, or with :PORT to be connected to"
            raise UsageError(f"option {option}: found {word!r}; allowed: {allowed}") from None
        found.append(Address(host, number))
    return tuple(dict.fromkeys(found))


class Watch:
    """Asks all addresses again and again. As an asynchronous context manager it asks inside, and stops after."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses
        self._answered: set[Address] = set()
        self._unanswered = dict.fromkeys(addresses, 0)
        self._last_sign: float | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Watch:
        self._tasks = [asyncio.create_task(self._ask_for_ever(address)) for address in self._addresses]
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def sign_of_life(self) -> None:
        """Something else was heard of the machine, just now."""
        self._last_sign = time.monotonic()

    def answered(self) -> list[Address]:
        """Those that ever answered."""
        return [address for address in self._addresses if address in self._answered]

    def not_silent(self) -> list[Address]:
        """Those that answered one of the last questions, or were not asked often enough to say."""
        return [address for address in self._addresses if not self._is_silent(address)]

    async def until_known(self) -> None:
        """Until each address has answered once, or is silent."""
        while not all(address in self._answered or self._is_silent(address) for address in self._addresses):
            await self._turn()

    async def until_silent(self, proof_time: float, within: float) -> bool:
        """Wait until there was no sign of life for proof_time. False: there still was one after `within` seconds.

        Silence counts from this call on, whatever was before.
        """
        began = time.monotonic()
        while True:
            await self._turn()
            last = max(began, self._last_sign or began)
            if last - began > within:
                return False
            if time.monotonic() - last >= proof_time and not self.not_silent():
                return True

    async def _turn(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()
        await asyncio.sleep(PAUSE / 2)

    def _is_silent(self, address: Address) -> bool:
        return self._unanswered[address] >= QUESTIONS

    async def _ask_for_ever(self, address: Address) -> None:
        with _asker(address) as asker:
            while True:
                began = time.monotonic()
                if await asker.answers():
                    self._answered.add(address)
                    self._unanswered[address] = 0
                    self.sign_of_life()
                    await asyncio.sleep(PAUSE)
                else:
                    self._unanswered[address] += 1
                    # What is unreachable is known at once, and must not be called silent any sooner.
                    await asyncio.sleep(max(PAUSE, began + ANSWER_TIMEOUT - time.monotonic()))


def _asker(address: Address) -> Echo | Connection:
    return Echo(address) if address.port is None else Connection(address)


class Connection:
    """Asks by connecting (TCP)."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing stays open."""

    async def answers(self) -> bool:
        address = self._address
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as stream:
            connecting = asyncio.get_running_loop().sock_connect(stream, (address.host, address.port))
            try:
                await asyncio.wait_for(connecting, ANSWER_TIMEOUT)
            except (ConnectionRefusedError, ConnectionResetError):
                return True
            except (TimeoutError, OSError):
                return False
        return True


class Echo:
    """Asks by ICMP. The token in each question is random, so that nobody who does not see it can answer."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._token = secrets.token_bytes(_TOKEN_BYTES)
        self._sequence = 0
        family, protocol = (
            (socket.AF_INET6, socket.IPPROTO_ICMPV6) if address.version == 6 else (socket.AF_INET, socket.IPPROTO_ICMP)
        )
        try:
            self._socket = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
        except PermissionError:
            raise FenceError(f"may not ping {address.host}: run as root, or name a TCP port to ask") from None

    def __enter__(self) -> Echo:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    async def answers(self) -> bool:
        self._sequence = (self._sequence + 1) % (1 << 16)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await loop.sock_sendto(self._socket, self._question(), (self._address.host, 0))
                while True:
                    packet, sender = await loop.sock_recvfrom(self._socket, _READ_SIZE)
                    if sender[0] == self._address.host and self._is_reply(packet):
                        return True
        except (TimeoutError, OSError):
            return False

    def _question(self) -> bytes:
        kind, payload = _REQUEST[self._address.version], self._token
        header = _ECHO.pack(kind, 0, 0, os.getpid() & 0xFFFF, self._sequence)
        # Of ICMPv6 the kernel makes the checksum (RFC 3542, 3.1).
        checksum = _checksum(header + payload) if self._address.version == 4 else 0
        return _ECHO.pack(kind, 0, checksum, os.getpid() & 0xFFFF, self._sequence) + payload

    def _is_reply(self, packet: bytes) -> bool:
        if self._address.version == 4 and packet:
            packet = packet[(packet[0] & 0x0F) * 4 :]  # raw(7): with the IP header
        if len(packet) < _ECHO.size:
            return False
        kind, _, _, identifier, sequence = _ECHO.unpack_from(packet)
        ours = (kind, identifier, sequence) == (_REPLY[self._address.version], os.getpid() & 0xFFFF, self._sequence)
        return ours and packet[_ECHO.size :] == self._token


def _checksum(packet: bytes) -> int:
    """Of the Internet (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
