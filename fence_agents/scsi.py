"""fence_hamgr_scsi: shuts a machine out of disks by SCSI-3 persistent reservations; the machine itself runs on.

Each machine registers a key of its own (`on`, by itself, before it uses the disks); whoever fences it takes that key
away (`off`). It is off when no disk has its key any more, and each still refuses whoever has none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from fence_agents import scsi_disks
from fence_agents.agent import Agent, FenceError, OutcomeUnknown, Power, UsageError, Warn, run_from_process
from fence_agents.options import Action, Option, OptionKind, is_true
from fence_agents.reservations import Conflict, State, show
from fence_agents.reservations import Path as DiskPath
from fence_agents.scsi_disks import Disk

LOOK = 0.5
"""Seconds between two looks at the disks during the proof."""

_KEY = re.compile(r"(0[xX])?0*([0-9a-fA-F]{1,16})")


class Victim:
    """The disks, and the key of one machine on them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._name = values.get("plug") or values.get("nodename") or ""
        self._key = _key(values, self._name)
        self._shown = f"{self._name or 'the machine'} ({show(self._key)})"
        self._devices = tuple(device.strip() for device in values["devices"].split(",") if device.strip())
        if not all(device.startswith("/") for device in self._devices) or not self._devices:
            raise UsageError(f"option devices: found {values['devices']!r}; allowed: absolute paths, with commas")
        self._timeout = float(values["power_timeout"])
        self._proof_time = float(values["proof_time"])
        self._lasting = is_true(values["aptpl"])
        self._notes = Notes(Path(values["state_file"]))

    def validate(self) -> None:
        """The disks and sg_persist are here. Asks no disk."""
        for disk in scsi_disks.disks_of(self._devices):
            self._paths(disk)

    def monitor(self) -> None:
        """This machine could fence: each disk answers, knows its key, and refuses whoever has none."""
        for disk in scsi_disks.disks_of(self._devices):
            self._own(disk, self._read(disk), victim=None)

    def status(self) -> Power:
        """OFF when no disk lets the machine write."""
        states = [self._read(disk) for disk in scsi_disks.disks_of(self._devices)]
        return Power.ON if any(state.lets_write(self._key) for state in states) else Power.OFF

    def on(self) -> None:
        """On the machine itself: register its key on every path, and have the disk refuse whoever has none."""
        for disk in scsi_disks.disks_of(self._devices):
            self._register(disk)

    def off(self) -> str:
        disks = scsi_disks.disks_of(self._devices)
        known = {disk: self._own(disk, self._read(disk), victim=self._key) for disk in disks}
        told = absent = False
        # One after the other, and all machines in the same order: of two that shoot at once one loses at the first.
        for disk in disks:
            state, own = known[disk]
            if self._key in state.keys:
                told = True
                self._preempt(disk, own)
            else:
                absent = True
        self._prove(disks, told)
        proof = f"{self._shown} has no key on {', '.join(map(str, disks))}, read back"
        if absent and not told:
            proof += " (it had none)"
        return proof + (f", for {self._proof_time:g} s" if self._proof_time else "")

    def reboot(self, warn: Warn) -> str:
        raise AssertionError("not an action of this agent")

    # -- orders -------------------------------------------------------------------------------------------------

    def _register(self, disk: Disk) -> None:
        state = self._read(disk)
        noted = self._notes.key(disk)
        if noted is not None and noted != self._key and noted in state.keys:
            raise UsageError(
                f"{disk}: this machine has the key {show(noted)}, and {self._shown} is another: on is for itself"
            )
        place = scsi_disks.mounted_of(disk)
        if self._key not in state.keys and state.keys and place:
            raise FenceError(
                f"{disk}: this machine was shut out, and still has it mounted ({place}): what it has not written yet "
                "must never be written; reset the machine"
            )
        for path in self._paths(disk):
            path.register(self._key, self._lasting)
        self._notes.note(disk, self._key)
        if not state.held:
            # Another machine may be the first as well as this one.
            with contextlib.suppress(Conflict):
                self._by_any_path(disk, lambda path: path.reserve(self._key), lambda state: bool(state.held))
        after = self._read(disk)
        if self._key not in after.keys:
            raise FenceError(f"{disk}: {self._shown} was registered, and is not there")
        self._insist_on_reservation(disk, after)

    def _preempt(self, disk: Disk, own: int) -> None:
        self._by_any_path(disk, lambda path: path.preempt(own, self._key), lambda state: self._key not in state.keys)

    def _own(self, disk: Disk, state: State, victim: int | None) -> tuple[State, int]:
        """The state of a disk on which this machine can give orders, with its own key. Raises FenceError."""
        own = self._notes.key(disk)
        if own is None:
            raise FenceError(
                f"{disk}: this machine has registered no key there ({self._notes.path}): give the device of this "
                "machine unfence = true, or call its on"
            )
        if own == victim:
            raise UsageError(f"{self._shown} is this machine itself: nobody fences itself")
        if own not in state.keys:
            raise FenceError(f"{disk}: this machine's own key {show(own)} is gone: it was shut out itself")
        self._insist_on_reservation(disk, state)
        return state, own

    @staticmethod
    def _insist_on_reservation(disk: Disk, state: State) -> None:
        if state.lets_write(0):
            found = f"the reservation {state.held!r}" if state.held else "no reservation"
            raise FenceError(f"{disk}: found {found}; allowed: one for registrants, which refuses everybody else")

    def _prove(self, disks: tuple[Disk, ...], told: bool) -> None:
        """No disk lets the machine write, now and for the time of the proof. Raises FenceError if one does."""
        until = time.monotonic() + self._proof_time
        while True:
            for disk in disks:
                try:
                    state = self._read(disk)
                except FenceError as error:
                    raise OutcomeUnknown(f"can't be read back: {error}") if told else error from None
                if state.lets_write(self._key):
                    how = "is registered again" if self._key in state.keys else "needs no key any more"
                    raise FenceError(f"{self._shown} {how} on {disk}")
            if time.monotonic() >= until:
                return
            time.sleep(min(LOOK, max(0.0, until - time.monotonic())))

    # -- paths --------------------------------------------------------------------------------------------------

    def _paths(self, disk: Disk) -> list[DiskPath]:
        return [DiskPath(path, self._timeout) for path in disk.paths]

    def _read(self, disk: Disk) -> State:
        """What all paths that answer say; one must. What they do not agree about is the worst of it."""
        states, failed = [], []
        for path in self._paths(disk):
            try:
                states.append(path.read())
            except FenceError as error:
                failed.append(error)
        if not states:
            raise failed[0]
        keys = frozenset(key for state in states for key in state.keys)
        return State(keys, min((state.held for state in states), key=len))

    def _by_any_path(self, disk: Disk, order: Callable[[DiskPath], None], done: Callable[[State], bool]) -> None:
        """An order to a disk, which counts when it is seen to be done, whatever came back. Raises FenceError."""
        failed: list[FenceError] = []
        for path in self._paths(disk):
            try:
                return order(path)
            except FenceError as error:
                with contextlib.suppress(FenceError):
                    if done(self._read(disk)):
                        return None
                failed.append(error)
        unsure = next((error for error in failed if isinstance(error, OutcomeUnknown)), None)
        raise unsure or failed[0]


