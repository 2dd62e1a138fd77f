"""Many groups on one node: how long they take to start, how late heartbeats get meanwhile, what their monitors cost.

    python bench/groups.py [--groups 200] [--vips] [--seconds 20] [--json]

One real hamgrd whose peer was acknowledged as off; each group is an init script that takes no time, or with --vips an
address on an interface in a network namespace of its own (as root).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIN = Path(sys.executable).parent
PATIENCE = 120.0

HEAD = """
[cluster]
name = "many"
key_file = "{dir}/key"
state_dir = "{dir}/state"
admin_socket = "{dir}/admin.sock"
[timing]
keepalive = "200ms"
deadtime = "1s"
initdead = "1s"
lease = "5s"
[link.one]
kind = "udp"
port = {port}
[node.a]
address = {{ one = "127.0.0.1" }}
[node.b]
address = {{ one = "127.0.0.2" }}
"""

GROUP = """
[group.g{number}]
[[group.g{number}.resource]]
kind = "lsb"
script = "{dir}/script"
args = ["g{number}"]
"""

VIP = """
[group.g{number}]
[[group.g{number}.resource]]
kind = "vip"
address = "10.9.{high}.{low}/16"
interface = "vip0"
"""

INSIDE = "HAMGR_BENCH_GROUPS"

SCRIPT = """#!/bin/sh
case $2 in
  start) : > {dir}/$1.runs ;;
  stop) rm -f {dir}/$1.runs ;;
  status) [ -e {dir}/$1.runs ] || exit 3 ;;
esac
"""


class Node:
    """A hamgrd in a directory of its own."""

    def __init__(self, directory: Path, groups: int, vips: bool) -> None:
        self.directory = directory
        self._vips = vips
        self.config = directory / "hamgr.toml"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        text = VIP if vips else GROUP
        tables = [
            text.format(number=number, dir=directory, high=number // 250, low=number % 250 + 1)
            for number in range(groups)
        ]
        self.config.write_text(HEAD.format(dir=directory, port=port) + "".join(tables))
        script = directory / "script"
        script.write_text(SCRIPT.format(dir=directory))
        script.chmod(0o755)
        for words in (("key", "new", str(directory / "key")), ("init", "--node", "a")):
            self.hamgr(*words).check_returncode()

    def hamgr(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [BIN / "hamgr", "--config", str(self.config), *words]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def start(self) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("wb") as log:
            command = [BIN / "hamgrd", "--config", str(self.config), "--node", "a"]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def running(self) -> int:
        if self._vips:
            shown = subprocess.run(["ip", "-o", "address", "show", "vip0"], capture_output=True, text=True, check=True)
            return shown.stdout.count("inet 10.9.")
        return len(list(self.directory.glob("*.runs")))


def wait(holds: object, what: str) -> float:
    began = time.monotonic()
    while not holds():  # type: ignore[operator]
        if time.monotonic() - began > PATIENCE:
            sys.exit(f"waited in vain for {what}")
        time.sleep(0.01)
    return time.monotonic() - began


def cpu(pid: int) -> float:
    """Seconds of hamgrd itself, without the scripts."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0, help="of watching the monitors (%(default)s)")
    parser.add_argument("--vips", action="store_true", help="each group is an address")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.vips and INSIDE not in os.environ:
        command = ["unshare", "--net", sys.executable, *sys.argv]
        return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode
    if options.vips:
        up = [f"link set {name} up" for name in ("vip0", "vip1", "lo")]
        lines = ["link add name vip0 type veth peer name vip1", *up]
        subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
    with tempfile.TemporaryDirectory(prefix="hamgr-groups-") as directory:
        node = Node(Path(directory), options.groups, options.vips)
        daemon = node.start()
        try:
            wait(lambda: node.hamgr("status").returncode == 0, "the daemon")
            time.sleep(1.5)  # the others count as lost, and nothing else is going on
            node.hamgr("fence", "ack", "b", "--yes").check_returncode()
            start = wait(lambda: node.running() == options.groups, "all groups to run")
            time.sleep(3)
            before = cpu(daemon.pid)
            time.sleep(options.seconds)
            share = (cpu(daemon.pid) - before) / options.seconds
            late = json.loads(node.hamgr("links", "--json").stdout)["lateness"]
        finally:
            daemon.send_signal(signal.SIGKILL)
            daemon.wait()
    result = {"groups": options.groups, "start_s": start, "worst_lateness_s": late["max"], "monitor_cpu_share": share}
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"{options.groups} groups run after {start:.2f} s; heartbeats late by {late['max'] * 1000:.1f} ms at worst;"
            f" monitors take {share * 100:.1f} % of a core in hamgrd"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
