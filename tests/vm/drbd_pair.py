"""Two virtual machines with a DRBD mirror between them, hamgrd on both, and a power strip to fence with.

They have two networks: hamgr's (lan), and DRBD's own (data).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from power_strip import AGENT, PowerStrip
from virtual_machine import Ended, Machine

BIN = Path(sys.executable).parent
NODES = "ab"
NETWORKS = ("lan", "data")
SLOW = 400.0
"""Seconds: two emulated machines on a busy one."""

_HELPER = re.compile(r"helper command: \S+ (?P<what>\S+) \S+ exit code (?P<code>\d+)")

PATIENCE = 150
"""Seconds for which the handler waits until something is known."""

RESOURCE = f"""
global {{ usage-count no; }}
resource r0 {{
  net {{ protocol C; ping-int 3; timeout 30; connect-int 3; }}
  disk {{ fencing resource-and-stonith; }}
  handlers {{
    fence-peer          "{BIN}/hamgr-drbd-fence --timeout {PATIENCE}";
    after-resync-target "{BIN}/hamgr-drbd-fence unfence";
  }}
  device /dev/drbd0;
  disk /dev/loop0;
  meta-disk internal;
  on a {{ address 10.8.2.1:7789; }}
  on b {{ address 10.8.2.2:7789; }}
}}
"""
CLUSTER = f"""
[cluster]
name = "t"
key_file = "/etc/hamgr/key"
[timing]
keepalive = "2s"
deadtime = "40s"
initdead = "5min"
[link.lan]
kind = "udp"
port = 5405
[node.a]
address = {{ lan = "10.8.1.1" }}
[node.b]
address = {{ lan = "10.8.1.2" }}
[fence.strip-a]
node = "a"
agent = "{AGENT}"
attempts = 1
[fence.strip-b]
node = "b"
agent = "{AGENT}"
attempts = 1
"""
PREPARE = """
modprobe -a virtio_net loop drbd
for network in 1 2; do
    card=eth$((network - 1))
    for try in $(seq 100); do [ -e /sys/class/net/$card ] && break; sleep 0.1; done
    ip address add 10.8.$network.$1/24 dev $card
    ip link set $card up
done
truncate -s 8M /run/backing
losetup /dev/loop0 /run/backing
drbdadm create-md --force r0
drbdadm up r0
"""


def cards(directory: Path, name: str) -> list[str]:
    """QEMU's arguments for a machine's network cards: datagrams of two Unix sockets each."""
    peer = NODES.replace(name, "")
    found = []
    for number, network in enumerate(NETWORKS):
        ends = f"local.path={directory}/{network}.{name},remote.type=unix,remote.path={directory}/{network}.{peer}"
        mac = f"52:54:00:00:{number:02x}:{NODES.index(name) + 1:02x}"
        found += ["-netdev", f"dgram,id={network},local.type=unix,{ends}"]
        found += ["-device", f"virtio-net-pci,netdev={network},mac={mac},romfile="]
    return found


class Pair:
    """Machines a and b, as they boot."""

    def __init__(self, strip: PowerStrip, a: Machine, b: Machine) -> None:
        self.strip = strip
        self.nodes = {"a": a, "b": b}
        key = ""
        for number, (name, node) in enumerate(self.nodes.items(), 1):
            strip.serve(node)
            node.write("/etc/drbd.conf", RESOURCE)
            node.write("/etc/hamgr/hamgr.toml", CLUSTER)
            node.shell(PREPARE, str(number))
            if not key:
                node.run(f"{BIN}/hamgr", "key", "new", "/etc/hamgr/key")
                key = node.run("cat", "/etc/hamgr/key").stdout
            node.write("/etc/hamgr/key", key, mode="600")
            node.run(f"{BIN}/hamgr", "init")
            self.start_hamgrd(name)
        # Both are empty: nothing has to be copied.
        self.until("a", lambda: "Connected" in self.drbd("a"), "the mirror to be connected")
        a.run("drbdadm", "new-current-uuid", "--clear-bitmap", "r0")
        a.run("drbdadm", "primary", "r0")
        self.wait_for_peer()

    def start_hamgrd(self, name: str) -> None:
        self.nodes[name].shell(f"setsid {BIN}/hamgrd > /run/hamgrd.log 2>&1 < /dev/null &")

    def wait_for_peer(self) -> None:
        """a hears b."""
        self.until("a", lambda: '"state": "online"' in self.hamgr("a", "status", "--json").stdout, "b to be online")

    def hamgr(self, name: str, *words: str) -> Ended:
        return self.nodes[name].run(f"{BIN}/hamgr", *words, check=False)

    def until(self, name: str, condition: Callable[[], bool], what: str) -> None:
        self.nodes[name].until(condition, SLOW, what)

    # -- the mirror ---------------------------------------------------------------------------------------------

    def drbd(self, name: str) -> str:
        """Its line of /proc/drbd."""
        lines = self.nodes[name].run("cat", "/proc/drbd").stdout.splitlines()
        return next((line for line in lines if " cs:" in line), "")

    def cut(self) -> None:
        """DRBD's network alone."""
        self.nodes["a"].run("ip", "link", "set", "eth1", "down")

    def mend(self) -> None:
        self.nodes["a"].run("ip", "link", "set", "eth1", "up")
        self.until("a", lambda: "Connected" in self.drbd("a") and "UpToDate/UpToDate" in self.drbd("a"), "both copies")

    def handled(self, name: str) -> list[str]:
        """How the kernel's calls of drbdadm ended: "fence-peer 4" and so on, the newest last."""
        ends = _HELPER.finditer(self.nodes[name].run("dmesg").stdout)
        return [f"{found['what']} {found['code']}" for found in ends]

    def wait_for_handler(self, name: str, calls: int) -> str:
        """The end of the fence-peer call after so many."""

        def fenced() -> list[str]:
            return [call for call in self.handled(name) if call.startswith("fence-peer")]

        self.until(name, lambda: len(fenced()) > calls, "the handler")
        return fenced()[calls]

    def fence_calls(self, name: str) -> int:
        return sum(call.startswith("fence-peer") for call in self.handled(name))

    def writes(self, name: str, patience: float = 60.0) -> bool:
        """Whether the mirror takes a block, past all caches, before that many seconds. What waits can't be killed."""
        words = ("if=/dev/urandom", "of=/dev/drbd0", "bs=4k", "count=1", "oflag=direct")
        return self.nodes[name].run("dd", *words, timeout=patience, check=False).code == 0
