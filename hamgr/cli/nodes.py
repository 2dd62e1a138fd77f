"""`hamgr node add` and `hamgr node remove`: change the configuration by one node, show the change, and push it."""

from __future__ import annotations

import argparse
import difflib
import sys

from hamgr.cli.client import STATUS_TIMEOUT, admin
from hamgr.cli.commands import DONE, FAILED, USAGE, config_path, socket_path
from hamgr.cli.config import push
from hamgr.config.toml import digest
from hamgr.v1 import admin_pb2 as pb


def node(args: argparse.Namespace) -> int:
    # Loaded here: it is the only command that writes TOML.
    from hamgr.config.edit import EditError, NewNode, with_node, without_node

    file = config_path(args)
    try:
        old = file.read_bytes()
        if args.verb == "add":
            addresses, interfaces = _pairs(args.address, "--address"), _pairs(args.interface, "--interface")
            options = _pairs(args.fence_option, "--fence-option")
            new = with_node(old.decode(), NewNode(args.name, addresses, interfaces, args.fence, options))
        else:
            new = without_node(old.decode(), args.name)
    except OSError as error:
        print(f"hamgr node: {file}: {error.strerror}", file=sys.stderr)
        return USAGE
    except (EditError, ValueError) as error:
        print(f"hamgr node: {file}: {error}", file=sys.stderr)
        return USAGE
    if why := _not_what_runs(args, digest(old)):
        print(f"hamgr node: refused: {file} {why}", file=sys.stderr)
        return FAILED
    if not args.json:
        change = difflib.unified_diff(old.decode().splitlines(), new.splitlines(), str(file), "after", lineterm="", n=1)
        print("\n".join(change))
    code = push(args, new.encode())
    if code == DONE and not args.check and not args.json:
        _say_what_is_next(args, str(file))
    return code


def _pairs(words: list[str], option: str) -> dict[str, str]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise ValueError(f"{option}: found {word!r}, allowed NAME=VALUE")
        found[name] = value
    return found


def _not_what_runs(args: argparse.Namespace, digest_of_file: str) -> str:
    """Why the file can't be built upon; "" when hamgrd runs just that."""
    with admin(socket_path(args)) as stub:
        status = stub.GetStatus(pb.StatusRequest(), timeout=STATUS_TIMEOUT)
    own = next(node.config for node in status.nodes if node.name == status.node)
    return "" if own == digest_of_file else "is not what hamgrd runs: push it first (hamgr config push), or put it back"


def _say_what_is_next(args: argparse.Namespace, file: str) -> None:
    if args.verb == "remove":
        print(
            f"{args.name} belongs to the cluster no more: hamgrd there ends, or is not to be started again; if the"
            " machine comes back from repair: hamgr node add"
        )
        return
    print(
        f"{args.name} votes as soon as it is a member, so bring it up: copy {file} and the key file to it (mode 0600),"
        f" check with `hamgr check {file} --node {args.name}`, and start hamgrd there. Not `hamgr init`: it learns from"
        " the others before it votes"
    )
