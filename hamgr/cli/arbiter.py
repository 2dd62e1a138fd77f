"""`hamgr arbiter accept`: an operator says that another store is the cluster's arbiter from now on."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from hamgr.cli import typed_name
from hamgr.cli.commands import DONE, FAILED, USAGE, socket_path, tell_answer

if TYPE_CHECKING:
    from hamgr.core.status import Status


def arbiter(args: argparse.Namespace) -> int:
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
