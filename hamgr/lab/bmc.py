"""A BMC on one machine: OpenIPMI's simulator, which speaks real IPMI 2.0 and 1.5, and switches power by a script.

Files as in ipmi_lan(5) (lan.conf) and ipmi_sim_cmd(5) (bmc.emu). The simulator calls
`POWER_SCRIPT 0x20 get power`, which prints `power:0` or `power:1`, and `POWER_SCRIPT 0x20 set power 0|1`.
"""

from __future__ import annotations

import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

BMC_ADDRESS = 0x20
"""The management controller's own IPMB address (IPMI 2.0, 5.5)."""

START_TIMEOUT = 5.0
"""Seconds until a simulator that does not listen counts as failed."""

_STOP_TIMEOUT = 2.0
_POLL_INTERVAL = 0.01

_LAN_CONF = """\
name "{name}"
set_working_mc {mc:#x}
  startlan 1
    addr {address} {port}
    priv_limit admin
    allowed_auths_callback {authentications}
    allowed_auths_user {authentications}
    allowed_auths_operator {authentications}
    allowed_auths_admin {authentications}
    guid {guid}
  endlan
  chassis_control "{script} {mc:#x}"
  user 2 true "{username}" "{password}" admin 10 {authentications}
"""

_EMU = """\
mc_setbmc {mc:#x}
mc_add {mc:#x} 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable {mc:#x} 1000 0x0a
mc_enable {mc:#x}
"""


class BmcError(Exception):
    """The simulator could not be started; the text says why."""


@dataclass(slots=True)
class Bmc:
    """One simulated BMC. `prefix` goes before its command line, for example `nsenter` into a namespace.

    authentications: of IPMI 1.5, as ipmi_lan(5) names them.
    """

    name: str
    address: str
    port: int
    username: str
    password: str
    directory: Path
    power_script: Path
    prefix: Sequence[str] = ()
    authentications: Sequence[str] = ("md5",)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def pid(self) -> int | None:
        """The process id while it runs (of `prefix`, if that does not exec)."""
        return None if self._process is None else self._process.pid

    @property
    def log(self) -> Path:
        """What the simulator printed."""
        return self.directory / "ipmi_sim.log"

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Write the files, start the simulator, return when it listens. Raises BmcError."""
        if self._process is not None:
            raise BmcError(f"BMC {self.name}: already started")
        program = shutil.which("ipmi_sim")
        if program is None:
            raise BmcError("ipmi_sim not found: apt-get install openipmi")
        state = self.directory / "state"
        state.mkdir(parents=True, exist_ok=True)
        lan_conf, emu = self.directory / "lan.conf", self.directory / "bmc.emu"
        lan_conf.touch(mode=0o600)
        lan_conf.write_text(
            _LAN_CONF.format(
                name=self.name,
                mc=BMC_ADDRESS,
                address=self.address,
                port=self.port,
                guid=self.name.encode().hex().ljust(32, "0")[:32],
                script=self.power_script.absolute(),
                username=self.username,
                password=self.password,
                authentications=" ".join(self.authentications),
            )
        )
        emu.write_text(_EMU.format(mc=BMC_ADDRESS))
        command = [*self.prefix, program, "-n", "-c", str(lan_conf), "-f", str(emu), "-s", str(state)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_listening(timeout)

    def stop(self) -> None:
        """End the simulator, also a stopped one. Harmless when it doesn't run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait_until_listening(self, timeout: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout
        # The process's own view of the network, so that this works from outside its namespace.
        table = Path(f"/proc/{self._process.pid}/net/udp{'6' if ':' in self.address else ''}")
        wanted = f":{self.port:04X} "
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                said = self.log.read_text(errors="replace").strip()
                self._process = None
                raise BmcError(f"BMC {self.name}: ipmi_sim ended at once: {said or 'no message'}")
            try:
                if any(wanted in line for line in table.read_text().splitlines()):
                    return
            except OSError:
                continue
            select.select([], [], [], _POLL_INTERVAL)
        self.stop()
        raise BmcError(f"BMC {self.name}: not listening on {self.address}:{self.port} after {timeout:g} s")


def free_port(address: str = "127.0.0.1") -> int:
    """A UDP port of this address that nothing uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
    return port
