"""`hamgr arbiter accept`: an operator says that another store is the cluster's arbiter from now on; `hamgr arbiter
explain`: why an arbiter that is a disk gave its vote as it did."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from hamgr.cli import typed_name
from hamgr.cli.commands import DONE, FAILED, USAGE, config_path, load, socket_path, tell_answer

if TYPE_CHECKING:
    from hamgr.core.status import Status


def arbiter(args: argparse.Namespace) -> int:
    return _explain(args) if args.verb == "explain" else _accept(args)


def _explain(args: argparse.Namespace) -> int:
    """What this node decided, also while no hamgrd runs here: each node does the arbiter's work for itself."""
    from arbiter.explaining import kept, tell
    from arbiter.store import StoreError

    config = load(config_path(args)).config
    name = config.spec.name
    if config.arbiter is None or not config.arbiter.disks:
        told = f"the arbiter of {name} is a host: say there `hamgr-arbiter explain {name}`"
        told = told if config.arbiter is not None else f"cluster {name} has no arbiter ({config.path})"
        print(f"hamgr arbiter explain: {told}", file=sys.stderr)
        return FAILED
    try:
        tell(kept(config.state_dir, name), name, args.json)
    except StoreError as error:
        print(f"hamgr arbiter explain: {error}", file=sys.stderr)
        return FAILED
    return DONE


def _accept(args: argparse.Namespace) -> int:
    from hamgr.admin.convert import status_from_proto
    from hamgr.cli.client import ANSWER_TIMEOUT, STATUS_TIMEOUT, admin, operator
    from hamgr.v1 import admin_pb2 as pb

    with admin(socket_path(args)) as stub:
        status = status_from_proto(stub.GetStatus(pb.StatusRequest(), timeout=STATUS_TIMEOUT))
        store = status.arbiter.store
        if not status.arbiter.connected or not store:
            why = status.arbiter.detail or "it does not say who it is"
            print(f"hamgr arbiter accept: no arbiter answers {status.node}: {why}", file=sys.stderr)
            return FAILED
        if store == status.arbiter.accepted:
            print(f"{store} is the cluster's arbiter already")
            return DONE
        if not args.yes and not _confirmed(status):
            return USAGE if not sys.stdin.isatty() else FAILED
        request = pb.AcceptArbiterRequest(store=store, operator=operator())
        answer = stub.AcceptArbiter(request, timeout=ANSWER_TIMEOUT)
    return tell_answer(args, answer, "arbiter accept")


def _confirmed(status: Status) -> bool:
    found = status.arbiter
    warning = (
        f"The arbiter that answers{f' at {found.address}' if found.address else ''} keeps its votes in the store"
        f" {found.store};\nthe cluster's arbiter was {found.accepted or 'none'}, whose votes will never count again.\n"
        "Check first: was the old one really replaced (a new host, a lost disk)? If it is only away, start it.\n"
        "Do all nodes reach the new one? `hamgr status` on each names it."
    )
    return typed_name.confirms("hamgr arbiter accept", warning, "cluster", status.cluster)
