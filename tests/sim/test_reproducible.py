"""A seed is one universe: the same in every process, whatever the hash seed; another one is another."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hamgr.sim.run import plan, run
from hamgr.sim.shape import Wanted


def printed(seed: int, hash_seed: str) -> str:
    command = [sys.executable, "-m", "hamgr.sim", "--seed", str(seed), "--trace", "--no-shrink"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize("seed", [3, 11])
def test_a_seed_is_the_same_run_in_every_process(seed: int) -> None:
    first = printed(seed, "0")
    assert first == printed(seed, "4711")
    assert "coordinator" in first
    assert f"trace {run(plan(seed, Wanted())).trace_hash}" in first


def test_another_seed_is_another_run() -> None:
    assert len({run(plan(seed, Wanted())).trace_hash for seed in range(1, 6)}) == 5


def test_a_run_may_be_repeated_in_one_process() -> None:
    what = plan(7, Wanted())
    assert run(what) == run(what)
