"""`cl_status`: Heartbeat's questions to a cluster, answered by hamgrd in Heartbeat's words and with its exit codes.

After cl_status(1) and the program of heartbeat 3.0.6: 0 yes, 1 no or not running, 11 wrong usage or an unknown node,
13 no such link. Nodes are `normal`, ping targets are nodes of type `ping`.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hamgr import __version__
from hamgr.core.cluster import GroupState
from hamgr.core.status import NodeStatus, Status

YES, NO, WRONG, NO_LINK = 0, 1, 11, 13

_STATES = {"self": "active", "online": "active", "suspect": "active", "joining": "up"}
"""Heartbeat's words for the states of nodes; all others are "dead"."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the daemon says. pings: name of a target -> whether it answers."""

    status: Status
    pings: dict[str, bool]

    def nodes(self, kind: str) -> list[str]:
        """The names of the nodes of type "normal" or "ping", "" for all."""
        normal = [node.name for node in self.status.nodes] if kind != "ping" else []
        return normal + (list(self.pings) if kind != "normal" else [])

    def normal(self, name: str) -> NodeStatus | None:
        return next((node for node in self.status.nodes if node.name.lower() == name.lower()), None)

    def ping(self, name: str) -> str:
        """The target that is called so, or by the address that it is named after ("10.0.0.1" is 10-0-0-1); or ""."""
        found = re.sub(r"[^A-Za-z0-9_-]", "-", name)
        return name if name in self.pings else found if found in self.pings else ""

    def state(self, name: str) -> str:
        """ "" for an unknown node."""
        if (node := self.normal(name)) is not None:
            return _STATES.get(node.state, "dead")
        ping = self.ping(name)
        return "" if not ping else "ping" if self.pings[ping] else "dead"

    def links(self, name: str) -> dict[str, str]:
        """Link -> "up" or "dead"; a ping target is its own link."""
        if (node := self.normal(name)) is not None:
            return {link.link: "up" if link.up else "dead" for link in node.links}
        return {self.ping(name): "up" if self.state(name) == "ping" else "dead"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: {message}\n")


Answer = Callable[[Cluster, argparse.Namespace], int]


def main(words: Sequence[str]) -> int:
    parser = _parser()
    if not words:
        parser.print_help()
        return YES
    args = parser.parse_args(list(words))
    cluster = _ask(quiet=args.command == "hbstatus")
    if cluster is None:
        print("Heartbeat is stopped on this machine.", file=sys.stdout if args.command == "hbstatus" else sys.stderr)
        return NO
    answer: Answer = args.answer
    return answer(cluster, args)


def _parser() -> _Parser:
    parser = _Parser(prog="cl_status", description="Heartbeat's questions, answered by hamgrd.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, answer: Answer, text: str, *words: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text)
        one.set_defaults(answer=answer)
        one.add_argument("-m", dest="human", action="store_true", help="in a sentence")
        for word in words:
            one.add_argument(word)
        return one

    command("hbstatus", _hbstatus, "does the daemon run here?").add_argument("-v", dest="more", action="store_true")
    listnodes = command("listnodes", _listnodes, "the nodes and ping targets")
    listnodes.add_argument("-p", dest="kind", action="store_const", const="ping", default="", help="ping targets alone")
    listnodes.add_argument("-n", dest="kind", action="store_const", const="normal", help="nodes alone")
    listnodes.add_argument("-v", dest="more", action="store_true", help="their state, type and links too")
    command("nodestatus", _nodestatus, "active, up or dead; ping for a ping target that answers", "node")
    command("nodetype", _nodetype, "normal or ping", "node")
    listhblinks = command("listhblinks", _listhblinks, "the links to a node", "node")
    listhblinks.add_argument("-v", dest="more", action="store_true", help="their state too")
    command("hblinkstatus", _hblinkstatus, "up or dead", "node", "link")
    clients = command("clientstatus", _clientstatus, "of a client of Heartbeat: hamgr has none", "node", "client")
    clients.add_argument("timeout", nargs="?")
    command("rscstatus", _rscstatus, "which groups this node holds: all, local, foreign, none or transition")
    for name in ("hbparameter", "parameter"):
        parameter = command(name, _parameter, "what a directive of ha.cf(5) is set to")
        parameter.add_argument("-p", dest="parameter", required=True, metavar="NAME")
    return parser


def _ask(quiet: bool) -> Cluster | None:
    """What the daemon here says; None, and why on standard error, when it does not run."""
    from hamgr.admin.convert import status_from_proto
    from hamgr.cli.client import STATUS_TIMEOUT, NotAnswering, admin
    from hamgr.cli.commands import socket_path
    from hamgr.v1 import admin_pb2 as pb

    try:
        with admin(socket_path(argparse.Namespace(socket=None, config=None))) as stub:
            status = status_from_proto(stub.GetStatus(pb.StatusRequest(), timeout=STATUS_TIMEOUT))
            report = stub.GetLinks(pb.LinksRequest(), timeout=STATUS_TIMEOUT)
    except NotAnswering as error:
        if not quiet:
            print(f"cl_status: {error}", file=sys.stderr)
        return None
    return Cluster(status, {ping.name: ping.reachable for ping in report.pings})


def _hbstatus(cluster: Cluster, args: argparse.Namespace) -> int:
    print("Heartbeat is running on this machine.")
    if args.more:
        print(f'version:\thamgr {__version__}\nmanaged by:\t"haresources"\n')
        _tell_nodes(cluster, "")
    return YES


def _listnodes(cluster: Cluster, args: argparse.Namespace) -> int:
    if args.human:
        print("The nodes are as follow:")
    if args.more:
        _tell_nodes(cluster, args.kind)
    else:
        for name in cluster.nodes(args.kind):
            print(name)
    return YES


def _tell_nodes(cluster: Cluster, kind: str) -> None:
    for name in cluster.nodes(kind):
        print(f"{name}\t{cluster.state(name)}\t(nodetype: {_type(cluster, name)})")
        for link, state in cluster.links(name).items():
            print(f"\t{link}\t{state}")
        print()


def _type(cluster: Cluster, name: str) -> str:
    return "normal" if cluster.normal(name) is not None else "ping"


def _known(cluster: Cluster, name: str) -> bool:
    known = cluster.state(name) != ""
    if not known:
        print(f"cl_status: found node {name!r}, allowed {', '.join(cluster.nodes(''))}", file=sys.stderr)
    return known


def _nodestatus(cluster: Cluster, args: argparse.Namespace) -> int:
    if not _known(cluster, args.node):
        return WRONG
    state = cluster.state(args.node)
    print(f"The cluster node {args.node} is {state}" if args.human else state)
    return YES if state in ("active", "up", "ping") else NO


def _nodetype(cluster: Cluster, args: argparse.Namespace) -> int:
    if not _known(cluster, args.node):
        return WRONG
    kind = _type(cluster, args.node)
    print(f"The node {args.node}'s type: {kind}" if args.human else kind)
    return YES


def _listhblinks(cluster: Cluster, args: argparse.Namespace) -> int:
    if not _known(cluster, args.node):
        return WRONG
    if args.human:
        print("\tthis node has the following heartbeat links:")
    for link, state in cluster.links(args.node).items():
        print(f"\t{link}\t{state}" if args.more else f"\t{link}")
    return YES


def _hblinkstatus(cluster: Cluster, args: argparse.Namespace) -> int:
    if not _known(cluster, args.node):
        return NO_LINK
    links = cluster.links(args.node)
    # Heartbeat called a serial line by its device, hamgr by a name that a table may have.
    link = re.sub(r"[^A-Za-z0-9_-]", "-", args.link.removeprefix("/dev/"))
    if link not in links:
        allowed = ", ".join(links) or "none, it is this node"
        print(f"cl_status: found link {args.link!r}, allowed {allowed}", file=sys.stderr)
        return NO_LINK
    state = links[link]
    print(f"The node {args.node}'s heartbeat link {args.link} is {state}" if args.human else state)
    return YES if state == "up" else NO


def _clientstatus(cluster: Cluster, args: argparse.Namespace) -> int:
    print("offline")
    print("cl_status: hamgr has no clients; `hamgr watch --json` tells programs what happens", file=sys.stderr)
    return NO


def _rscstatus(cluster: Cluster, args: argparse.Namespace) -> int:
    word = held(cluster.status)
    print(f"This node is holding {word} resources." if args.human else word)
    return YES


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


def _parameter(cluster: Cluster, args: argparse.Namespace) -> int:
    value = parameter(_config_path(), args.parameter)
    if value is None:
        print(f"cl_status: found parameter {args.parameter!r}, allowed a directive that is set", file=sys.stderr)
        return NO
    print(f"Heartbeat parameter {args.parameter}'s value: {value}" if args.human else value)
    return YES


def _config_path() -> Path:
    """HAMGR_CONFIG, a file or a directory of Heartbeat's; else the first that is there."""
    from hamgr.config.model import DEFAULT_CONFIG, DEFAULT_HA_DIR

    if named := os.environ.get("HAMGR_CONFIG"):
        return Path(named)
    return DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else DEFAULT_HA_DIR


def parameter(path: Path, name: str) -> str | None:
    """A word of ha.cf as it is written there, else what the configuration comes to; None for what is not set."""
    from hamgr.cli.commands import load
    from hamgr.config.durations import show

    if name == "hbversion":
        return f"hamgr {__version__}"
    if path.is_dir() and (written := _written(path, name)) is not None:
        return written
    config = load(path).config
    timing = config.spec.timing
    if name in ("keepalive", "deadtime", "warntime", "initdead"):
        return show(getattr(timing, name))
    values = {
        "node": " ".join(config.spec.names),
        "deadping": show(config.pings[0].deadtime) if config.pings else show(timing.deadtime),
        "auto_failback": "on" if all(group.auto_failback for group in config.spec.groups) else "off",
        "nice_failback": "off" if all(group.auto_failback for group in config.spec.groups) else "on",
        "udpport": next((str(link.port) for link in config.links if link.kind in ("udp", "broadcast")), None),
        "baud": next((str(link.baud) for link in config.links if link.kind == "serial"), None),
    }
    return values.get(name)


def _written(directory: Path, name: str) -> str | None:
    from hamgr.config.heartbeat.build import HA_CF
    from hamgr.config.heartbeat.lines import lines_of

    return next((line.rest for line in reversed(list(lines_of(directory / HA_CF))) if line.word == name), None)
