"""Log lines leave through a thread of their own: a full pipe or a stuck journal never holds the heartbeats up."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import threading
from collections.abc import Sequence
from logging.handlers import QueueHandler, SysLogHandler
from pathlib import Path
from typing import TextIO

WAITING = 10_000
"""Lines that wait for a slow reader at most; later ones are dropped, and counted."""

LAST_WORDS = 1.0
"""Seconds for which the end of the program waits for the reader."""

FORMAT = "%(asctime)s %(levelname)s %(message)s"

SYSLOG = "/dev/log"

_SEVERITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
"""Of syslog(3)."""


class LogThread(QueueHandler):
    """A handler that writes to a stream from its own thread, in order."""

    def __init__(self, stream: TextIO) -> None:
        self._lines: queue.Queue[logging.LogRecord | None] = queue.Queue(WAITING)
        super().__init__(self._lines)
        self.dropped = 0
        self._stream = stream
        writer = logging.StreamHandler(stream)
        writer.setFormatter(logging.Formatter(FORMAT))
        self._writers: Sequence[logging.Handler] = (writer,)
        self._is_journal = _is_journal(stream)
        self._thread = threading.Thread(target=self._run, name="hamgr-log", daemon=True)
        self._thread.start()

    def write_also(self, file: Path | None, facility: str) -> None:
        """Write what follows to a file too, and to syslog. The journal gets each line once: it hears syslog anyway."""
        writers = list(self._writers)
        if facility:
            writers = [Syslog(facility)] if self._is_journal else [*writers, Syslog(facility)]
        if file is not None:
            writers.append(LogFile(file))
        self._writers = tuple(writers)

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def _run(self) -> None:
        while (record := self._lines.get()) is not None:
            dropped, self.dropped = self.dropped, 0
            if dropped:
                text = f"{dropped} log lines were dropped: whoever reads them is too slow"
                self._write(logging.makeLogRecord({"levelname": "WARNING", "msg": text}))
            self._write(record)

    def _write(self, record: logging.LogRecord) -> None:
        for writer in self._writers:
            writer.handle(record)

    def close(self) -> None:
        """Let what waits be written, but not wait for ever for a reader that is stuck."""
        try:
            self._lines.put(None, timeout=LAST_WORDS)
        except queue.Full:
            return
        self._thread.join(LAST_WORDS)
        if not self._thread.is_alive():
            _give_up(self._stream)
        super().close()


class LogFile(logging.Handler):
    """A file that logrotate may move away. What can't be written, as on a full disk, is not in it: nobody waits.

    Written without a buffer, which a full disk would let grow.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(FORMAT))
        self._path = path
        self._file: int | None = None

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n".encode(errors="replace")
        try:
            os.write(self._open(), line)
        except OSError:
            self.close()

    def _open(self) -> int:
        """The file that has the path now."""
        if self._file is not None:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self._path), os.fstat(self._file)):
                    return self._file
            self.close()
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self._file

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Syslog(logging.Handler):
    """The local syslog daemon. A line that it does not take at once is lost to it."""

    def __init__(self, facility: str, address: str = SYSLOG) -> None:
        super().__init__()
        self._facility = SysLogHandler.facility_names[facility]
        self._address = address
        self._socket: socket.socket | None = None

    def emit(self, record: logging.LogRecord) -> None:
        priority = self._facility << 3 | _SEVERITIES.get(record.levelname, 6)
        line = f"<{priority}>hamgrd[{os.getpid()}]: {self.format(record)}".encode(errors="replace")
        for _ in range(2):  # once more over a new socket: the daemon may have been restarted
            try:
                if self._socket is None:
                    self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                    self._socket.setblocking(False)
                    self._socket.connect(self._address)
                self._socket.send(line)
                return
            except BlockingIOError:
                return
            except OSError:
                self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _give_up(stream: TextIO) -> None:
    """If nobody reads it any more. Python itself would end with a failure for what it can't write at the end, and a
    daemon that left cleanly would be started anew."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _is_journal(stream: TextIO) -> bool:
    """Whether a stream goes to the journal, which then has told us its device and inode (systemd.exec(5))."""
    with contextlib.suppress(OSError, ValueError):
        status = os.fstat(stream.fileno())
        return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
    return False


def log_to(stream: TextIO, level: int) -> LogThread:
    """Send all log lines of this program to `stream`."""
    handler = LogThread(stream)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    return handler
