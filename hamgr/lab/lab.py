"""A lab as an object, for tests, benches and the command line: bring it up, break it, watch it, take it down.

    with Lab(Options(deadtime="1s")) as lab:
        lab.wait_for_owner("a")
        with lab.watch_vip() as prober:
            lab.node("a").power_off()
            lab.wait_for_owner("b")
        print(prober.outages())

Everything of a lab lives in namespaces of its own and dies with one process; several labs don't meet.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from hamgr.lab import files, observe, shareddisk
from hamgr.lab.namespaces import (
    LabError,
    enter_machine,
    enter_world,
    is_rootless,
    lab_environment,
    new_world,
    only_child,
    require_tools,
    search_path,
    wake_visitors,
)
from hamgr.lab.observe import EventRecord, NotAnswering
from hamgr.lab.plan import ARBITER, CLIENT, MAX_DIRECTORY, VIP, Fencing, Layout, Options
from hamgr.lab.watch import Prober

UP_TIMEOUT = 40.0
REQUEST_TIMEOUT = 30.0
STATUS_TIMEOUT = 1.0
POLL_INTERVAL = 0.02
PROBE_INTERVAL = 0.002
PAGE_INTERVAL = 0.02

_LAST_WORDS = 800


def default_directory() -> Path:
    """Where a lab lies that was not told: the user's runtime directory, which is short and vanishes by
    itself.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "hamgr-lab" if runtime else Path(tempfile.gettempdir()) / f"hamgr-lab-{os.getuid()}"


def probe_command(address: str, interval: float, witness: str = "") -> list[str]:
    """The command that asks an address every `interval` seconds: as a client, or by ARP at interface
    `witness`.
    """
    kind = ["arp", address, str(interval), witness] if witness else ["udp", address, str(interval)]
    return [sys.executable, "-m", "hamgr.lab.prober", *kind]


def page_command(url: str, interval: float) -> list[str]:
    """The command that asks a URL every `interval` seconds."""
    return [sys.executable, "-m", "hamgr.lab.httpprober", url, str(interval)]


