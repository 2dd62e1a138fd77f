"""`hamgr import`: turns the files of a Heartbeat cluster into a hamgr.toml, and its authkeys into a key file."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from hamgr.cli.commands import DONE, FAILED
from hamgr.config.heartbeat.build import AUTHKEYS, config_of
from hamgr.config.heartbeat.draft import Draft, nowhere
from hamgr.config.heartbeat.here import this_machine
from hamgr.config.heartbeat.toml_out import text_of
from hamgr.config.model import DEFAULT_HA_DIR
from hamgr.links.keyfile import read_keys, write_keys
from hamgr.links.keys import KeyFileError
from hamgr.resources.kinds import RESOURCE_KINDS


def import_directory(args: argparse.Namespace) -> int:
    """Raises ConfigError when the files are no good."""
    directory: Path = (args.directory or DEFAULT_HA_DIR).absolute()
    _, draft = config_of(directory, this_machine(args.node), RESOURCE_KINDS)
    try:
        if args.key_file is not None:
            _make_key_file(draft, directory, args.key_file.absolute())
        text = text_of(draft, directory)
        if args.output is None:
            sys.stdout.write(text)
        else:
            _write(args.output, text, args.force)
    except FileExistsError as error:
        print(f"hamgr import: {error.filename} exists; --force overwrites it", file=sys.stderr)
        return FAILED
    except (KeyFileError, OSError) as error:
        print(f"hamgr import: {error}", file=sys.stderr)
        return FAILED
    if args.output is not None:
        print(f"{args.output}: written; `hamgr check {args.output}` checks it")
    for note in draft.notes:
        print(note, file=sys.stderr)
    return DONE


def _make_key_file(draft: Draft, directory: Path, file: Path) -> None:
    """One that holds these keys already is left alone: the command may be given twice."""
    keys = read_keys(directory / AUTHKEYS)
    if not file.exists():
        write_keys(file, keys)
    elif read_keys(file) != keys:
        raise KeyFileError(file, "a file with other keys", "a new file: keys are never overwritten")
    draft.put(nowhere(directory / AUTHKEYS, "authkeys"), "cluster", "key_file", value=str(file))


def _write(path: Path, text: str, force: bool) -> None:
    """Mode 0600, as passwords of fence devices may stand in it."""
    if force:
        path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
