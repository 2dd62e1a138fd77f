"""A virtual machine with Debian's kernel and the files of this machine, read-only: `run` runs a command in it.

QEMU emulates the processor (no KVM is needed, nor used), so all is about ten times slower. What is written inside is
lost with each boot, as is what the machine has in memory; disks are files outside. No network leads out of it.
"""

from __future__ import annotations

import contextlib
import json
import queue
import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debian_kernel import Kernel

BOOT_TIMEOUT = 300.0
STOP_TIMEOUT = 10.0
MEMORY = "1024"
"""Megabytes."""


@dataclass(frozen=True, slots=True)
class Ended:
    """code: None if it was killed at its time-out."""

    code: int | None
    stdout: str
    stderr: str


class Machine:
    """directory: for its sockets and its console's log. extra: more arguments of QEMU."""

    def __init__(self, name: str, kernel: Kernel, directory: Path, extra: Sequence[str] = ()) -> None:
        self.name = name
        self.boots: list[str] = []
        """The boot ids of its lives, the newest last."""
        self.events: list[dict[str, Any]] = []
        """What QEMU said: RESET, WATCHDOG, SHUTDOWN and so on (QMP)."""
        self._kernel = kernel
        self._directory = directory
        self._extra = tuple(extra)
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets: list[socket.socket] = []
        self._waiting: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._number = 0
        self._changed = threading.Condition()

    # -- its power ----------------------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Returns when it can be told commands."""
        assert self._process is None, f"{self.name} is on"
        lives = len(self.boots)
        self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL)
        self._connect("agent", self._answered)
        qmp = self._connect("qmp", self._event)
        qmp.sendall(b'{"execute": "qmp_capabilities"}\n')
        # Nothing that the machine says is lost: it stands still until here.
        qmp.sendall(b'{"execute": "cont"}\n')
        self.wait_for_boot(lives + 1)

    def power_off(self) -> None:
        """Pull the plug."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait(STOP_TIMEOUT)
        for one in self._sockets:
            one.close()
        self._sockets.clear()

    @property
    def is_on(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_for_boot(self, lives: int, timeout: float = BOOT_TIMEOUT) -> None:
        """Until it has booted so many times in all."""
        self.wait(lambda: len(self.boots) >= lives, timeout, f"{self.name} to boot")

    def wait(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        """For what QEMU or the machine says by itself."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise TimeoutError(f"waited {timeout:g} s for {what}. Its console:\n{self.console()[-2000:]}")

    def happened(self, event: str) -> bool:
        return any(one["event"] == event for one in self.events)

    def console(self) -> str:
        """What the kernel said."""
        return self._place("console").read_text(errors="replace")

    # -- commands -----------------------------------------------------------------------------------------------

    def run(self, *command: str, timeout: float = 300.0, stdin: str = "", check: bool = True) -> Ended:
        """Its end. Raises AssertionError for another exit code than 0, unless check is False."""
        answer = self.begin(*command, timeout=timeout, stdin=stdin)()
        if check and answer.code != 0:
            raise AssertionError(
                f"{self.name}: {shlex.join(command)}: exit {answer.code}\n{answer.stdout}{answer.stderr}"
            )
        return answer

    def shell(self, script: str, *arguments: str, timeout: float = 300.0, check: bool = True) -> Ended:
        return self.run("sh", "-ec", script, "sh", *arguments, timeout=timeout, check=check)

    def begin(self, *command: str, timeout: float = 300.0, stdin: str = "") -> Callable[[], Ended]:
        """A command that runs while others do; call the result to wait for its end."""
        with self._changed:
            self._number += 1
            number = self._number
            answers = self._waiting[number] = queue.Queue()
        request = {"id": number, "command": list(command), "stdin": stdin, "timeout": timeout}
        self._sockets[0].sendall(json.dumps(request).encode() + b"\n")

        def end() -> Ended:
            try:
                answer = answers.get(timeout=timeout + BOOT_TIMEOUT)
            except queue.Empty:
                raise TimeoutError(f"{self.name} does not answer. Its console:\n{self.console()[-2000:]}") from None
            return Ended(answer["code"], answer["stdout"], answer["stderr"])

        return end

    def write(self, path: str, text: str, mode: str = "644") -> None:
        self.run("install", "-D", "-m", mode, "/dev/stdin", path, stdin=text)

    def until(self, condition: Callable[[], bool], timeout: float, what: str, pause: float = 0.3) -> None:
        """For what only asking tells."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: waited {timeout:g} s for {what}")
            time.sleep(pause)

    # -- QEMU ---------------------------------------------------------------------------------------------------

    def _place(self, what: str) -> Path:
        return self._directory / f"{self.name}.{what}"

    def _command(self) -> list[str]:
        # What is emulated has no flaws of real processors to work around, and its own clock is not to be judged.
        words = (
            "console=ttyS0 quiet panic=1 mitigations=off no_timer_check nowatchdog tsc=reliable"
            f" hamgr.name={self.name} hamgr.modules={self._kernel.modules}"
        )
        return [
            # With rdrand nobody waits for random numbers.
            "qemu-system-x86_64", "-accel", "tcg", "-cpu", "qemu64,+rdrand", "-m", MEMORY,
            "-nodefaults", "-display", "none", "-S",
            "-kernel", str(self._kernel.image), "-initrd", str(self._kernel.initrd), "-append", words,
            "-virtfs", "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap",
            "-serial", f"file:{self._place('console')}",
            "-chardev", f"socket,id=agent,path={self._place('agent')},server=on,wait=off", "-serial", "chardev:agent",
            "-qmp", f"unix:{self._place('qmp')},server=on,wait=off",
            *self._extra,
        ]  # fmt: skip

    def _connect(self, what: str, take: Callable[[dict[str, Any]], None]) -> socket.socket:
        """A socket that QEMU makes; each line that comes is given to take."""
        deadline = time.monotonic() + STOP_TIMEOUT
        connection = socket.socket(socket.AF_UNIX)
        while True:
            try:
                connection.connect(str(self._place(what)))
                break
            except OSError:
                assert self.is_on, f"QEMU of {self.name} has ended"
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self._sockets.append(connection)
        threading.Thread(target=self._read, args=(connection, take), daemon=True).start()
        return connection

    def _read(self, connection: socket.socket, take: Callable[[dict[str, Any]], None]) -> None:
        with contextlib.suppress(OSError), connection.makefile("rb") as lines:
            for line in lines:
                # A machine that is reset ends in the midst of a line.
                with contextlib.suppress(ValueError):
                    message = json.loads(line)
                    with self._changed:
                        take(message)
                        self._changed.notify_all()

    def _answered(self, message: dict[str, Any]) -> None:
        if "boot" in message:
            self.boots.append(message["boot"])
        elif message["id"] in self._waiting:
            self._waiting.pop(message["id"]).put(message)

    def _event(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self.events.append(message)


@contextlib.contextmanager
def powered(machine: Machine) -> Iterator[Machine]:
    """On, and gone afterwards whatever happens."""
    try:
        machine.power_on()
        yield machine
    finally:
        machine.power_off()
