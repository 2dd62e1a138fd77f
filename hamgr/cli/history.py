"""`hamgr fence history`: every fencing, with who did it and why, by which devices, and how it ended."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from hamgr.cli.commands import DONE, socket_path

if TYPE_CHECKING:
    from hamgr.core.messages import PastFence


def history(args: argparse.Namespace, node: str) -> int:
    from hamgr.cli.client import STATUS_TIMEOUT, admin
    from hamgr.links.convert import past_fence_in
    from hamgr.v1 import admin_pb2 as pb

    with admin(socket_path(args)) as stub:
        found = stub.GetFenceHistory(pb.FenceHistoryRequest(node=node), timeout=STATUS_TIMEOUT)
    fences = [past_fence_in(fence) for fence in found.fences]
    if args.json:
        print(json.dumps({"fences": [asdict(fence) for fence in fences]}))
        return DONE
    for fence in fences:
        print(told(fence))
    if not fences:
        print(f"no fencing of {node} is known" if node else "no fencing is known")
    return DONE


def told(fence: PastFence) -> str:
    """Three lines for a human: what, who and why, by what."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(fence.asked_at))
    took = f" after {fence.finished_at - fence.asked_at:.2f} s" if fence.level else ""
    votes = f" by the votes of {', '.join(fence.votes)}" if fence.votes else ""
    lines = [f"{when}  {fence.node}  {fence.outcome}{took}"]
    lines.append(f"    {fence.by}, epoch {fence.epoch}{votes}: {fence.reason}")
    if fence.operator and fence.operator not in fence.reason:
        lines.append(f"    {fence.operator} asked for it too")
    if fence.level:
        devices = ", ".join(fence.devices) or "no device"
        attempts = f"{fence.attempts} attempt{'' if fence.attempts == 1 else 's'}"
        lines.append(f"    level {fence.level} ({devices}), {attempts}: {fence.detail}")
    return "\n".join(lines)
