"""Where an address belongs, as a function of what the machine has."""

from __future__ import annotations

import ipaddress

import pytest

from hamgr.resources.findif import parse, place
from hamgr.resources.kernel import Card, Held
from hamgr.resources.resource import ResourceError

LO = Card(1, "lo", True, True, loopback=True)
LAN = Card(2, "eth0", True, True)
SPARE = Card(3, "eth1", True, False)
CARDS = (LO, LAN, SPARE)


def held(*entries: tuple[Card, str]) -> list[Held]:
    return [Held(card.index, ipaddress.ip_interface(address)) for card, address in entries]


def placed(text: str, interface: str, *entries: tuple[Card, str]) -> str:
    address, prefixlen = parse(text)
    card, found = place(address, prefixlen, interface, CARDS, held(*entries))
    return f"{found} on {card.name}"


def test_what_is_told_is_taken_though_no_network_holds_it() -> None:
    assert placed("10.0.0.77/32", "eth1", (LAN, "10.0.0.1/24")) == "10.0.0.77/32 on eth1"


def test_the_longest_prefix_wins() -> None:
    assert placed("10.0.0.77", "", (LAN, "10.0.0.1/8"), (SPARE, "10.0.0.2/24")) == "10.0.0.77/24 on eth1"


def test_of_two_cards_in_one_network_the_one_with_a_cable_is_taken() -> None:
    assert placed("10.0.0.77", "", (SPARE, "10.0.0.2/24"), (LAN, "10.0.0.1/24")) == "10.0.0.77/24 on eth0"


def test_a_prefix_that_is_told_is_kept() -> None:
    assert placed("10.0.0.77/32", "", (LAN, "10.0.0.1/24")) == "10.0.0.77/32 on eth0"


@pytest.mark.parametrize("entry", [(LAN, "10.0.0.77/24"), (LO, "10.0.0.1/24"), (LAN, "10.0.0.77/32")])
def test_neither_the_address_itself_nor_the_loopback_is_a_network_for_it(entry: tuple[Card, str]) -> None:
    with pytest.raises(ResourceError, match=r'name one, as interface = "eth0", with the prefix, as "10\.0\.0\.77/24"'):
        placed("10.0.0.77", "", entry)


def test_addresses_of_the_other_family_are_no_network() -> None:
    with pytest.raises(ResourceError, match='"fd00::77/64"'):
        placed("fd00::77", "", (LAN, "10.0.0.1/24"))
