"""Whether an arbiter that is a disk could serve this node, for `hamgr check`; asked of a process of its own.

A process that waits for a dead disk can't be ended, and neither could we.
"""

from __future__ import annotations

import subprocess
import sys

from hamgr.config.model import Config
from hamgr.config.problems import Problem

TIMEOUT = 10.0
"""Seconds for one look at a disk."""


def problems(config: Config, node: str) -> list[Problem]:
    if config.arbiter is None or not config.arbiter.disks:
        return []
    device = config.arbiter.disks[node]
    command = [sys.executable, "-m", "hamgr.disk.examine", device, config.spec.name, *config.spec.names]
    asked = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        found = asked.communicate(timeout=TIMEOUT)[0].splitlines()
    except subprocess.TimeoutExpired:
        asked.kill()
        found = [f"{device} has not answered for {TIMEOUT:g} s"]
    allowed = "a disk that all nodes reach, made by `hamgr disk init` for this cluster and its nodes"
    return [Problem(config.path, "arbiter.disk", what, allowed) for what in found]
