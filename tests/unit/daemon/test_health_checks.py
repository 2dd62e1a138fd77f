"""A node's own checks give its health, whatever a check does; each with a real program."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hamgr.config.model import HealthCheckConfig
from hamgr.health_checks import HealthChecks, _Check

QUICK = 0.02
"""Seconds between two runs."""


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / f"check{len(list(tmp_path.iterdir()))}"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return write


class Told:
    """What the checks say, and how to wait for it."""

    def __init__(self) -> None:
        self.all: list[tuple[int, str]] = []
        self._news = asyncio.Event()

    def __call__(self, score: int, detail: str) -> None:
        self.all.append((score, detail))
        self._news.set()

    async def until(self, score: int) -> str:
        async with asyncio.timeout(20):
            while not self.all or self.all[-1][0] != score:
                self._news.clear()
                await self._news.wait()
        return self.all[-1][1]


@asynccontextmanager
async def checks(*configs: HealthCheckConfig) -> AsyncIterator[Told]:
    told = Told()
    found = HealthChecks(configs, told)
    found.start()
    try:
        yield told
    finally:
        await found.close()


def check(name: str, *command: str, weight: int = 1, timeout: float = 10.0) -> HealthCheckConfig:
    return HealthCheckConfig(name, command, weight, QUICK, timeout)


async def test_a_check_that_fails_takes_its_weight_and_gives_it_back(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    sick = tmp_path / "sick"
    storage = check("storage", program(f'[ ! -e {sick} ] || {{ echo "2 paths lost" >&2; exit 3; }}'), weight=5)
    async with checks(storage, check("rest", program("exit 0"))) as told:
        await told.until(6)
        sick.touch()
        assert await told.until(1) == "check storage ended with 3: 2 paths lost"
        sick.unlink()
        assert await told.until(6) == ""


async def test_a_check_that_hangs_counts_as_failed_and_holds_up_no_other(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    mark = tmp_path / "ran"
    hangs = check("hangs", program("sleep 600 & wait"), timeout=0.3)
    async with checks(hangs, check("works", program(f"echo >>{mark}"), weight=2)) as told:
        began = time.monotonic()
        assert await told.until(2) == "check hangs did not end within 0.3 s"
        assert time.monotonic() - began < 5
        assert len(mark.read_text()) > 1, "the other one ran meanwhile"


async def test_a_check_that_is_not_there_counts_as_failed_and_says_so(tmp_path: Path) -> None:
    async with checks(check("missing", str(tmp_path / "nothing"))) as told:
        assert (await told.until(0)).startswith(f"check missing can't be run: {tmp_path}/nothing")


async def test_nobody_is_left_when_the_daemon_ends(tmp_path: Path, program: Callable[[str], str]) -> None:
    told = tmp_path / "told"
    os.mkfifo(told)
    async with checks(check("hangs", program(f"echo $$ >{told}; exec sleep 600"))):
        pid = int(await asyncio.to_thread(told.read_text))
        assert Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{pid}").exists()


def test_so_many_results_in_a_row_count_as_are_asked_for() -> None:
    found = _Check(HealthCheckConfig("c", ("/bin/true",), fall=2, rise=3))
    states = []
    for fault in ("x", "", "x", "x", "", "x", "", "", ""):
        found.take(fault)
        states.append(found.good)
    assert states == [True, True, True, False, False, False, False, False, True]
