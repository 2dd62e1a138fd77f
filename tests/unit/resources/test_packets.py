"""Packets byte by byte: RFC 826 and 5227 for ARP, RFC 4861 and 4862 for neighbour discovery."""

from __future__ import annotations

import ipaddress

from hamgr.resources.packets import (
    ARP_REPLY,
    advertiser,
    announcements,
    arp_frame,
    arp_sender,
    checksum,
    question,
)

MAC = bytes.fromhex("020304050607")
V4 = ipaddress.IPv4Address("192.0.2.77")
V6 = ipaddress.IPv6Address("2001:db8::77")


def test_an_arp_announcement_is_a_broadcast_request_for_the_own_address() -> None:
    frame = announcements(MAC, V4)[0]
    assert frame.hex(" ") == (
        "ff ff ff ff ff ff 02 03 04 05 06 07 08 06 "  # to all, from us, ARP
        "00 01 08 00 06 04 00 01 "  # Ethernet, IPv4, request
        "02 03 04 05 06 07 c0 00 02 4d "  # we have it
        "00 00 00 00 00 00 c0 00 02 4d"
    )


def test_the_reply_form_is_for_those_who_learn_from_replies_only() -> None:
    frame = announcements(MAC, V4)[1]
    assert frame[20:22] == b"\0\2"
    assert frame[32:38] == b"\xff" * 6
    assert frame[28:32] == frame[38:42] == V4.packed


def test_an_arp_probe_comes_from_no_address_so_that_it_spoils_nobodys_table() -> None:
    frame = question(MAC, V4)
    assert frame[20:22] == b"\0\1"
    assert frame[22:32] == MAC + b"\0\0\0\0"
    assert frame[32:42] == b"\0" * 6 + V4.packed


def test_a_neighbour_advertisement_overrides_and_carries_the_mac() -> None:
    (frame,) = announcements(MAC, V6)
    assert frame[:14].hex() == "333300000001" + MAC.hex() + "86dd", "to all nodes"
    assert frame[21] == 255, "the hop limit"
    assert frame[22:38] == V6.packed, "from the address itself"
    packet = frame[54:]
    assert packet[0] == 136
    assert packet[4] == 0x20, "override, neither router nor solicited"
    assert packet[8:24] == V6.packed
    assert packet[24:] == b"\x02\x01" + MAC, "target link-layer address, in units of 8 bytes"
    assert len(packet) == 32
    assert checksum(frame[22:54] + (32).to_bytes(4, "big") + (58).to_bytes(4, "big") + packet) == 0


def test_a_solicitation_comes_from_no_address_and_goes_to_the_solicited_node_group() -> None:
    frame = question(MAC, V6)
    assert frame[:6].hex() == "3333ff000077"
    assert frame[22:54] == b"\0" * 16 + ipaddress.IPv6Address("ff02::1:ff00:77").packed
    assert frame[54] == 135
    assert len(frame) == 54 + 24, "without a source link-layer address (RFC 4861, 4.3)"


def test_whoever_says_that_it_has_an_address_is_found_in_its_packet() -> None:
    assert arp_sender(arp_frame(ARP_REPLY, MAC, V4, V4)[14:]) == (MAC, V4)
    assert advertiser(announcements(MAC, V6)[0][54:]) == (MAC, V6)


def test_what_is_cut_off_or_of_another_kind_names_nobody() -> None:
    arp, advertisement = announcements(MAC, V4)[0][14:], announcements(MAC, V6)[0][54:]
    assert all(arp_sender(arp[:length]) is None for length in range(len(arp)))
    assert all(advertiser(advertisement[:length]) is None for length in range(len(advertisement)))
    assert advertiser(advertisement[:24] + b"\x01\0" + MAC) is None
    assert arp_sender(b"\0\6" + arp[2:]) is None
