"""`hamgr key`: makes, lists and changes the cluster's keys, and lets the daemon here take them at once."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hamgr.cli.client import ANSWER_TIMEOUT, STATUS_TIMEOUT, NotAnswering, admin, operator
from hamgr.cli.commands import DONE, FAILED, USAGE, config_path, places, socket_path
from hamgr.links.keyfile import KeyChangeError, activate_key, add_key, read_keys, retire_key, write_key_file
from hamgr.links.keys import KeyFileError, parse_number
from hamgr.links.seal import Method
from hamgr.v1 import admin_pb2 as pb
from hamgr.v1 import admin_pb2_grpc as pb_grpc

_VERBS = ("new", "list", "activate", "retire", "reload")


class _Wrong(Exception):
    """The words on the command line make no sense: found, allowed."""


def key(args: argparse.Namespace) -> int:
    try:
        match args.verb:
            case "new":
                return _new(args, _file(args, args.words))
            case "list":
                return _list(args, _file(args, args.words))
            case "activate" | "retire":
                return _change(args, *_file_and_number(args))
            case "reload":
                return _reload(args, _file(args, args.words))
            case _:
                return _first(args)
    except _Wrong as error:
        print(f"hamgr key: {error}", file=sys.stderr)
        return USAGE
    except (KeyFileError, KeyChangeError, OSError) as error:
        print(f"hamgr key {args.verb}: {error}", file=sys.stderr)
        return FAILED


def _file(args: argparse.Namespace, words: list[str]) -> Path:
    if len(words) > 1:
        raise _Wrong(f"found {' '.join(words)!r}, allowed one file")
    return Path(words[0]) if words else places(config_path(args)).key_file


def _file_and_number(args: argparse.Namespace) -> tuple[Path, int]:
    *file, word = args.words or [""]
    number = parse_number(word)
    if number is None:
        raise _Wrong(f"found {word!r}, allowed a key's number: `hamgr key {args.verb} [FILE] NUMBER`")
    return _file(args, file), number


def _method(args: argparse.Namespace) -> Method:
    try:
        return Method(args.method)
    except ValueError:
        raise _Wrong(f"found method {args.method!r}, allowed {', '.join(m.value for m in Method)}") from None


def _first(args: argparse.Namespace) -> int:
    """`hamgr key FILE`, a new file; a word that looks like a verb is none."""
    if args.words or ("/" not in args.verb and "." not in args.verb):
        raise _Wrong(f"found {args.verb!r}, allowed {', '.join(_VERBS)}, or the path of a new key file")
    path = Path(args.verb)
    if path.exists():
        raise KeyChangeError(f"{path} exists; `hamgr key new {path}` adds a key to it")
    return _new(args, path)


def _new(args: argparse.Namespace, path: Path) -> int:
    method = _method(args)
    try:
        write_key_file(path, method)
    except FileExistsError:
        number = add_key(path, method)
        print(
            f"{path}: key {number} ({method.value}) is new; it opens, and does not seal yet\n"
            f"next: copy the file to every node and to the arbiter, `hamgr key reload` there, then "
            f"`hamgr key activate {number}`"
        )
        return _tell_daemon(args, path)
    print(f"{path}: a new file with key 1 ({method.value}), mode 0600; copy it to every node and to the arbiter")
    return DONE


def _change(args: argparse.Namespace, path: Path, number: int) -> int:
    with _daemon(args, path) as stub:
        if stub is not None and not args.force:
            report = stub.GetKeys(pb.KeysRequest(), timeout=STATUS_TIMEOUT)
            if objection := _objection(args.verb, number, report):
                print(f"hamgr key {args.verb}: refused: {objection}", file=sys.stderr)
                return FAILED
        keys = activate_key(path, number) if args.verb == "activate" else retire_key(path, number)
        print(f"{path}: {keys.summary()}")
        return _reloaded(args, path, stub)


def _objection(verb: str, number: int, report: pb.KeysReport) -> str:
    """Why the change would cut off a peer that is heard; "" if it doesn't."""
    known = next((status for status in report.keys if status.number == number), None)
    if verb == "retire":
        sealing = list(known.sealed_by) if known is not None else []
        if not sealing:
            return ""
        return (
            f"key {number} still seals what {', '.join(sealing)} sends; activate another one there first (or --force)"
        )
    if known is None:
        return f"hamgrd here does not have key {number} yet: `hamgr key reload` first (or --force)"
    if not known.unknown_to:
        return ""
    deaf = ", ".join(known.unknown_to)
    return f"key {number} is not known to {deaf} yet; bring the file there and reload it there first (or --force)"


def _reload(args: argparse.Namespace, path: Path) -> int:
    read_keys(path)
    with admin(socket_path(args)) as stub:
        return _ask(args, stub)


def _tell_daemon(args: argparse.Namespace, path: Path) -> int:
    with _daemon(args, path) as stub:
        return _reloaded(args, path, stub)


def _reloaded(args: argparse.Namespace, path: Path, stub: pb_grpc.AdminStub | None) -> int:
    if stub is None:
        print("no hamgrd that uses this file answers here; nobody was told to read it again")
        return DONE
    return _ask(args, stub)


def _ask(args: argparse.Namespace, stub: pb_grpc.AdminStub) -> int:
    request = pb.ReloadKeysRequest(operator=operator(), force=args.force)
    answer = stub.ReloadKeys(request, timeout=ANSWER_TIMEOUT)
    if not answer.done:
        print(f"hamgr key {args.verb}: hamgrd refused: {answer.text}", file=sys.stderr)
        return FAILED
    print(f"hamgrd here took it: {answer.text}")
    return DONE


@contextmanager
def _daemon(args: argparse.Namespace, path: Path) -> Iterator[pb_grpc.AdminStub | None]:
    """The daemon here that uses this very file, if one answers."""
    with ExitStack() as stack:
        try:
            stub = stack.enter_context(admin(socket_path(args)))
        except NotAnswering:
            yield None
            return
        used = stub.GetKeys(pb.KeysRequest(), timeout=STATUS_TIMEOUT).file
        yield stub if _same(path, used) else None


def _same(path: Path, used: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(used)


def _list(args: argparse.Namespace, path: Path) -> int:
    keys = read_keys(path)
    said: dict[int, pb.KeyStatus] = {}
    with _daemon(args, path) as stub:
        if stub is not None:
            said = {status.number: status for status in stub.GetKeys(pb.KeysRequest(), timeout=STATUS_TIMEOUT).keys}
    rows = [
        {
            "number": number,
            "method": key.method.value,
            "active": number == keys.active,
            "loaded": number in said if said else None,
            "known_to": list(said[number].known_to) if number in said else [],
            "unknown_to": list(said[number].unknown_to) if number in said else [],
            "sealed_by": list(said[number].sealed_by) if number in said else [],
        }
        for number, key in keys.keys.items()
    ]
    if args.json:
        print(json.dumps({"file": str(path), "daemon": bool(said), "keys": rows}))
        return DONE
    print(f"{path}: {keys.summary()}")
    for row in rows:
        facts = ["seals" if row["active"] else "opens"]
        if row["loaded"] is False:
            facts.append("hamgrd has not read it yet: hamgr key reload")
        for text, names in (("known to", "known_to"), ("NOT known to", "unknown_to"), ("sealed by", "sealed_by")):
            if row[names]:
                facts.append(f"{text} {', '.join(row[names])}")  # type: ignore[arg-type]
        print(f"  {row['number']:>3}  {row['method']:<18} {'; '.join(facts)}")
    return DONE
