"""Watching the VIP from a test: runs the probing processes and collects what they print."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from hamgr.lab.answers import CLIENT_VIEW, HTTP_VIEW, Answer, Outage, Overlap, outages, overlaps
from hamgr.lab.namespaces import LabError

LONGEST_GAP_INTERVALS = 5
"""Answers further apart than this many intervals are an outage: less is the machine's own jitter."""

_END_TIMEOUT = 5.0


class Prober:
    """Collects answers until `stop`, or the end of its `with` block. Times: CLOCK_MONOTONIC."""

    def __init__(self, commands: Sequence[Sequence[str]], environment: Mapping[str, str], interval: float) -> None:
        self._interval = interval
        self._answers: list[Answer] = []
        self._arrived = threading.Condition()
        self._stopped_at: float | None = None
        self._processes: list[subprocess.Popen[str]] = []
        for command in commands:
            # In a session of its own: Ctrl-C is ours to handle, and its end is its standard input's.
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            self._processes.append(process)
        self._readers = [
            threading.Thread(target=self._collect, args=(process,), daemon=True) for process in self._processes
        ]
        for reader in self._readers:
            reader.start()

    def answers(self) -> list[Answer]:
        """All so far, in the order of their arrival here."""
        with self._arrived:
            return list(self._answers)

    def outages(self, longest_gap: float | None = None, kind: str = CLIENT_VIEW) -> list[Outage]:
        """The times without an answer to the client, longer than `longest_gap` seconds (5 intervals)."""
        gap = LONGEST_GAP_INTERVALS * self._interval if longest_gap is None else longest_gap
        return outages(self.answers(), gap, self._stopped_at or time.monotonic(), kind)

    def owners_overlapping(self) -> list[Overlap]:
        """Every moment at which two nodes held the address: must be empty."""
        return overlaps(self.answers())

    def wait_for(self, matches: Callable[[Answer], bool], timeout: float, what: str) -> Answer:
        """The next answer that matches, from now on. Raises LabError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._arrived:
            seen = len(self._answers)
            while True:
                for answer in self._answers[seen:]:
                    if matches(answer):
                        return answer
                seen = len(self._answers)
                if not self._arrived.wait(max(0.0, deadline - time.monotonic())):
                    raise LabError(f"waited {timeout:g} s in vain for {what}")

    def wait_for_answer(self, node: str, timeout: float = 20.0) -> Answer:
        """The next answer that this node gives to the client."""
        return self.wait_for(
            lambda answer: answer.kind == CLIENT_VIEW and answer.node == node,
            timeout,
            f"an answer from {node}",
        )

    def wait_for_page(self, node: str = "", timeout: float = 20.0) -> Answer:
        """The next good HTTP answer, of this node ("": any), to a question that is asked from now on."""
        asked = time.monotonic()
        return self.wait_for(
            lambda answer: answer.kind == HTTP_VIEW and answer.sent >= asked and node in ("", answer.node),
            timeout,
            f"a page from {node or 'anybody'}",
        )

    def stop(self) -> None:
        """End the probing; the answers stay."""
        if self._stopped_at is not None:
            return
        self._stopped_at = time.monotonic()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process, reader in zip(self._processes, self._readers, strict=True):
            try:
                process.wait(_END_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            reader.join(_END_TIMEOUT)
            assert process.stdout is not None
            process.stdout.close()

    def _collect(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._arrived:
                self._answers.append(Answer.parse(line))
                self._arrived.notify_all()

    def __enter__(self) -> Prober:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
