"""hamgr-arbiter: the command that serves the votes of clusters, and looks after them."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from arbiter.config import DEFAULT_CONFIG, ArbiterConfig, load_all_keys, load_default
from arbiter.registries import has_registry, registry_of
from arbiter.registry import RegistryError, Roll
from arbiter.store import StoreError
from hamgr import __version__
from hamgr.config.problems import ConfigError

DONE, FAILED, USAGE = 0, 1, 2

OVERDUE = 0.2
"""The last part of a certificate's validity: it should have been renewed by then, when a third was left."""


def _check(config: ArbiterConfig) -> int:
    """Raises ConfigError, RegistryError."""
    load_all_keys(config)
    roll = Roll()
    if has_registry(config):
        registry = registry_of(config)
        try:
            roll = registry.load()
        finally:
            registry.close()
    for warning in _warnings(config, roll):
        print(f"warning: {warning}")
    count = len(config.key_files)
    print(f"{config.path}: good, {count} cluster(s) with a key file, {len(roll.clusters)} enrolled")
    return DONE


def _warnings(config: ArbiterConfig, roll: Roll) -> Iterator[str]:
    for name in sorted(roll.clusters.keys() & config.key_files.keys()):
        yield f"cluster.{name}: it is enrolled too; its key file is what counts, and its certificates are not"
    now = time.time()
    newest = roll.newest(now)
    for (cluster, node), certificate in sorted(newest.items()):
        if now > certificate.ends - OVERDUE * (certificate.ends - certificate.issued):
            ends = f"{datetime.fromtimestamp(certificate.ends, UTC):%Y-%m-%d}"
            yield f"{node} of cluster {cluster} has not renewed its certificate, which ends on {ends}: does hamgrd run?"
    for cluster in sorted(roll.clusters.keys() - {cluster for cluster, _node in newest}):
        yield f"cluster {cluster} is enrolled, and no node has a certificate: `hamgr-arbiter enroll {cluster}`"


def _carry_out(config: ArbiterConfig, options: argparse.Namespace) -> int:
    """What each command needs is loaded with it."""
    match options.command:
        case "check":
            return _check(config)
        case "run":
            from arbiter.handshakes import have_grpc_speak

            have_grpc_speak()
            from arbiter.hosting import ListenError, serve

            try:
                asyncio.run(serve(config))
            except ListenError as error:
                print(f"hamgr-arbiter: {error}", file=sys.stderr)
                return USAGE
            except (StoreError, RegistryError) as error:
                # As a full disk: what may be mended without a new start by hand (its unit tries again).
                print(f"hamgr-arbiter: {error}", file=sys.stderr)
                return FAILED
            return DONE
        case "backup" | "restore":
            from arbiter import backup

            with _given_to_the_service(config):
                return backup.carry_out(config, options)
        case _:
            from arbiter import commands

            with _given_to_the_service(config):
                return commands.carry_out(config, options)


@contextmanager
def _given_to_the_service(config: ArbiterConfig) -> Iterator[None]:
    """What root's commands make must belong to the user that the service runs as: the state directory's owner."""
    try:
        yield
    finally:
        if os.geteuid() == 0 and config.state_dir.exists():
            owner = config.state_dir.stat()
            for file in config.state_dir.iterdir():
                if file.lstat().st_uid != owner.st_uid:
                    os.chown(file, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hamgr-arbiter", description="One durable vote a cluster, to break ties.")
    parser.add_argument("--version", action="version", version=f"hamgr-arbiter {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, help=f"configuration file ({DEFAULT_CONFIG})")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", parents=[common], help="serve (what `hamgr-arbiter` alone does)")
    commands.add_parser("check", parents=[common], help="check the configuration")
    init = commands.add_parser("init", parents=[common], help="let the arbiter vote for a cluster that is new")
    init.add_argument("cluster")
    listed = commands.add_parser("list", parents=[common], help="all clusters and their last votes")
    listed.add_argument("--json", action="store_true")
    show = commands.add_parser("show", parents=[common], help="one cluster: its last vote, its nodes, its certificates")
    show.add_argument("cluster")
    show.add_argument("--json", action="store_true")
    explain = commands.add_parser("explain", parents=[common], help="why it voted, or refused a vote, lately")
    explain.add_argument("cluster")
    explain.add_argument("--json", action="store_true")
    enroll = commands.add_parser("enroll", parents=[common], help="let nodes of a cluster join; prints a token")
    enroll.add_argument("cluster")
    enroll.add_argument("--nodes", type=int, choices=range(1, 17), default=2, metavar="N", help="how many nodes (2)")
    enroll.add_argument("--node", action="append", default=[], metavar="NODE", help="or only these, one by one")
    enroll.add_argument("--valid", default="1h", metavar="TIME", help="how long (1h)")
    enroll.add_argument("--address", action="append", default=[], metavar="IP", help="where nodes reach this machine")
    enroll.add_argument("--json", action="store_true")
    revoke = commands.add_parser("revoke", parents=[common], help="end a node's certificates, or all of a cluster, now")
    revoke.add_argument("cluster")
    revoke.add_argument("node", nargs="?", default="")
    forget = commands.add_parser("forget", parents=[common], help="end a cluster's enrolment, and its record")
    forget.add_argument("cluster")
    forget.add_argument("--yes", action="store_true", help="don't ask for the name")
    ca = commands.add_parser("ca", parents=[common], help="who vouches for the arbiter and the nodes; change it")
    ca.add_argument("verb", choices=("list", "new", "activate", "retire"))
    ca.add_argument("number", nargs="?", type=int)
    ca.add_argument("--force", action="store_true", help="although nodes are cut off by it")
    ca.add_argument("--json", action="store_true")
    backup = commands.add_parser("backup", parents=[common], help="write all records and enrolments into a file")
    backup.add_argument("file", type=Path)
    restore = commands.add_parser("restore", parents=[common], help="put a backup back; every record learns anew")
    restore.add_argument("file", type=Path)
    restore.add_argument("--new-store", action="store_true", help="don't take the lost store's place: see the manual")
    restore.add_argument("--yes", action="store_true", help="don't ask, although there are records")
    return parser


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("--config",):
        words = ["run", *words]
    options = _parser().parse_args(words)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        return _carry_out(load_default(options.config), options)
    except (ConfigError, StoreError, RegistryError) as error:
        print(f"hamgr-arbiter: {error}", file=sys.stderr)
        return USAGE


if __name__ == "__main__":
    sys.exit(main())
