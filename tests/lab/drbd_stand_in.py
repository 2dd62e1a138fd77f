"""Stands in for drbdadm and drbdsetup, and for the kernel's DRBD behind them, which the test machines do not have.

`python drbd_stand_in.py STATE NODE DEVICE BACKING PROGRAM ARGUMENT...` does what drbd-utils 9 does for one resource
with one volume on two nodes. STATE is a directory that both nodes see. Every call is written to STATE/calls; one that
the real DRBD would refuse, or that is not known here, is refused and written to STATE/refused as well.

As with the real one: both copies may be Secondary, one may be Primary; a Secondary can't be opened, a Primary that is
open can't be demoted. DEVICE is a link: to BACKING while Primary, to a device that no driver serves otherwise. A node
lives while it holds the lock of STATE/NODE.alive; what it was dies with it, as the kernel's state does.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

REFUSED, WRONG_CALL, NO_DATA, NOT_CONNECTED = 11, 10, 17, 5
MAJOR = 147
VERSION = "DRBDADM_VERSION_CODE=0x091600\nDRBD_KERNEL_VERSION_CODE=0x090203\nDRBDADM_VERSION=9.22.0"


class Refusal(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Kernel:
    """What one node's kernel knows: nothing, before the resource is made."""

    resource: str = ""
    minor: bool = False
    attached: bool = False
    connecting: bool = False
    role: str = "Secondary"
    outdated: bool = False


