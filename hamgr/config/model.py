"""The one validated model of a configuration file; everything that starts anything is built from it.

Every duration is in seconds as float. `hamgr.config.toml` reads it from a file and checks it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

from hamgr.core.cluster import ClusterSpec
from hamgr.core.effects import Kind

DEFAULT_CONFIG = Path("/etc/hamgr/hamgr.toml")
DEFAULT_HA_DIR = Path("/etc/ha.d")
DEFAULT_STATE_DIR = Path("/var/lib/hamgr")
DEFAULT_ADMIN_SOCKET = Path("/run/hamgr/admin.sock")
DEFAULT_LINK_PORT = 694
DEFAULT_ARBITER_PORT = 5410
DEFAULT_ARBITER_TLS_PORT = 5412
DEFAULT_JOIN_PORT = 5413
DEFAULT_BAUD = 19200
DEFAULT_FENCE_DELAY = 2.0

GUARD_SUFFIX = ".guard"
"""Of the guard's socket, which lies beside the admin socket."""
DEFAULT_SYSRQ_TRIGGER = Path("/proc/sysrq-trigger")

OptionValue = str | int | float | bool | list[str] | dict[str, str]
"""The value of one option of a resource."""


class SelfFence(enum.Enum):
    """What the guard does when hamgrd is dead, frozen or too late: nothing; end what the groups run; or also reset the
    machine."""

    NONE = "none"
    STOP = "stop"
    REBOOT = "reboot"


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """A heartbeat link between nodes. kind: a key of the links registry (`hamgr.links.link`).

    nodes: whom it joins; all others know nothing of it. addresses: node name -> address on this link, without the
    port (udp, grpc). interfaces: node name -> interface to bind to; a node that is missing binds to none. group, ttl,
    loop: of multicast. devices: node name -> serial device, or shared disk. baud: bits a second. poll: seconds between
    two looks at the disk. reset: a file that resets the machine when "b" is written to it; "" for none.
    """

    name: str
    kind: str
    nodes: tuple[str, ...]
    port: int = DEFAULT_LINK_PORT
    addresses: dict[str, str] = field(default_factory=dict)
    interfaces: dict[str, str] = field(default_factory=dict)
    group: str = ""
    ttl: int = 1
    loop: bool = False
    devices: dict[str, str] = field(default_factory=dict)
    baud: int = DEFAULT_BAUD
    poll: float = 0.0
    reset: str = ""

    def peers(self, node: str) -> tuple[str, ...]:
        """The other nodes on this link; none when `node` itself is not on it."""
        return tuple(name for name in self.nodes if name != node) if node in self.nodes else ()


@dataclass(frozen=True, slots=True)
class HealthCheckConfig:
    """A command that ends with 0 while the node is well.

    weight: what it adds to the health score. interval: seconds from its end to the next run. timeout: seconds after
    which it counts as failed. fall, rise: so many failures, or successes, in a row count.
    """

    name: str
    command: tuple[str, ...]
    weight: int = 1
    interval: float = 10.0
    timeout: float = 5.0
    fall: int = 1
    rise: int = 1


