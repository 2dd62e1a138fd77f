"""Makes a device the cluster's own: refuses one that holds anything else, and adds slots to one that is ours."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import time
from collections.abc import Sequence

from hamgr.disk.device import Device, DeviceError
from hamgr.disk.records import (
    BLOCK,
    BLOCKS,
    BLOCKS_WITH_VOTES,
    HEADERS,
    LEASES,
    NOBODY,
    SLOTS,
    VOTES,
    Damaged,
    Header,
    blank,
    decode_lease,
    encode_header,
)
from hamgr.disk.signatures import HEAD_BYTES, found_on

ASK_TIMEOUT = 10.0
_BLKID_NOTHING = 2


def make(device: Device, cluster: str, nodes: Sequence[str], proven_ms: int, force: bool) -> tuple[Header, str]:
    """The header, and what was done, in a sentence. Raises DeviceError with what else is there, unless forced."""
    if len(nodes) > SLOTS:
        raise DeviceError(f"{len(nodes)} nodes, a device has {SLOTS} slots")
    try:
        old = device.header()
        damage = ""
    except Damaged as error:
        old, damage = None, str(error)
    if old is not None and old.cluster == cluster and not force:
        return _extend(device, old, nodes, proven_ms)
    if not force and (found := [damage] * bool(damage) or _foreign(device, old)):
        raise DeviceError(f"{device.path} holds {' and '.join(found)}; --force overwrites it")
    votes = os.urandom(16) if device.has_room_for_votes else NOBODY
    header = Header(cluster, os.urandom(16), tuple(nodes), proven_ms, made_us=time.time_ns() // 1000, votes=votes)
    # Nothing of a header before all behind it is empty.
    device.write(0, blank() * (BLOCKS_WITH_VOTES if device.has_room_for_votes else BLOCKS))
    _write(device, header)
    return header, f"{device.path} is a disk of cluster {cluster} now, with slots for {', '.join(nodes)}"


def _extend(device: Device, old: Header, nodes: Sequence[str], proven_ms: int) -> tuple[Header, str]:
    """Slots keep their nodes; a new node gets one that is free, or one whose node is not in the cluster anymore."""
    names = list(old.nodes)
    new = [node for node in nodes if node not in names]
    for node in new:
        if len(names) < SLOTS:
            names.append(node)
        else:
            names[next(slot for slot, name in enumerate(names) if name not in nodes)] = node
    adds_votes = old.votes == NOBODY and device.has_room_for_votes
    votes = os.urandom(16) if adds_votes else old.votes
    header = dataclasses.replace(old, nodes=tuple(names), proven_ms=proven_ms, serial=old.serial + 1, votes=votes)
    if dataclasses.replace(header, serial=old.serial) == old:
        return old, f"{device.path} is a disk of cluster {old.cluster} already; nothing to do"
    if adds_votes:
        device.write(VOTES, blank() * (BLOCKS_WITH_VOTES - VOTES))
    for node in new:
        slot = header.nodes.index(node)
        device.write(LEASES + slot, blank())
        device.write(LEASES + SLOTS + slot, blank())
    _write(device, header)
    more = [f"slots for {', '.join(new)} too"] if new else []
    more += ["room for the arbiter's vote"] if adds_votes else []
    more += [f"a proven time of {proven_ms} ms"] if proven_ms != old.proven_ms else []
    return header, f"{device.path}, a disk of cluster {old.cluster}, has {' and '.join(more)} now"


def renew_votes(device: Device, header: Header) -> Header:
    """Forget the arbiter's votes, which may be damaged: it learns anew before it votes.

    The header comes first. Whoever reads a slot, and then finds the header that he knew, has read what was there.
    """
    renewed = dataclasses.replace(header, serial=header.serial + 1, votes=os.urandom(16))
    _write(device, renewed)
    device.write(VOTES, blank() * (BLOCKS_WITH_VOTES - VOTES))
    device.sync()
    return renewed


def _write(device: Device, header: Header) -> None:
    """One copy after the other, each on the disk before the next: one of them is whole at any time."""
    device.sync()
    for place in HEADERS:
        device.write(place, encode_header(header, place))
        device.sync()


def _foreign(device: Device, old: Header | None) -> list[str]:
    if old is not None:
        return [f"leases of hamgr cluster {old.cluster!r}{_last_written(device, old)}"]
    head = device.read(0, -(-HEAD_BYTES // BLOCK))
    return found_on(head) or _asked_blkid(device.path)


def _last_written(device: Device, header: Header) -> str:
    last = 0
    blocks = device.read(LEASES, SLOTS)
    for slot in range(len(header.nodes)):
        try:
            lease = decode_lease(blocks[slot * BLOCK : (slot + 1) * BLOCK], header.uuid, slot)
        except Damaged:
            continue
        last = max(last, lease.at_us if lease is not None else 0)
    return f", last written {time.time() - last / 1e6:.0f} s ago" if last else ""


def _asked_blkid(path: str) -> list[str]:
    """What libblkid says beyond what we know; nothing if it is not installed."""
    program = shutil.which("blkid", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program is None:
        return []
    try:
        ended = subprocess.run(
            [program, "-p", "-o", "export", path], capture_output=True, text=True, timeout=ASK_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{path}: blkid did not say what is on it: {error}") from None
    if ended.returncode == _BLKID_NOTHING:
        return []
    facts = dict(line.partition("=")[::2] for line in ended.stdout.splitlines())
    kinds = [facts[name] for name in ("TYPE", "PTTYPE") if name in facts]
    return [f"{' and '.join(kinds)}, as blkid says"] if kinds else ["something that blkid can't tell for sure"]
