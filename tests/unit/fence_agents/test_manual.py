"""fence_hamgr_manual: fails at once for a cluster, and asks on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

AGENT = str(Path(sys.executable).parent / "fence_hamgr_manual")


def by_cluster(*lines: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([AGENT], input="\n".join((*lines, "")), capture_output=True, text=True, timeout=20)


def by_hand(answer: str) -> tuple[int, str]:
    ours, its = pty.openpty()
    command = [AGENT, "--action", "off", "--plug", "b", "--check", "rack 3"]
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=subprocess.PIPE, text=True) as process:
        os.close(its)
        os.write(ours, f"{answer}\n".encode())
        _, said = process.communicate(timeout=20)
        os.close(ours)
        return process.returncode, said


def test_a_cluster_is_told_at_once_what_a_human_must_do() -> None:
    done = by_cluster("action=off", "nodename=b", "check=rack 3, unit 12: both cords out")
    assert done.returncode == 1
    assert (
        "waits for a human: switch b off and make sure of it: rack 3, unit 12: both cords out; "
        "then: hamgr fence ack b" in done.stderr
    )


def test_it_is_not_an_answer_that_somebody_waits_on_standard_input() -> None:
    assert by_cluster("action=off", "nodename=b", "b").returncode == 1


def test_on_a_terminal_the_name_confirms() -> None:
    code, said = by_hand("b")
    assert code == 0
    assert "rack 3" in said


def test_on_a_terminal_anything_else_does_not() -> None:
    for answer in ("y", "a", ""):
        assert by_hand(answer)[0] == 1


def test_monitor_has_nobody_to_ask() -> None:
    assert by_cluster("action=monitor", "nodename=b").returncode == 0


def test_nobody_is_named_without_a_name() -> None:
    done = by_cluster("action=off")
    assert done.returncode == 1
    assert "option plug is missing" in done.stderr
