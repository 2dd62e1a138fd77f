"""`hamgr`: the administrator's command line."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from hamgr import __version__
from hamgr.cli import commands


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    args = _parser(words).parse_args(words)
    try:
        code: int = args.hamgr_command(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return commands.DONE if args.command in ("watch", "links") else 130
    except BrokenPipeError:
        # The reader (`| head`) has enough. The interpreter's last flush must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return commands.DONE
    except Exception as error:
        return _explained(args.command, error)


def _explained(command: str, error: Exception) -> int:
    """One clear line for the errors that a command can end with; anything else is a defect and keeps its trace.

    The classes are looked up here, so that a command that ends well never imports them.
    """
    from hamgr.cli.client import NotAnswering
    from hamgr.config.problems import ConfigError

    if isinstance(error, NotAnswering):
        print(f"hamgr {command}: {error}", file=sys.stderr)
        return commands.FAILED
    if isinstance(error, ConfigError):
        print(error, file=sys.stderr)
        return commands.USAGE
    raise error


def _parser(words: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hamgr", description="Look after a hamgr cluster.")
    parser.add_argument("--version", action="version", version=f"hamgr {__version__}")
    parser.add_argument("--socket", metavar="PATH", help="the daemon's admin socket (or HAMGR_SOCKET)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="take the admin socket from this file")
    parser.add_argument(
        "--ha-dir", type=Path, dest="config", metavar="DIR", help="or from Heartbeat's files in this one"
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, carry_out: object, text: str, json: bool = True) -> argparse.ArgumentParser:
        one = subparsers.add_parser(name, help=text, description=text)
        one.set_defaults(hamgr_command=carry_out)
        if json:
            one.add_argument("--json", action="store_true", help="print JSON")
        return one

    command("status", commands.status, "say whether all is well, who runs what, and what is awaited")
    explain = command("explain", _explain, "say why a group runs on its node, and not on another one")
    explain.add_argument("group")
    links = command("links", _links, "say how well each link works: loss, round trip, jitter, refused frames")
    links.add_argument("--watch", action="store_true", help="again each second, until Ctrl-C")
    watch = command("watch", commands.watch, "print what happens, as it happens")
    watch.add_argument("--past", type=int, choices=range(1001), default=0, metavar="N", help="N earlier events first")
    watch.add_argument("--no-follow", action="store_true", help="end after the earlier events")
    standby = command("standby", commands.standby, "move all groups away from a node for good; or some, once")
    standby.add_argument("words", nargs="*", metavar="[NODE] [all|local|foreign|failback]", action=_NodeAndSelection)
    online = command("online", commands.standby, "end a node's standby")
    online.add_argument("words", nargs="*", metavar="[NODE]", action=_NodeAndSelection)
    takeover = command("takeover", commands.takeover, "move a group (or all) to a node, by default this one")
    takeover.add_argument("group", nargs="?", default="", metavar="[GROUP|all|local|foreign|failback]")
    takeover.add_argument("--node", default="")
    rebalance = command("rebalance", _rebalance, "move spread groups so that the nodes are as even as they can be")
    rebalance.add_argument("groups", nargs="*", metavar="GROUP", help="move only these")
    rebalance.add_argument("--dry-run", action="store_true", help="only print what would be moved, and why")
    rebalance.add_argument("--yes", action="store_true", help="don't ask for confirmation")
    fence = command("fence", commands.fence, "turn a node off; `fence ack NODE`: say that it is off; `fence history`")
    fence.add_argument("words", nargs="+", metavar="[ack|history] NODE")
    fence.add_argument("--yes", action="store_true", help="(ack) don't ask for confirmation")
    confirm = command("confirm", commands.confirm, "let be done what waits for a human: a fencing, a group that moves")
    confirm.add_argument("name", nargs="?", default="", metavar="[NODE|GROUP]")
    maintenance = command("maintenance", commands.maintenance, "leave everything as it is, until it is off again")
    maintenance.add_argument("word", choices=("on", "off"))
    cleanup = command("cleanup", commands.cleanup, "forget a group's failures on a node, by default this one")
    cleanup.add_argument("group")
    cleanup.add_argument("--node", default="")
    check = command("check", commands.check, "check a configuration file")
    check.add_argument("file", type=Path, nargs="?", help="a hamgr.toml, or a directory of Heartbeat's")
    check.add_argument("--node", default="", help="check also what only this machine can see, as this node")
    config = command("config", _config, "`config push`: bring a configuration to all nodes; all switch to it, or none")
    config.add_argument("verb", choices=("push", "withdraw"), help="withdraw: take a push back that comes to no end")
    config.add_argument("file", nargs="?", type=Path, help="FILE: the configuration (/etc/hamgr/hamgr.toml)")
    config.add_argument("--check", action="store_true", help="only have every node check it")
    arbiter = command("arbiter", _arbiter, "`accept` another one in place of a lost one; `explain` the votes of a disk")
    arbiter.add_argument("verb", choices=("accept", "explain"))
    arbiter.add_argument("--yes", action="store_true", help="(accept) don't ask for confirmation")
    quorum = command("quorum", _quorum, "who votes, and who is a quorum; `quorum override`: go on here without one")
    quorum.add_argument("verb", nargs="?", choices=("show", "override"), default="show")
    quorum.add_argument("--yes", action="store_true", help="(override) all is made sure of: don't ask")
    alert = command("alert", _alert, "`alert test [NAME]`: have hamgrd send a test by each alert")
    alert.add_argument("verb", choices=("test",))
    alert.add_argument("name", nargs="?", default="", help="only this one")
    _resource_arguments(command("resource", _resource, "the kinds of resources; try those of a group", False))
    _node_arguments(command("node", _node, "add a node to the cluster while it runs, or remove one"))
    init = command("init", commands.init, "say that this cluster is new, before hamgrd first starts", json=False)
    init.add_argument("--node", default="", help="this node's name (the host name)")
    join = command("join", _join, "get this node an identity at an arbiter, by a token of `hamgr-arbiter enroll`")
    join.add_argument("token", nargs="?", default="", metavar="TOKEN", help="or -: read it from standard input")
    join.add_argument("--renew", action="store_true", help="ask for a new certificate, if it is time")
    join.add_argument("--show", action="store_true", help="say what is there")
    join.add_argument("--force", action="store_true", help="(--renew) although it is not time yet")
    join.add_argument("--node", default="", help="this node's name (the host name)")
    join.add_argument("--identity", type=Path, metavar="FILE", help="where it is kept (/etc/hamgr/arbiter.identity)")
    join.add_argument("--write", action="store_true", help="put the arbiter into the configuration here")
    _import_arguments(command("import", _import, "turn Heartbeat's files into a hamgr.toml", json=False))
    _key_arguments(command("key", _key, "make, list and change the cluster's keys, while the daemons run"))
    tls = command("tls", _tls, "make certificates for the gRPC links: an authority, and one for each node", json=False)
    tls.add_argument("verb", choices=("ca", "issue"))
    tls.add_argument("directory", help="of the authority; not on a node")
    tls.add_argument("node", nargs="?", default="", help="(issue) whose certificate")
    tls.add_argument("--days", type=int, choices=range(1, 3651), default=730, metavar="N", help="(issue) valid for")
    disk = command("disk", _disk, "a shared disk for heartbeats and fencing: make it, show it, take pills back")
    disk.add_argument("verb", choices=("init", "show", "clear"))
    disk.add_argument("device", help="a disk that all nodes reach, or a partition of one")
    disk.add_argument("node", nargs="?", default="", help="(clear) whose pill; by default all")
    disk.add_argument("--proven", default="", metavar="TIME", help="(init) silence that proves a death that was told")
    disk.add_argument("--force", action="store_true", help="(init) overwrite what is there")
    disk.add_argument("--new-votes", action="store_true", help="(init) forget the arbiter's votes, which are damaged")
    lab = command("lab", _lab, "a real cluster in network namespaces on this machine", json=False)
    if "lab" in words:
        from hamgr.lab.cli import add_arguments

        add_arguments(lab)
    return parser


def _resource_arguments(one: argparse.ArgumentParser) -> None:
    verbs = one.add_subparsers(dest="verb", required=True, metavar="VERB")
    kinds = verbs.add_parser("kinds", help="all kinds of resources, with their options")
    text = "start and stop a group's resources here, twice each, and say which rules they break"
    check = verbs.add_parser("check", help=text, description=text + "; the group must be stopped on every node")
    check.add_argument("group")
    check.add_argument("resource", nargs="?", default="", help="only this one (those before it are started for it)")
    check.add_argument("--node", default="", help="this node's name (the host name)")
    check.add_argument("--yes", action="store_true", help="the group is stopped everywhere: don't ask")
    describe = verbs.add_parser("describe", help="the parameters and time-outs of an OCF agent")
    describe.add_argument("agent", help="such as ocf:heartbeat:IPaddr2")
    for verb in (kinds, check, describe):
        verb.add_argument("--json", action="store_true", help="print JSON")


def _resource(args: argparse.Namespace) -> int:
    if args.verb == "check":
        from hamgr.cli.resource import check

        return check(args)
    from hamgr.cli.kinds import describe, kinds

    return describe(args) if args.verb == "describe" else kinds(args)


def _node_arguments(node: argparse.ArgumentParser) -> None:
    node.add_argument("verb", choices=("add", "remove"))
    node.add_argument("name", help="of the node")
    node.add_argument("--address", action="append", default=[], metavar="LINK=IP", help="(add) on a udp or grpc link")
    node.add_argument("--interface", action="append", default=[], metavar="LINK=NAME", help="(add) where it differs")
    node.add_argument("--fence", default="", metavar="AGENT", help="(add) the agent of its fence device")
    node.add_argument("--fence-option", action="append", default=[], metavar="NAME=VALUE", help="(add) of that agent")
    node.add_argument("--check", action="store_true", help="show the change, have every node check it, and no more")


def _key_arguments(key: argparse.ArgumentParser) -> None:
    key.add_argument("verb", metavar="new|list|activate|retire|reload", help="new: a new file, or one more key in it")
    key.add_argument("words", nargs="*", metavar="[FILE] [NUMBER]", help="FILE: the configuration's key_file")
    key.add_argument("--method", default="hmac-sha256", help="(new) hmac-sha256, blake2s, sha1 or chacha20-poly1305")
    key.add_argument("--force", action="store_true", help="even if it cuts off a peer that is heard")


def _import_arguments(one: argparse.ArgumentParser) -> None:
    one.add_argument("directory", type=Path, nargs="?", help="with ha.cf (/etc/ha.d)")
    one.add_argument("-o", "--output", type=Path, metavar="FILE", help="a new file, in place of standard output")
    one.add_argument("--key-file", type=Path, metavar="FILE", help="make this key file out of authkeys")
    one.add_argument("--force", action="store_true", help="overwrite the output")
    one.add_argument("--node", default="", help="this node's name (the host name)")


def _import(args: argparse.Namespace) -> int:
    from hamgr.cli.importing import import_directory

    return import_directory(args)


def _key(args: argparse.Namespace) -> int:
    from hamgr.cli.keys import key

    return key(args)


def _arbiter(args: argparse.Namespace) -> int:
    from hamgr.cli.arbiter import arbiter

    return arbiter(args)


def _explain(args: argparse.Namespace) -> int:
    from hamgr.cli.explain import explain

    return explain(args)


def _rebalance(args: argparse.Namespace) -> int:
    from hamgr.cli.rebalance import rebalance

    return rebalance(args)


def _quorum(args: argparse.Namespace) -> int:
    from hamgr.cli.quorum import quorum

    return quorum(args)


def _alert(args: argparse.Namespace) -> int:
    from hamgr.cli.alert import alert

    return alert(args)


def _config(args: argparse.Namespace) -> int:
    from hamgr.cli.config import config

    return config(args)


def _node(args: argparse.Namespace) -> int:
    from hamgr.cli.nodes import node

    return node(args)


def _join(args: argparse.Namespace) -> int:
    from hamgr.cli.join import join

    return join(args)


def _disk(args: argparse.Namespace) -> int:
    from hamgr.cli.disk import disk

    return disk(args)


def _tls(args: argparse.Namespace) -> int:
    from hamgr.cli.tls import tls

    return tls(args)


class _NodeAndSelection(argparse.Action):
    """A node, by default this one, and with standby one of Heartbeat's words for some of its groups."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        from hamgr.core.cluster import SELECTIONS

        words = list(values)
        most = 1 + (parser.prog.endswith("standby") and words[-1:] != [] and words[-1] in SELECTIONS)
        if len(words) > most:
            parser.error(f"found {' '.join(words)!r}, allowed {self.metavar}")
        setattr(namespace, self.dest, words)


def _links(args: argparse.Namespace) -> int:
    from hamgr.cli.links import links

    return links(args)


def _lab(args: argparse.Namespace) -> int:
    from hamgr.lab.cli import run

    return run(args)


if __name__ == "__main__":
    sys.exit(main())
