"""The arbiter's configuration: where it listens, where its votes are, and whose they are."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arbiter import etcdconfig
from arbiter.etcdconfig import EtcdConfig
from hamgr.config.addresses import check_address, check_name
from hamgr.config.model import DEFAULT_ARBITER_PORT, DEFAULT_ARBITER_TLS_PORT, DEFAULT_JOIN_PORT
from hamgr.config.problems import ConfigError, Problem, describe
from hamgr.config.table import Mistakes, Table
from hamgr.core.cluster import MAX_NODES
from hamgr.links.keys import KeyFileError, Keys, load_keys

DEFAULT_CONFIG = Path("/etc/hamgr/arbiter.toml")
DEFAULT_STATE_DIR = "/var/lib/hamgr-arbiter"
DEFAULT_LISTEN = f"0.0.0.0:{DEFAULT_ARBITER_PORT}"
DEFAULT_TLS_LISTEN = f"0.0.0.0:{DEFAULT_ARBITER_TLS_PORT}"
DEFAULT_JOIN_LISTEN = f"0.0.0.0:{DEFAULT_JOIN_PORT}"

LISTEN = 'an IP address and a port, as "0.0.0.0:5410" or "[::]:5410"'
ADDRESSES = 'an array of IP addresses, by which nodes reach this machine, as ["192.0.2.10"]'
_LISTEN = re.compile(r"(?:\[(?P<v6>[^]]+)\]|(?P<v4>[^:]+)):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Limits:
    """What strangers and noisy clusters may take. clusters: enrolled ones. nodes: of a cluster. reports: of a cluster a
    second, in equal parts for its streams. strangers: streams without a certificate and without a report yet."""

    clusters: int = 4096
    nodes: int = MAX_NODES
    reports: int = 200
    strangers: int = 64


@dataclass(frozen=True, slots=True)
class ArbiterConfig:
    """listen: where clusters with a key file are served, "" if nowhere. tls_listen, join_listen: where enrolled ones
    are served, and where nodes join. key_files: cluster -> its key file. addresses: what tokens name. certificate_days:
    for which a certificate is good."""

    path: Path
    listen: str
    state_dir: Path
    key_files: dict[str, Path]
    tls_listen: str = DEFAULT_TLS_LISTEN
    join_listen: str = DEFAULT_JOIN_LISTEN
    limits: Limits = Limits()
    addresses: tuple[str, ...] = ()
    certificate_days: int = 90
    etcd: EtcdConfig | None = None


def load_default(path: Path | None) -> ArbiterConfig:
    """path: None for the usual one, which need not be there. Raises ConfigError."""
    if path is None and not DEFAULT_CONFIG.exists():
        return build(DEFAULT_CONFIG, {})
    return load(path or DEFAULT_CONFIG)


def load(path: Path) -> ArbiterConfig:
    """Read the file. Raises ConfigError with all of its mistakes."""
    return build(path, _parse(path))


def build(path: Path, tables: dict[str, Any]) -> ArbiterConfig:
    """As `load`, from the tables of the file."""
    root = Table(Mistakes(path), "", tables)
    listen = root.text("listen", DEFAULT_LISTEN if "cluster" in root.values else "", check=_check_listen)
    tls_listen = root.text("tls_listen", DEFAULT_TLS_LISTEN, check=_check_listen)
    join_listen = root.text("join_listen", DEFAULT_JOIN_LISTEN, check=_check_listen)
    _check_ports(root, {"listen": listen, "tls_listen": tls_listen, "join_listen": join_listen})
    state_dir = root.text("state_dir", DEFAULT_STATE_DIR, check=_check_path)
    key_files: dict[str, Path] = {}
    for name, table in root.tables("cluster").items():
        if allowed := check_name(name):
            root.mistakes.note(table.path, describe(name), allowed)
        key_files[name] = Path(table.text("key_file", required="the path of the cluster's key file", check=_check_path))
        table.finish()
    limits = _limits(root.table("limits"))
    enroll = root.table("enroll")
    addresses = enroll.texts("addresses", (), ADDRESSES)
    if any(check_address(address) for address in addresses):
        enroll.wrong("addresses", ADDRESSES)
    days = enroll.number("certificate_days", 90, 1, 3650)
    enroll.finish()
    etcd = etcdconfig.read(root, listen)
    root.finish()
    if root.mistakes.problems:
        raise ConfigError(tuple(root.mistakes.problems))
    ports = (tls_listen, join_listen)
    return ArbiterConfig(path, listen, Path(state_dir), key_files, *ports, limits, addresses, days, etcd)


def _limits(table: Table) -> Limits:
    usual = Limits()
    found = Limits(
        clusters=table.number("clusters", usual.clusters, 1, 100_000),
        nodes=table.number("nodes", usual.nodes, 2, MAX_NODES),
        reports=table.number("reports", usual.reports, 10, 100_000),
        strangers=table.number("strangers", usual.strangers, 1, 10_000),
    )
    table.finish()
    return found


def _check_ports(root: Table, found: dict[str, str]) -> None:
    """Two of them on one address would be taken by whoever comes first."""
    seen: dict[str, str] = {}
    for key, address in found.items():
        if not address:
            continue
        port = port_of(address)
        if port in seen.values():
            other = next(name for name, taken in seen.items() if taken == port)
            root.mistakes.note(key, describe(address), f"another port than {other} has")
        seen[key] = port


def port_of(listen: str) -> str:
    return listen.rpartition(":")[2]


def host_of(listen: str) -> str:
    return listen.rpartition(":")[0].strip("[]")


def load_all_keys(config: ArbiterConfig) -> dict[str, Keys]:
    """The keys of every cluster. Raises ConfigError that names each file that can't be used, those for etcd too."""
    keys: dict[str, Keys] = {}
    problems: list[Problem] = []
    if config.etcd is not None:
        from arbiter import etcdfiles

        problems += etcdfiles.problems(config.etcd, config.path)
    for cluster, path in config.key_files.items():
        try:
            keys[cluster] = load_keys(path)
        except KeyFileError as error:
            problems.append(Problem(config.path, f"cluster.{cluster}.key_file", error.found, error.allowed))
    if problems:
        raise ConfigError(tuple(problems))
    return keys


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        found = f"no readable file ({error.strerror})"
        raise ConfigError((Problem(path, "file", found, "the arbiter's configuration"),)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError((Problem(path, "syntax", str(error), "TOML 1.0"),)) from error


def _check_listen(value: str) -> str:
    found = _LISTEN.fullmatch(value)
    if found is None or not 1 <= int(found["port"]) <= 65535:
        return LISTEN
    try:
        version = ipaddress.ip_address(found["v6"] or found["v4"]).version
    except ValueError:
        return LISTEN
    return "" if (version == 6) == (found["v6"] is not None) else LISTEN


def _check_path(value: str) -> str:
    return "" if value.startswith("/") else "an absolute path"
