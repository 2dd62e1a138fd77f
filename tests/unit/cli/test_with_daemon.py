"""The commands against a real hamgrd: one node of a two_node cluster on loopback, with a service of its own.

No root is needed: the group is an init script that keeps its state in a file.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
PATIENCE = 20.0

CONFIG = """
[cluster]
name = "t"
key_file = "{dir}/key"
state_dir = "{dir}/state"
admin_socket = "{dir}/admin.sock"
[timing]
keepalive = "50ms"
warntime = "100ms"
deadtime = "200ms"
initdead = "1s"
lease = "1s"
[link.one]
kind = "udp"
port = {udp}
[link.two]
kind = "grpc"
port = {grpc}
[node.a]
address = {{ one = "127.0.0.1", two = "127.0.0.1" }}
[node.b]
address = {{ one = "127.0.0.2", two = "127.0.0.2" }}
[group.web]
[[group.web.resource]]
kind = "lsb"
script = "{dir}/web"
[alert.good]
program = "/bin/true"
[alert.bad]
program = "/bin/false"
"""

SCRIPT = """#!/bin/sh
case $1 in
  start) touch {dir}/web.runs ;;
  stop) rm -f {dir}/web.runs ;;
  status) [ -e {dir}/web.runs ] || exit 3 ;;
