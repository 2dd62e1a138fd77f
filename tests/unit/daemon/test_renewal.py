"""A certificate is looked at by a program of its own, and what it says is told once."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from hamgr.renewal import Renewal

Caplog = pytest.LogCaptureFixture


def program(tmp_path: Path, text: str) -> list[str]:
    script = tmp_path / "hamgr"
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)
    return [str(script)]


async def told(renewal: Renewal, caplog: Caplog, times: int = 1) -> list[str]:
    caplog.set_level(logging.INFO, "hamgr.renewal")
    for _ in range(times):
        await asyncio.wait_for(renewal._ask(), 10)
    return [record.getMessage() for record in caplog.records if record.name == "hamgr.renewal"]


async def test_what_was_renewed_is_told_and_what_is_good_is_not(tmp_path: Path, caplog: Caplog) -> None:
    renews = Renewal(tmp_path / "id", tmp_path / "c", program(tmp_path, 'echo "$@: renewed"'))
    assert await told(renews, caplog) == [f"join --renew --identity {tmp_path}/id: renewed"]
    caplog.clear()
    assert await told(Renewal(tmp_path / "id", tmp_path / "c", program(tmp_path, "echo good")), caplog) == []


async def test_a_failure_is_told_once_as_long_as_it_is_the_same(tmp_path: Path, caplog: Caplog) -> None:
    fails = Renewal(tmp_path / "id", tmp_path / "c", program(tmp_path, "echo it was revoked >&2; exit 1"))
    assert await told(fails, caplog, times=2) == ["the certificate at the arbiter was not looked at: it was revoked"]


async def test_a_program_that_hangs_holds_nothing_up(
    tmp_path: Path, caplog: Caplog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hamgr.renewal.PATIENCE", 0.2)
    hangs = Renewal(tmp_path / "id", tmp_path / "c", program(tmp_path, "exec sleep 60"))
    assert await told(hangs, caplog) == ["the certificate at the arbiter was not looked at: it did not end in time"]
