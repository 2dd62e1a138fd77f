"""Foreground programs, good and bad ones; each a real process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from hamgr.config.model import ResourceConfig
from hamgr.resources.kinds import RESOURCE_KINDS
from hamgr.resources.process import ForegroundProgram
from hamgr.resources.processes import find
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings

RUNNING, STOPPED, FAILED = ResourceStatus.RUNNING, ResourceStatus.STOPPED, ResourceStatus.FAILED

Make = Callable[..., ForegroundProgram]


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[Make]:
    """`program("exec sleep 1000")`: a resource that runs this shell text; the same again is hamgrd's next life."""
    made: list[ForegroundProgram] = []

    def make(body: str = "exec sleep 1000", stop_timeout: float = 20.0, **options: object) -> ForegroundProgram:
        text = f"here={tmp_path}; echo $$ > $here/pid; {body}"
        given = {"command": ["/bin/sh", "-c", text], "environment": {}, "settle": 0.1, **options}
        config = ResourceConfig("p", "process", given, stop_timeout=stop_timeout)  # type: ignore[arg-type]
        built = RESOURCE_KINDS["process"].build(config, Surroundings(group="g", state_dir=tmp_path / "state"))
        assert isinstance(built, ForegroundProgram)
        made.append(built)
        return built

    yield make
    for one in made:
        await one.stop()
        await one.close()


def pid(directory: Path, name: str = "pid") -> int:
    return int((directory / name).read_text())


def alive(number: int) -> bool:
    process = find(number)
    return process is not None and process.alive


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.01)


async def test_it_runs_from_start_to_stop(program: Make, tmp_path: Path) -> None:
    service = program()
    assert await service.status() is STOPPED
    await service.start()
    first = pid(tmp_path)
    await service.start()
    assert pid(tmp_path) == first
    assert await service.status() is RUNNING
    await service.stop()
    await service.stop()
    assert await service.status() is STOPPED
    assert not Path(f"/proc/{first}").exists(), "no zombie is left"


async def test_it_is_found_again_after_a_restart_of_hamgrd(program: Make, tmp_path: Path) -> None:
    before = program()
    await before.start()
    await before.close()
    after = program()
    assert await after.status() is RUNNING
    await after.start()
    assert alive(pid(tmp_path))
    await after.stop()
    assert not alive(pid(tmp_path))


