"""`fence-test`: the command line, and which devices are tried from where."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hamgr import __version__
from hamgr.cli.commands import DONE, FAILED, USAGE, config_path, load

if TYPE_CHECKING:
    from hamgr.config.model import Config
    from hamgr.core.status import Status
    from hamgr.fencing.trial import Hearing, Trial

AT_ONCE = 4
"""Devices that are tried at the same time, so that a time tells of the device and not of this machine."""


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    from hamgr.cli.client import NotAnswering
    from hamgr.config.problems import ConfigError

    try:
        return _run(args)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return USAGE
    except NotAnswering as error:
        print(f"fence-test: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fence-test",
        description="Try every fence device of the configuration, without switching anything; or shoot a node and"
        " watch. Exit code: 0 all is good, 1 something failed, 2 wrong usage or configuration.",
    )
    parser.add_argument("--version", action="version", version=f"fence-test {__version__}")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration (/etc/hamgr/hamgr.toml)")
    parser.add_argument("--ha-dir", type=Path, dest="config", metavar="DIR", help="or Heartbeat's files in this one")
    parser.add_argument("--socket", metavar="PATH", help="hamgrd's admin socket (as in the configuration)")
    parser.add_argument("--node", default="", help="this node's name (the host name)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML too")
    parser.add_argument("--here", action="store_true", help="from this node alone, not from the others too")
    parser.add_argument(
        "--identify", metavar="NODE", help="prove which device is this node's, by switching the node off"
    )
    parser.add_argument("--live", metavar="NODE", help="SWITCH THIS NODE OFF, and watch the cluster recover")
    parser.add_argument("--yes", action="store_true", help="(identify, live) don't ask for the node's name")
    parser.add_argument(
        "--timeout", type=float, default=120.0, metavar="S", help="(identify, live) how long to wait (120)"
    )
    return parser


def _run(args: argparse.Namespace) -> int:
    from hamgr.config.problems import ConfigError
    from hamgr.config.toml import known_node

    loaded = load(config_path(args), args.node)
    config, node = loaded.config, loaded.node
    if (unknown := known_node(config, node)) is not None:
        raise ConfigError((unknown,))
    if not config.fence_devices:
        print(f"fence-test: {config.path} has no [fence.NAME]: nothing can be fenced", file=sys.stderr)
        return USAGE
    socket = Path(args.socket) if args.socket else config.admin_socket
    if args.live and args.identify:
        print("fence-test: found --live and --identify, allowed one of them", file=sys.stderr)
        return USAGE
    if args.identify:
        from hamgr.cli.fences.identify import identify

        return identify(args, config, node, socket)
    if args.live:
        from hamgr.cli.fences.live import live

        return live(args, config, node, socket)
    return _try_all(args, config, node, socket)


def _try_all(args: argparse.Namespace, config: Config, node: str, socket: Path) -> int:
    status = _status(socket)
    if status is None:
        why = "hamgrd does not run here, so which other machines are on is not known, and their plugs were not checked"
    elif args.here:
        why = "from this node alone, as you asked"
    elif _own_digest(status) != config.digest:
        why = f"{config.path} is not what hamgrd runs, so it was tried from here only"
    else:
        return _told(args, config, node, *_from_everywhere(config, socket))
    trials = asyncio.run(_from_here(config, node, _hearing(config, status)))
    return _told(args, config, node, trials, [why])


def _own_digest(status: Status) -> str:
    return next((node.config for node in status.nodes if node.name == status.node), "")


def _from_everywhere(config: Config, socket: Path) -> tuple[list[Trial], list[str]]:
    """By the hamgrds of all nodes: trials in the order of the configuration, and what could not be tried."""
    from hamgr.cli.client import admin
    from hamgr.fencing.trial import Trial
    from hamgr.v1 import admin_pb2 as pb

    trials, notes = [], []
    with admin(socket) as stub:
        for one in stub.TestFences(pb.TestFencesRequest()):
            if one.problem:
                notes.append(f"{one.device} was not tried from {one.tester}: {one.problem}")
            else:
                trials.append(Trial.from_dict(json.loads(one.json)))
    order = [device.name for device in config.fence_devices]
    names = config.spec.names
    return sorted(trials, key=lambda one: (order.index(one.device), names.index(one.tester))), sorted(notes)


def _status(socket: Path) -> Status | None:
    """What hamgrd says; None when there is none."""
    from hamgr.admin.convert import status_from_proto
    from hamgr.cli.client import STATUS_TIMEOUT, NotRunning, admin
    from hamgr.v1 import admin_pb2 as pb

    try:
        with admin(socket) as stub:
            return status_from_proto(stub.GetStatus(pb.StatusRequest(), timeout=STATUS_TIMEOUT))
    except NotRunning:
        return None


def _hearing(config: Config, status: Status | None) -> Mapping[str, Hearing]:
    from hamgr.fencing.trial import Hearing
    from hamgr.fencing.trials import hearing

    return {name: hearing(status, name) if status else Hearing.UNKNOWN for name in config.spec.names}


async def _from_here(config: Config, node: str, hearing: Mapping[str, Hearing]) -> list[Trial]:
    from hamgr.fencing.runner import FenceRunner
    from hamgr.fencing.trial import try_device

    runner = FenceRunner(config, node)
    few = asyncio.Semaphore(AT_ONCE)

    async def one(index: int) -> Trial:
        async with few:
            device = config.fence_devices[index]
            return await try_device(runner, config, device, node, hearing[device.node])

    try:
        await runner.start()
        return list(await asyncio.gather(*(one(index) for index in range(len(config.fence_devices)))))
    finally:
        await runner.close()


def _told(args: argparse.Namespace, config: Config, node: str, trials: Sequence[Trial], notes: list[str]) -> int:
    from hamgr.cli.fences.junit import junit_xml
    from hamgr.cli.fences.matrix import render, summary

    notes = [*notes, *_notes(config, trials)]
    untried = _untried(config, trials)
    if args.junit:
        try:
            args.junit.write_text(junit_xml(trials, datetime.now(UTC)))
        except OSError as error:
            print(f"fence-test: {args.junit}: {error.strerror}", file=sys.stderr)
            return USAGE
    good = not any(trial.failed for trial in trials)
    if args.json:
        shown = {"cluster": config.spec.name, "node": node, "good": good, "untried": untried, "notes": notes}
        print(json.dumps(shown | {"trials": [trial.as_dict() for trial in trials]}))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        sys.stdout.write(render(trials, colour) + "\n" + "".join(f"{note}\n" for note in notes))
        print(f"{config.spec.name}: {summary(trials, untried)}")
    return DONE if good else FAILED


def _untried(config: Config, trials: Sequence[Trial]) -> list[str]:
    """The nodes that would use some device and did not try it."""
    tried = {(trial.device, trial.tester) for trial in trials}
    return [
        name
        for name in config.spec.names
        if any((one.name, name) not in tried for one in config.fence_devices if one.node != name)
    ]


def _notes(config: Config, trials: Sequence[Trial]) -> list[str]:
    bare = [one.name for one in config.spec.nodes if one.fence_levels == 0]
    notes = [f"{name} has no fence device: it can't be fenced" for name in bare]
    if untried := _untried(config, trials):
        notes.append(f"run fence-test there too: {', '.join(untried)}")
    return notes


if __name__ == "__main__":
    sys.exit(main())
