"""Loads a configuration wherever it stands: a TOML file, or a directory with Heartbeat's files."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hamgr.config import toml
from hamgr.config.kinds import Kinds
from hamgr.config.model import DEFAULT_ADMIN_SOCKET, Config
from hamgr.config.problems import ConfigWarning, Problem
from hamgr.config.warning import warnings


def _as_it_is(problem: Problem) -> Problem:
    return problem


@dataclass(frozen=True, slots=True)
class Loaded:
    """node: who this machine is in it; a name that the configuration does not know when it is none of the nodes.

    notes: what Heartbeat's files say and hamgr does not do, or does differently. located: puts a mistake that is found
    later at the line that it comes from.
    """

    config: Config
    node: str
    notes: tuple[ConfigWarning, ...] = ()
    located: Callable[[Problem], Problem] = _as_it_is

    @property
    def warnings(self) -> list[ConfigWarning]:
        """Those of the files' translation, then those of the configuration."""
        return [*self.notes, *warnings(self.config)]


def load(path: Path, kinds: Kinds | None, node: str = "") -> Loaded:
    """The configuration at `path`. node: who this machine is, "" to go by its host name.

    Raises ConfigError with every mistake; NotYet, a kind of it, when this machine's network must be up first.
    """
    if not path.is_dir():
        config = toml.load(path, kinds)
        return Loaded(config, _this_node(config, node))
    # Loaded here: most clusters have a hamgr.toml.
    from hamgr.config.heartbeat.build import config_of
    from hamgr.config.heartbeat.here import this_machine

    config, draft = config_of(path, this_machine(node), kinds)
    return Loaded(config, _this_node(config, node), tuple(draft.notes), draft.located)


@dataclass(frozen=True, slots=True)
class Places:
    """What commands need of a configuration, whether or not the network is up that the rest of it may depend on."""

    admin_socket: Path
    key_file: Path


def places(path: Path, kinds: Kinds | None) -> Places:
    """Raises ConfigError."""
    if not path.is_dir():
        config = toml.load(path, kinds)
        return Places(config.admin_socket, config.key_file)
    from hamgr.config.heartbeat.build import AUTHKEYS, cluster_word

    return Places(
        Path(cluster_word(path, "admin_socket", str(DEFAULT_ADMIN_SOCKET))),
        Path(cluster_word(path, "key_file", str(path.absolute() / AUTHKEYS))),
    )


def _this_node(config: Config, node: str) -> str:
    """Host names ignore case, and a node may be called by its whole one (RFC 1123, uname -n)."""
    known = {name.lower(): name for name in config.spec.names}
    host = node or socket.gethostname()
    short = host if node else host.partition(".")[0]
    return known.get(host.lower()) or known.get(short.lower()) or short
