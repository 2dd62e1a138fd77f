"""Log lines of a daemon whose reader does not read."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator

import pytest

from hamgr.logs import WAITING, LogThread, log_to

F_SETPIPE_SZ = 1031


@pytest.fixture
def pipe() -> Iterator[tuple[int, LogThread]]:
    """The reading end of a small pipe, and all log lines going into it."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, F_SETPIPE_SZ, 4096)
    root = logging.getLogger()
    before = root.level
    with os.fdopen(writer, "w") as stream:
        lines = log_to(stream, logging.DEBUG)
        try:
            yield reader, lines
        finally:
            root.removeHandler(lines)
            root.setLevel(before)
            os.set_blocking(reader, False)
            threading.Thread(target=lambda: _drain(reader), daemon=True).start()
            lines.close()
            lines._lines.put(None)
            lines._thread.join(10)


def _drain(reader: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if not os.read(reader, 1 << 20):
                return
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            return


def test_lines_arrive_in_order(pipe: tuple[int, LogThread]) -> None:
    reader, _ = pipe
    for number in range(3):
        logging.getLogger("hamgr").warning("line %d", number)
    text = b""
    while text.count(b"\n") < 3:
        text += os.read(reader, 4096)
    assert [line.split()[-1] for line in text.decode().splitlines()] == ["0", "1", "2"]


def test_a_reader_that_does_not_read_holds_nobody_up_and_is_told_what_it_missed(pipe: tuple[int, LogThread]) -> None:
    reader, lines = pipe
    extra = 500
    for number in range(WAITING + extra):
        logging.getLogger("hamgr").debug("line %d of a long story that fills the pipe", number)
    assert lines.dropped > 0, "the queue is bounded"
    text, deadline = b"", time.monotonic() + 20
    while b"log lines were dropped" not in text and time.monotonic() < deadline:
        text += os.read(reader, 1 << 16)
    assert b"log lines were dropped: whoever reads them is too slow" in text
    assert b"line 0 of" in text


def test_the_end_of_the_program_does_not_wait_for_a_stuck_reader(pipe: tuple[int, LogThread]) -> None:
    _, lines = pipe
    for number in range(WAITING + 100):
        logging.getLogger("hamgr").debug("line %d of a long story that fills the pipe", number)
    ended = threading.Event()
    threading.Thread(target=lambda: (lines.close(), ended.set()), daemon=True).start()
    assert ended.wait(20)
