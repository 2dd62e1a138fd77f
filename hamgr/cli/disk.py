"""`hamgr disk`: makes a shared disk the cluster's, shows who wrote there and when, and takes poison pills back."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime
from typing import Any

from hamgr.cli.commands import DONE, FAILED, config_path, load
from hamgr.config import durations
from hamgr.disk.device import Device, DeviceError, voting_header
from hamgr.disk.making import make, renew_votes
from hamgr.disk.records import (
    BLOCK,
    LEASES,
    NOBODY,
    SLOTS,
    VOTE_BLOCKS,
    VOTES,
    Damaged,
    Header,
    Lease,
    Pill,
    blank,
    decode_lease,
    decode_pill,
    pill_place,
)
from hamgr.disk.votes import newest_slip

SHORTEST_PROVEN = 2.0
"""Seconds: far above the moment that a node needs to take its word back, when it could not reset itself."""

SHORTEST_LOOK, LONGEST_LOOK = 0.2, 5.0
"""Seconds between the two looks of `show`: only who wrote in between is alive."""


def disk(args: argparse.Namespace) -> int:
    try:
        match args.verb:
            case "init":
                return _init(args)
            case "show":
                return _show(args)
            case _:
                return _clear(args)
    except (DeviceError, Damaged) as error:
        print(f"hamgr disk {args.verb}: {error}", file=sys.stderr)
    except OSError as error:
        print(f"hamgr disk {args.verb}: {args.device}: {error.strerror or error}", file=sys.stderr)
    return FAILED


def _init(args: argparse.Namespace) -> int:
    config = load(config_path(args)).config
    spec = config.spec
    try:
        proven = durations.parse(args.proven) if args.proven else max(SHORTEST_PROVEN, 2 * spec.timing.deadtime)
        if proven < SHORTEST_PROVEN:
            raise ValueError(f"at least {durations.show(SHORTEST_PROVEN)}")
    except ValueError as error:
        print(f"hamgr disk init: --proven: found {args.proven!r}, allowed {error}", file=sys.stderr)
        return FAILED
    # Exclusive: what is mounted, or part of a volume group, is in use (EBUSY).
    with Device(args.device, exclusive=True) as device:
        if args.new_votes:
            header = renew_votes(device, voting_header(device, spec.name))
            done = f"{device.path}: all votes are forgotten; the arbiter learns anew from the nodes before it votes"
        else:
            header, done = make(device, spec.name, spec.names, round(proven * 1000), args.force)
    print(json.dumps(_header_facts(args.device, header)) if args.json else done)
    return DONE


def _read(device: Device) -> tuple[Header, list[Lease | str | None], list[Pill | str | None]]:
    """The header, and for each slot its lease and its pill; a text for what is damaged."""
    header = device.header()
    if header is None:
        raise DeviceError(f"{device.path} has no hamgr header: `hamgr disk init {device.path}` makes one")
    blocks = device.read(LEASES, 2 * SLOTS)
    leases: list[Lease | str | None] = []
    pills: list[Pill | str | None] = []
    for slot in range(len(header.nodes)):
        try:
            leases.append(decode_lease(_block(blocks, slot), header.uuid, slot))
        except Damaged as error:
            leases.append(str(error))
        try:
            pills.append(decode_pill(_block(blocks, SLOTS + slot), header.uuid, slot))
        except Damaged as error:
            pills.append(str(error))
    return header, leases, pills


def _block(blocks: bytes, number: int) -> bytes:
    return blocks[number * BLOCK : (number + 1) * BLOCK]


def _show(args: argparse.Namespace) -> int:
    with Device(args.device, writable=False) as device:
        header, before, _ = _read(device)
        polls = [lease.poll_ms / 1000 for lease in before if isinstance(lease, Lease)]
        time.sleep(min(max([SHORTEST_LOOK, *(2 * poll for poll in polls)]), LONGEST_LOOK))
        header, leases, pills = _read(device)
        votes = _votes(device, header)
    slots = []
    for slot, node in enumerate(header.nodes):
        earlier = before[slot] if slot < len(before) else None
        facts = _slot_facts(earlier, leases[slot], pills[slot])
        slots.append({"slot": slot, "node": node, **facts, "vote": votes[slot] if votes else None})
    facts = {**_header_facts(args.device, header), "arbiter": header.votes != NOBODY, "slots": slots}
    print(json.dumps(facts)) if args.json else _print(facts)
    return DONE


def _votes(device: Device, header: Header) -> list[dict[str, Any] | None]:
    """What each slot says of the arbiter's vote; an empty list for a disk without it."""
    if header.votes == NOBODY:
        return []
    blocks = device.read(VOTES, SLOTS * VOTE_BLOCKS)
    found: list[dict[str, Any] | None] = []
    for slot in range(len(header.nodes)):
        try:
            slip = newest_slip(blocks[slot * VOTE_BLOCKS * BLOCK :], header.votes, slot).slip
        except Damaged as error:
            found.append({"damaged": str(error)})
            continue
        facts = None if slip is None else {"epoch": slip.epoch, "for": slip.value, "decided": slip.decided}
        found.append(facts)
    return found


