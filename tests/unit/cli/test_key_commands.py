"""`hamgr key` against two real daemons and their arbiter on loopback: keys change while heartbeats flow."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
warntime = "500ms"
deadtime = "2s"
initdead = "3s"
lease = "4s"
[arbiter]
address = "127.0.0.1"
port = {arbiter}
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
"""


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until(holds: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < end, f"waited in vain for {what}"
    return found


class Cluster:
    """Daemons a and b, and an arbiter, each with a directory and a key file of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        kinds = {"udp": socket.SOCK_DGRAM, "grpc": socket.SOCK_STREAM, "arbiter": socket.SOCK_STREAM}
        ports = {name: free_port(kind) for name, kind in kinds.items()}
        for name in ("a", "b", "arbiter"):
            (directory / name).mkdir()
        for node in "ab":
            self.path(node, "hamgr.toml").write_text(CONFIG.format(dir=directory / node, **ports))
        self.path("arbiter", "arbiter.toml").write_text(
            f'listen = "127.0.0.1:{ports["arbiter"]}"\nstate_dir = "{directory}/arbiter/state"\n'
            f'[cluster.t]\nkey_file = "{directory}/arbiter/key"\n'
        )

    def path(self, name: str, file: str) -> Path:
        return self.directory / name / file

    def start(self) -> None:
        for node in "ab":
            self.good(node, "init", "--node", node)
            words = [BIN / "hamgrd", "--config", self.path(node, "hamgr.toml"), "--node", node]
            self._run(node, *words)
        config = ["--config", self.path("arbiter", "arbiter.toml")]
        subprocess.run([BIN / "hamgr-arbiter", "init", "t", *config], check=True, capture_output=True)
        self._run("arbiter", BIN / "hamgr-arbiter", *config)
        until(lambda: all(self.connected(node) for node in "ab"), "two nodes and an arbiter")

    def _run(self, name: str, *words: str | Path) -> None:
        with self.path(name, "log").open("ab") as log:
            self.processes[name] = subprocess.Popen([str(word) for word in words], stdout=log, stderr=log)

    def hamgr(self, node: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [BIN / "hamgr", "--config", self.path(node, "hamgr.toml"), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    def good(self, node: str, *words: str) -> str:
        done = self.hamgr(node, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def connected(self, node: str) -> bool:
        done = self.hamgr(node, "status", "--json")
        if done.returncode != 0:
            return False
        status = json.loads(done.stdout)
        return bool(status["arbiter"]["connected"]) and all(link["up"] for n in status["nodes"] for link in n["links"])

    def keys(self, node: str) -> dict[int, dict[str, Any]]:
        return {key["number"]: key for key in json.loads(self.good(node, "key", "list", "--json"))["keys"]}

    def copy_key(self, to: str) -> None:
        shutil.copy(self.path("a", "key"), self.path(to, "key.new"))
        self.path(to, "key.new").replace(self.path(to, "key"))

    def reload_arbiter(self) -> None:
        before = self.log("arbiter").count("keys read again")
        self.processes["arbiter"].send_signal(signal.SIGHUP)
        until(lambda: self.log("arbiter").count("keys read again") > before, "the arbiter's keys")

    def log(self, name: str) -> str:
        return self.path(name, "log").read_text()

    def traffic(self, node: str) -> dict[str, int]:
        report = json.loads(self.good(node, "links", "--json"))
        lost = sum(peer["lost"] for peer in report["peers"])
        dropped = sum(sum(link["rejected"].values()) for link in report["links"])
        return {"lost": lost, "dropped": dropped}

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    cluster.good("a", "key", "new")
    for to in ("b", "arbiter"):
        cluster.copy_key(to)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def test_a_key_is_replaced_under_traffic_and_no_frame_is_lost_or_dropped(cluster: Cluster) -> None:
    before = {node: cluster.traffic(node) for node in "ab"}

    told = cluster.good("a", "key", "new", "--method", "chacha20-poly1305")
    assert "key 2 (chacha20-poly1305) is new" in told
    assert "hamgrd here took it: key 1 (hmac-sha256) seals; 2 also opens" in told
    early = cluster.hamgr("a", "key", "activate", "2")
    assert early.returncode == 1
    assert "key 2 is not known to b, arbiter yet" in early.stderr

    cluster.copy_key("b")
    cluster.good("b", "key", "reload")
    until(lambda: cluster.keys("a")[2]["known_to"] == ["b"], "b's word that it has key 2")
    assert "not known to arbiter yet" in cluster.hamgr("a", "key", "activate", "2").stderr
    cluster.copy_key("arbiter")
    cluster.reload_arbiter()
    until(lambda: cluster.keys("a")[2]["known_to"] == ["b", "arbiter"], "the arbiter's word that it has key 2")

    assert "key 2 (chacha20-poly1305) seals; 1 also opens" in cluster.good("a", "key", "activate", "2")
    late = cluster.hamgr("a", "key", "retire", "1")
    assert late.returncode == 1
    assert "key 1 still seals what b, arbiter sends" in late.stderr
    cluster.good("b", "key", "activate", "2")
    cluster.copy_key("arbiter")
    cluster.reload_arbiter()
    until(lambda: cluster.keys("a")[2]["sealed_by"] == ["b", "arbiter"], "all to seal with key 2")

    until(lambda: not cluster.keys("b")[1]["sealed_by"], "nobody to seal with key 1")
    for node in "ab":
        cluster.good(node, "key", "retire", "1")
    cluster.copy_key("arbiter")
    cluster.reload_arbiter()
    until(lambda: cluster.keys("a")[2]["sealed_by"] == ["b", "arbiter"], "all to go on")
    assert list(cluster.keys("a")) == [2]
    assert all(cluster.connected(node) for node in "ab")
    assert {node: cluster.traffic(node) for node in "ab"} == before
    for name in ("a", "b", "arbiter"):
        assert "dropped" not in cluster.log(name)
        assert "lost" not in cluster.log(name)


def test_a_file_that_would_cut_off_a_peer_or_is_mistaken_changes_nothing(cluster: Cluster) -> None:
    key = cluster.path("a", "key")
    good = key.read_text()
    key.write_text("9 " + "ef" * 32 + "\n" + good)
    refused = cluster.hamgr("a", "key", "reload")
    assert refused.returncode == 1
    assert "key 9 would seal, but b, arbiter do not open with it yet" in refused.stderr
    key.write_text("9 " + "ef" * 32 + "\n")
    assert "key 9 would seal" in cluster.hamgr("a", "key", "reload").stderr
    key.write_text(good + "x\n")
    assert "line 3: found 1 word(s)" in cluster.hamgr("a", "key", "reload").stderr
    key.write_text(good)
    cluster.good("a", "key", "reload")
    assert all(cluster.connected(node) for node in "ab")
    key.write_text("9 " + "ef" * 32 + "\n")
    cluster.good("a", "key", "reload", "--force")
    until(lambda: "unauthenticated" in cluster.log("b"), "b to refuse what is sealed with a key of a's own")


# -- without a daemon --------------------------------------------------------------------------------------------


def alone(*words: str) -> subprocess.CompletedProcess[str]:
    command = [BIN / "hamgr", "--socket", "/nonexistent/admin.sock", "key", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_files_are_made_and_changed_without_a_daemon(tmp_path: Path) -> None:
    file = str(tmp_path / "k")
    assert "a new file with key 1 (blake2s)" in alone("new", file, "--method", "blake2s").stdout
    assert "key 2 (hmac-sha256) is new" in alone("new", file).stdout
    done = alone("activate", file, "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "key 2 (hmac-sha256) seals; 1 also opens\nno hamgrd that uses this file answers here" in done.stdout
    assert alone("retire", file, "1").returncode == 0
    shown = json.loads(alone("list", file, "--json").stdout)
    assert [(key["number"], key["active"], key["loaded"]) for key in shown["keys"]] == [(2, True, None)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("new", "{}", "x"), "allowed one file"),
        (("new", "{}", "--method", "md5"), "found method 'md5', allowed hmac-sha256, blake2s"),
        (("activate", "{}"), "allowed a key's number"),
        (("activate", "{}", "999"), "found '999', allowed a key's number"),
        (("retier", "1"), "found 'retier', allowed new, list, activate, retire, reload"),
        (("rotate",), "found 'rotate', allowed new, list"),
    ],
)
def test_wrong_words_are_told_and_change_nothing(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    file = tmp_path / "k"
    alone("new", str(file))
    before = file.read_text()
    done = alone(*(word.format(file) for word in words))
    assert done.returncode == 2
    assert told in done.stderr
    assert file.read_text() == before


def test_the_short_form_makes_a_file_and_says_how_to_add_to_one(tmp_path: Path) -> None:
    file = str(tmp_path / "k")
    assert alone(file).returncode == 0
    again = alone(file)
    assert again.returncode == 1
    assert f"exists; `hamgr key new {file}` adds a key to it" in again.stderr


def test_no_command_tells_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "k"
    said = [
        alone("new", str(file)),
        alone("new", str(file)),
        alone("list", str(file)),
        alone("activate", str(file), "2"),
    ]
    secrets = [line.split()[2] for line in file.read_text().splitlines() if not line.startswith("#")]
    assert len(secrets) == 2
    for done in said:
        assert not any(secret in done.stdout + done.stderr for secret in secrets)
