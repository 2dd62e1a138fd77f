"""`hb_standby`, `hb_takeover` and `cl_status`: Heartbeat's names for hamgr's commands, for scripts that call them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from hamgr.cli.commands import DONE, FAILED, USAGE
from hamgr.cli.main import main as hamgr
from hamgr.core.cluster import SELECTIONS, GroupState
from hamgr.core.status import NodeStatus, Status

_STATES = {"self": "active", "online": "active", "suspect": "active", "joining": "up"}
"""Heartbeat's words for the states of nodes (cl_status(1)); all others are "dead"."""


def hb_standby() -> int:
    """`hb_standby [all|foreign|local|failback]`: this node gives groups up, and stays ready to take them again."""
    return _move("hb_standby", "standby")


def hb_takeover() -> int:
    """`hb_takeover [all|foreign|local|failback]`: this node takes groups over."""
    return _move("hb_takeover", "takeover")


def _move(prog: str, verb: str) -> int:
    parser = argparse.ArgumentParser(prog=prog, description=f"Heartbeat's name for `hamgr {verb}` of this node.")
    parser.add_argument("groups", nargs="?", default="all", choices=SELECTIONS)
    groups = parser.parse_args().groups
    if verb == "takeover":
        return hamgr(["takeover", groups])
    if groups != "all":
        return hamgr(["standby", groups])
    # Heartbeat's standby hands over and is over; ours lasts until `online`, so the groups are handed over in two parts.
    return max(hamgr(["standby", "local"]), hamgr(["standby", "foreign"]))


def cl_status() -> int:
    """The commands of cl_status(1) that say something of a hamgr cluster."""
    parser = argparse.ArgumentParser(prog="cl_status", description="Heartbeat's name for questions to `hamgr status`.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, answer: Callable[[Status, argparse.Namespace], int], text: str, *words: str) -> None:
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(answer=answer)
        for word in words:
            one.add_argument(word)

    command("hbstatus", _hbstatus, "does the daemon run here?")
    command("listnodes", _listnodes, "the cluster's nodes")
    command("nodestatus", _nodestatus, "active, up or dead", "node")
    command("listhblinks", _listhblinks, "the links to a node", "node")
    command("hblinkstatus", _hblinkstatus, "up or dead", "node", "link")
    command("rscstatus", _rscstatus, "which groups this node holds: all, local, foreign, none or transition")
    args = parser.parse_args()
    status = _status()
    if status is None:
        print("Heartbeat is stopped on this machine.", file=sys.stdout if args.command == "hbstatus" else sys.stderr)
        return FAILED
    code: int = args.answer(status, args)
    return code


def _status() -> Status | None:
    from hamgr.admin.convert import status_from_proto
    from hamgr.cli.client import STATUS_TIMEOUT, NotAnswering, admin
    from hamgr.cli.commands import socket_path
    from hamgr.v1 import admin_pb2 as pb

    path: Path = socket_path(argparse.Namespace(socket=None, config=None))
    try:
        with admin(path) as stub:
            return status_from_proto(stub.GetStatus(pb.StatusRequest(), timeout=STATUS_TIMEOUT))
    except NotAnswering as error:
        print(f"cl_status: {error}", file=sys.stderr)
        return None


def _hbstatus(status: Status, args: argparse.Namespace) -> int:
    print("Heartbeat is running on this machine.")
    return DONE


def _listnodes(status: Status, args: argparse.Namespace) -> int:
    print("\n".join(node.name for node in status.nodes))
    return DONE


def _node(status: Status, name: str) -> NodeStatus | None:
    found = next((node for node in status.nodes if node.name == name), None)
    if found is None:
        allowed = ", ".join(node.name for node in status.nodes)
        print(f"cl_status: found node {name!r}, allowed {allowed}", file=sys.stderr)
    return found


def _nodestatus(status: Status, args: argparse.Namespace) -> int:
    node = _node(status, args.node)
    if node is None:
        return USAGE
    print(_STATES.get(node.state, "dead"))
    return DONE


def _listhblinks(status: Status, args: argparse.Namespace) -> int:
    node = _node(status, args.node)
    if node is None:
        return USAGE
    for link in node.links:
        print(f"\t{link.link}")
    return DONE


def _hblinkstatus(status: Status, args: argparse.Namespace) -> int:
    node = _node(status, args.node)
    if node is None:
        return USAGE
    link = next((link for link in node.links if link.link == args.link), None)
    if link is None:
        allowed = ", ".join(link.link for link in node.links) or "none, it is this node"
        print(f"cl_status: found link {args.link!r}, allowed {allowed}", file=sys.stderr)
        return USAGE
    print("up" if link.up else "dead")
    return DONE


def _rscstatus(status: Status, args: argparse.Namespace) -> int:
    print(held(status))
    return DONE


def held(status: Status) -> str:
    """Which groups the node that says this holds, in Heartbeat's words."""
    moving = (GroupState.STARTING, GroupState.STOPPING)
    if any(group.state in moving and status.node in (group.owner, group.target) for group in status.groups):
        return "transition"
    mine = {group.home == status.node for group in status.groups if group.owner == status.node}
    local = [group for group in status.groups if group.home == status.node]
    foreign = [group for group in status.groups if group.home != status.node]
    if all(group.owner == status.node for group in status.groups) and status.groups:
        return "all"
    if mine == {True} or (mine and not foreign):
        return "local"
    if mine == {False} or (mine and not local):
        return "foreign"
    return "all" if mine else "none"
