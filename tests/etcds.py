"""A real etcd for tests: one member, or three that can be killed, stopped and filled up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

NEEDS_ETCD = pytest.mark.skipif(not shutil.which("etcd") or not shutil.which("etcdctl"), reason="needs etcd-server")

READY_WITHIN = 30.0


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@dataclass(frozen=True)
class Tls:
    """PEM files: of whoever vouches for members and clients, of the members, and of etcdctl."""

    ca: Path
    server: tuple[Path, Path]
    client: tuple[Path, Path]


class EtcdCluster:
    """Members on loopback ports, with their data below a directory. data: where a member's data lies, if elsewhere.
    tls: clients must have a certificate. options: more words for each member."""

    def __init__(
        self,
        directory: Path,
        members: int,
        data: dict[int, Path] | None = None,
        tls: Tls | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        self.directory = directory
        self.tls = tls
        self.user = ""
        """As whom etcdctl speaks, once etcd has users: NAME:PASSWORD."""
        self._options = options
        ports = free_ports(2 * members)
        self.clients, self._peers = ports[:members], ports[members:]
        self._data = data or {}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        for member in range(members):
            self.start(member)

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(f"127.0.0.1:{port}" for port in self.clients)

    def start(self, member: int) -> None:
        everybody = ",".join(f"m{n}=http://127.0.0.1:{port}" for n, port in enumerate(self._peers))
        scheme = "https" if self.tls else "http"
        client, peer = f"{scheme}://127.0.0.1:{self.clients[member]}", f"http://127.0.0.1:{self._peers[member]}"
        data = self._data.get(member, self.directory / f"m{member}")
        words = ["etcd", "--name", f"m{member}", "--data-dir", str(data), "--log-level", "error"]
        words += ["--listen-client-urls", client, "--advertise-client-urls", client]
        words += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        words += ["--initial-cluster", everybody, "--heartbeat-interval", "50", "--election-timeout", "500"]
        if self.tls:
            certificate, key = self.tls.server
            words += ["--cert-file", str(certificate), "--key-file", str(key)]
            words += ["--client-cert-auth", "--trusted-ca-file", str(self.tls.ca)]
        words += self._options
        with (self.directory / f"m{member}.log").open("ab") as log:
            # A machine of any architecture: etcd asks to be told that it may.
            environ = {**os.environ, "ETCD_UNSUPPORTED_ARCH": os.uname().machine.replace("aarch64", "arm64")}
            self._processes[member] = subprocess.Popen(words, stdout=log, stderr=log, env=environ)

    def ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while True:
            done = self.ctl("endpoint", "health", check=False)
            if done.returncode == 0:
                return
            assert time.monotonic() < deadline, done.stderr

    def ctl(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ["etcdctl", "--endpoints", ",".join(self.endpoints), "--command-timeout", "3s", *self._as(), *words]
        environ = {**os.environ, "ETCDCTL_API": "3"}
        return subprocess.run(command, check=check, capture_output=True, text=True, env=environ, timeout=60)

    def _as(self) -> list[str]:
        words = ["--user", self.user] if self.user else []
        if self.tls:
            certificate, key = self.tls.client
            words += ["--cacert", str(self.tls.ca), "--cert", str(certificate), "--key", str(key)]
        return words

    def put(self, key: str, value: str) -> None:
        command = ["etcdctl", "--endpoints", ",".join(self.endpoints), *self._as(), "put", key]
        environ = {**os.environ, "ETCDCTL_API": "3"}
        subprocess.run(command, check=False, input=value, capture_output=True, text=True, env=environ, timeout=60)

    def runs(self, member: int) -> bool:
        return self._processes[member].poll() is None

    def leader(self) -> int:
        """The member that leads; asks those that answer until one does."""
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            done = self.ctl("endpoint", "status", "-w", "json", check=False)
            for found in json.loads(done.stdout or "[]") or []:
                status = found["Status"]
                if status.get("leader") and status["leader"] == status["header"]["member_id"]:
                    return self.endpoints.index(found["Endpoint"])
        raise AssertionError("no member leads")

    def kill(self, member: int) -> None:
        self._processes[member].kill()
        self._processes[member].wait()

    def freeze(self, member: int) -> None:
        process = self._processes[member]
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)

    def thaw(self, member: int) -> None:
        self._processes[member].send_signal(signal.SIGCONT)

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()


@contextmanager
def etcd(
    directory: Path,
    members: int = 1,
    data: dict[int, Path] | None = None,
    tls: Tls | None = None,
    options: tuple[str, ...] = (),
) -> Iterator[EtcdCluster]:
    directory.mkdir(parents=True, exist_ok=True)
    cluster = EtcdCluster(directory, members, data, tls, options)
    try:
        cluster.ready()
        yield cluster
    finally:
        cluster.close()
