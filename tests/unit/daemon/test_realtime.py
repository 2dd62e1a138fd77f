"""Real-time scheduling in a process of its own: what it gives, and what its children don't get."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, os, subprocess, sys, threading
from pathlib import Path
from hamgr.realtime import enter
stay = threading.Event()
threading.Thread(target=stay.wait, daemon=True).start()
got = enter(3)
tasks = [int(task.name) for task in Path("/proc/self/task").iterdir()]
threads = [os.sched_getscheduler(task) & ~os.SCHED_RESET_ON_FORK for task in tasks]
ask = "import os; print(os.sched_getscheduler(0))"
child = int(subprocess.check_output([sys.executable, "-c", ask]))
locked = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmLck"))
print(json.dumps({"scheduled": got.scheduled, "locked": got.locked, "complete": got.complete, "detail": got.detail,
                  "threads": threads, "priority": os.sched_getparam(0).sched_priority, "child": child,
                  "kb": int(locked.split()[1])}))
"""


def run(*prefix: str) -> dict:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for SCHED_RR and locked memory")
def test_every_thread_is_real_time_the_memory_is_locked_and_children_are_ordinary() -> None:
    found = run()
    if not found["scheduled"]:
        pytest.skip(f"this machine refuses it: {found['detail']}")
    assert found["threads"] == [os.SCHED_RR] * 2
    assert found["priority"] == 3
    assert found["child"] == os.SCHED_OTHER
    assert found["kb"] > 1000
    assert found["complete"]
    assert found["detail"] == "SCHED_RR priority 3; memory locked"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give its capabilities away")
def test_without_the_capabilities_it_says_what_is_missing_and_goes_on() -> None:
    found = run("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    assert not found["scheduled"]
    assert "SCHED_RR is refused (Operation not permitted): give hamgrd CAP_SYS_NICE" in found["detail"]
    if not found["locked"]:
        assert "give hamgrd CAP_IPC_LOCK" in found["detail"]
    assert not found["complete"]
