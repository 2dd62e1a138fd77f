"""PID 1 of a lab machine: sets up its disk, name and addresses, starts its services and reaps the dead.

`python -m hamgr.lab.machine DIRECTORY NAME`: waits on its standard input until its network cards are there,
and says "booted" on its standard output. When it is killed, the kernel kills every process of the machine,
stopped ones as well (pid_namespaces(7)): that is the lab's power-off.

SIGUSR1 starts the daemon again if it does not run: nothing else does, a daemon that died stays dead.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from hamgr.lab.plan import (
    ARBITERS,
    CLIENT,
    ETCD_CLIENTS,
    ETCD_PEERS,
    SHARED_DISK,
    Layout,
    Options,
    arbiter_address,
    ports,
)
from hamgr.lab.switch import run_tool

FIRST_BOOT = "new"
"""A file on a machine's disk that says: it never ran, the cluster is new."""


def daemon_command(layout: Layout, options: Options, name: str) -> list[str] | None:
    """What the machine runs as its daemon; None for a machine without one."""
    if name == CLIENT or not options.daemons:
        return None
    if name in ARBITERS:
        return ["hamgr-arbiter", "run", "--config", str(layout.arbiter_config_of(name))]
    return ["hamgrd", *config_words(layout, options), "--node", name]


def etcd_command(layout: Layout, options: Options, name: str) -> list[str]:
    """The member of etcd that an arbiter host runs. It notices within half a second that another one is lost."""
    client, peer = (f"http://{arbiter_address(name)}:{port}" for port in (ETCD_CLIENTS, ETCD_PEERS))
    everybody = ",".join(f"{one}=http://{arbiter_address(one)}:{ETCD_PEERS}" for one in options.arbiter_names)
    return [
        *("etcd", "--name", name, "--data-dir", str(layout.here / "etcd"), "--initial-cluster", everybody),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--heartbeat-interval", "50", "--election-timeout", "500", "--pre-vote"),
        *("--log-level", "error"),
    ]


def config_words(layout: Layout, options: Options) -> list[str]:
    """The words of hamgrd's and hamgr's command lines that name the configuration."""
    config = layout.config_of(options)
    return ["--ha-dir" if config == layout.ha_dir else "--config", str(config)]


class Machine:
    """The machine's processes, seen from its first one."""

    def __init__(self, layout: Layout, name: str) -> None:
        self._layout = layout
        self._name = name
        self._options = Options.from_json(layout.options.read_text())
        self._daemon: int | None = None

    def boot(self) -> None:
        socket.sethostname(self._name)
        run_tool(["mount", "--bind", str(self._layout.disk(self._name)), str(self._layout.here)])
        if self._layout.hosts.exists():
            run_tool(["mount", "--bind", str(self._layout.hosts), "/etc/hosts"])
        self._set_addresses()
        if self._name in self._options.node_names:
            self._find_shared_disk()
            self._spawn("responder", [sys.executable, "-m", "hamgr.lab.responder", self._name])
            self._initialise()
            self._run_boot_script()
        if self._name in ARBITERS and self._options.arbiters > 1:
            # Of any architecture: etcd asks to be told that it may.
            os.environ["ETCD_UNSUPPORTED_ARCH"] = os.uname().machine.replace("aarch64", "arm64")
            self._spawn("etcd", etcd_command(self._layout, self._options, self._name))
        self.start_daemon()

    def start_daemon(self) -> None:
        command = daemon_command(self._layout, self._options, self._name)
        if command is not None and self._daemon is None:
            self._daemon = self._spawn("daemon", command)
            (self._layout.here / "daemon.pid").write_text(str(self._daemon))

    def run(self) -> None:
        """Serve signals for ever."""
        while True:
            match signal.sigwait({signal.SIGCHLD, signal.SIGUSR1}):
                case signal.SIGCHLD:
                    self._reap()
                case signal.SIGUSR1:
                    self._reap()
                    self.start_daemon()

    def _set_addresses(self) -> None:
        batch = ["link set lo up"]
        for port in ports(self._name):
            batch += [f"address add {address} dev {port.interface} nodad" for address in port.addresses]
            batch.append(f"link set {port.interface} up")
        run_tool(["ip", "-batch", "-"], "\n".join(batch))

    def _find_shared_disk(self) -> None:
        if self._options.shared_disk:
            run_tool(["mount", "-t", "tmpfs", "tmpfs", str(SHARED_DISK.parent)])
            SHARED_DISK.symlink_to(self._layout.shared_disk(self._name).readlink())

    def _initialise(self) -> None:
        """Tell the node once that its cluster is new; a node whose state was lost later must learn it by
        itself.
        """
        first_boot = self._layout.here / FIRST_BOOT
        if not first_boot.exists() or not self._options.daemons:
            return
        layout, options, node = self._layout, self._options, ["--node", self._name]
        commands = [["hamgr", *config_words(layout, options), "init", *node]]
        if options.imported:
            files = ["-o", str(layout.config_of(options)), "--key-file", str(layout.here / "cluster.key")]
            commands.insert(0, ["hamgr", "import", str(layout.ha_dir), *files, *node])
        with self._log("init").open("ab") as log:
            for command in commands:
                subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
        first_boot.unlink()

    def _run_boot_script(self) -> None:
        if not self._options.boot:
            return
        places = {"NODE": self._name, "HERE": str(self._layout.here), "LAB": str(self._layout.directory)}
        with self._log("boot").open("ab") as log:
            command = ["/bin/sh", "-e", str(self._layout.boot_script)]
            environment = {**os.environ, **places}
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, check=True)

    def _spawn(self, service: str, command: list[str]) -> int:
        with self._log(service).open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                preexec_fn=_unblock_signals,
            ).pid

    def _reap(self) -> None:
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._daemon:
                self._daemon = None
                (self._layout.here / "daemon.pid").unlink(missing_ok=True)

    def _log(self, service: str) -> Path:
        return self._layout.log(f"{self._name}-{service}")


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def main() -> None:
    directory, name = sys.argv[1:]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGUSR1})
    sys.stdin.readline()
    machine = Machine(Layout(Path(directory)), name)
    machine.boot()
    print("booted", flush=True)
    machine.run()


if __name__ == "__main__":
    main()
