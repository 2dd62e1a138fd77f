"""The arbiter's configuration: where it listens, where its votes are, and whose they are."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hamgr.config.addresses import check_name
from hamgr.config.model import DEFAULT_ARBITER_PORT
from hamgr.config.problems import ConfigError, Problem, describe
from hamgr.config.table import Mistakes, Table
from hamgr.links.keys import KeyFileError, Keys, load_keys

DEFAULT_CONFIG = Path("/etc/hamgr/arbiter.toml")
DEFAULT_STATE_DIR = "/var/lib/hamgr-arbiter"
DEFAULT_LISTEN = f"0.0.0.0:{DEFAULT_ARBITER_PORT}"

LISTEN = 'an IP address and a port, as "0.0.0.0:5410" or "[::]:5410"'
_LISTEN = re.compile(r"(?:\[(?P<v6>[^]]+)\]|(?P<v4>[^:]+)):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class ArbiterConfig:
    """listen: a gRPC address. key_files: cluster -> its key file."""

    path: Path
    listen: str
    state_dir: Path
    key_files: dict[str, Path]


def load(path: Path) -> ArbiterConfig:
    """Read the file. Raises ConfigError with all of its mistakes."""
    root = Table(Mistakes(path), "", _parse(path))
    listen = root.text("listen", DEFAULT_LISTEN, check=_check_listen)
    state_dir = root.text("state_dir", DEFAULT_STATE_DIR, check=_check_path)
    key_files: dict[str, Path] = {}
    for name, table in root.tables("cluster").items():
        if allowed := check_name(name):
            root.mistakes.note(table.path, describe(name), allowed)
        key_files[name] = Path(table.text("key_file", required="the path of the cluster's key file", check=_check_path))
        table.finish()
    if not key_files:
        root.mistakes.note("cluster", "no cluster", "at least one table [cluster.NAME] with its key_file")
    root.finish()
    if root.mistakes.problems:
        raise ConfigError(tuple(root.mistakes.problems))
    return ArbiterConfig(path, listen, Path(state_dir), key_files)


def load_all_keys(config: ArbiterConfig) -> dict[str, Keys]:
    """The keys of every cluster. Raises ConfigError that names each file that can't be used."""
    keys: dict[str, Keys] = {}
    problems = []
    for cluster, path in config.key_files.items():
        try:
            keys[cluster] = load_keys(path)
        except KeyFileError as error:
            problems.append(Problem(config.path, f"cluster.{cluster}.key_file", str(error), "a usable key file"))
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
