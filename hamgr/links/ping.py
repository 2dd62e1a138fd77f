"""Pings the addresses outside of the cluster that tell whether our own network works (ICMP, RFC 792 and RFC 4443).

Heartbeat's `ping` and `ping_group`. A target is no voter: what answers adds to this node's health score. The sockets
are raw ones: the kernel's ping sockets are closed to everybody by default (`net.ipv4.ping_group_range`, icmp(7)).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import secrets
import socket
import struct
from collections.abc import Callable, Sequence

from hamgr.config.model import PingConfig
from hamgr.links.link import LinkError

log = logging.getLogger(__name__)

ECHO_REQUEST, ECHO_REPLY = 8, 0
ECHO_REQUEST_6, ECHO_REPLY_6 = 128, 129
ICMP_FILTER = 1
"""Of level SOL_RAW: a bit for each type that is not wanted (raw(7))."""
ICMP6_FILTER = 1
"""Of level IPPROTO_ICMPV6: the same in 256 bits (RFC 3542, 3.2)."""

_HEADER = struct.Struct("!BBHHH")
"""Type, code, checksum, identifier, sequence number."""

TOKEN_BYTES = 16
"""Of random payload, so that nobody who does not see our pings can answer them."""

READ_SIZE = 2048
READS_A_WAKE_UP = 64


class _Target:
    def __init__(self, address: str, since: float) -> None:
        self.address = address
        self.answered_at: float | None = None
        self.since = since

    def alive(self, now: float, deadtime: float) -> bool:
        """It answered lately; one that never did is given its time at the start."""
        return now < (self.since if self.answered_at is None else self.answered_at) + deadtime


class Pinger:
    """Pings all groups of targets. changed: called with the score and what does not answer, when the score changes."""

    def __init__(self, pings: Sequence[PingConfig], changed: Callable[[int, str], None]) -> None:
        self._pings = pings
        self._changed = changed
        self._score: int | None = None
        self._targets: dict[str, list[_Target]] = {}
        self._identifier = secrets.randbelow(1 << 16)
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._sequence = 0
        self._sockets: dict[int, socket.socket] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def start(self) -> None:
        """Begin to ping. Raises LinkError when raw sockets are not permitted."""
        loop = asyncio.get_running_loop()
        for ping in self._pings:
            self._targets[ping.name] = [_Target(address, loop.time()) for address in ping.targets]
        for version in {ipaddress.ip_address(address).version for ping in self._pings for address in ping.targets}:
            try:
                self._sockets[version] = found = _open(version)
            except OSError as error:
                raise LinkError(
                    f"ping targets can't be pinged: raw sockets are refused ({error.strerror}); run hamgrd as"
                    " root or with CAP_NET_RAW, or leave [ping] out"
                ) from error
            loop.add_reader(found, self._readable, version)
        for ping in self._pings:
            self._ping(ping)

    def _ping(self, ping: PingConfig) -> None:
        loop = asyncio.get_running_loop()
        self._sequence = (self._sequence + 1) & 0xFFFF
        for target in self._targets[ping.name]:
            version = ipaddress.ip_address(target.address).version
            # A network that is away is what we want to find out: no answer will come.
            with contextlib.suppress(OSError):
                self._sockets[version].sendto(self._request(version), (target.address, 0))
        self._timers[ping.name] = loop.call_later(ping.interval, self._ping, ping)
        self._judge()

    def _request(self, version: int) -> bytes:
        kind = ECHO_REQUEST if version == 4 else ECHO_REQUEST_6
        packet = _HEADER.pack(kind, 0, 0, self._identifier, self._sequence) + self._token
        # Over IPv6 the kernel fills the checksum in (RFC 3542, 3.1).
        return packet if version == 6 else packet[:2] + checksum(packet).to_bytes(2, "big") + packet[4:]

    def _readable(self, version: int) -> None:
        for _ in range(READS_A_WAKE_UP):
            try:
                packet, source = self._sockets[version].recvfrom(READ_SIZE)
            except OSError:
                return
            if version == 4:
                packet = packet[(packet[0] & 15) * 4 :]  # the IP header comes with it (raw(7))
            self._take(version, packet, str(source[0]))

    def _take(self, version: int, packet: bytes, source: str) -> None:
        if len(packet) < _HEADER.size:
            return
        kind, _code, _checksum, identifier, _sequence = _HEADER.unpack_from(packet)
        wanted = ECHO_REPLY if version == 4 else ECHO_REPLY_6
        if kind != wanted or identifier != self._identifier or packet[_HEADER.size :] != self._token:
            return
        address = str(ipaddress.ip_address(source.partition("%")[0]))
        now = asyncio.get_running_loop().time()
        for targets in self._targets.values():
            for target in targets:
                if target.address == address:
                    target.answered_at = now
        self._judge()

    def _judge(self) -> None:
        found = self.status()
        score = sum(weight for _, answers, weight, _ in found if answers)
        if score != self._score:
            self._score = score
            missing = [name for name, answers, _, _ in found if not answers]
            self._changed(score, f"no answer from {', '.join(missing)}" if missing else "every ping target answers")

    def status(self) -> list[tuple[str, bool, int, str]]:
        """Of each group of targets: its name, whether any of it answers, its weight, and which addresses don't."""
        now = asyncio.get_running_loop().time()
        found = []
        for ping in self._pings:
            targets = self._targets.get(ping.name, [])
            silent = [target.address for target in targets if not target.alive(now, ping.deadtime)]
            detail = f"no answer from {', '.join(silent)}" if silent else ""
            found.append((ping.name, len(silent) < len(targets), ping.weight, detail))
        return found

    async def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        for opened in self._sockets.values():
            asyncio.get_running_loop().remove_reader(opened)
            opened.close()
        self._sockets.clear()


def _open(version: int) -> socket.socket:
    """A raw socket that hears echo replies alone."""
    if version == 4:
        found = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
        found.setsockopt(socket.IPPROTO_RAW, ICMP_FILTER, struct.pack("=I", ~(1 << ECHO_REPLY) & 0xFFFFFFFF))
        return found
    found = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6)
    blocked = [0xFFFFFFFF] * 8
    blocked[ECHO_REPLY_6 >> 5] &= ~(1 << (ECHO_REPLY_6 & 31))
    found.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("=8I", *blocked))
    return found


def checksum(packet: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = packet + b"\0" * (len(packet) % 2)
    total: int = sum(word for (word,) in struct.iter_unpack("!H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
