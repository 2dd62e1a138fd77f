"""Log lines leave through a thread of their own: a full pipe or a stuck journal never holds the heartbeats up."""

from __future__ import annotations

import logging
import queue
import threading
from logging.handlers import QueueHandler
from typing import TextIO

WAITING = 10_000
"""Lines that wait for a slow reader at most; later ones are dropped, and counted."""

LAST_WORDS = 1.0
"""Seconds for which the end of the program waits for the reader."""

FORMAT = "%(asctime)s %(levelname)s %(message)s"


class LogThread(QueueHandler):
    """A handler that writes to a stream from its own thread, in order."""

    def __init__(self, stream: TextIO) -> None:
        self._lines: queue.Queue[logging.LogRecord | None] = queue.Queue(WAITING)
        super().__init__(self._lines)
        self.dropped = 0
        self._writer = logging.StreamHandler(stream)
        self._writer.setFormatter(logging.Formatter(FORMAT))
        self._thread = threading.Thread(target=self._run, name="hamgr-log", daemon=True)
        self._thread.start()

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
                self._writer.handle(logging.makeLogRecord({"levelname": "WARNING", "msg": text}))
            self._writer.handle(record)

    def close(self) -> None:
        """Let what waits be written, but not wait for ever for a reader that is stuck."""
        try:
            self._lines.put(None, timeout=LAST_WORDS)
        except queue.Full:
            return
        self._thread.join(LAST_WORDS)
        super().close()


def log_to(stream: TextIO, level: int) -> LogThread:
    """Send all log lines of this program to `stream`."""
    handler = LogThread(stream)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    return handler
