"""Directories like /etc/ha.d, and machines that read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from hamgr.config.heartbeat.build import config_of
from hamgr.config.heartbeat.draft import Draft
from hamgr.config.heartbeat.here import Here
from hamgr.config.model import Config
from hamgr.config.problems import ConfigError
from hamgr.resources.kinds import RESOURCE_KINDS

TWO_NODES = "bcast eth0 eth1\nnode a b\nauto_failback on\nstonith_host * null a b\n"
AUTHKEYS = "auth 1\n1 sha1 a-long-secret-of-many-letters\n"
SAMPLES = Path(__file__).parent / "heartbeat_samples"


def ha_dir(path: Path, ha_cf: str, haresources: str = "", authkeys: str = AUTHKEYS, more: str = "") -> Path:
    """A directory with these files; more: of its hamgr.toml."""
    (path / "ha.cf").write_text(ha_cf)
    (path / "haresources").write_text(haresources)
    (path / "authkeys").write_text(authkeys)
    (path / "authkeys").chmod(0o600)
    if more:
        (path / "hamgr.toml").write_text(more)
    return path


def sample(path: Path, name: str) -> Path:
    return ha_dir(path, *((SAMPLES / name / file).read_text() for file in ("ha.cf", "haresources", "authkeys")))


def machine(
    name: str = "a",
    own: tuple[str, ...] = (),
    hosts: Mapping[str, tuple[str, ...]] | None = None,
    interfaces: Mapping[str, str] | None = None,
) -> Here:
    """own: its addresses. hosts: its /etc/hosts. interfaces: name -> the address that it speaks from there."""
    speaks = interfaces or {}
    return Here((name,), hosts or {}, lambda address: address in own, lambda device, _: speaks.get(device, ""))


def read(directory: Path, here: Here | None = None) -> tuple[Config, Draft]:
    return config_of(directory, here or machine(), RESOURCE_KINDS)


def notes(draft: Draft) -> list[str]:
    """Without the one that every file without [arbiter] or stonith has."""
    return [f"{note.key}: {note.text}" for note in draft.notes]


def mistakes(directory: Path, here: Here | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(directory, here)
    return [str(problem).removeprefix(f"{directory}/") for problem in caught.value.problems]
