"""`hamgr resource check`: whether the resources of a group keep the rules, tried on this machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hamgr.cli import typed_name
from hamgr.cli.commands import DONE, FAILED, USAGE, config_path, load

if TYPE_CHECKING:
    from hamgr.config.model import Config, GroupConfig, ResourceConfig
    from hamgr.core.status import Status
    from hamgr.resources.check_rules import Step

INTERRUPTED = 130
"""Exit code after Ctrl-C, as of every command."""


def check(args: argparse.Namespace) -> int:
    loaded = load(config_path(args), args.node)
    config, node = loaded.config, loaded.node
    group = next((one for one in config.groups if one.name == args.group), None)
    if mistake := _mistake(config, group, node, args):
        print(f"hamgr resource check: {mistake}", file=sys.stderr)
        return USAGE
    assert group is not None
    nodes = config.spec.group(group.name).nodes or config.spec.names
    asks = _Daemon(Path(args.socket) if args.socket else config.admin_socket, group.name, nodes)
    if why := asks.hindrance():
        print(f"hamgr resource check: refused: {why}", file=sys.stderr)
        return FAILED
    if asks.unknown and not args.yes and not _confirmed(group.name, node, asks.unknown):
        return FAILED if sys.stdin.isatty() else USAGE
    return asyncio.run(_check(args, config, group, node, asks))


def _mistake(config: Config, group: GroupConfig | None, node: str, args: argparse.Namespace) -> str:
    """What is wrong with the command line; "" if nothing is."""
    from hamgr.config.table import either

    if group is None:
        return f"found group {args.group!r}, allowed {either([one.name for one in config.groups])}"
    nodes = config.spec.group(group.name).nodes or config.spec.names
    if node not in nodes:
        return (
            f"found node {node!r}, allowed {either(nodes)}: where group {group.name} may run (--node says who this is)"
        )
    names = [one.name for one in group.resources]
    if args.resource and args.resource not in names:
        return f"found resource {args.resource!r}, allowed {either(names)}"
    return ""


class _Daemon:
    """What the hamgrd of this machine says about a group: the check must not start what runs somewhere."""

    def __init__(self, socket: Path, group: str, nodes: tuple[str, ...]) -> None:
        self._socket = socket
        self._group = group
        self._answered: bool | None = None
        self.unknown = nodes
        """The nodes of which it does not say whether the group is stopped there: all, when there is no hamgrd."""

    @property
    def answers(self) -> bool:
        return bool(self._answered)

    def hindrance(self) -> str:
        """Why the group can't be started by hand; "" if it can."""
        from hamgr.cli.client import NotAnswering, NotRunning

        try:
            status = self._status()
        except NotRunning:
            if self._answered:
                return "hamgrd ended meanwhile, and may come back without maintenance"
            self._answered = False
            return ""
        except NotAnswering as error:
            return f"{error}; what it does is not known"
        if self._answered is False:
            return "hamgrd was started meanwhile"
        self._answered = True
        said = {node for one in status.groups if one.name == self._group for node in one.states}
        self.unknown = tuple(node for node in self.unknown if node not in said)
        return _why_not(status, self._group)

    def _status(self) -> Status:
        from hamgr.admin.convert import status_from_proto
        from hamgr.cli.client import STATUS_TIMEOUT, admin
        from hamgr.v1 import admin_pb2 as pb

        with admin(self._socket) as stub:
            return status_from_proto(stub.GetStatus(pb.StatusRequest(), timeout=STATUS_TIMEOUT))


def _why_not(status: Status, name: str) -> str:
    """Why a group can't be started beside a hamgrd of this status. Standby is not enough: it may start elsewhere."""
    group = next((one for one in status.groups if one.name == name), None)
    if group is not None:
        for node, state in group.states.items():
            if state != "stopped":
                return f"group {name} is {state} on {node}"
        if group.owner:
            return f"group {name} belongs to {group.owner}"
    if not status.maintenance:
        return (
            f"hamgrd runs here and may start group {name} somewhere at any moment; `hamgr maintenance on` keeps its "
            "hands off, while the group is stopped everywhere (put its nodes in standby before)"
        )
    return ""


