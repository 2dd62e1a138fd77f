"""Who is in the lab, and which address each has on which network.

All of it is a function of the options: two labs with the same options look the same from inside, and nothing
of them can be seen from outside, so the addresses may be the same too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path

from hamgr.lab.links import DISK, LINKS

NETWORKS = ("lan", "ha", "mgmt")
NODE_NAMES = tuple("abcdefghijklmnop")
ARBITER = "arbiter"
ARBITERS = (ARBITER, "arbiter2", "arbiter3")
"""As many as an etcd cluster has members that can do without one."""
CLIENT = "client"
VIP = "10.77.1.100"
VIP_OF_B = "10.77.1.101"
"""The address of the second group (`Options.reserve`)."""
RESPONDER_PORT = 7007
ARBITER_PORT = 5410
ETCD_CLIENTS, ETCD_PEERS = 2379, 2380
"""Ports of etcd (`Options.arbiters`)."""
SHARED_DISK = Path("/dev/shm/shared")
"""In a directory that each machine has for itself: /dev, like the kernel, is one for all of them."""
DISK_FOR_LINKS = "8M"
MAX_DIRECTORY = 80
"""The longest allowed lab directory: a Unix socket's path ends at 107 characters (unix(7)), and ours lie in
it.
"""

_THIRD_OCTET = {"lan": 1, "ha": 2, "mgmt": 9}


class Fencing(Enum):
    """How the lab's nodes are fenced: over IPMI, by the agent that only says so, or not at all."""

    IPMI = "ipmi"
    NULL = "null"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Options:
    """What a lab looks like. Durations are written as the configuration file has them ("200ms", "1s").

    nodes: 2 to 16. service: the group runs a real nginx beside the address. daemons: machines start hamgrd at
    boot. powered: which nodes are on after `up` (None: all of them). settle "": as hamgr chooses. links: names of
    `hamgr.lab.links`. baud: of the serial line. tls: gRPC links use it. pings: the client machine is a ping target.
    key_method: of the cluster key ("" for the default). reserve: a second group with another
    address is at home on b, so that each node is the other's reserve. check: nginx is asked over HTTP too. own_file:
    each node has the configuration on its own disk.
    groups, fences: the text of the group tables and of the fence tables, in place of all that the other options make
    of them. boot: a shell script that each node runs before its daemon, at every boot; NODE, HERE (its own disk) and
    LAB (the lab's directory, the same for all) are in its environment. scripts: programs that are put into the lab's
    directory, text by name. In all of them, @HERE@ and @LAB@ stand for those paths. shared_disk: the size ("128M") of a
    disk that all nodes reach as `SHARED_DISK` (@DISK@), with an empty ext4 on it; "" for none. With a `disk` link, or
    an `arbiter_disk`, it is "8M", if not given, and initialised for that in place of the ext4. ha_dir: nodes run from
    Heartbeat's files, and `groups` is a haresources. imported: they run from the TOML that `hamgr import` makes of
    those, on each node itself.
    fence_check_interval "": as hamgr chooses. cluster: more lines of the table [cluster].
    watchdog: the time-out of one that each node has; "" for none. What it resets stays off. enrolled: the arbiter knows
    no cluster yet; `hamgr-arbiter enroll lab` there, and `hamgr join TOKEN` on the nodes.
    arbiters: 3 for as many hosts, each with a hamgr-arbiter and a member of one etcd.
    arbiter_disk: the arbiter is this disk, as TOML ('"@DISK@"', or a table by node), and no third host; "" for none.
    """

    nodes: int = 2
    keepalive: str = "200ms"
    warntime: str = "500ms"
    deadtime: str = "1s"
    initdead: str = "3s"
    lease: str = "3s"
    settle: str = "200ms"
    fencing: Fencing = Fencing.IPMI
    arbiter: bool = True
    auto_failback: bool = True
    service: bool = False
    daemons: bool = True
    powered: tuple[str, ...] | None = None
    links: tuple[str, ...] = ("lan", "ha")
    baud: int = 9600
    tls: bool = False
    pings: bool = False
    realtime: bool = False
    key_method: str = ""
    reserve: bool = False
    check: bool = False
    own_file: bool = False
    groups: str = ""
    fences: str = ""
    boot: str = ""
    scripts: Mapping[str, str] = field(default_factory=dict)
    shared_disk: str = ""
    ha_dir: bool = False
    imported: bool = False
    fence_check_interval: str = ""
    cluster: str = ""
    watchdog: str = ""
    enrolled: bool = False
    arbiters: int = 1
    arbiter_disk: str = ""

    def __post_init__(self) -> None:
        for link in self.links:
            if link not in LINKS:
                raise ValueError(f"no link {link!r} in a lab; allowed: {', '.join(LINKS)}")
        if self.arbiter_disk:
            object.__setattr__(self, "arbiter", False)
        if self.needs_hamgr_disk and not self.shared_disk:
            object.__setattr__(self, "shared_disk", DISK_FOR_LINKS)
        if self.arbiters not in (1, len(ARBITERS)):
            raise ValueError(f"a lab has 1 or {len(ARBITERS)} arbiter hosts, not {self.arbiters}")
        if not 2 <= self.nodes <= len(NODE_NAMES):
            raise ValueError(f"a lab has 2 to {len(NODE_NAMES)} nodes, not {self.nodes}")

    @property
    def needs_hamgr_disk(self) -> bool:
        """The shared disk is for hamgr itself."""
        return "@DISK@" in self.arbiter_disk or any(LINKS[link].network == DISK for link in self.links)

    @property
    def node_names(self) -> tuple[str, ...]:
        return NODE_NAMES[: self.nodes]

    @property
    def powered_nodes(self) -> tuple[str, ...]:
        return self.node_names if self.powered is None else self.powered

    @property
    def arbiter_names(self) -> tuple[str, ...]:
        return ARBITERS[: self.arbiters] if self.arbiter else ()

    @property
    def machine_names(self) -> tuple[str, ...]:
        return (*self.node_names, *self.arbiter_names, CLIENT)

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "fencing": self.fencing.value}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Options:
        values = json.loads(text)
        powered = values["powered"]
        values["powered"] = None if powered is None else tuple(powered)
        values["links"] = tuple(values["links"])
        return cls(**{**values, "fencing": Fencing(values["fencing"])})


