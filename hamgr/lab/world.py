"""The lab's world: PID 1 of its namespaces, with the switch, the BMCs and the power of every machine.

`python -m hamgr.lab.world DIRECTORY` builds what DIRECTORY/lab.json says, prints "ready" (or "failed: why"),
and then serves one JSON request a connection on the control socket. It ends with its standard input, unless
it was started with --detached; and whatever ends it, the kernel ends all that is in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hamgr.config import durations
from hamgr.lab import shareddisk
from hamgr.lab.bmc import Bmc, BmcError
from hamgr.lab.files import BMC_USER
from hamgr.lab.links import LINKS, WIRE
from hamgr.lab.namespaces import LabError, children, new_machine, only_child, wake_visitors
from hamgr.lab.plan import Fencing, Layout, Options, bmc_address, ports
from hamgr.lab.power import PowerWire
from hamgr.lab.switch import Switch
from hamgr.lab.watchdog import StandInWatchdog

BOOT_TIMEOUT = 20.0
DEATH_TIMEOUT = 5.0
BMC_PORT = 623

_VISITOR_CHECK = 0.02

Request = dict[str, Any]


@dataclass(slots=True)
class RunningMachine:
    """A machine that is on. pid: its first process, as the world numbers it; pidfd: the same for ever."""

    shell: subprocess.Popen[str]
    pid: int
    pidfd: int


class World:
    """All that a lab consists of; one thread, one request at a time."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._options = Options.from_json(layout.options.read_text())
        self._on: dict[str, RunningMachine] = {}
        self._wires: dict[str, PowerWire] = {}
        self._bmcs: dict[str, Bmc] = {}
        self._watchdogs: list[StandInWatchdog] = []
        self._requests: dict[str, Callable[[Request], object]] = {
            "machines": lambda _: self._machines(),
            "power-off": lambda request: self.power_off(str(request["machine"])),
            "power-on": lambda request: self.power_on(str(request["machine"])),
            "start-daemon": lambda request: self._signal(str(request["machine"]), signal.SIGUSR1),
            "cut": self._cut,
            "heal": self._heal,
            "separate": self._separate,
            "bmc": self._bmc,
            "unplug": partial(self._plug, plugged=False),
            "plug": partial(self._plug, plugged=True),
            "loss": self._loss,
            "wire": self._order_wire,
        }
        self._wire: subprocess.Popen[str] | None = None
        self._switch = Switch([bmc_address(node) for node in self._options.node_names])

    def build(self) -> None:
        """Bring up what the options say. Raises LabError when something of it does not come."""
        if self._options.watchdog:
            for node in self._options.node_names:
                bite = partial(self._watchdog_bites, node)
                timeout = durations.parse(self._options.watchdog)
                self._watchdogs.append(StandInWatchdog(self._layout.watchdog(node), timeout, bite))
        for node in self._options.node_names:
            wire = PowerWire(self._layout.power_wire(node), node, partial(self._switch_power, node))
            wire.show(on=False)
            self._wires[node] = wire
        if self._options.fencing is Fencing.IPMI:
            for node, wire in self._wires.items():
                self._bmcs[node] = self._new_bmc(node, wire)
        if any(LINKS[name].network == WIRE for name in self._options.links):
            self._wire = self._lay_wire()
        nodes = [name for name in self._options.node_names if name in self._options.powered_nodes]
        others = [name for name in self._options.machine_names if name not in self._options.node_names]
        # All are started before any is waited for: nodes that boot together see one another within
        # `initdead`.
        starting = [(name, self._start(name)) for name in [*others, *nodes]]
        for name, machine in starting:
            self._await_boot(name, machine)

    async def serve(self, lifeline: bool) -> None:
        """Answer requests and power wires until the lab is taken down, or until standard input ends
        (lifeline).
        """
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        for wire in self._wires.values():
            loop.add_reader(wire.fileno(), wire.serve)
        for watchdog in self._watchdogs:
            loop.add_reader(watchdog.fileno(), watchdog.serve)
        if lifeline:
            loop.add_reader(sys.stdin.fileno(), _end_with_input, ended)
        loop.add_signal_handler(signal.SIGTERM, ended.set)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        server = await asyncio.start_unix_server(self._answer, self._layout.control)
        print("ready", flush=True)
        async with server:
            await ended.wait()

    def power_on(self, name: str) -> None:
        """Boot a machine with the disk that it had. No effect on one that is on."""
        self._known(name)
        if name not in self._on:
            self._await_boot(name, self._start(name))

    def power_off(self, name: str) -> None:
        """Darken the machine's ports, kill it, and wait until every process of it is gone. Takes a few ms."""
        self._known(name)
        machine = self._on.pop(name, None)
        if machine is None:
            return
        began = time.monotonic()
        self._switch.darken(ports(name))
        disk = self._shared_disk_of(name)
        if disk is not None:
            shareddisk.lose_power(disk, machine.pid)
        signal.pidfd_send_signal(machine.pidfd, signal.SIGKILL)
        self._await_death(name, machine)
        if disk is not None:
            shareddisk.await_release(disk)
        os.close(machine.pidfd)
        if name in self._wires:
            self._wires[name].show(on=False)
        _log(f"{name} is off, in {1000 * (time.monotonic() - began):.1f} ms")
        machine.shell.wait()
        for stream in (machine.shell.stdin, machine.shell.stdout):
            if stream is not None:
                stream.close()

    def _watchdog_bites(self, node: str) -> None:
        if node in self._on:
            _log(f"the watchdog of {node} was not fed in time")
            self.power_off(node)

    def _shared_disk_of(self, name: str) -> Path | None:
        has_one = self._options.shared_disk and name in self._options.node_names
        return self._layout.shared_disk(name) if has_one else None

    def _lay_wire(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "hamgr.lab.wire", str(self._layout.wire), str(self._options.baud)]
        with self._layout.log("wire").open("ab") as log:
            wire = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        assert wire.stdout is not None
        if wire.stdout.readline() != "ready\n":
            raise LabError(f"the serial line did not come up; see {self._layout.log('wire')}")
        return wire

    def _order_wire(self, request: Request) -> None:
        """`cut`, `noise SHARE` or `heal` the serial line."""
        if self._wire is None or self._wire.stdin is None:
            raise LabError("no serial line in this lab")
        self._wire.stdin.write(f"{request['order']}\n")
        self._wire.stdin.flush()

    def _plug(self, request: Request, plugged: bool) -> None:
        """Pull a cable out, or put it back: the machine's card loses its carrier, or finds it again."""
        machine, network = str(request["machine"]), str(request["network"])
        self._check_port(machine, network)
        (port,) = [port for port in ports(machine) if port.network == network]
        self._switch.darken((port,)) if not plugged else self._switch.light(port)

    def _loss(self, request: Request) -> None:
        network, percent = str(request["network"]), int(request["percent"])
        self._switch.faults.loss[network] = percent
        self._switch.apply()

    def _switch_power(self, node: str, on: bool) -> bool:
        try:
            if on:
                self.power_on(node)
            else:
                self.power_off(node)
        except LabError as error:
            _log(f"the BMC of {node} could not switch it {'on' if on else 'off'}: {error}")
            return False
        return True

    def _start(self, name: str) -> RunningMachine:
        command = [sys.executable, "-m", "hamgr.lab.machine", str(self._layout.directory), name]
        with self._layout.log(f"{name}-machine").open("ab") as log:
            shell = subprocess.Popen(
                new_machine(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        pid = None
        while pid is None:
            pid = only_child(shell.pid)
            if pid is None and shell.poll() is not None:
                raise LabError(f"{name} did not start; see {self._layout.log(f'{name}-machine')}")
        machine = RunningMachine(shell, pid, os.pidfd_open(pid))
        self._on[name] = machine
        if name in self._wires:
            self._wires[name].show(on=True)
        self._switch.plug(ports(name), pid)
        assert shell.stdin is not None
        shell.stdin.write("go\n")
        shell.stdin.flush()
        return machine

    def _await_boot(self, name: str, machine: RunningMachine) -> None:
        assert machine.shell.stdout is not None
        readable = select.select([machine.shell.stdout], [], [], BOOT_TIMEOUT)[0]
        if not readable or machine.shell.stdout.readline() != "booted\n":
            logs = self._layout.log(f"{name}-machine").parent
            raise LabError(f"{name} did not boot within {BOOT_TIMEOUT:g} s; see the logs {logs}/{name}-*")
        _log(f"{name} is on")

    def _await_death(self, name: str, machine: RunningMachine) -> None:
        """PID 1 of a namespace is reported dead only when all others in it are, and were waited for."""
        deadline = time.monotonic() + DEATH_TIMEOUT
        while not select.select([machine.pidfd], [], [], _VISITOR_CHECK)[0]:
            if time.monotonic() > deadline:
                raise LabError(f"{name} did not die within {DEATH_TIMEOUT:g} s")
            # A command that entered the machine is waited for by its nsenter, and that stops itself when the
            # command is stopped; or by us, when its nsenter was killed.
            wake_visitors(machine.pid)
            self._reap()

    def _reap(self) -> None:
        """As PID 1 we inherit what others leave behind; our own children are waited for by those who know them."""
        ours = {machine.shell.pid for machine in self._on.values()} | {bmc.pid for bmc in self._bmcs.values()}
        ours |= {self._wire.pid} if self._wire is not None else set()
        for child in children(os.getpid()):
            if child not in ours:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child, os.WNOHANG)

    def _machines(self) -> dict[str, object]:
        return {name: self._on[name].pid if name in self._on else None for name in self._options.machine_names}

    def _signal(self, name: str, number: signal.Signals) -> None:
        self._known(name)
        if name not in self._on:
            raise LabError(f"{name} is off")
        signal.pidfd_send_signal(self._on[name].pidfd, number)

    def _new_bmc(self, node: str, wire: PowerWire) -> Bmc:
        bmc = Bmc(
            name=f"bmc-{node}",
            address=bmc_address(node),
            port=BMC_PORT,
            username=BMC_USER,
            password=self._layout.bmc_password.read_text().strip(),
            directory=self._layout.bmc(node),
            power_script=wire.script,
        )
        try:
            bmc.start()
        except BmcError as error:
            raise LabError(str(error)) from error
        return bmc

    def _bmc(self, request: Request) -> None:
        """A BMC that refuses fails every power command; one that hangs says nothing at all."""
        node, mood = str(request["machine"]), str(request["mood"])
        bmc = self._bmcs.get(node)
        if bmc is None or bmc.pid is None:
            raise LabError(f"{node} has no BMC in this lab")
        os.killpg(bmc.pid, signal.SIGSTOP if mood == "hang" else signal.SIGCONT)
        self._wires[node].refusing = mood == "refuse"

    def _cut(self, request: Request) -> None:
        machine, network = str(request["machine"]), str(request["network"])
        self._check_port(machine, network)
        self._switch.faults.cuts.add((machine, network))
        self._switch.apply()

    def _heal(self, request: Request) -> None:
        machine, network = str(request["machine"]), str(request["network"])
        if machine:
            self._known(machine)
        self._switch.faults.heal(machine, network)
        self._switch.apply()

    def _separate(self, request: Request) -> None:
        one, other = str(request["one"]), str(request["other"])
        self._known(one)
        self._known(other)
        self._switch.faults.separated.add(frozenset((one, other)))
        self._switch.apply()

    def _known(self, machine: str) -> None:
        if machine not in self._options.machine_names:
            names = ", ".join(self._options.machine_names)
            raise LabError(f"no machine {machine!r} in this lab; it has {names}")

    def _check_port(self, machine: str, network: str) -> None:
        self._known(machine)
        networks = [port.network for port in ports(machine)]
        if network not in networks:
            raise LabError(f"{machine} has no link {network!r}; it has {', '.join(networks)}")

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        try:
            request = json.loads(line)
            reply = {"result": self._requests[request["do"]](request)}
        except (LabError, KeyError, ValueError, OSError) as error:
            reply = {"error": str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}"}
        writer.write(json.dumps(reply).encode() + b"\n")
        writer.close()


def _end_with_input(ended: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1):
        ended.set()


def _log(text: str) -> None:
    print(f"{time.monotonic():.3f} {text}", file=sys.stderr, flush=True)


def main() -> None:
    layout = Layout(Path(sys.argv[1]))
    try:
        world = World(layout)
        world.build()
    except LabError as error:
        print(f"failed: {error}", flush=True)
        sys.exit(1)
    asyncio.run(world.serve(lifeline="--detached" not in sys.argv))


if __name__ == "__main__":
    main()
