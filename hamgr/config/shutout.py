"""Fence devices that only shut a node out of its disks: what must hold so that its addresses are gone as well.

Such a node lives on. It ends itself when it sees that it was shut out, and its guard does so at the end of its lease;
the agent waits for both (`proof_time`) before it says *off*. A power switch in the same level makes that needless.
"""

from __future__ import annotations

from collections.abc import Iterator

from hamgr.config.durations import show
from hamgr.config.model import Config, FenceDeviceConfig, SelfFence
from hamgr.config.table import Mistakes, Table
from hamgr.core.cluster import QuorumLoss

SCSI = "fence_hamgr_scsi"
DISKS_ONLY = frozenset({SCSI, "fence_scsi", "fence_mpath"})
"""Agents that leave the machine running."""

MARGIN = 1.0
"""Seconds that the guard needs at most to take addresses away."""

LONGEST_READING = 5.0
"""Seconds beside the proof for the orders and for reading them back."""

UNFENCE_CHECK, SHORTEST_CHECK = 2.0, 0.5


def read_check(table: Table, unfence: bool) -> float:
    """Seconds between two looks of a node whether it was shut out; 0 for none."""
    found = table.duration("unfence_check", UNFENCE_CHECK if unfence else 0.0, 0.0)
    if "unfence_check" in table.values and not unfence:
        table.wrong("unfence_check", "nothing without unfence = true")
    elif 0 < found < SHORTEST_CHECK:
        table.wrong("unfence_check", f"{show(SHORTEST_CHECK)} or more, or 0 for never")
    return found


def shuts_out_only(device: FenceDeviceConfig) -> bool:
    return device.agent.rpartition("/")[2] in DISKS_ONLY


def alone(config: Config, device: FenceDeviceConfig) -> bool:
    """Whether nothing in its level switches the machine off."""
    level = [other for other in config.fence_devices if (other.node, other.level) == (device.node, device.level)]
    return all(map(shuts_out_only, level))


def check(config: Config, mistakes: Mistakes) -> None:
    for device in config.fence_devices:
        if device.agent.rpartition("/")[2] == SCSI:
            for key, found, allowed in _problems(config, device):
                mistakes.note(key, found, allowed)


def _problems(config: Config, device: FenceDeviceConfig) -> Iterator[tuple[str, str, str]]:
    here = f"fence.{device.name}"
    if not device.unfence:
        yield f"{here}.unfence", "false", f"true: {device.node} registers its key by it"
        return
    proof = _seconds(device.options.get("proof_time", "0"))
    if proof is not None and device.timeout < proof + LONGEST_READING:
        allowed = f"{show(proof + LONGEST_READING)} or more: proof_time and {show(LONGEST_READING)}"
        yield f"{here}.timeout", show(device.timeout), allowed
    if not alone(config, device):
        return
    beside = f"with {device.name}, which leaves {device.node} running, or a power switch in the same level"
    if config.spec.on_quorum_loss is QuorumLoss.FREEZE:
        yield "cluster.on_quorum_loss", '"freeze"', f'"stop" {beside}'
    if config.self_fence is SelfFence.NONE:
        yield "cluster.self_fence", '"none"', f'"stop" or "reboot" {beside}'
    if not device.unfence_check:
        yield f"{here}.unfence_check", "0", f"{show(SHORTEST_CHECK)} or more, or a power switch in the same level"
    needed = config.spec.timing.lease + device.unfence_check + MARGIN
    if proof is not None and proof < needed:
        allowed = (
            f"{needed:g} or more (lease, unfence_check and {show(MARGIN)}: so long addresses may stay on "
            f"{device.node}), or a power switch in the same level"
        )
        yield f"{here}.options.proof_time", f"{proof:g}", allowed


def _seconds(text: str) -> float | None:
    """None for what is none: the agent's metadata will say that."""
    try:
        return float(text)
    except ValueError:
        return None
