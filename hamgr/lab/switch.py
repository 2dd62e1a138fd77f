"""The lab's switch: one bridge a network, a port a network card, and rules that drop what is cut.

Runs in the world's network namespace. A cut is a drop rule at the bridge and not an unplugged cable: the
carrier stays up, so the daemons must find it out by themselves, which is the harder case.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
from dataclasses import dataclass, field

from hamgr.lab.namespaces import LabError
from hamgr.lab.plan import NETWORKS, NODE_NAMES, Port

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_IFREQ = struct.Struct("16sH22x")


def run_tool(command: list[str], text: str = "") -> None:
    """Run a system tool with `text` on its standard input. Raises LabError with what it complained about."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}")


def set_down(interface: str) -> None:
    """Set an interface down by ioctl (netdevice(7)): 0.1 ms, where the `ip` command takes 2."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = _IFREQ.pack(interface.encode(), 0)
        _, flags = _IFREQ.unpack(fcntl.ioctl(control, _SIOCGIFFLAGS, request))
        fcntl.ioctl(control, _SIOCSIFFLAGS, _IFREQ.pack(interface.encode(), flags & ~_IFF_UP))


@dataclass(slots=True)
class Faults:
    """What is cut: (machine, network) for all traffic of a card, and pairs of machines that don't reach each
    other.
    """

    cuts: set[tuple[str, str]] = field(default_factory=set)
    separated: set[frozenset[str]] = field(default_factory=set)
    loss: dict[str, int] = field(default_factory=dict)
    """Network -> percent of the frames that it loses, each by itself."""

    def heal(self, machine: str = "", network: str = "") -> None:
        """Forget the cuts of this machine and network ("" for any), and with no network the separations as
        well.
        """
        self.cuts = {
            (cut, link) for cut, link in self.cuts if (machine and cut != machine) or (network and link != network)
        }
        if not machine:
            self.loss = {lossy: percent for lossy, percent in self.loss.items() if network and lossy != network}
        if not network:
            self.separated = {pair for pair in self.separated if machine and machine not in pair}

    def ruleset(self) -> str:
        """The rules for nft(8), bridge family; applied as one transaction."""
        incoming = [f"iifname {name!r} drop".replace("'", '"') for name in self._cut_ports()]
        outgoing = [f"oifname {name!r} drop".replace("'", '"') for name in self._cut_ports()]
        incoming += [
            f'iifname "{node}-{network}" numgen random mod 100 < {percent} drop'
            for network, percent in sorted(self.loss.items())
            for node in NODE_NAMES
        ]
        between = []
        for pair in sorted(sorted(pair) for pair in self.separated):
            one, other = pair
            between += [
                f'iifname "{one}-*" oifname "{other}-*" drop',
                f'iifname "{other}-*" oifname "{one}-*" drop',
            ]
        return "\n".join(
            [
                "add table bridge lab",
                "delete table bridge lab",
                "table bridge lab {",
                *_chain("prerouting", incoming),
                *_chain("forward", between),
                *_chain("postrouting", outgoing),
                "}",
                "",
            ]
        )

    def _cut_ports(self) -> list[str]:
        return sorted(f"{machine}-{network}" for machine, network in self.cuts)


def _chain(hook: str, rules: list[str]) -> list[str]:
    head = f"type filter hook {hook} priority 0; policy accept;"
    return [f"  chain {hook} {{", f"    {head}", *(f"    {rule}" for rule in rules), "  }"]


class Switch:
    """Builds the bridges at once; then plugs machines in and applies faults."""

    def __init__(self, bmc_addresses: list[str]) -> None:
        self.faults = Faults()
        batch = ["link set lo up"]
        for network in NETWORKS:
            # No spanning tree and no snooping: a port forwards at once, and neighbour discovery isn't
            # filtered.
            batch += [
                f"link add br-{network} address {_bridge_mac(network)} type bridge"
                " forward_delay 0 stp_state 0 mcast_snooping 0",
                f"link set br-{network} addrgenmode none",
                f"link set br-{network} up",
            ]
        batch += [f"address add {address}/24 dev br-mgmt" for address in bmc_addresses]
        run_tool(["ip", "-batch", "-"], "\n".join(batch))

    def plug(self, ports: tuple[Port, ...], pid: int) -> None:
        """Lay a cable from the switch to each network card of the machine whose PID 1 is `pid`."""
        for port in ports:
            # The kernel takes a dead machine's cables away when it finds the time; the name must be free now.
            subprocess.run(["ip", "link", "delete", port.name], capture_output=True, check=False)
        batch = []
        for port in ports:
            batch += [
                f"link add {port.name} type veth peer name {port.interface} address {port.mac} netns {pid}",
                f"link set {port.name} addrgenmode none master br-{port.network}",
                f"link set {port.name} up",
            ]
        run_tool(["ip", "-batch", "-"], "\n".join(batch))

    def darken(self, ports: tuple[Port, ...]) -> None:
        """No frame passes any of these ports from now on."""
        for port in ports:
            set_down(port.name)

    def light(self, port: Port) -> None:
        """Undo `darken` for one port."""
        run_tool(["ip", "link", "set", port.name, "up"])

    def apply(self) -> None:
        run_tool(["nft", "-f", "-"], self.faults.ruleset())


def _bridge_mac(network: str) -> str:
    """A fixed hardware address: left alone, a bridge takes its lowest port's, so that the BMCs, which live on it, would
    move to another one in their neighbours' eyes whenever a machine is switched on or off.
    """
    return f"02:77:00:01:00:{NETWORKS.index(network):02x}"
