"""`hamgr rebalance`: move groups so that the nodes are as even as they can be, one move after the other."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from hamgr.cli.commands import DONE, FAILED, USAGE, socket_path
from hamgr.cli.typed_name import confirms

if TYPE_CHECKING:
    from hamgr.v1 import admin_pb2 as pb

LOOK = 0.2
"""Seconds between two looks at a group that is on its way."""

TELL = 5.0
"""Seconds after which it is said what is waited for."""

EVEN = "there is nothing to move: the nodes are as even as they can be"


class _Stopped(Exception):
    """What was moved stays; the text says why no more is."""


def rebalance(args: argparse.Namespace) -> int:
    from hamgr.cli.client import admin

    if args.json and not (args.yes or args.dry_run):
        print("hamgr rebalance: --json goes with --dry-run or --yes", file=sys.stderr)
        return USAGE
    with admin(socket_path(args)) as stub:
        plan = _plan(stub, args.groups)
        if plan.problem:
            print(f"hamgr rebalance: {plan.problem}", file=sys.stderr)
            return FAILED
        if args.dry_run or not plan.moves:
            _show(plan, args.json)
            return DONE
        if not args.yes:
            _show(plan, False)
            warning = "Each of these groups is stopped, and started on the other node; one after the other."
            if not confirms("hamgr rebalance", warning, "cluster", _cluster(stub)):
                return USAGE if not sys.stdin.isatty() else FAILED
        return _carry_out(stub, args, plan)


def _carry_out(stub: Any, args: argparse.Namespace, plan: pb.RebalancePlan) -> int:
    moved: list[pb.Move] = []
    text, code, under_way = "", DONE, ""
    try:
        for move in plan.moves:
            _begin(stub, args.groups, move)
            under_way = f"; {move.group} is still on its way to {move.target}"
            _arrives(stub, move)
            under_way = ""
            moved.append(move)
            if not args.json:
                print(f"{move.group} runs on {move.target}", flush=True)
    except _Stopped as reason:
        text, code = str(reason), FAILED
    except KeyboardInterrupt:
        text, code = f"interrupted{under_way}", 130
    left = len(plan.moves) - len(moved)
    if args.json:
        print(json.dumps({"done": code == DONE, "moved": list(map(_facts, moved)), "left": left, "text": text}))
    if text:
        stays = f"; {len(moved)} of {len(plan.moves)} moves are done, and stay" if moved else ""
        print(f"hamgr rebalance: {text}{stays}", file=sys.stderr)
    return code


def _begin(stub: Any, groups: list[str], move: pb.Move) -> None:
    """As soon as nothing else is on its way. Raises _Stopped."""
    from hamgr.cli.client import ANSWER_TIMEOUT, operator
    from hamgr.v1 import admin_pb2 as pb

    waiting = _Waiting()
    while (now := _plan(stub, groups)).hindrance:
        waiting.look(now.hindrance)
    if now.problem:
        raise _Stopped(now.problem)
    request = pb.RebalanceRequest(groups=groups, group=move.group, node=move.target, operator=operator())
    answer = stub.Rebalance(request, timeout=ANSWER_TIMEOUT)
    if not answer.done:
        raise _Stopped(f"{move.group} is not moved: {answer.text}")


def _arrives(stub: Any, move: pb.Move) -> None:
    """Wait until it runs there. Raises _Stopped if it does not come there."""
    from hamgr.cli.client import STATUS_TIMEOUT
    from hamgr.v1 import admin_pb2 as pb

    waiting = _Waiting()
    while True:
        found = stub.Explain(pb.ExplainRequest(group=move.group), timeout=STATUS_TIMEOUT)
        group = found.group
        if (group.owner, group.state) == (move.target, "started"):
            return
        if not found.problem and group.target != move.target:
            where = f"to run on {group.target}" if group.target else "to run nowhere"
            raise _Stopped(f"{move.group} did not come to {move.target}: it is {group.state}, {where}")
        waiting.look("; ".join(group.waits) or found.problem or f"{move.group} is {group.state}")


class _Waiting:
    """Something takes its time, and the human is told what if it is long."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._told = ""

    def look(self, what: str) -> None:
        if time.monotonic() > self._since + TELL and what != self._told:
            self._told = what
            print(f"waiting: {what}", file=sys.stderr, flush=True)
        time.sleep(LOOK)


def _plan(stub: Any, groups: list[str]) -> pb.RebalancePlan:
    from hamgr.cli.client import STATUS_TIMEOUT
    from hamgr.v1 import admin_pb2 as pb

    found: pb.RebalancePlan = stub.PlanRebalance(pb.PlanRebalanceRequest(groups=groups), timeout=STATUS_TIMEOUT)
    return found


def _cluster(stub: Any) -> str:
    from hamgr.cli.client import STATUS_TIMEOUT
    from hamgr.v1 import admin_pb2 as pb

    return str(stub.GetStatus(pb.StatusRequest(), timeout=STATUS_TIMEOUT).cluster)


def _facts(move: pb.Move) -> dict[str, object]:
    along, halted = list(move.along), list(move.halted)
    facts: dict[str, object] = {"group": move.group, "source": move.source, "target": move.target}
    return {**facts, "along": along, "halted": halted, "why": move.why}


def _show(plan: pb.RebalancePlan, as_json: bool) -> None:
    from hamgr.core.balance import Move

    if as_json:
        moves = list(map(_facts, plan.moves))
        print(json.dumps({"moves": moves, "fixed": list(plan.fixed), "hindrance": plan.hindrance}))
        return
    for move in plan.moves:
        print(Move(move.group, move.source, move.target, move.why, tuple(move.along), tuple(move.halted)))
    if not plan.moves:
        print(EVEN)
    for line in plan.fixed:
        print(line)
    if plan.hindrance:
        print(f"but not now: {plan.hindrance}")
