"""`hamgr quorum`: who votes, and what is a quorum; `hamgr quorum override`: a human decides in place of lost voters."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from hamgr.cli import typed_name
from hamgr.cli.commands import DONE, FAILED, USAGE, socket_path, tell_answer

if TYPE_CHECKING:
    from hamgr.core.status import Status

_HEARD = ("self", "online", "suspect", "joining")


def quorum(args: argparse.Namespace) -> int:
    from hamgr.admin.convert import status_from_proto
    from hamgr.cli.client import ANSWER_TIMEOUT, STATUS_TIMEOUT, admin, operator
    from hamgr.v1 import admin_pb2 as pb

    with admin(socket_path(args)) as stub:
        status = status_from_proto(stub.GetStatus(pb.StatusRequest(), timeout=STATUS_TIMEOUT))
        if args.verb == "show":
            print(json.dumps(_facts(status)) if args.json else "\n".join(_lines(status)))
            return DONE
        lost = lost_nodes(status)
        if status.quorate and not status.override:
            text = f"{status.node} is a part of a quorum: its coordinator is {status.coordinator}"
            print(f"hamgr quorum override: refused: {text}", file=sys.stderr)
            return FAILED
        if not args.yes and not sys.stdin.isatty():
            print(check_list(status), file=sys.stderr)
        if not args.yes and not typed_name.confirms("hamgr quorum override", check_list(status), "node", status.node):
            return USAGE if not sys.stdin.isatty() else FAILED
        answer = stub.OverrideQuorum(pb.OverrideQuorumRequest(off=lost, operator=operator()), timeout=ANSWER_TIMEOUT)
    return tell_answer(args, answer, "quorum override")


def lost_nodes(status: Status) -> list[str]:
    return [node.name for node in status.nodes if node.state not in _HEARD]


def check_list(status: Status) -> str:
    """What must be made sure of before anybody decides in place of a quorum."""
    lost = lost_nodes(status)
    lines = [
        f"{status.node} will go on alone, without a quorum: it fences, and starts what is not running. It will count",
        "as sure, by your name, that these are off, and that what they ran is stopped:",
        "",
    ]
    for node in status.nodes:
        if node.name in lost:
            lines.append(f"  [ ] {node.name}: powered off or unplugged, seen with your own eyes ({node.state} here)")
    if status.arbiter.configured and not status.arbiter.connected:
        lines.append("  [ ] the arbiter can't be brought back soon (one that answers is better than your word)")
    lines += [
        f"  [ ] nobody does the same on another node: only {status.node} goes on",
        f"  [ ] {status.node} has the newest data: it did not miss what another one wrote after it",
        "",
        "If one of them still runs, two nodes will run the same service and data can be destroyed.",
        "It ends by itself as soon as there is a quorum again.",
    ]
    return "\n".join(lines)


def _facts(status: Status) -> dict[str, object]:
    return {
        "node": status.node,
        "quorate": status.quorate,
        "votes": status.votes,
        "all_votes": status.all_votes,
        "majority": status.majority,
        "electorate": status.electorate,
        "override": status.override,
        "voters": {node.name: node.votes for node in status.nodes},
        "arbiter": status.arbiter.votes,
    }


def _lines(status: Status) -> list[str]:
    """As `corosync-quorumtool -s` puts it."""
    expected = sum(node.votes for node in status.nodes) + status.arbiter.votes
    lines = [f"OVERRIDE: {status.override}", ""] if status.override else []
    lines += [
        f"Quorate:         {'by an override' if status.override else 'yes' if status.quorate else 'no'}",
        f"Coordinator:     {status.coordinator or 'nobody'}, epoch {status.epoch}",
        f"Expected votes:  {expected}",
        f"Total votes:     {status.votes}",
        f"Quorum:          {status.majority}",
        "",
        "Votes  Voter",
    ]
    lines += [f"{node.votes:5}  {node.name} ({node.state})" for node in status.nodes]
    if status.arbiter.configured:
        answers = "answers" if status.arbiter.connected else "does not answer"
        lines.append(f"{status.arbiter.votes:5}  the arbiter ({answers})")
    return lines