@dataclass(frozen=True, slots=True)
class PingConfig:
    """Addresses outside of the cluster that answer pings while our network works; any one of them is enough.

    weight: what it adds to the health score. interval: seconds between two pings of an address. deadtime: seconds
    without an answer from any after which it counts as lost.
    """

    name: str
    targets: tuple[str, ...]
    weight: int = 1
    interval: float = 1.0
    deadtime: float = 10.0


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """A route that one node always has, in no group. to: "default", a network or an address. via, interface, source: ""
    when not told; metric 0: the kernel's own. replace: what stands in its place goes."""

    name: str
    node: str
    to: str
    via: str = ""
    interface: str = ""
    source: str = ""
    metric: int = 0
    table: int = 254
    replace: bool = False


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """PEM files for mutual TLS on gRPC links: each node's own certificate names the node, the ca signed them all."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class ArbiterConfig:
    """A host with an address, or a disk that all nodes reach. more: further addresses with their ports, of other
    processes over the same store, tried in this order. identity: the file that `hamgr join` made; None: the cluster's
    own key opens what is said. disks: node name -> the device; empty for a host."""

    address: str
    port: int = DEFAULT_ARBITER_PORT
    more: tuple[tuple[str, int], ...] = ()
    identity: Path | None = None
    disks: dict[str, str] = field(default_factory=dict)

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """None for a disk."""
        return () if self.disks else ((self.address, self.port), *self.more)


@dataclass(frozen=True, slots=True)
class FenceDeviceConfig:
    """A fence device for one victim. agent: an executable (name on PATH or a path) with the fence agent API.

    level: tried in order, from 1. options: handed to the agent on stdin. timeout: seconds for one call of the
    agent. attempts: calls before the device counts as failed. warm: run in the warm worker (our own agents).
    unfence: its node has itself let in by the device's `on` before it runs groups. unfence_check: seconds between two
    looks of the node whether the device has shut it out; 0 for none. delay: seconds before its level is tried for
    the first time.
    """

    name: str
    node: str
    agent: str
    level: int = 1
    timeout: float = 20.0
    attempts: int = 3
    options: dict[str, str] = field(default_factory=dict)
    unfence: bool = False
    delay: float = 0.0
    unfence_check: float = 0.0


@dataclass(frozen=True, slots=True)
class ProgramConfig:
    """A program that is told of an event by its environment. recipient: CRM_alert_recipient, for Pacemaker's agents."""

    path: Path
    recipient: str = ""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MailConfig:
    """A mail server (SMTP). Secrets stay in their files until the moment they are used."""

    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    starttls: bool = False
    tls: bool = False
    user: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """A URL that gets a JSON object by POST. token_file: for `Authorization: Bearer`. secret_file: signs the body."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    token_file: Path | None = None
    secret_file: Path | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class AlertConfig:
    """Who is told of which events: by exactly one of program, mail and webhook.

    every_node: also of what other nodes see too; else the coordinator alone tells that. min_interval: seconds between
    two messages, what happens meanwhile comes in one; 0: each event is a message. timeout: seconds for one attempt.
    give_up: seconds after which a message that can't be delivered is given up.
    """

    name: str
    events: frozenset[Kind]
    program: ProgramConfig | None = None
    mail: MailConfig | None = None
    webhook: WebhookConfig | None = None
    every_node: bool = False
    min_interval: float = 10.0
    timeout: float = 30.0
    give_up: float = 600.0


@dataclass(frozen=True, slots=True)
class WatchdogConfig:
    """A node's watchdog device. timeout: seconds without a feed after which it resets the machine. pretimeout: seconds
    before that at which the kernel says so (0: it does not). ioctls: False for what can only be written to."""

    device: Path
    timeout: float
    pretimeout: float = 0.0
    ioctls: bool = True


@dataclass(frozen=True, slots=True)
class ResourceConfig:
    """One resource of a group. kind: a key of the resources registry ("vip", "lsb"). options: its own keys,
    already validated by that kind. All timeouts in seconds."""

    name: str
    kind: str
    options: dict[str, OptionValue]
    start_timeout: float = 20.0
    stop_timeout: float = 20.0
    monitor_interval: float = 10.0
    monitor_timeout: float = 20.0


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """A group's resources in start order. Its placement policy is the `GroupSpec` of the same name.

    failback_window: the only time of day at which it fails back, from and to in minutes since midnight (local time);
    None for any.
    """

    name: str
    resources: tuple[ResourceConfig, ...]
    failback_window: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """Nodes that are lost together. devices: fence devices that stand here, whosever they are; those that no site names
    stand where their node is."""

    name: str
    nodes: tuple[str, ...]
    devices: tuple[str, ...] = ()


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
    pings: tuple[PingConfig, ...] = ()
    health_checks: tuple[HealthCheckConfig, ...] = ()
    routes: tuple[RouteConfig, ...] = ()
    sites: tuple[SiteConfig, ...] = ()
    tls: TlsConfig | None = None
    alerts: tuple[AlertConfig, ...] = ()
    realtime: bool = False
    realtime_priority: int = 1
    """Of SCHED_RR (sched(7)): 1 is above everything that is not real-time itself."""
    fence_reboots: bool = False
    """A node that was confirmed off is switched on again."""
    log_file: Path | None = None
    fence_check_interval: float = 3600.0
    """Seconds between two trials of a fence device, which switch nothing; 0: never."""
    syslog: str = ""
    """A facility of syslog(3); log lines go there too, as they go to log_file. "" for none."""
    self_fence: SelfFence = SelfFence.STOP
    sysrq_trigger: Path = DEFAULT_SYSRQ_TRIGGER
    watchdogs: dict[str, WatchdogConfig] = field(default_factory=dict)
    """By node."""
    digest: str = ""
    """Of the text that it was read from (`hamgr.config.toml.digest`); nodes that run other texts are told of."""

    def devices(self, node: str, level: int) -> tuple[FenceDeviceConfig, ...]:
        """The devices of one fence level (from 0, as the core counts: the n-th level that the node has)."""
        levels = sorted({device.level for device in self.fence_devices if device.node == node})
        return tuple(d for d in self.fence_devices if d.node == node and d.level == levels[level])
