"""The table [etcd] of the arbiter's configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hamgr.config.table import Table

ENDPOINTS = 'the members of one etcd cluster, as ["10.0.9.11:2379", "10.0.9.12:2379", "10.0.9.13:2379"]'
ADVERTISE = 'where the other arbiter processes reach this one, as "10.0.9.10:5410"'
_ENDPOINT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
_ANY = ("0.0.0.0:", "[::]:")


@dataclass(frozen=True, slots=True)
class EtcdConfig:
    """endpoints: host:port of the members. ca, certificate, key: PEM files; ca alone proves only the members. timeout:
    seconds for one request, however many members are asked. lease: seconds for which a process that is lost counts as
    one that leads. advertise: where other arbiter processes reach this one."""

    endpoints: tuple[str, ...]
    advertise: str
    prefix: str = "/hamgr-arbiter/"
    timeout: float = 1.0
    lease: float = 5.0
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    user: str = ""
    password_file: Path | None = None


def read(root: Table, listen: str) -> EtcdConfig | None:
    """What `store` and [etcd] say; None with SQLite."""
    store = root.choice("store", "sqlite", ("sqlite", "etcd"))
    if store == "sqlite":
        if "etcd" in root.values:
            root.take("etcd", None, lambda _value: None)
            root.wrong("etcd", 'this table only with store = "etcd"')
        return None
    if "etcd" not in root.values:
        root.mistakes.note("etcd", "no table [etcd]", f'with store = "etcd" its endpoints: {ENDPOINTS}')
        return None
    table = root.table("etcd")
    found = EtcdConfig(
        endpoints=table.texts("endpoints", (), ENDPOINTS),
        advertise=table.text("advertise", "" if listen.startswith(_ANY) else listen, check=_check_endpoint),
        prefix=table.text("prefix", "/hamgr-arbiter/", check=_check_prefix),
        timeout=table.duration("timeout", 1.0, 0.05),
        lease=table.duration("lease", 5.0, 2.0),
        ca=table.optional_path("ca"),
        certificate=table.optional_path("certificate"),
        key=table.optional_path("key"),
        user=table.text("user", ""),
        password_file=table.optional_path("password_file"),
    )
    if not found.endpoints or any(_check_endpoint(endpoint) for endpoint in found.endpoints):
        table.wrong("endpoints", ENDPOINTS)
    if not found.advertise and "advertise" not in table.values:
        table.mistakes.note("etcd.advertise", f"nothing, and listen is {listen}", ADVERTISE)
    if (found.certificate is None) != (found.key is None) or (found.certificate is not None and found.ca is None):
        given = "certificate" if found.certificate is not None else "key"
        table.wrong(given, "certificate and key both, with a ca, or neither")
    if bool(found.user) != (found.password_file is not None):
        table.wrong("user" if found.user else "password_file", "user and password_file both, or neither")
    table.finish()
    return found


def _check_endpoint(value: str) -> str:
    return "" if _ENDPOINT.fullmatch(value) else ADVERTISE


def _check_prefix(value: str) -> str:
    return "" if value.endswith("/") and value.isprintable() else 'a text that ends with "/"'
