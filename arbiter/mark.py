"""Notices that votes.db is not the file that was written last: who puts an old copy back must not bring a vote back.

Beside the database lies a small file with the number of the newest write and the database's inode. A write is counted
in both, here after it is on disk there, so this one is never ahead of what was really written. A database that is
behind it was put back from a copy; one with another inode is a copy too.
"""

from __future__ import annotations

import os
from pathlib import Path

MARK = "votes.mark"
_FORM = "hamgr-arbiter votes.db %020d %020d\n"
_BYTES = len(_FORM % (0, 0))


class Mark:
    """The file of one state directory. Raises OSError."""

    def __init__(self, state_dir: Path, database: Path) -> None:
        self._database = database
        existed = (state_dir / MARK).exists()
        self._file = os.open(state_dir / MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._noted = self._read() if existed else None

    def _read(self) -> tuple[int, int] | None:
        words = os.pread(self._file, _BYTES, 0).split()
        return (int(words[-2]), int(words[-1])) if len(words) == 4 and all(w.isdigit() for w in words[-2:]) else None

    def objection(self, written: int) -> str:
        """Why this database can't be the one that was written last; "" if it can. written: its newest write."""
        if self._noted is None:
            return f"there is no {MARK} beside it"
        newest, inode = self._noted
        if written < newest:
            return f"its newest write is number {written}, and number {newest} was written here"
        if self._database.stat().st_ino != inode:
            return "it is a copy: another file has taken its place"
        return ""

    def note(self, written: int) -> None:
        """Not synced: it need only outlive this process. What a power failure takes from it makes it no stricter."""
        os.pwrite(self._file, (_FORM % (written, self._database.stat().st_ino)).encode(), 0)

    def sync(self) -> None:
        os.fsync(self._file)

    def close(self) -> None:
        os.fsync(self._file)
        os.close(self._file)