class Notes:
    """The keys that this machine has registered, until its next boot: whoever gives an order names his own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def key(self, disk: Disk) -> int | None:
        key = self._read().get(disk.name)
        return None if key is None else int(key, 16)

    def note(self, disk: Disk, key: int) -> None:
        noted = self._read() | {disk.name: show(key)}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            fresh.write_text(json.dumps(noted, indent=1))
            fresh.replace(self.path)
        except OSError as error:
            raise UsageError(f"option state_file: {self.path}: {error.strerror}") from None

    def _read(self) -> dict[str, str]:
        try:
            found: dict[str, str] = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise UsageError(f"option state_file: {self.path}: {error}") from None
        return found


def _key(values: Mapping[str, str], name: str) -> int:
    """The given one, or one made of the names of cluster and machine, which is the same on all nodes."""
    if given := values.get("key", ""):
        found = _KEY.fullmatch(given)
        if found is None or not int(found[2], 16):
            raise UsageError(f"option key: found {given!r}; allowed: up to 16 hexadecimal digits, and not 0")
        return int(found[2], 16)
    if not name or not values.get("cluster"):
        raise UsageError("option key is missing; or, for a key made of names, cluster and plug (the node's name)")
    cluster, node = (hashlib.sha256(text.encode()).digest()[:4] for text in (values["cluster"], name))
    return int.from_bytes(cluster + node)


def _validate(device: object) -> None:
    assert isinstance(device, Victim)
    device.validate()


AGENT = Agent(
    name="fence_hamgr_scsi",
    shortdesc="Shuts a machine out of shared disks by SCSI-3 persistent reservations; it does not switch it off",
    longdesc=(
        "Every machine registers a key on the disks (on, on the machine itself, before it uses them), and only who has "
        "one can write (Write Exclusive, Registrants Only). off takes a machine's key away (preempt and abort), and "
        "succeeds when it is read back that no disk has it. The machine runs on without its disks, also with its "
        "addresses: proof_time is for its own end, when it sees that it was shut out. Its disks must not be written "
        "by it again before it was reset, so on refuses a machine that was shut out and has one mounted."
    ),
    options=(
        Option(
            "devices", OptionKind.STRING, "The disks, by names that are the same on all nodes, with commas",
            ("-d", "--devices"), required=True,
        ),
        Option(
            "plug", OptionKind.STRING, "Name of the node; else the cluster's name for it", ("-n", "--plug"),
            aliases=("port",),
        ),
        Option("cluster", OptionKind.STRING, "Name of the cluster, for the keys", ("--cluster",)),
        Option(
            "key", OptionKind.STRING, "The node's key, 1 to 16 hexadecimal digits; else made of cluster and plug",
            ("-k", "--key"),
        ),
        Option(
            "aptpl", OptionKind.BOOLEAN, "Keys and reservation outlive a loss of power of the disk", ("-a", "--aptpl"),
            default="0",
        ),
        Option(
            "proof_time", OptionKind.SECOND, "Seconds that the machine is left to notice that it was shut out",
            ("--proof-time",), default="0",
        ),
        Option(
            "power_timeout", OptionKind.SECOND, "Seconds for one answer of a disk", ("--power-timeout",), default="3"
        ),
        Option(
            "state_file", OptionKind.STRING, "Where this machine notes its own keys, until its next boot",
            ("--state-file",), default="/run/hamgr/scsi-keys",
        ),
    ),
    actions=(Action.ON, Action.OFF, Action.STATUS, Action.MONITOR, Action.METADATA, Action.VALIDATE_ALL),
    open=Victim,
    validate=_validate,
    lets_in=True,
)  # fmt: skip


def main() -> int:
    return run_from_process(AGENT)
