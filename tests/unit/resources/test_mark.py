"""Marks on real files, and on a disk that is full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hamgr.resources.mark import Mark, machine_life
from hamgr.resources.resource import ResourceError, Surroundings


@pytest.fixture
def mark(tmp_path: Path) -> Mark:
    return Mark(Surroundings(group="g", state_dir=tmp_path), "r")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The marks are on a disk of two pages."""
    if os.geteuid() != 0:
        pytest.skip("a small disk of its own needs root")
    marks = tmp_path / "marks"
    marks.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "small", marks], check=True)
    try:
        yield marks
    finally:
        subprocess.run(["umount", marks], check=True)


def test_what_was_written_last_is_read(mark: Mark) -> None:
    assert mark.read() == ""
    mark.reserve()
    assert mark.read() == ""
    mark.write("a long text of the first time")
    mark.write("short")
    mark.reserve()
    assert mark.read() == "short"
    mark.clear()
    assert mark.read() == ""


def test_a_boot_forgets_it(mark: Mark, monkeypatch: pytest.MonkeyPatch) -> None:
    mark.write("begun")
    monkeypatch.setattr("hamgr.resources.mark.machine_life", lambda: "another")
    assert mark.read() == ""


def test_one_life_is_one_life() -> None:
    assert machine_life() == machine_life()


@pytest.mark.parametrize("content", [b"", b"x", b"\xff\xfe\n", b"\0" * 100_000])
def test_a_broken_mark_is_none(mark: Mark, content: bytes) -> None:
    mark.path.parent.mkdir()
    mark.path.write_bytes(content)
    assert mark.read() == ""
    mark.write("begun")
    assert mark.read() == "begun"


@pytest.mark.root
def test_a_disk_that_fills_up_after_the_start_of_hamgrd_does_not_matter(mark: Mark, small_disk: Path) -> None:
    mark.reserve()
    subprocess.run(["dd", "if=/dev/zero", f"of={small_disk}/fill", "bs=1k"], check=False, capture_output=True)
    assert os.statvfs(small_disk).f_bavail == 0
    mark.write("begun")
    assert mark.read() == "begun"
    mark.clear()
    assert mark.read() == ""


@pytest.mark.root
def test_what_can_not_be_written_is_an_error(mark: Mark, small_disk: Path) -> None:
    (small_disk / "fill").write_bytes(bytes(8192))
    with pytest.raises(ResourceError, match=r"marks/g\.r can't be written: No space left on device"):
        mark.write("begun")
    assert mark.read() == ""
