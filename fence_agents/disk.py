"""fence_hamgr_disk: leaves a poison pill on a shared disk, and believes the victim's acknowledgement after a silence.

The victim reads the pill in a process of its own, so also while its hamgrd is frozen or dead, writes that it dies, and
resets its machine. Whatever else happens, as when nobody reads there any more, is no proof: the outcome is unknown.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from fence_agents.agent import Agent, FenceError, OutcomeUnknown, Power, UsageError, Warn, run_from_process
from fence_agents.options import Action, Option, OptionKind
from hamgr.disk.device import Device, DeviceError, header_for
from hamgr.disk.records import (
    BLOCK,
    HEADERS,
    LEASES,
    Damaged,
    Header,
    Lease,
    Pill,
    State,
    decode_lease,
    decode_pill,
    encode_pill,
    lease_place,
    newest_header,
    pill_place,
)

LOOK = 0.02
"""Seconds between two looks at the victim's lease."""

SHORTEST_PROOF = 1.0
TORN_LOOKS = 5
"""So often in a row may a lease be damaged: once or twice it is just being written."""


class Victim:
    """The slot of one node on the disk."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._path = values["device"]
        self._cluster = values["cluster"]
        self._name = values.get("plug") or values.get("nodename") or ""
        if not self._name:
            raise UsageError("option plug is missing: the node's name in the cluster")
        self._timeout = float(values["power_timeout"])
        self._sender = os.uname().nodename

    def monitor(self) -> None:
        """The disk is there, is the cluster's, and has a slot for the node."""
        try:
            with Device(self._path, writable=False) as device:
                self._find(device)
        except (DeviceError, Damaged) as error:
            raise FenceError(str(error)) from None
        except OSError as error:
            raise FenceError(self._said(error)) from None

    def status(self) -> Power:
        """ON if the lease moves. OFF never: of a lease that stands nobody knows why."""
        try:
            with Device(self._path, writable=False) as device:
                header, slot = self._find(device)
                lease = first = self._lease(device, header, slot)
                until = time.monotonic() + 4 * lease.poll_ms / 1000 + LOOK
                while time.monotonic() < until and lease.beat == first.beat:
                    time.sleep(LOOK)
                    lease = self._lease(device, header, slot)
        except (DeviceError, Damaged) as error:
            raise FenceError(str(error)) from None
        except OSError as error:
            raise FenceError(self._said(error)) from None
        if lease.beat == first.beat:
            raise FenceError(f"the lease of {self._name} does not move: it may be off, or can't write to the disk")
        return Power.ON

    def on(self) -> None:
        raise AssertionError("not an action of this agent")

    def reboot(self, warn: Warn) -> str:
        raise AssertionError("not an action of this agent")

    def off(self) -> str:
        written = False
        try:
            with Device(self._path) as device:
                header, slot = self._find(device)
                lease = self._lease(device, header, slot)
                pill = self._pill_there(device, header, lease)
                if pill is None:
                    pill = Pill(header.uuid, slot, os.urandom(16), lease.life, time.time_ns() // 1000, self._sender)
                    written = True
                    device.write(pill_place(slot), encode_pill(pill))
                    device.sync()
                written = True
                return self._proven(device, header, self._acknowledged(device, header, pill), pill)
        except (DeviceError, Damaged) as error:
            raise (OutcomeUnknown(f"after the pill: {error}") if written else FenceError(str(error))) from None
        except OSError as error:
            said = self._said(error)
            raise (OutcomeUnknown(f"after the pill: {said}") if written else FenceError(said)) from None

    def _acknowledged(self, device: Device, header: Header, pill: Pill) -> Lease:
        """The lease that says that the victim dies of this pill. Raises OutcomeUnknown without one in time."""
        began = moved = time.monotonic()
        last = self._lease(device, header, pill.slot)
        while True:
            lease = self._lease(device, header, pill.slot)
            now = time.monotonic()
            if lease.life != pill.life:
                raise OutcomeUnknown(f"{self._name} has started anew since")
            if lease.state is State.DYING and lease.acknowledged == pill.nonce:
                return lease
            if lease.beat != last.beat:
                last, moved = lease, now
            if now - began > self._timeout:
                how = "goes on" if now - moved < 1 else f"has stood for {now - moved:.1f} s"
                raise OutcomeUnknown(
                    f"{self._name} did not acknowledge the pill within {self._timeout:g} s; its lease {how}"
                )
            time.sleep(LOOK)

    def _proven(self, device: Device, header: Header, said: Lease, pill: Pill) -> str:
        """The victim writes nothing more for the proven time. Raises OutcomeUnknown if it does."""
        proof = max(header.proven_ms / 1000, SHORTEST_PROOF)
        until = time.monotonic() + proof
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(LOOK, left))
            lease = self._lease(device, header, pill.slot)
            if lease != said:
                raise OutcomeUnknown(f"{self._name} said that it dies, and goes on writing")
        return f"{self._name} acknowledged the pill, and wrote nothing for {proof:g} s"

    def _pill_there(self, device: Device, header: Header, lease: Lease) -> Pill | None:
        """The pill of which the victim died already: an earlier attempt's, which ran out of time."""
        try:
            pill = decode_pill(device.read(pill_place(lease.slot)), header.uuid, lease.slot)
        except Damaged:
            return None
        dying = lease.state is State.DYING and pill is not None and lease.acknowledged == pill.nonce
        return pill if dying and pill is not None and pill.life == lease.life else None

    def _find(self, device: Device) -> tuple[Header, int]:
        header = header_for(device, self._cluster)
        slot = header.slot(self._name)
        if slot is None:
            raise DeviceError(f"{self._path} has no slot for {self._name}: it has {', '.join(header.nodes)}")
        return header, slot

    def _lease(self, device: Device, header: Header, slot: int) -> Lease:
        """The victim's lease, on a disk that still is the one that it was. Raises Damaged, DeviceError."""
        for look in range(TORN_LOOKS):
            blocks = device.read(HEADERS[0], LEASES + slot + 1)
            now = newest_header(blocks[: len(HEADERS) * BLOCK])
            if now is None or now.uuid != header.uuid or now.slot(self._name) != slot:
                raise DeviceError(f"{self._path} was overwritten or initialised anew")
            try:
                lease = decode_lease(blocks[lease_place(slot) * BLOCK :], header.uuid, slot)
            except Damaged:
                if look == TORN_LOOKS - 1:
                    raise
                time.sleep(LOOK / TORN_LOOKS)
                continue
            if lease is None:
                raise DeviceError(f"{self._name} never wrote to {self._path}: nobody there would read a pill")
            return lease
        raise AssertionError("the last look returns or raises")

    def _said(self, error: OSError) -> str:
        return f"{self._path}: {error.strerror or error}"


