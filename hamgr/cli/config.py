"""`hamgr config push`: bring a configuration to all nodes, and wait until they run it; or take that back."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hamgr.cli.client import ANSWER_TIMEOUT, STATUS_TIMEOUT, NotAnswering, admin, operator
from hamgr.cli.commands import DONE, FAILED, USAGE, config_path, socket_path, tell_answer
from hamgr.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from hamgr.core.status import Status

STAGE_TIMEOUT = 600.0
"""Seconds: 64 KiB over a line of 9,600 baud."""

SWITCH_TIMEOUT = 120.0
POLL = 0.2
"""Seconds between two looks at the status."""

GONE = ("left", "fenced", "acknowledged")


def config(args: argparse.Namespace) -> int:
    if args.verb == "withdraw":
        return _withdraw(args)
    file: Path = args.file or config_path(args)
    try:
        text = file.read_bytes()
    except OSError as error:
        print(f"hamgr config: {file}: {error.strerror}", file=sys.stderr)
        return USAGE
    return push(args, text)


def _withdraw(args: argparse.Namespace) -> int:
    with admin(socket_path(args)) as stub:
        answer = stub.WithdrawConfig(pb.WithdrawConfigRequest(operator=operator()), timeout=ANSWER_TIMEOUT)
    return tell_answer(args, answer, "config withdraw")


def push(args: argparse.Namespace, text: bytes) -> int:
    """Have it checked on all nodes, then switched to; said on the way."""
    path = socket_path(args)
    with admin(path) as stub:
        request = pb.StageConfigRequest(text=text, check_only=args.check, operator=operator())
        staged = stub.StageConfig(request, timeout=STAGE_TIMEOUT)
    good = bool(staged.digest) and not any(verdict.problems for verdict in staged.verdicts)
    if not args.json:
        _show(staged.verdicts)
    if not good or args.check:
        text_of_it = "every node would take it" if good else "nothing is changed"
        return _end(args, good, text_of_it, staged)
    done, said = _switch(path, staged.digest)
    return _end(args, done, said, staged)


def _switch(path: Path, digest: str) -> tuple[bool, str]:
    """Ask for it, and wait: the daemon that was asked starts anew itself, so the answer is what its status says."""
    answered, said = False, ""
    try:
        with admin(path) as stub:
            request = pb.SwitchConfigRequest(digest=digest, operator=operator())
            answer = stub.SwitchConfig(request, timeout=SWITCH_TIMEOUT)
            answered, said = answer.done, answer.text
    except NotAnswering as error:
        said = str(error)
    until = time.monotonic() + SWITCH_TIMEOUT
    status: Status | None = None
    while time.monotonic() < until:
        try:
            status = _status(path)
        except NotAnswering:
            time.sleep(POLL)
            continue
        if _everywhere(status, digest):
            return True, f"every node runs it ({digest})"
        if not status.pushing and not answered and status.coordinator:
            return False, said
        time.sleep(POLL)
    waits = "; ".join(status.waits) if status is not None else "hamgrd does not answer: look into its log"
    return False, f"not every node runs it yet: {waits}"


def _everywhere(status: Status, digest: str) -> bool:
    """Every node that is not known to be gone runs it, and all is decided again."""
    return (
        not status.pushing
        and status.coordinator != ""
        and all(node.config == digest for node in status.nodes if node.state not in (*GONE, "unseen"))
    )


def _status(path: Path) -> Status:
    from hamgr.admin.convert import status_from_proto

    with admin(path) as stub:
        return status_from_proto(stub.GetStatus(pb.StatusRequest(), timeout=STATUS_TIMEOUT))


def _show(verdicts: Iterable[pb.ConfigVerdictOfNode]) -> None:
    for verdict in verdicts:
        if not verdict.problems:
            print(f"{verdict.node}: ok" + "".join(f"; {note}" for note in verdict.notes))
        for problem in verdict.problems:
            print(f"{verdict.node}: {problem}", file=sys.stderr)


def _end(args: argparse.Namespace, done: bool, text: str, staged: pb.StageConfigReply) -> int:
    if args.json:
        nodes = {v.node: {"problems": list(v.problems), "notes": list(v.notes)} for v in staged.verdicts}
        print(json.dumps({"done": done, "text": text, "digest": staged.digest, "nodes": nodes}))
    if not done:
        print(f"hamgr {args.command}: refused: {text}", file=sys.stderr)
    elif not args.json:
        print(text)
    # Nothing but the file is wrong when it can't even be read.
    return DONE if done else (FAILED if staged.digest else USAGE)
