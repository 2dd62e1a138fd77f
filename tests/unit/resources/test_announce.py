"""Announcements byte by byte: RFC 826 and 5227 for ARP, RFC 4861 for neighbour discovery."""

from __future__ import annotations

import ipaddress

from hamgr.resources.announce import ARP_REPLY, ARP_REQUEST, advertisement, arp_frame

MAC = bytes.fromhex("020304050607")
V4 = ipaddress.IPv4Address("192.0.2.77")
V6 = ipaddress.IPv6Address("2001:db8::77")


def test_an_arp_announcement_is_a_broadcast_request_for_the_own_address() -> None:
    frame = arp_frame(ARP_REQUEST, MAC, V4)
    assert frame.hex(" ") == (
        "ff ff ff ff ff ff 02 03 04 05 06 07 08 06 "  # to all, from us, ARP
        "00 01 08 00 06 04 00 01 "  # Ethernet, IPv4, request
        "02 03 04 05 06 07 c0 00 02 4d "  # we have it
        "00 00 00 00 00 00 c0 00 02 4d"
    )


def test_the_reply_form_is_for_those_who_learn_from_replies_only() -> None:
    frame = arp_frame(ARP_REPLY, MAC, V4)
    assert frame[20:22] == b"\0\2"
    assert frame[32:38] == b"\xff" * 6
    assert frame[28:32] == frame[38:42] == V4.packed


def test_a_neighbour_advertisement_overrides_and_carries_the_mac() -> None:
    packet = advertisement(MAC, V6)
    assert packet[0] == 136
    assert packet[4] == 0x20, "override, neither router nor solicited"
    assert packet[8:24] == V6.packed
    assert packet[24:] == b"\x02\x01" + MAC, "target link-layer address, in units of 8 bytes"
    assert len(packet) == 32
