"""`fence-test --identify NODE`: proves whose power a device switches, by a node that is switched off from within.

The other way round, to switch by the device and see who dies, would kill a machine in production just when there is
something to be found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hamgr.cli import typed_name
from hamgr.cli.commands import DONE, FAILED, USAGE
from hamgr.config.table import either
from hamgr.fencing.runner import FenceRunner

if TYPE_CHECKING:
    from hamgr.config.model import Config, FenceDeviceConfig
    from hamgr.core.status import Status

LOOK_EVERY = 0.5
"""Seconds between two looks at all devices."""

GRACE = 5.0
"""Seconds after the first device went off in which the others of the machine follow: two power supplies, two BMCs."""


@dataclass(frozen=True, slots=True)
class Proof:
    """proven: the devices that went off with the node. wrong: what must be mended, in sentences."""

    proven: tuple[str, ...]
    wrong: tuple[str, ...]


def judge(config: Config, node: str, state: str, before: dict[str, str], after: dict[str, str]) -> Proof:
    """What the readings of all devices mean, before and after the node went off."""
    proven, wrong = [], []
    if state not in ("left", "unseen"):
        wrong.append(f"{node} is {state}, and did not leave cleanly: its device may be off by an order, not by itself")
    for device in config.fence_devices:
        went_off = before.get(device.name) == "on" and after.get(device.name) == "off"
        if device.node == node and went_off:
            proven.append(device.name)
        elif device.node == node:
            reads = after.get(device.name) or "nothing that can be believed"
            wrong.append(f"{device.name} is to switch {node}, which is off now, and reads {reads}: WRONG PLUG")
        elif went_off:
            wrong.append(f"{device.name} is to switch {device.node}, and went off with {node}: WRONG PLUG")
    return Proof(tuple(proven), tuple(wrong))


def identify(args: argparse.Namespace, config: Config, own: str, socket: Path) -> int:
    """Raises NotAnswering."""
    node = args.identify
    if node not in config.spec.names:
        print(f"fence-test: --identify: found {node!r}, allowed {either(config.spec.names)}", file=sys.stderr)
        return USAGE
    if why := hindrance(config, _status(socket), node):
        print(f"fence-test: --identify {node}: refused: {why}", file=sys.stderr)
        return FAILED
    if not args.yes and not _confirmed(node):
        return FAILED if sys.stdin.isatty() else USAGE
    return asyncio.run(_identify(args, config, own, socket))


def hindrance(config: Config, status: Status, node: str) -> str:
    """Why the node can't be switched off now; "" if it can."""
    if node == status.node:
        return "say it on another node, which stays on"
    if not any(_of(config, node)):
        return f"{node} has no fence device that switches it off"
    found = next((one for one in status.nodes if one.name == node), None)
    if found is None or found.state != "online":
        return f"{node} is {found.state if found else 'not known'}; it must be online"
    runs = [one.name for one in status.groups if one.owner == node or one.states.get(node, "stopped") != "stopped"]
    if runs:
        return f"{node} runs {', '.join(runs)}: hamgr standby {node}"
    if status.coordinator == status.node and not found.standby:
        return f"{node} is not on standby: hamgr standby {node}"
    return ""


def _status(socket: Path) -> Status:
    from hamgr.admin.convert import status_from_proto
    from hamgr.cli.client import STATUS_TIMEOUT, admin
    from hamgr.v1 import admin_pb2 as pb

    with admin(socket) as stub:
        return status_from_proto(stub.GetStatus(pb.StatusRequest(), timeout=STATUS_TIMEOUT))


def _confirmed(node: str) -> bool:
    warning = (
        f"You will be asked to switch {node} off from within (systemctl poweroff), and its fence device must notice.\n"
        f"Then the device is told to switch {node} on again. Nothing else is switched."
    )
    return typed_name.confirms("fence-test", warning, "node", node)


async def _identify(args: argparse.Namespace, config: Config, own: str, socket: Path) -> int:
    node = args.identify
    runner = FenceRunner(config, own)
    until = time.monotonic() + args.timeout
    try:
        await runner.start()
        before = await _readings(runner, config)
        dark = [one.name for one in _of(config, node) if before[one.name] != "on"]
        if dark:
            print(f"fence-test: {dark[0]} does not read on while {node} runs: mend that first", file=sys.stderr)
            return FAILED
        print(
            f"Now switch {node} off, on itself: systemctl poweroff. Waiting up to {args.timeout:g} s ...",
            file=sys.stderr,
        )
        after = await _wait_for_off(runner, config, node, before, until)
        if after is None:
            return _told(args, Proof((), (f"no device went off within {args.timeout:g} s",)), "")
        proof = judge(config, node, _state(await asyncio.to_thread(_status, socket), node), before, after)
        back = "" if proof.wrong else await _switch_on(runner, config, node, socket, until)
    finally:
        await runner.close()
    return _told(args, proof, back)


def _of(config: Config, node: str) -> Iterator[FenceDeviceConfig]:
    """Its devices that switch power; one that only lets it in shows nothing of that."""
    return (device for device in config.fence_devices if device.node == node and not device.unfence)


def _state(status: Status, node: str) -> str:
    return next(one.state for one in status.nodes if one.name == node)


async def _readings(runner: FenceRunner, config: Config) -> dict[str, str]:
    """Of all devices: "on", "off", or "" where none could be had."""
    answers = await asyncio.gather(*(runner.ask(device, "status") for device in config.fence_devices))
    return {device.name: answer.power for device, answer in zip(config.fence_devices, answers, strict=True)}


async def _wait_for_off(
    runner: FenceRunner, config: Config, node: str, before: dict[str, str], until: float
) -> dict[str, str] | None:
    """The readings once all devices of the node are off, or some device is and the others had their time."""
    first_off = None
    while (now := time.monotonic()) < until:
        after = await _readings(runner, config)
        if all(after[device.name] == "off" for device in _of(config, node)):
            return after
        if any(before[name] == "on" and after[name] == "off" for name in after):
            first_off = first_off or now
            if now > first_off + GRACE:
                return after
        await asyncio.sleep(LOOK_EVERY)
    return None


async def _switch_on(runner: FenceRunner, config: Config, node: str, socket: Path, until: float) -> str:
    """Have the node back; "" or why it is not."""
    for device in _of(config, node):
        answer = await runner.ask(device, "on")
        if answer.wrong:
            return f"{answer.wrong}: switch {node} on by hand"
    until = max(until, time.monotonic() + GRACE)
    while time.monotonic() < until:
        if _state(await asyncio.to_thread(_status, socket), node) == "online":
            return ""
        await asyncio.sleep(LOOK_EVERY)
    return f"{node} was switched on, and is not heard yet"


def _told(args: argparse.Namespace, proof: Proof, back: str) -> int:
    good = not proof.wrong and not back
    if args.json:
        shown = {"node": args.identify, "good": good, "proven": proof.proven, "wrong": proof.wrong, "reason": back}
        print(json.dumps(shown))
        return DONE if good else FAILED
    for name in proof.proven:
        print(f"{name} switches {args.identify}: it went off with it")
    for wrong in proof.wrong:
        print(f"FAIL: {wrong}")
    if back:
        print(f"FAIL: {back}")
    elif not proof.wrong:
        print(f"{args.identify} is on again, and online: hamgr online {args.identify} ends its standby")
    else:
        print(f"{args.identify} is left as it is: switch it on by hand when that is mended")
    return DONE if good else FAILED
