"""Log lines of a daemon whose reader does not read."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hamgr.logs import WAITING, LogFile, LogThread, Syslog, log_to

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


LEAVES = """
import logging, sys
from hamgr.logs import log_to
sys.stdin.readline()
lines = log_to(sys.stderr, logging.INFO)
logging.getLogger("hamgr").info("left cleanly")
lines.close()
"""


def test_a_clean_end_is_one_although_nobody_reads_the_lines_anymore() -> None:
    """As without a journal: systemd starts anew who ended with a failure."""
    reader, writer = os.pipe()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", LEAVES]
    leaves = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=writer, env=environment)
    os.close(writer)
    os.close(reader)
    leaves.communicate(b"now\n", 20)
    assert leaves.returncode == 0


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


def record(text: str, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("hamgr", level, __file__, 1, text, None, None)


def test_lines_go_to_a_file_too(pipe: tuple[int, LogThread], tmp_path: Path) -> None:
    _, lines = pipe
    file = tmp_path / "ha-log"
    lines.write_also(file, "")
    logging.getLogger("hamgr").warning("node-dead: b is dead")
    deadline = time.monotonic() + 10
    while not (file.exists() and "b is dead" in file.read_text()) and time.monotonic() < deadline:
        os.sched_yield()
    assert file.read_text().endswith(" WARNING node-dead: b is dead\n")


def test_a_file_that_is_moved_away_is_made_anew(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "ha-log")
    log.handle(record("one"))
    (tmp_path / "ha-log").rename(tmp_path / "ha-log.1")
    log.handle(record("two"))
    log.close()
    assert "one" in (tmp_path / "ha-log.1").read_text()
    assert "two" in (tmp_path / "ha-log").read_text()


def test_a_file_that_cant_be_written_is_no_trouble(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tmp_path / "missing" / "ha-log", Path("/dev/full")):
        log = LogFile(path)
        log.handle(record("lost"))
        log.close()
    assert capsys.readouterr().err == ""


def test_syslog_gets_priority_program_and_text_and_may_be_restarted(tmp_path: Path) -> None:
    address = str(tmp_path / "log")
    log = Syslog("local0", address)
    log.handle(record("nobody listens"))
    for text in ("one", "two"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            daemon.settimeout(5)
            daemon.bind(address)
            log.handle(record(text))
            assert daemon.recv(1000).decode() == f"<{16 * 8 + 4}>hamgrd[{os.getpid()}]: {text}"
        os.unlink(address)
    log.close()


def test_a_syslog_daemon_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    address = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(address)
        log = Syslog("daemon", address)
        began = time.monotonic()
        for _ in range(2000):
            log.handle(record("x" * 500))
        assert time.monotonic() - began < 5
        log.close()


def test_the_journal_gets_each_line_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for from_journal, writers in ((True, ["Syslog"]), (False, ["StreamHandler", "Syslog"])):
        with (tmp_path / "stderr").open("w") as stream:
            status = os.fstat(stream.fileno())
            monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino if from_journal else 0}")
            lines = LogThread(stream)
            lines.write_also(None, "local0")
            assert [type(writer).__name__ for writer in lines._writers] == writers
            lines.close()
