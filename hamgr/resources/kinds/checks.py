"""`kind = "tcp"`, `kind = "http"` and `kind = "check"`: health checks of a service."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path

from hamgr.config.kinds import Fact
from hamgr.config.model import OptionValue, ResourceConfig
from hamgr.config.problems import describe
from hamgr.resources.kinds.command import check_environment, check_words, missing_programs
from hamgr.resources.kinds.lsb import check_path
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
        return (
            ""
            if parts.scheme in ("http", "https") and not _check_ip(parts.hostname or "") and parts.port != 0
            else allowed
        )
    except ValueError:
        return allowed


def _check_host(value: str) -> str:
    return "" if value.isascii() and not set(value) & set(" /\t") else "the name of the site, as in a URL"


def _http_problems(options: Mapping[str, OptionValue]) -> Iterable[Fact]:
    ca = options.get("ca")
    if isinstance(ca, str) and not Path(ca).is_file():
        yield "ca", describe(ca), "a file of certificates (PEM) on this machine"


def _command_problems(options: Mapping[str, OptionValue]) -> Iterable[Fact]:
    return missing_programs(options, ("command",))


def _tcp(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    from hamgr.resources.check import PATIENCE_SHARE, Check, Tcp

    return Check(Tcp(config), config.start_timeout * PATIENCE_SHARE)


def _http(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    from hamgr.resources.check import PATIENCE_SHARE, Check, Http

    return Check(Http(config), config.start_timeout * PATIENCE_SHARE)


def _command(config: ResourceConfig, surroundings: Surroundings) -> Resource:
    from hamgr.resources.check import PATIENCE_SHARE, Asked, Check

    return Check(Asked(config), config.start_timeout * PATIENCE_SHARE)


TCP = ResourceKind(
    (
        Option("address", str, required=True, check=_check_ip),
        Option("port", int, required=True, check=_check_port),
    ),
    _tcp,
    only_looks=True,
)

HTTP = ResourceKind(
    (
        Option("url", str, required=True, check=_check_url),
        Option("contains", str),
        Option("host", str, check=_check_host),
        Option("verify", bool, default=True),
        Option("ca", str, check=check_path),
    ),
    _http,
    _http_problems,
    only_looks=True,
)

COMMAND = ResourceKind(
    (
        Option("command", list, required=True, check=check_words),
        Option("environment", dict, default={}, check=check_environment),
    ),
    _command,
    _command_problems,
    only_looks=True,
)
