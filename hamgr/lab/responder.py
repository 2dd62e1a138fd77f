"""Answers "who are you?" over UDP: a machine's name, its boot and its time.

`python -m hamgr.lab.responder NAME`. The answer comes from the address that was asked (IP_PKTINFO, ip(7)), so
a client that asks the VIP learns which machine holds it, and nothing has to be bound when the VIP moves. A
question is any word; the answer is "WORD NAME BOOT-ID MONOTONIC-SECONDS".
"""

from __future__ import annotations

import secrets
import selectors
import socket
import sys
import time

from hamgr.lab.plan import RESPONDER_PORT

_IP_PKTINFO = 8
_IPV6_RECVPKTINFO = 49
_IPV6_PKTINFO = 50
_LONGEST_QUESTION = 64


def _listener(family: socket.AddressFamily, wildcard: str, level: int, option: int, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.setsockopt(level, option, 1)
    listener.bind((wildcard, port))
    return listener


def listeners(port: int) -> list[socket.socket]:
    """One socket for each IP version, on all addresses, which tells the address that was asked."""
    return [
        _listener(socket.AF_INET, "0.0.0.0", socket.IPPROTO_IP, _IP_PKTINFO, port),
        _listener(socket.AF_INET6, "::", socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, port),
    ]


def _from_asked_address(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """The control message that makes the answer leave from the address to which the question came.

    in_pktinfo is (interface, ipi_spec_dst, ipi_addr): asked is ipi_addr, and ipi_spec_dst is what sends from
    it. The interface is left open, since a VIP may be asked over another one than it is on.
    """
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            return [(level, kind, bytes(4) + data[8:12] + bytes(4))]
        if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO):
            return [(level, kind, data[:16] + bytes(4))]
    return []


def answer(listener: socket.socket, name: str, boot: str) -> None:
    """Answer the next question that waits in the socket."""
    question, ancillary, _, asker = listener.recvmsg(_LONGEST_QUESTION, socket.CMSG_SPACE(20))
    text = b"%s %s %s %.6f" % (question.strip() or b"-", name.encode(), boot.encode(), time.monotonic())
    try:
        listener.sendmsg([text], _from_asked_address(ancillary), 0, asker)
    except OSError as error:
        # The address was taken away between the question and the answer: then it isn't ours to answer from.
        print(f"no answer to {asker[0]}: {error}", flush=True)


def main() -> None:
    (name,) = sys.argv[1:]
    boot = secrets.token_hex(4)
    ready = selectors.DefaultSelector()
    for listener in listeners(RESPONDER_PORT):
        ready.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            answer(key.fileobj, name, boot)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