def _confirmed(group: str, node: str, unknown: Sequence[str]) -> bool:
    warning = (
        f"Group {group} will be started and stopped on {node}, several times. No hamgrd here knows whether it is\n"
        f"stopped on {', '.join(unknown)}: is it? If it runs there, two nodes will run it and data can be destroyed."
    )
    return typed_name.confirms("hamgr resource check", warning, "group", group)


async def _check(args: argparse.Namespace, config: Config, group: GroupConfig, node: str, asks: _Daemon) -> int:
    from hamgr.resources.check_rules import Halted, Trial, Tried
    from hamgr.resources.kinds import RESOURCE_KINDS
    from hamgr.resources.resource import Surroundings

    nodes = config.spec.group(group.name).nodes or config.spec.names
    around = Surroundings(
        config.spec.name, node, config.spec.names, group.name, config.state_dir, group_nodes=nodes, candidate=False
    )
    members = [
        Tried(one, kind.build(one, around), kind.only_looks, functools.partial(_objections, one))
        for one in group.resources
        for kind in (RESOURCE_KINDS[one.kind],)
    ]
    wanted = [args.resource] if args.resource else [one.name for one in group.resources]
    steps: list[Step] = []

    def note(step: Step) -> None:
        steps.append(step)
        if not args.json:
            _print(_line(step, max(len(one.name) for one in group.resources)))

    async def hindrance() -> str:
        return await asyncio.to_thread(asks.hindrance)

    trial = Trial(members, note, hindrance)
    halted, code = "", DONE
    try:
        for member in members:
            await member.resource.prepare()
        with _interruptible():
            await trial.run(wanted, end=not asks.answers)
    except Halted as error:
        halted, code = str(error), FAILED
    except asyncio.CancelledError:
        halted, code = "interrupted", INTERRUPTED
    finally:
        for member in members:
            await member.resource.close()
    if trial.unstarted:
        halted = f"{trial.unstarted} did not start: what comes after it was not tried"
    return _told(args, group.name, node, steps, halted, code)


def _print(line: str) -> None:
    """Whoever closes the terminal, or reads only the first lines, keeps nothing from being stopped."""
    try:
        print(line, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _interruptible:
    """The first SIGINT or SIGTERM ends the trial, which then stops everything; more of them change nothing."""

    def __enter__(self) -> None:
        task, self._loop, self._asked = asyncio.current_task(), asyncio.get_running_loop(), False
        assert task is not None

        def ask() -> None:
            with contextlib.suppress(OSError):
                print("stopping what was started ...", file=sys.stderr, flush=True)
            if not self._asked:
                self._asked = True
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._loop.add_signal_handler(number, ask)

    def __exit__(self, *_error: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._loop.remove_signal_handler(number)


def _objections(config: ResourceConfig) -> Sequence[str]:
    """What the agents themselves, and this machine, have against the options: a missing program, bad meta-data ..."""
    from hamgr.resources.kinds import RESOURCE_KINDS

    kind, options = RESOURCE_KINDS[config.kind], config.options
    facts = dict.fromkeys((*kind.problems_here(options), *kind.thorough_problems_here(options)))
    told = [f"{key}: found {found}, allowed {allowed}" for key, found, allowed in facts]
    return [*told, *(f"{key}: {text}" for key, text in kind.warnings_here(options))]


def _line(step: Step, width: int) -> str:
    what = f"{step.action} after {step.after}" if step.after else step.action
    time = f"{step.seconds * 1000:.0f} ms of {step.allowed:g} s" if step.allowed else ""
    line = f"{step.resource:<{width}}  {what:<28}  {time:>16}  {step.found}"
    return f"{line}\n{'':<{width}}  BROKEN: {step.rule}" if step.rule else line


def _told(args: argparse.Namespace, group: str, node: str, steps: Sequence[Step], halted: str, code: int) -> int:
    count = sum(1 for step in steps if step.rule)
    good = not count and not halted
    if args.json:
        shown = {
            "group": group,
            "node": node,
            "good": good,
            "halted": halted,
            "steps": [asdict(step) for step in steps],
        }
        print(json.dumps(shown))
    else:
        if halted:
            _print(f"not finished: {halted}")
        _print(f"{group}: good on {node}, {len(steps)} steps" if good else f"{group}: {count} times a rule was broken")
    return code or (DONE if good else FAILED)
