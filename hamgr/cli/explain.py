"""`hamgr explain GROUP`: why a group runs where it does, asked of the coordinator from any node."""

from __future__ import annotations

import argparse
import json
import sys

from hamgr.cli.commands import DONE, FAILED, socket_path


def explain(args: argparse.Namespace) -> int:
    from hamgr.admin.convert import group_from_proto
    from hamgr.cli.client import STATUS_TIMEOUT, admin
    from hamgr.cli.render import explained
    from hamgr.v1 import admin_pb2 as pb

    with admin(socket_path(args)) as stub:
        reply = stub.Explain(pb.ExplainRequest(group=args.group), timeout=STATUS_TIMEOUT)
    if not reply.HasField("group"):
        print(f"hamgr explain: {reply.problem}", file=sys.stderr)
        return FAILED
    group = group_from_proto(reply.group)
    if args.json:
        facts = {"group": group.name, "target": group.target, "why": group.why, "waits": group.waits}
        print(json.dumps({**facts, "arbiter": reply.arbiter, "by": reply.by, "problem": reply.problem}))
    else:
        print("\n".join(explained(group, reply.by, reply.epoch, reply.arbiter)))
    if reply.problem:
        print(f"hamgr explain: that is all that {reply.by} knows: {reply.problem}", file=sys.stderr)
    return FAILED if reply.problem else DONE