class Machine:
    """One machine of a lab: a node, the arbiter or the client."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        self.name = name

    def exec(
        self, command: Sequence[str], *, check: bool = True, timeout: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine and wait. Raises LabError when it fails, unless check is False."""
        done = subprocess.run(
            self.command(command),
            env=self.lab.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            what = " ".join(command)
            raise LabError(f"`{what}` on {self.name} ended with {done.returncode}: {done.stderr.strip()}")
        return done

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs a command in this machine, for those who start it themselves."""
        pid = self.lab.machines()[self.name]
        if pid is None:
            raise LabError(f"{self.name} is off")
        return enter_machine(self.lab.world_pid, pid, list(command), is_rootless())

    def is_on(self) -> bool:
        return self.lab.machines()[self.name] is not None

    def power_off(self) -> None:
        """Pull the plug: the machine's links and processes are gone when this returns. Its BMC lives on."""
        self.lab.request("power-off", machine=self.name)

    def power_on(self) -> None:
        """Boot it, with the disk it had; returns when its services are started."""
        self.lab.request("power-on", machine=self.name)

    def kill_daemon(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the daemon (hamgrd, or the arbiter) a signal. A daemon that dies stays dead until
        `start_daemon`; one that is killed is dead when this returns.
        """
        file = self.lab.layout.daemon_pid(self.name)
        self.exec(["kill", f"-{number.value}", file.read_text().strip()])
        if number is signal.SIGKILL:
            self.lab.wait(lambda: not file.exists(), UP_TIMEOUT, f"the daemon of {self.name} to die")

    def start_daemon(self) -> None:
        """Start the daemon if it does not run."""
        self.lab.request("start-daemon", machine=self.name)

    # The arbiter is a machine whose only purpose is its daemon.
    def kill(self) -> None:
        self.kill_daemon(signal.SIGKILL)

    def start(self) -> None:
        self.start_daemon()

    def log(self) -> str:
        """What its daemon wrote so far, over all its lives."""
        return self.lab.layout.log(f"{self.name}-daemon").read_text()


class BmcHandle:
    """The moods of a node's BMC."""

    def __init__(self, lab: Lab, node: str) -> None:
        self._lab = lab
        self._node = node

    def refuse(self) -> None:
        """Answer, but fail every power command."""
        self._set("refuse")

    def hang(self) -> None:
        """Say nothing."""
        self._set("hang")

    def normal(self) -> None:
        self._set("normal")

    def _set(self, mood: str) -> None:
        self._lab.request("bmc", machine=self._node, mood=mood)


class Lab:
    """A cluster in namespaces. As a context manager it is up inside and gone after, whatever happens."""

    def __init__(self, options: Options | None = None, directory: Path | None = None) -> None:
        """directory: must not exist (or be an empty one); a fresh temporary one when None."""
        self.options = options or Options()
        self.layout = Layout(directory or Path(tempfile.gettempdir()) / f"hamgr-lab-{secrets.token_hex(4)}")
        self.environment = lab_environment(sys.executable, os.environ)
        self._shell: subprocess.Popen[str] | None = None
        self._disk: subprocess.Popen[str] | None = None
        self._world_pid: int | None = None

    @classmethod
    def attach(cls, directory: Path) -> Lab:
        """The lab that somebody else brought up there. Raises LabError when none is up."""
        layout = Layout(directory)
        if not layout.world_pid.exists():
            raise LabError(f"no lab is up in {directory}: `hamgr lab up` brings one up")
        lab = cls(Options.from_json(layout.options.read_text()), directory)
        lab._world_pid = int(layout.world_pid.read_text())
        lab.machines()
        return lab

    @classmethod
    def remove(cls, directory: Path, keep: bool = False) -> None:
        """Take down whatever is left of a lab there, also of one that is no longer up. Raises LabError for
        none.
        """
        layout = Layout(directory)
        if not layout.options.exists():
            raise LabError(f"no lab is in {directory}")
        lab = cls(Options.from_json(layout.options.read_text()), directory)
        if layout.world_pid.exists():
            pid = int(layout.world_pid.read_text())
            lab._world_pid = pid if _is_world(pid, directory) else None
        lab.down(keep)

    @property
    def world_pid(self) -> int:
        if self._world_pid is None:
            raise LabError("the lab is not up")
        return self._world_pid

    @property
    def arbiter(self) -> Machine:
        return Machine(self, ARBITER)

    @property
    def client(self) -> Machine:
        return Machine(self, CLIENT)

    def node(self, name: str) -> Machine:
        if name not in self.options.machine_names:
            raise LabError(f"no machine {name!r} in this lab; it has {', '.join(self.options.machine_names)}")
        return Machine(self, name)

    def bmc(self, node: str) -> BmcHandle:
        return BmcHandle(self, node)

    def up(self, detached: bool = False) -> None:
        """Bring the lab up; the machines of `options.powered` are booted when this returns.

        detached: it outlives this process; else it dies with it, whatever way that ends.
        """
        self._check_tools()
        directory = self.layout.directory
        if len(str(directory)) > MAX_DIRECTORY:
            raise LabError(f"{directory}: a lab's path may have {MAX_DIRECTORY} characters, for its sockets' sake")
        if directory.exists() and any(directory.iterdir()):
            raise LabError(f"{directory} is not empty: is a lab up there? `hamgr lab down` takes it down")
        try:
            files.write(self.options, self.layout)
            self._start_world(detached)
        except BaseException:
            self.down()
            raise

    def down(self, keep: bool = False) -> None:
        """Kill all of the lab and remove its directory; with keep the files stay, without the processes."""
        if self._world_pid is not None:
            _kill_and_wait(self._world_pid)
        if self._shell is not None:
            self._shell.kill()
            self._shell.communicate()
        if self._disk is not None:
            self._disk.communicate()
        self._shell = self._world_pid = self._disk = None
        self.layout.world_pid.unlink(missing_ok=True)
        if not keep:
            shutil.rmtree(self.layout.directory, ignore_errors=True)

    def request(self, do: str, **values: str) -> Any:
        """Ask the world for something. Raises LabError with its reason."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(REQUEST_TIMEOUT)
            try:
                connection.connect(str(self.layout.control))
            except OSError as error:
                raise LabError(f"no lab is up in {self.layout.directory} ({error.strerror})") from error
            connection.sendall(json.dumps({"do": do, **values}).encode() + b"\n")
            with connection.makefile() as stream:
                reply = json.loads(stream.readline() or '{"error": "the lab ended"}')
        if "error" in reply:
            raise LabError(reply["error"])
        return reply["result"]

    def machines(self) -> dict[str, int | None]:
        """Every machine with its first process's id in the lab's world; None when it is off."""
        found: dict[str, int | None] = self.request("machines")
        return found

    def cut(self, machine: str, network: str) -> None:
        """Drop all of a machine's traffic on a network, both ways; its carrier stays up."""
        self.request("cut", machine=machine, network=network)

    def separate(self, one: str, other: str) -> None:
        """Drop all traffic between two machines, on all networks; everybody else still reaches both."""
        self.request("separate", one=one, other=other)

    def heal(self, machine: str = "", network: str = "") -> None:
        """Undo the cuts of this machine and network, "" for any; without a network its separations too."""
        self.request("heal", machine=machine, network=network)

    def unplug(self, machine: str, network: str) -> None:
        """Pull the cable out of a machine's network card: it loses its carrier."""
        self.request("unplug", machine=machine, network=network)

    def plug(self, machine: str, network: str) -> None:
        """Put the cable back."""
        self.request("plug", machine=machine, network=network)

    def lose(self, network: str, percent: int) -> None:
        """Let a network lose this share of its frames, each by itself; `heal` ends it."""
        self.request("loss", network=network, percent=str(percent))

    def wire(self, order: str) -> None:
        """Treat the serial line: "cut", "noise 0.01" (the share of bytes that are changed) or "heal"."""
        self.request("wire", order=order)

    def status(self, node: str) -> dict[str, Any]:
        """The node's `ClusterStatus` as `hamgr status --json` has it. Raises NotAnswering."""
        return observe.status(self.layout.admin_socket(node), STATUS_TIMEOUT)

    def events(self, node: str) -> list[EventRecord]:
        """What the node's daemon announced since it started, oldest first. Raises NotAnswering."""
        return observe.events(self.layout.admin_socket(node), STATUS_TIMEOUT)

    def owners(self, address: str = VIP) -> list[str]:
        """The living nodes whose kernel has the address."""
        return [name for name in self.options.node_names if self._has_address(name, address)]

    def wait(self, predicate: Callable[[], bool], timeout: float, what: str = "") -> float:
        """Wait until the predicate holds; returns the seconds it took. A daemon that does not answer is "not
        yet".

        Raises LabError with `what`, the last reason and the end of every log after `timeout` seconds.
        """
        began = time.monotonic()
        reason = ""
        while (waited := time.monotonic() - began) < timeout:
            try:
                if predicate():
                    return waited
            except NotAnswering as error:
                reason = f" ({error})"
            time.sleep(POLL_INTERVAL)
        raise LabError(f"waited {timeout:g} s in vain for {what or predicate}{reason}{self._last_words()}")

    def wait_for_owner(self, node: str, timeout: float = 20.0) -> float:
        """Wait until this node, and no other, has the VIP."""
        return self.wait(lambda: self.owners() == [node], timeout, f"{node} to own {VIP}")

    def watch_vip(
        self, address: str = VIP, interval: float = PROBE_INTERVAL, arp: bool = True, url: str = ""
    ) -> Prober:
        """Ask the VIP from the client every `interval` seconds; by ARP, who holds it, at a fifth of that
        pace; and the URL, if one is given, every `PAGE_INTERVAL` seconds.
        """
        commands = [self.client.command(probe_command(address, interval))]
        if url:
            commands.append(self.client.command(page_command(url, PAGE_INTERVAL)))
        if arp and ":" not in address:
            witness = probe_command(address, 5 * interval, witness="br-lan")
            commands.append(enter_world(self.world_pid, witness, is_rootless()))
        return Prober(commands, self.environment, interval)

    def _has_address(self, name: str, address: str) -> bool:
        try:
            listed = self.node(name).exec(["ip", "-json", "address", "show", "to", address], check=False).stdout
        except LabError:
            return False
        return "ifname" in listed

    def _check_tools(self) -> None:
        tools = ["unshare", "nsenter", "ip", "nft", "mount"]
        tools += ["ipmi_sim"] if self.options.fencing is Fencing.IPMI else []
        tools += ["nginx"] if self.options.service else []
        tools += ["etcd"] if self.options.arbiters > 1 else []
        tools += ["mkfs.ext4"] if self.options.shared_disk else []
        require_tools(tools, search_path(sys.executable))
        if self.options.shared_disk and is_rootless():
            raise LabError("a shared disk is made of loop devices, and these need root")

    def _start_world(self, detached: bool) -> None:
        held = []
        if self.options.shared_disk:
            self._disk, lifeline = shareddisk.provide(self.layout, self.options, self.environment)
            held.append(lifeline)
        try:
            self._start_world_with(detached, held)
        finally:
            for descriptor in held:  # From here on the world alone holds it, and it ends with the world.
                os.close(descriptor)

    def _start_world_with(self, detached: bool, held: Sequence[int]) -> None:
        command = [sys.executable, "-m", "hamgr.lab.world", str(self.layout.directory)]
        with self.layout.log("world").open("ab") as log:
            self._shell = subprocess.Popen(
                new_world([*command, *(["--detached"] if detached else [])], is_rootless()),
                stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.environment,
                text=True,
                start_new_session=True,
                cwd="/",
                pass_fds=held,
            )
        assert self._shell.stdout is not None
        readable = select.select([self._shell.stdout], [], [], UP_TIMEOUT)[0]
        said = self._shell.stdout.readline().strip() if readable else f"not up within {UP_TIMEOUT:g} s"
        self._world_pid = only_child(self._shell.pid)
        if said != "ready":
            why = said.removeprefix("failed: ") or "its first process ended"
            raise LabError(f"the lab did not come up: {why}{self._last_words()}")
        self.layout.world_pid.write_text(f"{self.world_pid}\n")

    def _last_words(self) -> str:
        """The end of every log: of a lab that fails, nothing else may remain."""
        words = []
        for log in sorted(self.layout.log("any").parent.glob("*.log")):
            if text := log.read_text(errors="replace").strip():
                words.append(f"\n--- {log.name}\n{text[-_LAST_WORDS:]}")
        return "".join(words)

    def __enter__(self) -> Lab:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.down()


def _is_world(pid: int, directory: Path) -> bool:
    """Whether this is the lab's first process, and not another that was given its old number."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except FileNotFoundError:
        return False
    return "hamgr.lab.world" in command and str(directory) in command


def _kill_and_wait(pid: int) -> None:
    """Kill a PID 1; returns when its whole namespace is dead."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        deadline = time.monotonic() + REQUEST_TIMEOUT
        while not select.select([pidfd], [], [], POLL_INTERVAL)[0] and time.monotonic() < deadline:
            wake_visitors(pid)
    finally:
        os.close(pidfd)
