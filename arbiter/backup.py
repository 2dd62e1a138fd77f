"""`hamgr-arbiter backup`, `restore`: all records and enrolments in one private file, from which no vote comes back."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from arbiter.config import ArbiterConfig
from arbiter.decide import VoteBook
from arbiter.records import ENOUGH, put_back
from arbiter.registry import Refused, Registry
from arbiter.store import SqliteStore
from hamgr.cli.typed_name import confirms
from hamgr.links.private import write_private
from hamgr.store import state_from_json, state_to_json

FORMAT = 1


class BadBackup(Exception):
    """The file is none, or it was damaged: which, and how."""


def backup(config: ArbiterConfig, file: Path) -> int:
    """Also while it serves. Raises StoreError, RegistryError, OSError."""
    store = SqliteStore(config.state_dir, shared=True)
    registry = Registry(config.state_dir)
    try:
        records = {cluster: _book_out(store.load(cluster)) for cluster in store.clusters()}
        content = {"store": store.identity, "records": records, "registry": registry.dump()}
    finally:
        registry.close()
        store.close()
    text = json.dumps(content, sort_keys=True)
    whole = {"format": FORMAT, "made": datetime.now(UTC).isoformat(timespec="seconds"), "sha256": _sum(text)}
    write_private(file, json.dumps({**whole, "content": content}) + "\n")
    print(f"{file}: {len(records)} record(s), mode 0600; it holds the authority's key, so keep it as you keep that one")
    return 0


def restore(config: ArbiterConfig, args: argparse.Namespace) -> int:
    """The server must not run. Raises StoreError, RegistryError, BadBackup, Refused."""
    content, made = _read(args.file)
    store = SqliteStore(config.state_dir)  # takes the lock
    registry = Registry(config.state_dir)
    try:
        present = store.clusters()
        if present or registry.load().authorities:
            warning = (
                f"{config.state_dir} has {len(present)} record(s); its enrolments are replaced by those of {made}, and"
                " certificates that were issued since are worth nothing. No vote is lost: every record learns anew."
            )
            host = os.uname().nodename
            if not args.yes and not confirms("hamgr-arbiter restore", warning, "host", host):
                return 1
        books = {cluster: put_back(_book_in(row), store.load(cluster)) for cluster, row in content["records"].items()}
        identity = str(content["store"])
        # In this order: half of it is no danger, and can be restored again.
        store.save_all(books)
        registry.refill(content["registry"])
        if not args.new_store:
            store.adopt(identity)
    except (KeyError, ValueError, TypeError) as error:
        raise BadBackup(f"{args.file}: found a backup that can't be read ({error}), allowed a whole one") from None
    finally:
        registry.close()
        store.close()
    print(
        f"{len(books)} record(s) of {made} are back; no cluster gets a vote before {ENOUGH}."
        " What was revoked since then must be revoked again"
    )
    if args.new_store:
        print("it is a new store: say `hamgr arbiter accept` in each cluster")
    else:
        print("it takes the place of the store that was lost: whatever is left of that one must never serve again")
    return 0


def _read(file: Path) -> tuple[dict[str, Any], str]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadBackup(f"{file}: {error.strerror}") from None
    except ValueError:
        raise BadBackup(f"{file}: found no backup, allowed what `hamgr-arbiter backup` wrote") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BadBackup(f"{file}: found another format, allowed what `hamgr-arbiter backup` wrote")
    content: dict[str, Any] = found.get("content", {})
    if _sum(json.dumps(content, sort_keys=True)) != found.get("sha256"):
        raise BadBackup(f"{file}: it was changed or damaged since it was written (its sum is another)")
    return content, str(found.get("made"))


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _book_out(book: VoteBook) -> dict[str, Any]:
    return {
        "voter": book.voter,
        "vote_epoch": book.vote_epoch,
        "voted_for": book.voted_for,
        "state": state_to_json(book.state),
    }


def _book_in(row: dict[str, Any]) -> VoteBook:
    return VoteBook(bool(row["voter"]), int(row["vote_epoch"]), str(row["voted_for"]), state_from_json(row["state"]))


def carry_out(config: ArbiterConfig, args: argparse.Namespace) -> int:
    try:
        if config.etcd is not None:
            raise Refused('with store = "etcd" nothing is kept here: see etcdctl snapshot save')
        return backup(config, args.file) if args.command == "backup" else restore(config, args)
    except (BadBackup, Refused, OSError) as error:
        print(f"hamgr-arbiter {args.command}: {error}", file=sys.stderr)
        return 1
