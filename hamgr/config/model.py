"""The one validated model of a configuration file; everything that starts anything is built from it.

Every duration is in seconds as float. `hamgr.config.toml` reads it from a file and checks it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hamgr.core.cluster import ClusterSpec

DEFAULT_CONFIG = Path("/etc/hamgr/hamgr.toml")
DEFAULT_STATE_DIR = Path("/var/lib/hamgr")
DEFAULT_ADMIN_SOCKET = Path("/run/hamgr/admin.sock")
DEFAULT_LINK_PORT = 694
DEFAULT_ARBITER_PORT = 5410


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """A heartbeat link between all nodes. kind: a key of the links registry ("udp", "grpc").

    addresses: node name -> address on this link, without the port. interface: bind to it ("" for any).
    """

    name: str
    kind: str
    port: int
    addresses: dict[str, str]
    interface: str = ""


@dataclass(frozen=True, slots=True)
class ArbiterConfig:
    address: str
    port: int = DEFAULT_ARBITER_PORT


@dataclass(frozen=True, slots=True)
class FenceDeviceConfig:
    """A fence device for one victim. agent: an executable (name on PATH or a path) with the fence agent API.

    level: tried in order, from 1. options: handed to the agent on stdin. timeout: seconds for one call of the
    agent. attempts: calls before the device counts as failed. warm: run in the warm worker (our own agents).
    """

    name: str
    node: str
    agent: str
    level: int = 1
    timeout: float = 20.0
    attempts: int = 3
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResourceConfig:
    """One resource of a group. kind: a key of the resources registry ("vip", "lsb"). options: its own keys,
    already validated by that kind. All timeouts in seconds."""

    name: str
    kind: str
    options: dict[str, str | int | bool | list[str]]
    start_timeout: float = 20.0
    stop_timeout: float = 20.0
    monitor_interval: float = 10.0
    monitor_timeout: float = 20.0


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """A group's resources in start order. Its placement policy is the `GroupSpec` of the same name."""

    name: str
    resources: tuple[ResourceConfig, ...]


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration, the same on all nodes. `spec` is what the core sees of it."""

    path: Path
    spec: ClusterSpec
    key_file: Path
    links: tuple[LinkConfig, ...]
    fence_devices: tuple[FenceDeviceConfig, ...]
    groups: tuple[GroupConfig, ...]
    arbiter: ArbiterConfig | None = None
    state_dir: Path = DEFAULT_STATE_DIR
    admin_socket: Path = DEFAULT_ADMIN_SOCKET
    agent_dirs: tuple[Path, ...] = (Path("/usr/sbin"), Path("/sbin"))

    def devices(self, node: str, level: int) -> tuple[FenceDeviceConfig, ...]:
        """The devices of one fence level (from 0, as the core counts: the n-th level that the node has)."""
        levels = sorted({device.level for device in self.fence_devices if device.node == node})
        return tuple(d for d in self.fence_devices if d.node == node and d.level == levels[level])
