"""Init scripts, good and bad ones; each a real process."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hamgr.config.model import ResourceConfig
from hamgr.resources.lsb import Lsb
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings

Make = Callable[..., Lsb]


@pytest.fixture
def service(tmp_path: Path) -> Make:
    """`service("case $1 in ...")`: a resource with this script."""

    def make(body: str, args: list[str] | None = None, mode: int = 0o755) -> Lsb:
        script = tmp_path / "service"
        script.write_text(f"#!/bin/sh\nhere={tmp_path}\n{body}\n")
        script.chmod(mode)
        return lsb(tmp_path, str(script), args or [])

    return make


def lsb(here: Path, script: str, args: list[str] | None = None) -> Lsb:
    config = ResourceConfig("service", "lsb", {"script": script, "args": args or []})
    return Lsb(config, Surroundings(group="g", state_dir=here / "state"))


def alive(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except ProcessLookupError:
        return False
    return True


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.01)


async def test_a_well_behaved_service(service: Make, tmp_path: Path) -> None:
    lsb = service("case $1 in start) touch $here/on;; stop) rm -f $here/on;; status) [ -e $here/on ] || exit 3;; esac")
    assert await lsb.status() is ResourceStatus.STOPPED
    await lsb.start()
    await lsb.start()
    assert await lsb.status() is ResourceStatus.RUNNING
    await lsb.stop()
    await lsb.stop()
    assert await lsb.status() is ResourceStatus.STOPPED


async def test_arguments_come_before_the_action(service: Make, tmp_path: Path) -> None:
    await service('echo "$@" > $here/args', ["one", "two words"]).start()
    assert (tmp_path / "args").read_text() == "one two words start\n"


@pytest.mark.parametrize(
    ("code", "status"),
    [(0, "RUNNING"), (3, "STOPPED"), (1, "FAILED"), (2, "FAILED"), (4, "FAILED"), (127, "FAILED")],
)
async def test_status_codes_of_the_lsb(service: Make, code: int, status: str) -> None:
    assert await service(f"exit {code}").status() is ResourceStatus[status]


async def test_a_failed_status_is_explained(service: Make) -> None:
    lsb = service("echo 'no answer'; exit 1")
    await lsb.status()
    assert lsb.reason.endswith("service status ended with 1 (dead, and its pid file is still there): no answer")


async def test_a_failure_says_the_code_and_the_end_of_the_output(service: Make) -> None:
    with pytest.raises(ResourceError, match=r"service start ended with 7: no such database$"):
        await service("echo 'no such database' >&2; exit 7").start()
    with pytest.raises(ResourceError, match=r"service stop ended with 1$"):
        await service("exit 1").stop()


async def test_a_script_that_hangs_is_killed_with_its_children(service: Make, tmp_path: Path) -> None:
    lsb = service("sleep 1000 & echo $! > $here/child; echo $$ > $here/self; wait")
    task = asyncio.create_task(lsb.start())
    await until(lambda: (tmp_path / "self").exists() and (tmp_path / "self").read_text() != "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not alive(tmp_path / "self") and not alive(tmp_path / "child"))


async def test_a_child_that_keeps_the_output_open_keeps_nobody_waiting(service: Make, tmp_path: Path) -> None:
    began = time.monotonic()
    await service("sleep 1000 & echo $! > $here/child").start()
    assert time.monotonic() - began < 30
    assert alive(tmp_path / "child"), "a service goes on when its script ended"
    os.kill(int((tmp_path / "child").read_text()), 9)


async def test_a_flood_of_output_does_no_harm(service: Make) -> None:
    with pytest.raises(ResourceError) as failed:
        await service("head -c 50000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1").start()
    assert str(failed.value).endswith("the end")
    assert len(str(failed.value)) < 600


async def test_it_reads_nothing_and_has_a_plain_environment(service: Make, tmp_path: Path) -> None:
    await service("cat > $here/input; env > $here/env").start()
    assert (tmp_path / "input").read_text() == ""
    assert "LANG=C\n" in (tmp_path / "env").read_text()


@pytest.mark.parametrize("operation", ["start", "stop", "status"])
async def test_what_can_not_be_run_is_said(service: Make, tmp_path: Path, operation: str) -> None:
    """Once it was started: what runs may have lost its script."""
    resource = service("exit 0")
    await resource.start()
    script = tmp_path / "service"
    script.chmod(0o644)
    with pytest.raises(ResourceError, match="can't be run: Permission denied: it is not executable"):
        await getattr(resource, operation)()
    script.unlink()
    with pytest.raises(ResourceError, match="service can't be run: No such file or directory"):
        await getattr(lsb(tmp_path, str(script)), operation)()  # also after a restart of hamgrd
    script.mkdir()
    with pytest.raises(ResourceError, match="can't be run: Permission denied: it is a directory"):
        await getattr(resource, operation)()


async def test_a_script_that_is_missing_and_started_nothing_since_the_boot_is_stopped(tmp_path: Path) -> None:
    """It may lie on a file system that is mounted on the other node."""
    resource = lsb(tmp_path, f"{tmp_path}/missing")
    assert await resource.status() is ResourceStatus.STOPPED
    with pytest.raises(ResourceError, match="missing can't be run: No such file or directory"):
        await resource.start()
    await resource.stop()
    assert await resource.status() is ResourceStatus.STOPPED
    assert "missing can't be run" in resource.reason


async def test_after_a_stop_and_a_boot_a_missing_script_is_stopped(
    service: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = service("exit 0")
    await resource.start()
    await resource.stop()
    (tmp_path / "service").rename(tmp_path / "gone")
    assert await resource.status() is ResourceStatus.STOPPED
    (tmp_path / "gone").rename(tmp_path / "service")
    await resource.start()
    (tmp_path / "service").unlink()
    monkeypatch.setattr("hamgr.resources.mark.machine_life", lambda: "another")
    assert await resource.status() is ResourceStatus.STOPPED
