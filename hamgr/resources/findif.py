"""Where an address belongs: on the interface whose network holds it, with the prefix of that network.

Heartbeat's findif did this; unlike it, nothing is guessed: an address that no network holds is an error.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from hamgr.resources.kernel import Card, Held, IPAddress, IPInterface
from hamgr.resources.resource import ResourceError


def parse(text: str) -> tuple[IPAddress, int | None]:
    """An address with its prefix, or without one. ValueError: neither."""
    if "/" not in text:
        return ipaddress.ip_address(text), None
    found = ipaddress.ip_interface(text)
    return found.ip, found.network.prefixlen


def place(
    address: IPAddress, prefixlen: int | None, interface: str, cards: Iterable[Card], held: Iterable[Held]
) -> tuple[Card, IPInterface]:
    """The interface, and the address as it is added there. interface "", prefixlen None: not told.

    Raises ResourceError with what to add to the configuration.
    """
    by_index = {card.index: card for card in cards}
    named = next((card for card in by_index.values() if card.name == interface), None)
    if interface and named is None:
        raise ResourceError(f"interface {interface} does not exist")
    if named is not None and prefixlen is not None:
        return named, ipaddress.ip_interface((address, prefixlen))
    around = [
        (one.address.network.prefixlen, by_index[one.index])
        for one in held
        if one.address.ip != address
        and one.index in by_index
        and one.address.version == address.version
        and one.address.network.prefixlen < address.max_prefixlen
        and address in one.address.network
        and (by_index[one.index] is named if named is not None else not by_index[one.index].loopback)
    ]
    if not around:
        if named is not None:
            raise ResourceError(
                f"{interface} has no network that holds {address}: give the address its prefix, as"
                f' "{address}/{_usual(address)}"'
            )
        raise ResourceError(
            f'no interface has a network that holds {address}: name one, as interface = "eth0",'
            f' with the prefix, as "{address}/{_usual(address)}"'
        )
    # The longest prefix, as routes are chosen; of two cards in one network the one that works, then the first.
    length, card = max(around, key=lambda found: (found[0], found[1].carrier, -found[1].index))
    return card, ipaddress.ip_interface((address, length if prefixlen is None else prefixlen))


def _usual(address: IPAddress) -> int:
    return 24 if address.version == 4 else 64