@dataclass(frozen=True, slots=True)
class Port:
    """A network card of a machine. `name` is the switch's end of its cable, `interface` the machine's."""

    machine: str
    network: str
    interface: str
    mac: str
    addresses: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.machine}-{self.network}"


def _host(machine: str) -> int:
    """The last octet of its addresses: 10 and from 50 on are taken, and from 21 on the BMCs have theirs."""
    if machine not in NODE_NAMES:
        return {ARBITER: 10, CLIENT: 50, "arbiter2": 52, "arbiter3": 53}[machine]
    index = NODE_NAMES.index(machine)
    return index + 1 if index < 9 else index + 2


def node_address(node: str, network: str) -> str:
    """The IPv4 address of a node on a network, without the prefix length."""
    return f"10.77.{_THIRD_OCTET[network]}.{_host(node)}"


def node_address6(node: str) -> str:
    """The IPv6 address of a node on the lan."""
    return f"fd77:1::{_host(node):x}"


def client_address() -> str:
    """The client's address on the lan."""
    return f"10.77.{_THIRD_OCTET['lan']}.50"


def arbiter_address(machine: str = ARBITER) -> str:
    return f"10.77.{_THIRD_OCTET['mgmt']}.{_host(machine)}"


def bmc_address(node: str) -> str:
    return f"10.77.9.{NODE_NAMES.index(node) + 21}"


def node_of_mac(mac: str) -> str:
    """The node whose network card has this address, "" when it is nobody's."""
    octets = [int(octet, 16) for octet in mac.split(":")]
    if octets[:4] != [0x02, 0x77, 0x00, 0x00]:
        return ""
    return next((node for node in NODE_NAMES if _host(node) == octets[5]), "")


