"""`hamgr-drbd-fence`: DRBD's handler for fence-peer, which tells DRBD what the cluster knows, and never more."""

from __future__ import annotations

import argparse
import os
import sys
import syslog
import time
from collections.abc import Mapping
from pathlib import Path

UNKNOWN = 1
"""DRBD goes on with 3 to 7 only (`hamgr.admin.drbd.Answer`)."""

PATIENCE = 60.0
"""Seconds until the answer is that nothing is known: a fencing with some attempts fits in."""

MARGIN = 5.0
RETRY = 0.5
"""Seconds until a hamgrd that just starts anew is asked again."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="hamgr-drbd-fence",
        description="DRBD's handler for fence-peer; with `unfence`, for unfence-peer and after-resync-target.",
    )
    parser.add_argument("verb", nargs="?", choices=("fence", "unfence"), default="fence")
    parser.add_argument("--timeout", type=float, default=PATIENCE, metavar="SECONDS", help="wait so long for an answer")
    parser.add_argument("--socket", metavar="PATH", help="hamgrd's admin socket (or HAMGR_SOCKET)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="take the admin socket from this file")
    args = parser.parse_args(argv)
    resource, peer = os.environ.get("DRBD_RESOURCE", ""), peer_of(os.environ)
    if args.verb == "unfence":
        # An outdated copy is good again by its resynchronisation; there is nothing else to take back.
        return _say(f"{resource}: in sync again", 0)
    if not resource:
        return _say("DRBD_RESOURCE is not set: this is called by DRBD, as its handler fence-peer", UNKNOWN)
    return _ask(args, resource, peer)


def peer_of(environment: Mapping[str, str]) -> str:
    """The host name of DRBD's peer: DRBD_PEER, or (DRBD 9) that of DRBD_PEER_NODE_ID; "" when it is not told."""
    if named := environment.get("DRBD_PEER", ""):
        return named
    number = environment.get("DRBD_PEER_NODE_ID", "")
    if named := environment.get(f"DRBD_NODE_ID_{number}", ""):
        return named
    several = environment.get("DRBD_PEERS", "").split()
    return several[0] if len(several) == 1 else ""


def _ask(args: argparse.Namespace, resource: str, peer: str) -> int:
    from hamgr.cli.client import NotAnswering, admin
    from hamgr.cli.commands import socket_path
    from hamgr.config.problems import ConfigError
    from hamgr.v1 import admin_pb2 as pb

    until = time.monotonic() + args.timeout
    while True:
        left = max(0.0, until - time.monotonic())
        try:
            with admin(socket_path(args)) as stub:
                request = pb.FenceDrbdPeerRequest(resource=resource, peer=peer, patience=left)
                answer = stub.FenceDrbdPeer(request, timeout=left + MARGIN)
        except (NotAnswering, ConfigError) as error:
            if isinstance(error, ConfigError) or left <= RETRY:
                return _say(f"{resource}, peer {peer}: {error}", UNKNOWN)
            time.sleep(RETRY)
            continue
        return _say(f"{resource}, peer {peer}: {answer.text}", answer.code)


def _say(text: str, code: int) -> int:
    """To syslog: what a handler prints is seen by nobody."""
    syslog.openlog("hamgr-drbd-fence", syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_WARNING if code == UNKNOWN else syslog.LOG_NOTICE, f"{text} ({code})")
    print(f"hamgr-drbd-fence: {text} ({code})", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