class Drbd:
    def __init__(self, state: Path, node: str, device: Path, backing: Path) -> None:
        self._state, self._node, self._device, self._backing = state, node, device, backing
        self._peer = "b" if node == "a" else "a"

    # -- the two kernels ----------------------------------------------------------------------------------------

    def _load(self, node: str) -> Kernel:
        path = self._state / f"{node}.kernel"
        return Kernel(**json.loads(path.read_text())) if path.exists() else Kernel()

    def _save(self, kernel: Kernel) -> None:
        (self._state / f"{self._node}.kernel").write_text(json.dumps(asdict(kernel)))

    def _peer_kernel(self) -> Kernel:
        with (self._state / f"{self._peer}.alive").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return self._load(self._peer)
        return Kernel()

    def _connected(self, mine: Kernel) -> bool:
        peer = self._peer_kernel()
        return mine.connecting and peer.connecting and mine.resource == peer.resource != ""

    def _point(self, kernel: Kernel) -> None:
        closed = self._device.with_name("closed")
        if not closed.exists():
            os.mknod(closed, 0o600 | 0o060000, os.makedev(MAJOR, 0))
        new = self._device.with_name("new")
        new.unlink(missing_ok=True)
        new.symlink_to(self._backing if kernel.role == "Primary" else closed)
        new.replace(self._device)

    def _held_open(self) -> bool:
        number = os.stat(self._backing).st_rdev
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return f"{os.major(number)}:{os.minor(number)}" in {line.split()[2] for line in mounts}

    # -- commands -----------------------------------------------------------------------------------------------

    def run(self, program: str, words: list[str]) -> str:
        """What the program prints. Raises Refusal."""
        options = [word for word in words if word.startswith("-")]
        if "--version" in options:
            return VERSION
        plain = words[2:] if words[:1] == ["-c"] else words
        command, *names = [word for word in plain if not word.startswith("-")]
        resource = names[0].split(":")[0] if names else ""
        call = getattr(self, f"_do_{command.replace('-', '_')}", None)
        if call is None:
            raise Refusal(WRONG_CALL, f"{program} {command} is not known here")
        return str(call(resource, options) or "")

    def _do_sh_dev(self, resource: str, options: list[str]) -> str:
        return str(self._device)

    def _do_sh_minor(self, resource: str, options: list[str]) -> str:
        return "0"

    def _do_sh_mod_parms(self, resource: str, options: list[str]) -> None:
        return

    def _do_check_resize(self, resource: str, options: list[str]) -> None:
        if self._load(self._node).attached:
            raise Refusal(WRONG_CALL, "check-resize of an attached disk")

    def _do_new_resource(self, resource: str, options: list[str]) -> None:
        if self._load(self._node).resource:
            raise Refusal(WRONG_CALL, f"new-resource: {resource} exists")
        self._save(Kernel(resource))

    def _do_new_minor(self, resource: str, options: list[str]) -> None:
        kernel = self._made(resource)
        kernel.minor = True
        self._point(kernel)
        self._save(kernel)

    def _do_adjust(self, resource: str, options: list[str]) -> None:
        kernel = self._load(self._node)
        kernel.resource, kernel.minor, kernel.attached = resource, True, True
        kernel.connecting |= "--skip-net" not in options
        self._point(kernel)
        self._save(kernel)

    def _do_wait_connect_resource(self, resource: str, options: list[str]) -> None:
        (limit,) = [float(option.partition("=")[2]) for option in options if option.startswith("--wfc-timeout=")]
        deadline = time.monotonic() + limit
        while not self._connected(self._made(resource)):
            if time.monotonic() >= deadline:
                raise SystemExit(NOT_CONNECTED)
            time.sleep(0.1)

    def _do_primary(self, resource: str, options: list[str]) -> None:
        kernel = self._made(resource)
        if kernel.role == "Primary":
            return
        if self._peer_kernel().role == "Primary":
            raise Refusal(REFUSED, "State change failed: (-1) Multiple primaries not allowed by config")
        if not kernel.attached or kernel.outdated:
            raise Refusal(NO_DATA, "State change failed: (-2) Need access to UpToDate data")
        kernel.role = "Primary"
        self._point(kernel)
        self._save(kernel)

    def _do_outdate(self, resource: str, options: list[str]) -> None:
        kernel = self._made(resource)
        if kernel.role == "Primary":
            raise Refusal(NO_DATA, "State change failed: (-2) Need access to UpToDate data")
        kernel.outdated = True
        self._save(kernel)

    def _do_secondary(self, resource: str, options: list[str]) -> None:
        kernel = self._made(resource)
        if kernel.role == "Primary" and self._held_open():
            raise Refusal(REFUSED, "State change failed: (-12) Device is held open by someone")
        kernel.role = "Secondary"
        self._point(kernel)
        self._save(kernel)

    def _do_down(self, resource: str, options: list[str]) -> None:
        if self._load(self._node).role == "Primary" and self._held_open():
            raise Refusal(REFUSED, "State change failed: (-12) Device is held open by someone")
        self._device.unlink(missing_ok=True)
        self._save(Kernel())

    def _do_role(self, resource: str, options: list[str]) -> str:
        return self._made(resource).role

    def _do_events2(self, resource: str, options: list[str]) -> str:
        kernel = self._load(self._node)
        if not kernel.resource:
            return "exists -"
        peer, connected = self._peer_kernel(), self._connected(kernel)
        theirs = f"name:{resource} peer-node-id:1 conn-name:{self._peer}"
        lines = [
            f"exists resource name:{resource} role:{kernel.role} suspended:no",
            f"exists connection {theirs} connection:{'Connected' if connected else 'Connecting'}"
            f" role:{peer.role if connected else 'Unknown'}",
        ]
        if kernel.minor:
            disk = ("Outdated" if kernel.outdated else "UpToDate") if kernel.attached else "Diskless"
            lines.append(f"exists device name:{resource} volume:0 minor:0 disk:{disk} client:no quorum:yes")
            disk = "UpToDate" if connected and peer.attached else "DUnknown"
            lines.append(f"exists peer-device {theirs} volume:0 peer-disk:{disk} peer-client:no")
        return "\n".join([*lines, "exists -"])

    def _made(self, resource: str) -> Kernel:
        kernel = self._load(self._node)
        if kernel.resource != resource:
            raise Refusal(WRONG_CALL, f"{resource}: Unknown resource")
        return kernel


def main() -> int:
    state, node, device, backing, program, *words = sys.argv[1:]
    drbd = Drbd(Path(state), node, Path(device), Path(backing))
    call, code = f"{node} {program} {' '.join(words)}", 0
    try:
        if "wait-connect-resource" in words:
            print(drbd.run(program, words))
        else:
            with Path(state, "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                print(drbd.run(program, words))
    except Refusal as refusal:
        code = refusal.code
        print(f"{program}: {refusal}", file=sys.stderr)
        if "role" not in words:  # who asks before it is there is told so
            with Path(state, "refused").open("a") as file:
                file.write(f"{call}: {refusal}\n")
    with Path(state, "calls").open("a") as file:
        file.write(f"{call}: {code}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
