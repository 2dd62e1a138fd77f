"""Labs for tests: `lab(...)` brings one up for the test, and takes it down whatever happens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from hamgr.lab.lab import Lab
from hamgr.lab.namespaces import is_rootless, missing_tools, new_world, search_path
from hamgr.lab.plan import Options

TOOLS = ("unshare", "nsenter", "ip", "nft", "mount", "ipmi_sim")

LabFactory = Callable[..., Lab]


@cache
def why_no_lab() -> str:
    """What this machine lacks for a lab, in a sentence; "" when it lacks nothing."""
    missing = missing_tools(TOOLS, search_path(sys.executable))
    if missing:
        return "no lab here: missing " + ", ".join(f"{tool} ({package})" for tool, package in missing)
    attempt = subprocess.run(new_world(["true"], is_rootless()), capture_output=True, text=True, check=False)
    return f"no lab here: {attempt.stderr.strip()}" if attempt.returncode != 0 else ""


def why_no_shared_disk() -> str:
    """What this machine lacks for `Options.shared_disk`, in a sentence; "" when it lacks nothing."""
    if is_rootless():
        return "no shared disk here: loop devices need root"
    if missing_tools(["mkfs.ext4"], search_path(sys.executable)):
        return "no shared disk here: missing mkfs.ext4 (e2fsprogs)"
    return "" if Path("/dev/loop-control").exists() else "no shared disk here: no /dev/loop-control"


@pytest.fixture
def shared_disk() -> None:
    """Skips the test, by name, where no lab can have a shared disk."""
    if why_no_shared_disk():
        pytest.skip(why_no_shared_disk())


@pytest.fixture
def lab() -> Iterator[LabFactory]:
    """`lab(deadtime="1s", ...)`: a lab with these `Options`, which is up; it is gone after the test."""
    if why_no_lab():
        pytest.skip(why_no_lab())
    with ExitStack() as labs:
        yield lambda **options: labs.enter_context(Lab(Options(**options)))
