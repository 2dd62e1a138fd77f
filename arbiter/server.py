"""hamgr-arbiter: the command that serves the votes of clusters, and looks after them."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from dataclasses import replace
from pathlib import Path

import grpc

from arbiter.config import DEFAULT_CONFIG, ArbiterConfig, load, load_all_keys
from arbiter.keeper import SqliteKeeper
from arbiter.service import ArbiterService
from arbiter.store import SqliteStore, StoreError
from hamgr import __version__
from hamgr.config.problems import ConfigError
from hamgr.links.stream import SERVER_OPTIONS
from hamgr.v1 import arbiter_pb2_grpc as pb_grpc

log = logging.getLogger("hamgr-arbiter")

DONE, FAILED, USAGE = 0, 1, 2


class ListenError(Exception):
    """The address can't be listened on."""


async def serve(config: ArbiterConfig) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError, StoreError or ListenError before anything is served."""
    keys = load_all_keys(config)
    store = SqliteStore(config.state_dir)
    if store.put_back:
        log.error(
            "%s/votes.db is not the file that was written last here (%s): no cluster gets a vote before more than half"
            " of its nodes have said what they know",
            config.state_dir,
            store.put_back,
        )
    service = ArbiterService(keys, SqliteKeeper(store))
    server = grpc.aio.server(options=SERVER_OPTIONS)
    pb_grpc.add_ArbiterServicer_to_server(service, server)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        try:
            server.add_insecure_port(config.listen)
        except RuntimeError as error:
            text = f"{config.path}: listen: found {config.listen}, allowed an address of this machine with a free port"
            raise ListenError(text) from error
        await server.start()
        reloading: set[asyncio.Task[None]] = set()

        def reload() -> None:
            task = asyncio.create_task(_reload(config, service))
            reloading.add(task)
            task.add_done_callback(reloading.discard)

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
        count = len(keys)
        log.info("hamgr-arbiter: ready on %s, %d cluster%s", config.listen, count, "" if count == 1 else "s")
        await ended.wait()
    finally:
        await server.stop(grace=None)
        await service.close()


async def _reload(config: ArbiterConfig, service: ArbiterService) -> None:
    """Read all key files again; a mistake in one of them changes nothing."""
    try:
        keys = await asyncio.to_thread(load_all_keys, config)
    except ConfigError as error:
        log.error("the keys stay as they were: %s", error)
        return
    service.reload(keys)
    log.info("keys read again: %s", "; ".join(f"{name}: {found.summary()}" for name, found in sorted(keys.items())))


def _init(config: ArbiterConfig, cluster: str) -> int:
    """An operator says that this cluster is new, or that its lost votes are known to be over."""
    if cluster not in config.key_files:
        print(f"hamgr-arbiter: cluster {cluster!r} is not in {config.path}", file=sys.stderr)
        return FAILED
    store = SqliteStore(config.state_dir)
    try:
        book = store.load(cluster)
        if book.voter:
            print(f"hamgr-arbiter: cluster {cluster!r} has a record that votes already", file=sys.stderr)
            return FAILED
        store.save(cluster, replace(book, voter=True))
    finally:
        store.close()
    print(f"the arbiter votes for cluster {cluster} from now on")
    return DONE


def _show(config: ArbiterConfig, clusters: list[str], as_json: bool) -> int:
    store = SqliteStore(config.state_dir, shared=True)
    try:
        known = store.clusters()
        shown = {name: store.load(name) for name in (clusters or sorted({*known, *config.key_files}))}
    finally:
        store.close()
    missing = [name for name in clusters if name not in known]
    if missing:
        print(f"hamgr-arbiter: no record of cluster {missing[0]!r} in {config.state_dir}", file=sys.stderr)
        return FAILED
    for name, book in shown.items():
        facts = {
            "cluster": name,
            "votes": book.voter,
            "vote_epoch": book.vote_epoch,
            "voted_for": book.voted_for,
            "stored_epoch": book.state.stamp.epoch,
            "stored_view": book.state.stamp.view,
            "coordinator": book.state.coordinator,
        }
        if as_json:
            print(json.dumps(facts))
        else:
            vote = f"epoch {book.vote_epoch} for {book.voted_for}" if book.voted_for else "none yet"
            print(f"{name}: {'votes' if book.voter else 'has not learned the epoch'}; last vote: {vote}")
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hamgr-arbiter", description="One durable vote a cluster, to break ties.")
    parser.add_argument("--version", action="version", version=f"hamgr-arbiter {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help=f"configuration file ({DEFAULT_CONFIG})")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", parents=[common], help="serve (what `hamgr-arbiter` alone does)")
    commands.add_parser("check", parents=[common], help="check the configuration")
    init = commands.add_parser("init", parents=[common], help="let the arbiter vote for a cluster that is new")
    init.add_argument("cluster")
    listed = commands.add_parser("list", parents=[common], help="all clusters and their last votes")
    listed.add_argument("--json", action="store_true")
    show = commands.add_parser("show", parents=[common], help="one cluster and its last vote")
    show.add_argument("cluster")
    show.add_argument("--json", action="store_true")
    return parser


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("--config",):
        words = ["run", *words]
    options = _parser().parse_args(words)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        config = load(options.config)
        match options.command:
            case "check":
                load_all_keys(config)
                print(f"{config.path}: good, {len(config.key_files)} cluster(s)")
            case "init":
                return _init(config, options.cluster)
            case "list":
                return _show(config, [], options.json)
            case "show":
                return _show(config, [options.cluster], options.json)
            case _:
                asyncio.run(serve(config))
    except (ConfigError, StoreError, ListenError) as error:
        print(f"hamgr-arbiter: {error}", file=sys.stderr)
        return USAGE
    return DONE


if __name__ == "__main__":
    sys.exit(main())
