"""Nothing that is slow holds up the heartbeats: disk, scripts, fence agents, admin clients, whoever reads the log."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hung_disk import HungDisk, why_no_hung_disk

pytestmark = pytest.mark.lab

BIN = Path(sys.executable).parent
PATIENCE = 30.0
HANGS = 4.0
"""Seconds: twice the deadtime."""

CONFIG = """
[cluster]
name = "t"
key_file = "{dir}/key"
state_dir = "{state}"
admin_socket = "{dir}/{node}.sock"
fence_retry = "1s"
[timing]
keepalive = "100ms"
warntime = "1s"
deadtime = "2s"
initdead = "2s"
lease = "30s"
[link.one]
kind = "udp"
port = {one}
[link.two]
kind = "grpc"
port = {two}
[node.a]
address = {{ one = "127.0.0.1", two = "127.0.0.1" }}
[node.b]
address = {{ one = "127.0.0.2", two = "127.0.0.2" }}
[node.c]
address = {{ one = "127.0.0.3", two = "127.0.0.3" }}
[fence.c]
node = "c"
agent = "{slow}/fence"
timeout = "20s"
attempts = 1
[group.slow]
nodes = ["a"]
[[group.slow.resource]]
kind = "lsb"
script = "{slow}/service"
monitor_interval = "200ms"
start_timeout = "60s"
monitor_timeout = "60s"
stop_timeout = "60s"
[group.loud]
nodes = ["a"]
[[group.loud.resource]]
kind = "lsb"
script = "{dir}/loud"
monitor_interval = "1s"
monitor_timeout = "60s"
stop_timeout = "60s"
"""

SERVICE = """#!/bin/sh
case $1 in
  start) touch {dir}/$(basename $0).runs; {start} ;;
  stop) rm -f {dir}/$(basename $0).runs ;;
  status) {status}; [ -e {dir}/$(basename $0).runs ] || exit 3 ;;
esac
"""

FENCE = """#!/bin/sh
# An agent that takes its time, and then says that the machine is off (2 is "off" as a status).
action=$(grep ^action= | cut -d= -f2)
case $action in
  metadata) echo '<resource-agent><actions><action name="off"/><action name="status"/></actions></resource-agent>' ;;
  off) sleep 3 ;;
  status) sleep 1; exit 2 ;;
esac
"""


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


class Cluster:
    """Nodes a and b on loopback, in one directory; c is configured and never there."""

    def __init__(self, directory: Path, slow: Path) -> None:
        self.directory = directory
        ports = {"one": free_port(socket.SOCK_DGRAM), "two": free_port(socket.SOCK_STREAM)}
        self.state = {"a": slow / "state", "b": directory / "state"}
        for node, state in self.state.items():
            text = CONFIG.format(dir=directory, node=node, state=state, slow=slow, **ports)
            (directory / f"{node}.toml").write_text(text)
        loud = SERVICE.format(dir=directory, start="true", status="head -c 100000000 /dev/zero")
        executable(directory / "loud", loud)
        self.hamgr("a", "key", str(directory / "key"))

    def hamgr(self, node: str, *words: str) -> str:
        command = [BIN / "hamgr", "--config", str(self.directory / f"{node}.toml"), *words]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True
        ).stdout

    @contextmanager
    def daemon(self, node: str, log: int) -> Iterator[subprocess.Popen[bytes]]:
        self.hamgr(node, "init", "--node", node)
        command = [BIN / "hamgrd", "--config", str(self.directory / f"{node}.toml"), "--node", node, "--debug"]
        running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield running
        finally:
            running.send_signal(signal.SIGKILL)
            running.wait()

    def status(self, node: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.hamgr(node, "status", "--json"))
        except subprocess.CalledProcessError:
            return {}
        return found

    def group(self, node: str, name: str) -> str:
        return next((g["state"] for g in self.status(node).get("groups", []) if g["name"] == name), "")

    def events(self, node: str) -> list[dict[str, Any]]:
        lines = self.hamgr(node, "watch", "--json", "--past", "1000", "--no-follow").splitlines()
        return [json.loads(line) for line in lines]

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"waited in vain for {what}"
            time.sleep(0.05)


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[tuple[Cluster, HungDisk]]:
    """Two nodes that run; the state directory of a, its service and its fence agent are on a disk that can hang."""
    if why_no_hung_disk():
        pytest.skip(why_no_hung_disk())
    source = tmp_path / "disk"
    source.mkdir()
    executable(source / "service", SERVICE.format(dir=tmp_path, start="true", status="true"))
    executable(source / "fence", FENCE)
    with ExitStack() as stack:
        disk = stack.enter_context(HungDisk(source, tmp_path / "slow"))
        cluster = Cluster(tmp_path, disk.at)
        reader, writer = os.pipe()  # of a's log: nobody ever reads it
        stack.callback(os.close, reader)
        stack.enter_context(cluster.daemon("a", writer))
        os.close(writer)
        stack.enter_context(cluster.daemon("b", stack.enter_context((tmp_path / "b.log").open("ab")).fileno()))
        stack.callback(disk.go_on)
        cluster.wait(lambda: cluster.group("a", "slow") == "started", "a to run the service")
        yield cluster, disk


def test_heartbeats_are_on_time_whatever_is_slow(hanging: tuple[Cluster, HungDisk]) -> None:
    cluster, disk = hanging
    with ExitStack() as stack:
        # Admin clients that ask and never listen, and some that say nothing.
        for _ in range(10):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(cluster.directory / "a.sock"))
        watching = subprocess.Popen(
            [BIN / "hamgr", "--config", str(cluster.directory / "a.toml"), "watch", "--past", "1000"],
            stdout=subprocess.PIPE,
        )
        stack.callback(watching.wait)
        stack.callback(watching.kill)
        cluster.wait(lambda: "fence-asked" in [e["kind"] for e in cluster.events("a") + cluster.events("b")], "a fence")
        watching.send_signal(signal.SIGSTOP)
        disk.hang()
        time.sleep(HANGS)
        hung = [e for e in cluster.events("b") if e["kind"] in ("node-suspected", "node-dead") and e["node"] == "a"]
        disk.go_on()
        watching.send_signal(signal.SIGCONT)
    assert hung == [], "b heard every heartbeat of a in time"
    late = json.loads(cluster.hamgr("a", "links", "--json"))["lateness"]
    assert late["count"] > 10 * HANGS / 2
    assert late["max"] < 1.0, "the warntime"
    cluster.wait(lambda: cluster.group("a", "slow") == "started", "the service to be seen as running again")


def test_the_disk_really_hangs(tmp_path: Path) -> None:
    """The test above can fail: a program on this disk holds up who starts it without further ado."""
    if why_no_hung_disk():
        pytest.skip(why_no_hung_disk())
    (tmp_path / "disk").mkdir()
    executable(tmp_path / "disk" / "program", "#!/bin/sh\n")
    with HungDisk(tmp_path / "disk", tmp_path / "slow") as disk:
        disk.hang()
        starter = [sys.executable, "-c", f"import subprocess; subprocess.Popen(['{disk.at}/program'])"]
        with subprocess.Popen(starter) as starting:
            with pytest.raises(subprocess.TimeoutExpired):
                starting.wait(1.0)
            disk.go_on()
            assert starting.wait(10) == 0
    shutil.rmtree(tmp_path / "disk")
