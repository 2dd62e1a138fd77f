"""Names, addresses and ports as the configuration allows them. Each check returns what is allowed, or ""."""

from __future__ import annotations

import ipaddress
import re

NAME = 'a name of letters, digits, "-" and "_", up to 63 characters'
NODE_NAME = 'a host name: letters, digits, "-" and ".", up to 63 characters, no "-" at an end'
ADDRESS = "an IPv4 or IPv6 address (names would need a DNS server when the network fails)"
INTERFACE = 'an interface name of up to 15 characters without space or "/"'
HIGHEST_PORT = 65535

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", re.ASCII)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"  # RFC 1123, 2.1
_NODE_NAME = re.compile(rf"(?=.{{1,63}}$){_LABEL}(?:\.{_LABEL})*", re.ASCII)
_INTERFACE = re.compile(r"(?!\.{1,2}$)[^\s/:]{1,15}")  # the kernel's dev_valid_name()


def check_name(value: str) -> str:
    return "" if _NAME.fullmatch(value) else NAME


def check_node_name(value: str) -> str:
    return "" if _NODE_NAME.fullmatch(value) else NODE_NAME


def check_interface(value: str) -> str:
    return "" if _INTERFACE.fullmatch(value) else INTERFACE


def check_address(value: str) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return ADDRESS
    if address.is_multicast or address.is_unspecified:
        return "the address of one machine"
    return ""


def normal(value: str) -> str:
    """The one way to write an address, so that two spellings compare equal."""
    return str(ipaddress.ip_address(value))


def split_port(value: str) -> tuple[str, int | None]:
    """ "10.0.0.1:5411" or "[fd00::1]:5411" as address and port; None without a port. ValueError: neither."""
    match = re.fullmatch(r"\[([^\]]+)\](?::([0-9]{1,5}))?|([^:]+)(?::([0-9]{1,5}))?", value, re.ASCII)
    if match is None:
        address, port = value, None
    else:
        address, port = match[1] or match[3], match[2] or match[4]
    if check_address(address) or (port is not None and not 1 <= int(port) <= HIGHEST_PORT):
        raise ValueError('an IPv4 or IPv6 address, with a port if need be: "10.0.0.1:5411", "[fd00::1]:5411"')
    return normal(address), None if port is None else int(port)
