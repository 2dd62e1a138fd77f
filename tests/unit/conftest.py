"""What unit tests of several directories share: a disk that two machines reach."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hamgr.lab.shareddisk import attach, detach

SHARED_BYTES = 8 << 20


@pytest.fixture
def two_ends(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Two loop devices over one empty file: the same disk, as two machines see it."""
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("loop devices need root")
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(SHARED_BYTES)
    devices = []
    try:
        devices = [attach(image) for _ in range(2)]
        yield devices[0], devices[1]
    finally:
        for device in devices:
            detach(device)