def ports(machine: str) -> tuple[Port, ...]:
    """The network cards of a machine: nodes on all three networks, arbiters on mgmt, the client on lan and
    mgmt.
    """
    if machine in NODE_NAMES:
        return tuple(_port(machine, network, f"eth{index}") for index, network in enumerate(NETWORKS))
    if machine in ARBITERS:
        return (_port(machine, "mgmt", "eth0"),)
    if machine == CLIENT:
        return (_port(machine, "lan", "eth0"), _port(machine, "mgmt", "eth1"))
    raise ValueError(f"no machine {machine!r} in a lab")


def _port(machine: str, network: str, interface: str) -> Port:
    host = _host(machine)
    third = _THIRD_OCTET[network]
    addresses = [f"10.77.{third}.{host}/24"]
    if network == "lan":
        addresses.append(f"fd77:1::{host:x}/64")
    return Port(machine, network, interface, f"02:77:00:00:{third:02x}:{host:02x}", tuple(addresses))


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a lab's files lie. `here` is each machine's own view of its disk: one path, the same on all
    nodes.
    """

    directory: Path

    @property
    def options(self) -> Path:
        return self.directory / "lab.json"

    @property
    def control(self) -> Path:
        return self.directory / "control.sock"

    @property
    def world_pid(self) -> Path:
        return self.directory / "world.pid"

    @property
    def here(self) -> Path:
        return self.directory / "here"

    def shared_disk(self, node: str) -> Path:
        """The node's own block device for `Options.shared_disk`, which it sees as `SHARED_DISK`."""
        return self.disk(node) / SHARED_DISK.name

    def watchdog(self, node: str) -> Path:
        """The pipe that stands for the node's watchdog; `here`/watchdog, as the node sees it."""
        return self.disk(node) / "watchdog"

    @property
    def disk_image(self) -> Path:
        return self.directory / "shared.img"

    @property
    def config(self) -> Path:
        return self.directory / "hamgr.toml"

    @property
    def hosts(self) -> Path:
        """What the machines have as /etc/hosts, if it is there."""
        return self.directory / "hosts"

    @property
    def ha_dir(self) -> Path:
        return self.directory / "ha.d"

    def config_of(self, options: Options) -> Path:
        """What the nodes run from, as each of them sees it."""
        if not options.ha_dir:
            return self.here / self.config.name if options.own_file else self.config
        return self.here / "hamgr.toml" if options.imported else self.ha_dir

    @property
    def arbiter_config(self) -> Path:
        return self.arbiter_config_of(ARBITER)

    def arbiter_config_of(self, machine: str) -> Path:
        return self.directory / f"{machine}.toml"

    @property
    def key(self) -> Path:
        return self.directory / "cluster.key"

    @property
    def bmc_password(self) -> Path:
        return self.directory / "bmc.password"

    @property
    def boot_script(self) -> Path:
        return self.directory / "boot"

    def placed(self, text: str) -> str:
        """The text with @HERE@, @LAB@ and @DISK@ replaced by their paths."""
        places = {"@HERE@": self.here, "@LAB@": self.directory, "@DISK@": SHARED_DISK}
        for word, path in places.items():
            text = text.replace(word, str(path))
        return text

    @property
    def nginx_script(self) -> Path:
        return self.directory / "nginx"

    def disk(self, machine: str) -> Path:
        return self.directory / "disk" / machine

    def admin_socket(self, node: str) -> Path:
        """The node's admin socket as seen from outside: a socket with a path is found through the file
        system.
        """
        return self.disk(node) / "admin.sock"

    def daemon_pid(self, machine: str) -> Path:
        return self.disk(machine) / "daemon.pid"

    def log(self, name: str) -> Path:
        return self.directory / "log" / f"{name}.log"

    def bmc(self, node: str) -> Path:
        return self.directory / "bmc" / node

    @property
    def wire(self) -> Path:
        """Where the ends of the serial line are found, by node."""
        return self.directory / "wire"

    @property
    def tls(self) -> Path:
        return self.directory / "tls"

    def power_wire(self, node: str) -> Path:
        return self.directory / "power" / node