esac
"""


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Node:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "hamgr.toml"
        ports = {"udp": free_port(socket.SOCK_DGRAM), "grpc": free_port(socket.SOCK_STREAM)}
        self.config.write_text(CONFIG.format(dir=directory, **ports))
        script = directory / "web"
        script.write_text(SCRIPT.format(dir=directory))
        script.chmod(0o755)

    def hamgr(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "hamgr", "--config", str(self.config), *words],
            capture_output=True,
            text=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def start(self) -> subprocess.Popen[bytes]:
        log = (self.directory / "log").open("ab")
        return subprocess.Popen([BIN / "hamgrd", "--config", str(self.config), "--node", "a"], stdout=log, stderr=log)

    def status(self) -> dict:
        done = self.hamgr("status", "--json")
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"waited in vain for {what}: {(self.directory / 'log').read_text()[-2000:]}"

    @property
    def runs(self) -> bool:
        return (self.directory / "web.runs").exists()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    assert node.hamgr("key", str(tmp_path / "key")).returncode == 0
    assert node.hamgr("init", "--node", "a").returncode == 0
    daemon = node.start()
    try:
        node.wait(lambda: bool(node.status()), "the daemon")
        yield node
    finally:
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()


def test_a_lone_node_waits_for_the_other_until_an_operator_says_that_it_is_off(node: Node) -> None:
    assert not node.runs
    refused = node.hamgr("standby")
    assert refused.returncode == 1
    assert "refused" in refused.stderr
    alone = node.hamgr("explain", "web")
    assert alone.returncode == 1
    assert alone.stdout.startswith("web  stopped nowhere\n  no coordinator: 1 of 2 nodes heard")
    assert "that is all that a knows: nobody decides now" in alone.stderr
    done = node.hamgr("fence", "ack", "b", "--yes")
    assert (done.returncode, done.stdout.strip()) == (0, "b counts as off")
    node.wait(lambda: node.runs, "the service")
    node.wait(lambda: node.status()["groups"][0]["state"] == "started", "the group")
    shown = node.hamgr("status").stdout
    assert "started on a" in shown
    assert node.hamgr("explain", "web").stdout.splitlines() == [
        "web  started on a",
        "  a: no other node can run it",
        "  not b: b is not in the view",
    ]
    assert json.loads(node.hamgr("explain", "web", "--json").stdout)["target"] == "a"
    assert "no group wbe; there are: web" in node.hamgr("explain", "wbe").stderr

    past = [
        json.loads(line) for line in node.hamgr("watch", "--json", "--past", "50", "--no-follow").stdout.splitlines()
    ]
    kinds = [event["kind"] for event in past]
    assert kinds.index("fence-acknowledged") < kinds.index("coordinator") < kinds.index("group-started")

    history = node.hamgr("fence", "history").stdout.splitlines()
    assert history[0].endswith("  b  acknowledged")
    assert "confirmed that b is off" in history[1]
    assert node.hamgr("fence", "history", "a").stdout == "no fencing of a is known\n"
    nothing = node.hamgr("confirm")
    assert nothing.returncode == 1
    assert "nothing waits for a confirmation now" in nothing.stderr

    alone = node.hamgr("standby", "--json")
    assert alone.returncode == 1
    assert json.loads(alone.stdout) == {
        "done": False,
        "text": "standby of a is refused: no other node could run web now",
    }
    assert node.hamgr("fence", "b").returncode == 1, "b has no device"
    assert node.hamgr("fence", "a").returncode == 1
    unknown = node.hamgr("takeover", "wbe")
    assert unknown.returncode == 1
    assert "web" in unknown.stderr
    assert node.hamgr("takeover", "web").returncode == 0
    assert node.hamgr("cleanup", "web").returncode == 0
    assert node.runs


def test_a_test_of_the_alerts_says_which_arrive(node: Node) -> None:
    done = node.hamgr("alert", "test")
    assert done.returncode == 1
    good, bad = done.stdout.splitlines()
    assert good.startswith("good  program /bin/true  sent (")
    assert bad.startswith("bad  program /bin/false  NOT SENT: ended with 1 (")
    done = node.hamgr("alert", "test", "good", "--json")
    assert done.returncode == 0
    assert [one["done"] for one in json.loads(done.stdout)["results"]] == [True]
    done = node.hamgr("alert", "test", "gud")
    assert (done.returncode, done.stderr) == (
        1,
        "hamgr alert test: there is no [alert.gud] in the configuration that hamgrd runs with\n",
    )


def fence_peer(node: Node, seconds: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """As DRBD calls it."""
    return subprocess.run(
        [BIN / "hamgr-drbd-fence", "--config", str(node.config), "--timeout", seconds],
        env={**os.environ, "DRBD_RESOURCE": "r0", **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_drbd_learns_that_its_peer_is_off_only_when_somebody_made_sure(node: Node) -> None:
    assert fence_peer(node, "0.5", DRBD_PEER="b").returncode == 1
    assert node.hamgr("fence", "ack", "b", "--yes").returncode == 0
    node.wait(lambda: bool(node.status()["quorate"]), "a quorum")
    done = fence_peer(node, "5", DRBD_PEER_NODE_ID="1", DRBD_NODE_ID_1="b.example.org", DRBD_NODE_ID_0="a")
    assert done.returncode == 7
    assert done.stderr.startswith("hamgr-drbd-fence: r0, peer b.example.org: b is off: ")
    stranger = fence_peer(node, "5", DRBD_PEER="c")
    assert (stranger.returncode, stranger.stderr) == (
        1,
        "hamgr-drbd-fence: r0, peer c: c is no other node of this cluster (1)\n",
    )


def test_a_typed_name_confirms_on_a_terminal_and_anything_else_does_not(node: Node) -> None:
    def typed(answer: str) -> int:
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [BIN / "hamgr", "--config", str(node.config), "fence", "ack", "b"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as asking:
            os.close(theirs)
            os.write(ours, f"{answer}\n".encode())
            code = asking.wait(timeout=30)
        os.close(ours)
        return code

    assert typed("yes") != 0
    assert node.status()["coordinator"] == ""
    assert typed("b") == 0
    node.wait(lambda: node.runs, "the service")


def test_a_second_daemon_is_one_clear_error(node: Node) -> None:
    done = subprocess.run(
        [BIN / "hamgrd", "--config", str(node.config), "--node", "a"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("another hamgrd uses it (it is locked)")


def test_init_is_refused_while_the_daemon_runs_and_afterwards(node: Node) -> None:
    assert "locked" in node.hamgr("init", "--node", "a").stderr


def test_key_never_overwrites(node: Node) -> None:
    done = node.hamgr("key", str(node.directory / "key"))
    assert done.returncode == 1
    assert "exists" in done.stderr.lower()


@pytest.mark.parametrize(("kind", "link"), [(socket.SOCK_DGRAM, "one"), (socket.SOCK_STREAM, "two")])
def test_a_busy_port_starts_nothing(tmp_path: Path, kind: socket.SocketKind, link: str) -> None:
    node = Node(tmp_path)
    node.hamgr("key", str(tmp_path / "key"))
    port = next(line for line in node.config.read_text().split(f"[link.{link}]")[1].splitlines() if "port" in line)
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", int(port.split("=")[1])))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        done = subprocess.run(
            [BIN / "hamgrd", "--config", str(node.config), "--node", "a"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 2
    assert f"link {link}" in done.stderr.splitlines()[-1]
    assert "in use" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "admin.sock").exists()


def test_the_resources_of_a_group_are_not_tried_while_the_daemon_may_start_it(node: Node) -> None:
    words = ("resource", "check", "web", "--node", "a", "--yes")
    refused = node.hamgr(*words)
    assert refused.returncode == 1
    assert refused.stderr.startswith("hamgr resource check: refused: ")
    node.hamgr("fence", "ack", "b", "--yes")
    node.wait(lambda: node.status()["groups"][0]["state"] == "started", "the group")
    assert "refused: group web is started on a" in node.hamgr(*words).stderr
    assert node.runs
