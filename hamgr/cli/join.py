"""`hamgr join`: makes this node's key, has the arbiter of a token certify it, and keeps both in one private file."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from hamgr.cli.commands import DONE, FAILED, USAGE, config_path, load
from hamgr.config.addresses import check_node_name, split_port
from hamgr.config.model import DEFAULT_ARBITER_TLS_PORT, DEFAULT_CONFIG
from hamgr.config.problems import ConfigError
from hamgr.config.toml import known_node
from hamgr.links.identity import DEFAULT_IDENTITY, Identity, IdentityError, read_identity, write_identity
from hamgr.links.private import write_private
from hamgr.links.stream import target
from hamgr.links.token import TokenError, parse_token


def join(args: argparse.Namespace) -> int:
    if (args.token != "") + args.renew + args.show != 1:
        print(
            "hamgr join: found wrong words, allowed TOKEN (or -, for standard input), --renew or --show",
            file=sys.stderr,
        )
        return USAGE
    # Loaded here: what they import is heavy.
    from hamgr.links.joining import NotReached, Refused

    try:
        place = _place(args)
        if args.show:
            return _show(args, read_identity(place.identity))
        if args.renew:
            return _renew(args, place.identity)
        return _join(args, place)
    except (ConfigError, TokenError, IdentityError, Unwritable) as error:
        print(f"hamgr join: {error}", file=sys.stderr)
        return USAGE
    except Refused as refused:
        print(f"hamgr join: the arbiter refused: {refused}", file=sys.stderr)
    except NotReached as error:
        print(f"hamgr join: no arbiter was reached: {error}", file=sys.stderr)
    except OSError as error:
        print(f"hamgr join: {error}", file=sys.stderr)
    return FAILED


class Unwritable(Exception):
    """The configuration can't take the arbiter: why."""


class _Place:
    """Where this node is. cluster: "" without a configuration."""

    def __init__(self, identity: Path, node: str, cluster: str = "", has_arbiter: bool = False) -> None:
        self.identity = identity
        self.node = node
        self.cluster = cluster
        self.has_arbiter = has_arbiter


def _place(args: argparse.Namespace) -> _Place:
    """Raises ConfigError."""
    file = config_path(args)
    if args.config is None and not DEFAULT_CONFIG.exists():
        return _Place(args.identity or DEFAULT_IDENTITY, args.node or socket.gethostname().partition(".")[0])
    loaded = load(file, args.node)
    config = loaded.config
    if (unknown := known_node(config, loaded.node)) is not None and args.token:
        raise ConfigError((unknown,))
    named = config.arbiter.identity if config.arbiter is not None else None
    return _Place(args.identity or named or DEFAULT_IDENTITY, loaded.node, config.spec.name, named is not None)


def _join(args: argparse.Namespace, place: _Place) -> int:
    from hamgr.links import joining

    token = parse_token(sys.stdin.read() if args.token == "-" else args.token)
    if place.cluster and token.cluster != place.cluster:
        text = f"the token is for cluster {token.cluster}, and {config_path(args)} is of {place.cluster}"
        print(f"hamgr join: {text}", file=sys.stderr)
        return FAILED
    if allowed := check_node_name(place.node):
        print(f"hamgr join: found node {place.node!r}, allowed {allowed}: --node NODE", file=sys.stderr)
        return USAGE
    path: Path = place.identity
    if args.write:
        # Before anything is done: can the configuration take it at all?
        _changed(args, [target(split_port(where)[0], DEFAULT_ARBITER_TLS_PORT) for where in token.joining], path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # If the answer is lost, the same key gets it again, and another one doesn't.
    waiting = path.with_name(f".{path.name}.key")
    if not waiting.exists():
        write_private(waiting, joining.fresh_key())
    found = joining.join(token, place.node, waiting.read_text())
    write_identity(path, found)
    waiting.unlink()
    wrote = _write(args, path, found) if args.write else ""
    if args.json:
        _print_json(path, found)
        return DONE
    print(f"{path}: {found.node} of cluster {found.cluster}, {_until(found.ends)}; hamgrd renews it by itself")
    if args.write:
        print(wrote)
    elif not place.has_arbiter:
        print(f"\nput this into {config_path(args)} on every node (or say --write):\n\n{_table(path, found)}")
    return DONE


def _table(path: Path, identity: Identity) -> str:
    address = f'"{identity.sessions[0]}"' if len(identity.sessions) == 1 else json.dumps(identity.sessions)
    key = "address" if len(identity.sessions) == 1 else "addresses"
    return f'    [arbiter]\n    {key} = {address}\n    identity = "{path}"'


def _changed(args: argparse.Namespace, sessions: Sequence[str], path: Path) -> tuple[str, str]:
    """The configuration's text now, and with this arbiter. Raises ConfigError, Unwritable, OSError."""
    from hamgr.config.edit import EditError, with_arbiter
    from hamgr.config.toml import parse
    from hamgr.resources.kinds import RESOURCE_KINDS

    file = config_path(args)
    if file.is_dir():
        raise Unwritable(f"--write: {file} is a directory of Heartbeat's; put the lines into its hamgr.toml by hand")
    old = file.read_text()
    try:
        new = with_arbiter(old, sessions, str(path))
    except EditError as error:
        raise Unwritable(f"--write: {file}: {error}") from None
    parse(new.encode(), file, RESOURCE_KINDS)
    return old, new


def _write(args: argparse.Namespace, path: Path, identity: Identity) -> str:
    file = config_path(args)
    old, new = _changed(args, identity.sessions, path)
    if new == old:
        return f"{file} has it already"
    mode = file.stat().st_mode & 0o777
    write_private(file, new)
    os.chmod(file, mode)
    return f"{file}: [arbiter] has its address and identity now; the same on every node, then (re)start hamgrd"


def _renew(args: argparse.Namespace, path: Path) -> int:
    from hamgr.links import joining

    answer = joining.renew(read_identity(path), args.force)
    if isinstance(answer, joining.StillGood):
        if args.json:
            print(json.dumps({"renewed": False, "ends": answer.until}))
        else:
            print(f"{path}: {_until(answer.until)}; nothing to renew yet (--force renews it all the same)")
        return DONE
    write_identity(path, answer)
    if args.json:
        print(json.dumps({"renewed": True, "ends": answer.ends}))
    else:
        print(f"{path}: renewed, {_until(answer.ends)}; hamgrd takes it with its next session")
    return DONE


def _show(args: argparse.Namespace, identity: Identity) -> int:
    if args.json:
        _print_json(_place(args).identity, identity)
    else:
        where = ", ".join(identity.sessions)
        print(f"{identity.node} of cluster {identity.cluster} at {where}, {_until(identity.ends)}")
    return DONE


def _print_json(path: Path, identity: Identity) -> None:
    facts = {"file": str(path), "cluster": identity.cluster, "node": identity.node}
    print(json.dumps({**facts, "sessions": identity.sessions, "ends": identity.ends}))


def _until(ends: float) -> str:
    return f"valid until {datetime.fromtimestamp(ends, UTC):%Y-%m-%d %H:%M} UTC"
