"""Asks the VIP "who are you?" every few milliseconds and prints each answer.

`python -m hamgr.lab.prober udp ADDRESS INTERVAL` asks the responders as a client of the service;
`python -m hamgr.lab.prober arp ADDRESS INTERVAL INTERFACE` asks by ARP probe (RFC 5227) whose network card
holds it. A second owner shows in the ARP answers alone: the client's packets reach only the one that its ARP
cache names. A line is "KIND SENT RECEIVED NODE", times in seconds of CLOCK_MONOTONIC, which all namespaces
share. Ends with its standard input.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from hamgr.lab.plan import RESPONDER_PORT, node_of_mac

_ARP = 0x0806
_ARP_PACKET = struct.Struct("!HHBBH6s4s6s4s")
_ARP_REPLY = 2
_FRAME_HEADER = 14


@dataclass(frozen=True, slots=True)
class _Asker:
    """How to ask and how to read an answer. ask(now) sends; read() gives (time of the question, node) or
    None.
    """

    kind: str
    socket: socket.socket
    ask: Callable[[float], None]
    read: Callable[[], tuple[float, str] | None]


def _udp(address: str) -> _Asker:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    channel = socket.socket(family, socket.SOCK_DGRAM)
    channel.setblocking(False)

    def ask(now: float) -> None:
        channel.sendto(b"%.6f" % now, (address, RESPONDER_PORT))

    def read() -> tuple[float, str] | None:
        sent, node, _, _ = channel.recv(256).decode().split()
        return float(sent), node

    return _Asker("udp", channel, ask, read)


def _arp(address: str, interface: str) -> _Asker:
    channel = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP))
    channel.bind((interface, _ARP))
    channel.setblocking(False)
    mac = channel.getsockname()[4]
    wanted = socket.inet_aton(address)
    # The sender's address is left zero: the question must not change anybody's ARP cache.
    probe = _ARP_PACKET.pack(1, 0x0800, 6, 4, 1, mac, bytes(4), bytes(6), wanted)
    frame = b"\xff" * 6 + mac + _ARP.to_bytes(2, "big") + probe
    asked = 0.0

    def ask(now: float) -> None:
        nonlocal asked
        asked = now
        channel.send(frame)

    def read() -> tuple[float, str] | None:
        received = channel.recv(128)[_FRAME_HEADER:]
        if len(received) < _ARP_PACKET.size:
            return None
        _, _, _, _, operation, holder, held, target, _ = _ARP_PACKET.unpack_from(received)
        node = node_of_mac(holder.hex(":"))
        # Gratuitous ARP replies go to all; only what was sent to us answers our question.
        return (asked, node) if (operation, held, target) == (_ARP_REPLY, wanted, mac) and node else None

    return _Asker("arp", channel, ask, read)


def probe(asker: _Asker, interval: float) -> None:
    """Ask every `interval` seconds, print each answer as it comes, until standard input ends."""
    ready = selectors.DefaultSelector()
    ready.register(asker.socket, selectors.EVENT_READ)
    ready.register(sys.stdin, selectors.EVENT_READ)
    due = time.monotonic()
    while True:
        now = time.monotonic()
        if now >= due:
            _drain(asker)
            # No route and no neighbour are what an outage looks like: the answer that lacks says it.
            with contextlib.suppress(OSError):
                asker.ask(now)
            due = max(due + interval, now)
        for key, _ in ready.select(max(0.0, due - time.monotonic())):
            if key.fileobj is not asker.socket:
                if not os.read(sys.stdin.fileno(), 1):
                    return
                continue
            _drain(asker)


def _drain(asker: _Asker) -> None:
    """Print all answers that are there: before the next question too, or it would be credited with them."""
    while True:
        try:
            answered = asker.read()
        except BlockingIOError:
            return
        except OSError:
            continue  # An ICMP error of an earlier question; the next read is of the next packet.
        if answered is not None:
            sent, node = answered
            print(f"{asker.kind} {sent:.6f} {time.monotonic():.6f} {node}", flush=True)


def main() -> None:
    kind, address, interval, *interface = sys.argv[1:]
    asker = _udp(address) if kind == "udp" else _arp(address, interface[0])
    probe(asker, float(interval))


if __name__ == "__main__":
    main()