def _header_facts(path: str, header: Header) -> dict[str, Any]:
    return {
        "device": path,
        "cluster": header.cluster,
        "uuid": header.uuid.hex(),
        "nodes": list(header.nodes),
        "proven": header.proven_ms / 1000,
    }


def _slot_facts(before: Lease | str | None, lease: Lease | str | None, pill: Pill | str | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"written": None, "moves": False, "state": "empty", "pill": None}
    if isinstance(lease, str):
        facts["state"] = lease
    elif lease is not None:
        same = isinstance(before, Lease) and (before.life, before.beat) == (lease.life, lease.beat)
        facts |= {
            "state": lease.state.name.lower(),
            "moves": not same,
            "written": lease.at_us / 1e6,
            "life": lease.life.hex(),
            "beat": lease.beat,
            "poll": lease.poll_ms / 1000,
        }
    if isinstance(pill, str):
        facts["pill"] = {"damaged": pill}
    elif pill is not None:
        acknowledged = isinstance(lease, Lease) and lease.acknowledged == pill.nonce != NOBODY
        facts["pill"] = {"from": pill.sender, "at": pill.at_us / 1e6, "acknowledged": acknowledged}
    return facts


def _print(facts: dict[str, Any]) -> None:
    proven = durations.show(facts["proven"])
    print(f"{facts['device']}: cluster {facts['cluster']}, proven time {proven}, {facts['uuid']}\n")
    print(f"{'SLOT':<5} {'NODE':<12} {'LEASE':<9} {'STATE':<9} WRITTEN (BY ITS CLOCK)")
    for slot in facts["slots"]:
        if slot["written"] is None:
            print(f"{slot['slot']:<5} {slot['node']:<12} {'-':<9} {slot['state']}")
        else:
            at = datetime.fromtimestamp(slot["written"]).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
            moves = "moves" if slot["moves"] else "STANDS"
            print(f"{slot['slot']:<5} {slot['node']:<12} {moves:<9} {slot['state']:<9} {at}")
        if (pill := slot["pill"]) is not None:
            print(f"      pill: {_pill_text(pill, slot['node'])}")
        if (vote := slot["vote"]) is not None:
            print(f"      arbiter: {_vote_text(vote)}")


def _vote_text(vote: dict[str, Any]) -> str:
    if "damaged" in vote:
        return f"{vote['damaged']}; `hamgr disk init --new-votes` forgets all votes"
    if vote["decided"]:
        return f"the vote of epoch {vote['epoch']} is {vote['for']}'s"
    if vote["for"]:
        return f"votes for {vote['for']} in epoch {vote['epoch']}, undecided"
    return f"votes above epoch {vote['epoch']}"


def _pill_text(pill: dict[str, Any], node: str) -> str:
    if "damaged" in pill:
        return str(pill["damaged"])
    at = datetime.fromtimestamp(pill["at"]).strftime("%Y-%m-%d %H:%M:%S")
    return f"from {pill['from']} at {at}, {'acknowledged' if pill['acknowledged'] else 'not acknowledged'} by {node}"


def _clear(args: argparse.Namespace) -> int:
    with Device(args.device) as device:
        header, _, pills = _read(device)
        if args.node and header.slot(args.node) is None:
            print(f"hamgr disk clear: found {args.node!r}, allowed {', '.join(header.nodes)}", file=sys.stderr)
            return FAILED
        chosen = [slot for slot, node in enumerate(header.nodes) if pills[slot] is not None and args.node in ("", node)]
        for slot in chosen:
            device.write(pill_place(slot), blank())
        device.sync()
    cleared = [header.nodes[slot] for slot in chosen]
    if args.json:
        print(json.dumps({"cleared": cleared}))
    else:
        print(f"taken back: the pill of {', '.join(cleared)}" if cleared else "there is no pill to take back")
    return DONE
