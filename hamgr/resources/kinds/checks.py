"""`kind = "tcp"` and `kind = "http"`: health checks of a service."""

from __future__ import annotations

import ipaddress
import urllib.parse

from hamgr.config.model import ResourceConfig
from hamgr.resources.resource import Option, Resource, ResourceKind, Surroundings


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


def _tcp(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    from hamgr.resources.check import PATIENCE_SHARE, Check, Tcp

    return Check(Tcp(config), config.start_timeout * PATIENCE_SHARE)


def _http(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    from hamgr.resources.check import PATIENCE_SHARE, Check, Http

    return Check(Http(config), config.start_timeout * PATIENCE_SHARE)


TCP = ResourceKind(
    (
        Option("address", str, required=True, check=_check_ip),
        Option("port", int, required=True, check=_check_port),
    ),
    _tcp,
)

HTTP = ResourceKind(
    (
        Option("url", str, required=True, check=_check_url),
        Option("contains", str),
    ),
    _http,
)
