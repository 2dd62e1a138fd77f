"""The arbiter's systemd unit, as systemd itself judges it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[3] / "contrib" / "hamgr-arbiter.service"
MOST_EXPOSED = 2.0
"""Of 10, as systemd-analyze(1) counts; 9.6 is a service that restricts nothing."""

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze (systemd)")


def analysed(*words: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", *words],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("hamgr-arbiter")
    placed = tmp_path / UNIT.name
    placed.write_text(UNIT.read_text().replace("/usr/local/sbin/hamgr-arbiter", str(program)))
    assert UNIT.name not in analysed("verify", "--man=no", str(placed))


def test_it_is_hardened() -> None:
    found = re.search(r"Overall exposure level.*: ([0-9.]+)", analysed("security", "--offline=true", str(UNIT)))
    assert found is not None
    assert float(found[1]) <= MOST_EXPOSED
