"""`hamgr alert test`: has the daemon send a message by each of its alerts, and shows how it went."""

from __future__ import annotations

import argparse
import json
import sys

from hamgr.cli.client import ANSWER_TIMEOUT, admin, operator
from hamgr.cli.commands import DONE, FAILED, socket_path
from hamgr.v1 import admin_pb2 as pb


def alert(args: argparse.Namespace) -> int:
    with admin(socket_path(args)) as stub:
        request = pb.TestAlertsRequest(alert=args.name, operator=operator())
        results = stub.TestAlerts(request, timeout=ANSWER_TIMEOUT).results
    if args.json:
        shown = [
            {"alert": one.alert, "way": one.way, "done": one.done, "text": one.text, "seconds": one.seconds}
            for one in results
        ]
        print(json.dumps({"results": shown}))
    if not results:
        missing = f"there is no [alert.{args.name}]" if args.name else "there is no [alert.NAME]"
        print(f"hamgr alert test: {missing} in the configuration that hamgrd runs with", file=sys.stderr)
        return FAILED
    for one in results:
        if not args.json:
            how = "sent" if one.done else f"NOT SENT: {one.text}"
            print(f"{one.alert}  {one.way}  {how} ({one.seconds * 1000:.0f} ms)")
    return DONE if all(one.done for one in results) else FAILED
