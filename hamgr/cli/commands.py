"""What each command of `hamgr` does. Each returns the exit code: 0 done, 1 refused or failed, 2 wrong usage."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hamgr.cli import typed_name

if TYPE_CHECKING:
    from hamgr.config.problems import ConfigWarning
    from hamgr.config.source import Loaded, Places
    from hamgr.v1 import admin_pb2 as pb

DONE, FAILED, USAGE = 0, 1, 2


def status(args: argparse.Namespace) -> int:
    from hamgr.admin.convert import status_from_proto
    from hamgr.cli.client import STATUS_TIMEOUT, admin
    from hamgr.cli.render import render
    from hamgr.v1 import admin_pb2 as pb

    with admin(socket_path(args)) as stub:
        found = status_from_proto(stub.GetStatus(pb.StatusRequest(), timeout=STATUS_TIMEOUT))
    if args.json:
        from dataclasses import asdict

        print(json.dumps(asdict(found), default=lambda state: state.value))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        sys.stdout.write(render(found, colour))
    return DONE


def watch(args: argparse.Namespace) -> int:
    from hamgr.admin.convert import event_from_proto
    from hamgr.cli.client import admin
    from hamgr.cli.render import event_line
    from hamgr.v1 import admin_pb2 as pb

    with admin(socket_path(args)) as stub:
        for proto in stub.Watch(pb.WatchRequest(past=args.past, follow=not args.no_follow)):
            event = event_from_proto(proto)
            said = event.announce
            if args.json:
                shown: dict[str, object] = {"number": event.number, "time": event.time, "monotonic": event.monotonic}
                shown |= {"reporter": event.reporter, "kind": said.kind.value, "node": said.node}
                shown |= {"group": said.group, "link": said.link, "text": said.text, "facts": said.facts}
                print(json.dumps(shown), flush=True)
            else:
                print(event_line(event.time, event.reporter, said), flush=True)
    return DONE


def standby(args: argparse.Namespace) -> int:
    from hamgr.cli.client import ANSWER_TIMEOUT, admin, operator
    from hamgr.v1 import admin_pb2 as pb

    node, groups = _node_and_selection(args.words)
    request = pb.StandbyRequest(node=node, online=args.command == "online", operator=operator(), groups=groups)
    with admin(socket_path(args)) as stub:
        return tell_answer(args, stub.Standby(request, timeout=ANSWER_TIMEOUT))


def _node_and_selection(words: list[str]) -> tuple[str, str]:
    """`[NODE] [all|local|foreign|failback]`."""
    from hamgr.core.cluster import SELECTIONS

    groups = words[-1] if words and words[-1] in SELECTIONS else ""
    rest = words[:-1] if groups else words
    return (rest[0] if rest else ""), groups


def takeover(args: argparse.Namespace) -> int:
    from hamgr.cli.client import ANSWER_TIMEOUT, admin, operator
    from hamgr.v1 import admin_pb2 as pb

    request = pb.TakeoverRequest(group=args.group, node=args.node, operator=operator())
    with admin(socket_path(args)) as stub:
        return tell_answer(args, stub.Takeover(request, timeout=ANSWER_TIMEOUT))


def maintenance(args: argparse.Namespace) -> int:
    from hamgr.cli.client import ANSWER_TIMEOUT, admin, operator
    from hamgr.v1 import admin_pb2 as pb

    request = pb.MaintenanceRequest(on=args.word == "on", operator=operator())
    with admin(socket_path(args)) as stub:
        return tell_answer(args, stub.Maintenance(request, timeout=ANSWER_TIMEOUT))


def confirm(args: argparse.Namespace) -> int:
    from hamgr.cli.client import ANSWER_TIMEOUT, admin, operator
    from hamgr.v1 import admin_pb2 as pb

    with admin(socket_path(args)) as stub:
        return tell_answer(
            args, stub.Confirm(pb.ConfirmRequest(name=args.name, operator=operator()), timeout=ANSWER_TIMEOUT)
        )


def cleanup(args: argparse.Namespace) -> int:
    from hamgr.cli.client import ANSWER_TIMEOUT, admin, operator
    from hamgr.v1 import admin_pb2 as pb

    request = pb.CleanupRequest(group=args.group, node=args.node, operator=operator())
    with admin(socket_path(args)) as stub:
        return tell_answer(args, stub.Cleanup(request, timeout=ANSWER_TIMEOUT))


def fence(args: argparse.Namespace) -> int:
    """`hamgr fence NODE`, `hamgr fence ack NODE` and `hamgr fence history [NODE]`."""
    if args.words[0] == "history" and len(args.words) <= 2:
        from hamgr.cli.history import history

        return history(args, "".join(args.words[1:]))
    if len(args.words) == 2 and args.words[0] == "ack":
        return _acknowledge(args, args.words[1])
    if len(args.words) != 1:
        found = " ".join(args.words)
        print(f"hamgr fence: found {found}, allowed NODE, ack NODE or history [NODE]", file=sys.stderr)
        return USAGE
    from hamgr.cli.client import ANSWER_TIMEOUT, admin, operator
    from hamgr.v1 import admin_pb2 as pb

    with admin(socket_path(args)) as stub:
        return tell_answer(
            args, stub.Fence(pb.FenceRequest(node=args.words[0], operator=operator()), timeout=ANSWER_TIMEOUT)
        )


def _acknowledge(args: argparse.Namespace, node: str) -> int:
    if not args.yes and not _confirmed(node):
        return USAGE if not sys.stdin.isatty() else FAILED
    from hamgr.cli.client import ANSWER_TIMEOUT, admin, operator
    from hamgr.v1 import admin_pb2 as pb

    with admin(socket_path(args)) as stub:
        request = pb.ConfirmFencedRequest(node=node, operator=operator())
        return tell_answer(args, stub.ConfirmFenced(request, timeout=ANSWER_TIMEOUT))


def _confirmed(node: str) -> bool:
    warning = (
        f"You are about to say that {node} is off. Its groups will then start elsewhere.\n"
        f"Check first, at the machine or its power supply: is {node} really powered off, or unplugged?\n"
        "If it still runs, two nodes will run the same service and data can be destroyed."
    )
    return typed_name.confirms("hamgr fence ack", warning, "node", node)


def check(args: argparse.Namespace) -> int:
    from hamgr.cli import arbiter_disk
    from hamgr.config.local import check_local, examine_local, examine_warnings, local_warnings
    from hamgr.config.problems import ConfigError
    from hamgr.fencing.examine import examine
    from hamgr.resources.kinds import RESOURCE_KINDS

    hurts = []
    file = args.file or config_path(args)
    try:
        loaded = load(file, args.node)
        hurts = loaded.warnings
        if args.node:
            if (
                problems := check_local(loaded.config, loaded.node, RESOURCE_KINDS)
                or examine_local(loaded.config, loaded.node, RESOURCE_KINDS, examine)
                or arbiter_disk.problems(loaded.config, loaded.node)
            ):
                raise ConfigError(tuple(map(loaded.located, problems)))
            hurts += local_warnings(loaded.config, loaded.node)
            hurts += _identity_warnings(loaded)
            hurts += examine_warnings(loaded.config, loaded.node, RESOURCE_KINDS)
    except ConfigError as error:
        mistakes = error.problems
    else:
        mistakes = ()
    if args.json:
        shown = {
            "ok": not mistakes,
            "problems": [{"file": str(p.file), "key": p.key, "found": p.found, "allowed": p.allowed} for p in mistakes],
            "warnings": [{"file": str(w.file), "key": w.key, "text": w.text} for w in hurts],
        }
        print(json.dumps(shown))
        return USAGE if mistakes else DONE
    for line in (*mistakes, *hurts):
        print(line, file=sys.stderr)
    if not mistakes:
        print(f"{file}: good" + (f", {len(hurts)} warnings" if hurts else ""))
    return USAGE if mistakes else DONE


def _identity_warnings(loaded: Loaded) -> list[ConfigWarning]:
    arbiter = loaded.config.arbiter
    if arbiter is None or arbiter.identity is None:
        return []
    from hamgr.config.problems import ConfigWarning
    from hamgr.links.identity import fault_of

    fault = fault_of(arbiter.identity, loaded.config.spec.name, loaded.node, time.time())
    return [ConfigWarning(loaded.config.path, "arbiter.identity", fault)] if fault else []


def init(args: argparse.Namespace) -> int:
    from hamgr.config.problems import ConfigError
    from hamgr.config.toml import known_node
    from hamgr.store import StoreError, initialise

    try:
        loaded = load(config_path(args), args.node)
        config, node = loaded.config, loaded.node
        if (unknown := known_node(config, node)) is not None:
            raise ConfigError((unknown,))
        initialise(config.state_dir, config.spec.name, node)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return USAGE
    except StoreError as error:
        print(f"hamgr init: {error}", file=sys.stderr)
        return FAILED
    print(f"node {node} of cluster {config.spec.name} is initialised in {config.state_dir}; start hamgrd")
    return DONE


def socket_path(args: argparse.Namespace) -> Path:
    """--socket, else the admin_socket of --config, else HAMGR_SOCKET, else the default."""
    from hamgr.config.model import DEFAULT_ADMIN_SOCKET

    if args.socket is not None:
        return Path(args.socket)
    if args.config is not None:
        return places(args.config).admin_socket
    return Path(os.environ.get("HAMGR_SOCKET") or DEFAULT_ADMIN_SOCKET)


def config_path(args: argparse.Namespace) -> Path:
    from hamgr.config.model import DEFAULT_CONFIG

    return args.config or DEFAULT_CONFIG


def places(path: Path) -> Places:
    from hamgr.config import source
    from hamgr.resources.kinds import RESOURCE_KINDS

    return source.places(path, RESOURCE_KINDS)


def load(path: Path, node: str = "") -> Loaded:
    """A hamgr.toml, or a directory of Heartbeat's. node: who this machine is, "" to go by its host name."""
    from hamgr.config import source
    from hamgr.resources.kinds import RESOURCE_KINDS

    return source.load(path, RESOURCE_KINDS, node)


def tell_answer(args: argparse.Namespace, answer: pb.Answer, command: str = "") -> int:
    """What hamgrd said to a request, for people or as JSON; the exit code. command: its name, if it has two words."""
    if args.json:
        print(json.dumps({"done": answer.done, "text": answer.text}))
    if not answer.done:
        print(f"hamgr {command or args.command}: refused: {answer.text}", file=sys.stderr)
    elif not args.json:
        print(answer.text or "done")
    return DONE if answer.done else FAILED
