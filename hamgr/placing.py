"""Puts a committed configuration into this node's file, before hamgrd reads it; the last one stays beside it."""

from __future__ import annotations

import os
from pathlib import Path

from hamgr.config.model import Config
from hamgr.core.effects import AppliedRecord
from hamgr.links.private import sync_directory
from hamgr.store import StateStore, StoreError

PREVIOUS = ".previous"
"""What is added to the name of the file that was there before."""


def put_in_place(config: Config, node: str) -> bool:
    """True if the file is another one now, and is to be read again. Raises StoreError."""
    store = StateStore(config.state_dir, config.spec.name, node)
    try:
        pending = store.load().pending
        if pending is None:
            return False
        _replace(config.path, store.text(pending.digest))
        store.write(AppliedRecord(pending.version))
        return True
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"{config.path}: can't be replaced by the pushed configuration: {why}") from error
    finally:
        store.close()


def unwritable(path: Path) -> str:
    """Why the file can't be replaced here; "" when it can."""
    file = path.resolve()
    if file.is_dir():
        return f"{path}, Heartbeat's files (`hamgr import {path}` makes one file of them, for hamgrd --config)"
    if not file.is_file():
        return f"{path}, which is no file"
    if not os.access(file.parent, os.W_OK | os.X_OK):
        return f"{file.parent}, where nothing can be written"
    return ""


def _replace(path: Path, text: bytes) -> None:
    """All or nothing, whenever the power fails; owner and mode stay."""
    file = path.resolve()
    if file.read_bytes() == text:
        return  # the last life got as far as this
    had = file.stat()
    new = file.with_name(f".{file.name}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as out:
        out.write(text)
        out.flush()
        os.fchmod(out.fileno(), had.st_mode & 0o7777)
        if (had.st_uid, had.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(out.fileno(), had.st_uid, had.st_gid)
        os.fsync(out.fileno())
    previous = file.with_name(file.name + PREVIOUS)
    previous.unlink(missing_ok=True)
    os.link(file, previous)
    new.replace(file)
    sync_directory(file.parent)
