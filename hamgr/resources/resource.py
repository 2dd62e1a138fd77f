"""What a resource is: something that a group starts, stops and watches; and the registry of its kinds."""

from __future__ import annotations

import enum
import ipaddress
import os
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from hamgr.config.addresses import check_interface
from hamgr.config.model import ResourceConfig


class ResourceStatus(enum.Enum):
    """FAILED: neither cleanly running nor cleanly stopped; something of it may be active."""

    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"


class ResourceError(Exception):
    """An operation on a resource did not do what it should; the text says why."""


class Resource(Protocol):
    """One resource of a group. Every operation may be cancelled at any await, and called again later."""

    async def prepare(self) -> None:
        """Make ready what takes time, before the first start. Does not fail: what is missing now may come."""

    async def start(self) -> None:
        """Be running when this returns, also if it was running before. Raises ResourceError."""

    async def stop(self) -> None:
        """Be stopped when this returns, also if it was stopped before. Raises ResourceError."""

    async def status(self) -> ResourceStatus:
        """What is true now. Raises ResourceError when it can't be told."""

    async def close(self) -> None:
        """Let go of sockets and processes, without starting or stopping anything."""


@runtime_checkable
class Explaining(Protocol):
    """A resource that can say more than its last status."""

    reason: str
    """Why it does not run; "" when it does."""


@dataclass(frozen=True, slots=True)
class Option:
    """One key of a kind. check: what is allowed, as a phrase, when the value is wrong; "" when it is right."""

    name: str
    type: type
    required: bool = False
    default: Any = None
    check: Callable[[Any], str] | None = None


@dataclass(frozen=True, slots=True)
class ResourceKind:
    options: tuple[Option, ...]
    build: Callable[[ResourceConfig], Resource]


def _check_interface_address(value: str) -> str:
    try:
        interface = ipaddress.ip_interface(value)
    except ValueError:
        return 'an IPv4 or IPv6 address with its prefix, as "192.0.2.10/24"'
    if "/" not in value:
        return f'the prefix of its network too, as "{value}/24"'
    if interface.ip.is_multicast or interface.ip.is_unspecified or interface.ip.is_loopback:
        return "an address that clients can reach"
    return ""


def _check_count(value: int) -> str:
    return "" if 0 <= value <= 1000 else "0 to 1000"


def _check_script(value: str) -> str:
    return "" if os.path.isabs(value) else "an absolute path"


def _vip(config: ResourceConfig) -> Resource:
    from hamgr.resources.vip import Vip

    return Vip(config)


def _lsb(config: ResourceConfig) -> Resource:
    from hamgr.resources.lsb import Lsb

    return Lsb(config)


def _check_ip(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return "an IPv4 or IPv6 address of the service, on the node that runs it"
    return ""


def _check_port(value: int) -> str:
    return "" if 1 <= value <= 65535 else "1 to 65535"


def _check_url(value: str) -> str:
    allowed = 'a URL with an address in it, such as "http://127.0.0.1:8080/health"'
    try:
        parts = urllib.parse.urlsplit(value)
        return "" if parts.scheme == "http" and not _check_ip(parts.hostname or "") and parts.port != 0 else allowed
    except ValueError:
        return allowed


def _tcp(config: ResourceConfig) -> Resource:
    from hamgr.resources.check import PATIENCE_SHARE, Check, Tcp

    return Check(Tcp(config), config.start_timeout * PATIENCE_SHARE)


def _http(config: ResourceConfig) -> Resource:
    from hamgr.resources.check import PATIENCE_SHARE, Check, Http

    return Check(Http(config), config.start_timeout * PATIENCE_SHARE)


RESOURCE_KINDS: Mapping[str, ResourceKind] = MappingProxyType(
    {
        "vip": ResourceKind(
            (
                Option("address", str, required=True, check=_check_interface_address),
                Option("interface", str, required=True, check=check_interface),
                Option("announcements", int, default=5, check=_check_count),
            ),
            _vip,
        ),
        "lsb": ResourceKind(
            (
                Option("script", str, required=True, check=_check_script),
                Option("args", list, default=[]),
            ),
            _lsb,
        ),
        "tcp": ResourceKind(
            (
                Option("address", str, required=True, check=_check_ip),
                Option("port", int, required=True, check=_check_port),
            ),
            _tcp,
        ),
        "http": ResourceKind(
            (
                Option("url", str, required=True, check=_check_url),
                Option("contains", str),
            ),
            _http,
        ),
    }
)
"""The kinds by name. Their modules are loaded when the first resource of the kind is built."""