async def test_it_outlives_a_hamgrd_that_is_killed(program: Make, tmp_path: Path) -> None:
    """Another process starts it, and dies at once."""
    code = f"""
import asyncio, os
from pathlib import Path
from hamgr.config.model import ResourceConfig
from hamgr.resources.process import ForegroundProgram
from hamgr.resources.resource import Surroundings
async def main():
    command = ["sh", "-c", "echo $$ > {tmp_path}/pid; exec sleep 1000"]
    options = {{"command": command, "environment": {{}}, "settle": 0.1}}
    config = ResourceConfig("p", "process", options)
    await ForegroundProgram(config, Surroundings(group="g", state_dir=Path("{tmp_path}/state"))).start()
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    assert await asyncio.to_thread(lambda: subprocess.run([sys.executable, "-c", code], check=False).returncode) == -9
    service = program()
    assert await service.status() is RUNNING
    told: list[str] = []
    service.watch(told.append)
    await service.status()
    os.kill(pid(tmp_path), signal.SIGKILL)
    await until(lambda: told != [])
    assert await service.status() is STOPPED


@pytest.mark.parametrize(
    ("end", "how"),
    [("kill -KILL $$", "was killed by SIGKILL"), ("exit 3", "ended with 3"), ("exit 0", "ended with 0")],
)
async def test_its_end_is_noticed_at_once_and_told(program: Make, tmp_path: Path, end: str, how: str) -> None:
    service = program(f"until [ -e $here/end ]; do sleep 0.01; done; {end}", output=f"{tmp_path}/log")
    told: list[str] = []
    service.watch(told.append)
    await service.start()
    (tmp_path / "end").touch()
    await until(lambda: told != [])
    assert told[0].endswith(f"{how} (see {tmp_path}/log)")
    assert await service.status() is STOPPED


async def test_a_program_that_ends_at_once_is_no_start(program: Make, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=rf"ended with 4 \(see {tmp_path}/log\)"):
        await program("echo no license; exit 4", output=f"{tmp_path}/log").start()
    assert (tmp_path / "log").read_text() == "no license\n"
    with pytest.raises(ResourceError, match="ended with 0; a program that puts itself into the background"):
        await program("sleep 1000 & echo $! > $here/child; exit 0").start()
    assert await program().status() is FAILED, "its child is still there"
    await program().stop()
    assert not alive(pid(tmp_path, "child"))


async def test_children_that_are_left_are_a_failure_and_go_at_the_stop(program: Make, tmp_path: Path) -> None:
    service = program("sleep 1000 & echo $! > $here/child; wait")
    await service.start()
    os.kill(pid(tmp_path), signal.SIGKILL)
    await until(lambda: not alive(pid(tmp_path)))
    assert await service.status() is FAILED
    assert service.reason.endswith(
        f"was killed by SIGKILL; of its children there are left: sleep (pid {pid(tmp_path, 'child')})"
    )
    with pytest.raises(ResourceError, match="of its children there are left"):
        await service.start()
    await service.stop()
    assert not alive(pid(tmp_path, "child"))
    assert await service.status() is STOPPED


async def test_who_ignores_sigterm_is_killed(program: Make, tmp_path: Path) -> None:
    service = program("trap '' TERM; while :; do sleep 0.05; done", stop_timeout=1.0)
    await service.start()
    began = time.monotonic()
    await service.stop()
    assert not alive(pid(tmp_path))
    assert time.monotonic() - began < 10


async def test_a_start_that_is_cancelled_leaves_nothing(program: Make, tmp_path: Path) -> None:
    for turns in range(30):
        service = program("exec sleep 1000", settle=10.0)
        task = asyncio.create_task(service.start())
        for _ in range(turns):
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await service.stop()
        assert await program().status() is STOPPED
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            assert not alive(pid(tmp_path))


async def test_another_process_of_the_same_number_is_not_it(program: Make, tmp_path: Path) -> None:
    service = program()
    await service.start()
    mark = tmp_path / "state/marks/g.p"
    life, stat, *_ = mark.read_text().splitlines()
    other = subprocess.Popen(["sleep", "1000"], start_new_session=True)  # noqa: ASYNC220
    fields = stat.split()
    try:
        mark.write_text(f"{life}\n{' '.join([str(other.pid), *fields[1:]])}\n")
        later = program()
        assert await later.status() is STOPPED
        await later.stop()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


async def test_what_ran_before_the_boot_does_not_run(program: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    service = program()
    await service.start()
    with monkeypatch.context() as patch:
        patch.setattr("hamgr.resources.mark.machine_life", lambda: "another")
        assert await program().status() is STOPPED


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[None]:
    """The marks are on a disk of one page, which is taken."""
    marks = tmp_path / "state/marks"
    marks.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "full", marks], check=True)
    try:
        (marks / "other").write_bytes(bytes(4096))
        yield
    finally:
        subprocess.run(["umount", marks], check=True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk of its own needs root")
@pytest.mark.usefixtures("full_disk")
async def test_no_program_runs_that_could_not_be_noted(program: Make, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"marks/g\.p can't be written: is the disk full\?$"):
        await program().start()
    assert not (tmp_path / "pid").exists()
    assert await program().status() is STOPPED


async def test_what_can_not_be_run_is_said(program: Make, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="/nowhere/program ended with 127: No such file or directory"):
        await program(command=["/nowhere/program"]).start()
    with pytest.raises(ResourceError, match=f"can't be run: .*{tmp_path}/none/log.*(nonexistent|No such file)"):
        await program(output=f"{tmp_path}/none/log").start()