AGENT = Agent(
    name="fence_hamgr_disk",
    shortdesc="A poison pill on a disk that all nodes of a hamgr cluster share",
    longdesc=(
        "Writes a pill into the node's slot of a disk that `hamgr disk init` made. The node's link of kind disk, with "
        "`reset`, reads it, acknowledges it and resets the machine, also when its hamgrd is frozen or dead. Success is "
        "the acknowledgement, and then the disk's proven time without another word. A node that has lost the disk or "
        "its power is not fenced by it: the outcome is unknown."
    ),
    options=(
        Option("device", OptionKind.STRING, "The shared disk, as this machine names it", ("--device",), required=True),
        Option("cluster", OptionKind.STRING, "The cluster that it must be of", ("--cluster",), required=True),
        Option(
            "plug",
            OptionKind.STRING,
            "Name of the node; else the cluster's name for it",
            ("-n", "--plug"),
            aliases=("port",),
        ),
        Option(
            "power_timeout",
            OptionKind.SECOND,
            "Seconds for the acknowledgement",
            ("--power-timeout",),
            default="8",
        ),
    ),
    actions=(Action.OFF, Action.STATUS, Action.MONITOR, Action.METADATA, Action.VALIDATE_ALL),
    open=Victim,
)


def main() -> int:
    return run_from_process(AGENT)
