"""What hamgrd and the guard say to each other: messages of words, one a packet of their socket.

hamgrd says `feed UNTIL` (seconds of CLOCK_BOOTTIME), `orders ...` and `more ...` (what to end when that time is over),
`act REASON` (end it now), `bye` (nothing is to be guarded any more) and `replace` (make room for a guard with other
settings; refused while a watchdog is to end what may be running). The guard says `guard PROTOCOL SETTINGS` first,
or `refused REASON`; then `fed` to each feed, and `acted WHAT` when it did.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Order = tuple[str, ...]

PROTOCOL = "1"
"""A guard that an older hamgrd left behind is replaced when it is another one."""

LARGEST = 1 << 17
"""Bytes of a message; a Unix socket's default buffer (net.core.wmem_default) holds that."""

FULL = 1 << 14
"""Bytes of orders after which the next message begins."""

ADDRESS, SESSION, UNIT, RUN = "address", "session", "unit", "run"

_END = "\0"


def pack(*words: str) -> bytes:
    return _END.join(words).encode("utf-8", "surrogateescape")


def unpack(message: bytes) -> list[str]:
    return message.decode("utf-8", "surrogateescape").split(_END)


def pack_orders(orders: Iterable[Order]) -> list[bytes]:
    """Messages, in the order in which they are to be carried out."""
    messages: list[bytes] = []
    words = ["orders"]
    for order in orders:
        if sum(map(len, words)) > FULL:
            messages.append(pack(*words))
            words = ["more"]
        words += [str(len(order)), *order]
    return [*messages, pack(*words)]


def unpack_orders(words: Sequence[str]) -> list[Order]:
    """Of a message without its first word."""
    orders: list[Order] = []
    at = 0
    while at < len(words):
        count = int(words[at])
        orders.append(tuple(words[at + 1 : at + 1 + count]))
        at += 1 + count
    return orders


def address(ip: str) -> Order:
    """Remove this address from whatever interface has it."""
    return (ADDRESS, ip)


def session(mark: str) -> Order:
    """Kill the session of the process that wrote this mark (`hamgr.resources.mark`)."""
    return (SESSION, mark)


def unit(name: str) -> Order:
    """Kill all processes of this unit of systemd."""
    return (UNIT, name)


def run(seconds: float, environment: Iterable[tuple[str, str]], command: Sequence[str]) -> Order:
    """Run a command to its end, or for as many seconds."""
    settings = [f"{name}={value}" for name, value in environment]
    return (RUN, f"{seconds:g}", str(len(settings)), *settings, *command)
