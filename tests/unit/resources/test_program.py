"""Programs that misbehave; each a real process."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hamgr.resources.program import CantRun, Finished, run

Run = Callable[..., Awaitable[Finished]]


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """`script("exit 7")`: the path of a program that does this."""

    def make(body: str) -> str:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\nhere={tmp_path}\n{body}\n")
        path.chmod(0o755)
        return str(path)

    return make


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def pid(file: Path) -> int:
    return int(file.read_text())


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.01)


async def test_arguments_arrive_as_they_are_and_the_end_of_the_output_is_told(script: Callable[[str], str]) -> None:
    finished = await run([script('echo "$#:$1:$2"; echo "no such  database" >&2; exit 7'), "", "a 'b' $c"])
    assert finished == Finished(7, "2::a 'b' $c no such database")
    assert str(finished) == "ended with 7: 2::a 'b' $c no such database"


async def test_the_signal_that_killed_it_is_named(script: Callable[[str], str]) -> None:
    assert str(await run([script("kill -SEGV $$")])) == "was killed by SIGSEGV"
    assert str(await run([script("kill -40 $$")])) == "was killed by signal 40"


async def test_standard_output_can_be_had_whole_and_apart(script: Callable[[str], str]) -> None:
    finished = await run([script("echo out; echo err >&2; head -c 300000 /dev/zero")], whole=1_000_000)
    assert finished.stdout == b"out\n" + bytes(300_000)
    assert finished.output == "err"


async def test_standard_output_is_kept_up_to_the_bound(script: Callable[[str], str]) -> None:
    finished = await run([script("echo first; head -c 300000 /dev/zero")], whole=100)
    assert finished.stdout == b"first\n" + bytes(94)
    assert finished.code == 0


async def test_a_gigabyte_of_output_fills_no_memory_and_holds_nothing_up(script: Callable[[str], str]) -> None:
    """It is neither kept nor refused: the program ends as it would on a terminal."""
    worst, running = 0.0, True

    async def beat() -> None:
        nonlocal worst
        while running:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            worst = max(worst, time.monotonic() - due)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    heart = asyncio.create_task(beat())
    shm = os.statvfs("/dev/shm").f_bavail
    finished = await run([script("head -c 1000000000 /dev/zero; echo; echo the end; exit 1")])
    running = False
    await heart
    assert finished.code == 1
    assert finished.output.endswith("the end")
    assert len(finished.output) <= 4096
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
    assert shm - os.statvfs("/dev/shm").f_bavail < 20_000
    assert worst < 0.5


async def test_a_child_that_holds_the_output_keeps_nobody_waiting_and_can_go_on_writing(
    script: Callable[[str], str], tmp_path: Path
) -> None:
    """More than a pipe holds, and long after its parent ended: it neither blocks nor dies of SIGPIPE."""
    before = open_descriptors()
    child = "(until [ -e $here/go ]; do sleep 0.05; done; head -c 1000000 /dev/zero; echo $? > $here/code) &"
    finished = await run([script(f"{child} echo started")])
    assert finished == Finished(0, "started")
    assert open_descriptors() == before
    (tmp_path / "go").touch()
    await until(lambda: (tmp_path / "code").exists() and (tmp_path / "code").read_text() != "")
    assert (tmp_path / "code").read_text() == "0\n"


async def test_what_reads_the_output_of_children_ends_with_them(script: Callable[[str], str], tmp_path: Path) -> None:
    await run([script("sleep 1000 & echo $! > $here/child; echo $$ > $here/self")])
    child = pid(tmp_path / "child")
    end = os.stat(f"/proc/{child}/fd/1").st_ino

    def readers() -> list[str]:
        found = []
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.stat(f"/proc/{process}/fd/0").st_ino == end:
                    found.append(process)
            except OSError:
                continue
        return found

    await until(lambda: len(readers()) == 1)
    os.kill(child, signal.SIGKILL)
    await until(lambda: readers() == [])


async def test_nothing_is_left_to_read_a_well_behaved_program(script: Callable[[str], str], tmp_path: Path) -> None:
    before = open_descriptors()
    finished = await run([script("sleep 1000 >/dev/null 2>&1 & echo $! > $here/child; sleep 0.01; echo done")])
    assert finished.output == "done"
    assert open_descriptors() == before
    assert alive(pid(tmp_path / "child")), "a service goes on when its script ended"
    os.kill(pid(tmp_path / "child"), signal.SIGKILL)


async def test_who_ignores_sigterm_is_killed_with_its_children(script: Callable[[str], str], tmp_path: Path) -> None:
    before = open_descriptors()
    task = asyncio.create_task(
        run([script("trap '' TERM HUP INT; sleep 1000 & echo $! > $here/child; echo $$ > $here/self; wait")])
    )
    await until(lambda: (tmp_path / "self").exists() and (tmp_path / "self").read_text() != "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not alive(pid(tmp_path / "self")) and not alive(pid(tmp_path / "child")))
    assert open_descriptors() == before


@pytest.mark.parametrize("turns", range(6))
async def test_nothing_of_a_program_that_is_cancelled_at_once_goes_on(
    script: Callable[[str], str], tmp_path: Path, turns: int
) -> None:
    """The group may be stopped right after the script was spawned; what it began must not come up after the stop."""
    task = asyncio.create_task(run([script("sleep 1000 & echo $! > $here/child; echo $$ > $here/self; wait")]))
    for _ in range(turns):
        await asyncio.sleep(0)
    spawned = turns >= 2  # in the first it waits for its turn
    if spawned:
        # The loop is late, as on a loaded machine: the script gets ahead of us.
        deadline = time.monotonic() + 10
        while not ((tmp_path / "self").exists() and (tmp_path / "self").read_text()):
            assert time.monotonic() < deadline, "the script never ran"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if spawned:
        await until(lambda: not alive(pid(tmp_path / "self")) and not alive(pid(tmp_path / "child")))
    else:
        assert not (tmp_path / "self").exists()


async def test_a_killed_program_leaves_no_zombie(script: Callable[[str], str], tmp_path: Path) -> None:
    task = asyncio.create_task(run([script("echo $$ > $here/self; exec sleep 1000")]))
    await until(lambda: (tmp_path / "self").exists() and (tmp_path / "self").read_text() != "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not Path(f"/proc/{pid(tmp_path / 'self')}").exists()


async def test_a_service_that_left_the_group_survives_the_end_of_its_script(
    script: Callable[[str], str], tmp_path: Path
) -> None:
    """It has the pipe of a script that was killed: it must not die of what it says next."""
    wait = "until [ -e $0/go ]; do sleep 0.05; done"
    child = f"setsid sh -c 'echo $$ > $0/child; {wait}; echo hello; echo $? > $0/code' $here &"
    task = asyncio.create_task(run([script(f"{child} sleep 1000")]))
    await until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text() != "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (tmp_path / "go").touch()
    await until(lambda: (tmp_path / "code").exists() and (tmp_path / "code").read_text() != "")
    assert (tmp_path / "code").read_text() == "0\n"


async def test_what_can_not_be_run_is_said_with_the_reason(tmp_path: Path) -> None:
    before = open_descriptors()

    async def reason(path: Path) -> str:
        with pytest.raises(CantRun) as failed:
            await run([str(path), "start"])
        said = str(failed.value)
        assert said.startswith(f"{path} can't be run: ")
        return said.removeprefix(f"{path} can't be run: ")

    assert await reason(tmp_path / "missing") == "No such file or directory"
    link = tmp_path / "link"
    link.symlink_to("/nowhere/else")
    assert await reason(link) == "No such file or directory: it is a link to /nowhere/else, which is missing"
    assert await reason(tmp_path) == "Permission denied: it is a directory"
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    assert await reason(plain) == f"Permission denied: it is not executable (chmod +x {plain})"
    alien = tmp_path / "alien"
    alien.write_text("#!/opt/perl6 -w\n")
    alien.chmod(0o755)
    assert await reason(alien) == (
        "No such file or directory: its interpreter '/opt/perl6', in its first line, is missing"
    )
    empty = tmp_path / "empty"
    empty.touch(0o755)
    assert await reason(empty) == "it is empty"
    os.mkfifo(tmp_path / "fifo", 0o755)
    assert await reason(tmp_path / "fifo") == "Permission denied: it is no regular file"
    with pytest.raises(CantRun, match="Argument list too long"):
        await run([str(plain), "x" * 200_000])
    assert open_descriptors() == before


async def test_a_file_without_an_interpreter_line_is_a_shell_script(tmp_path: Path) -> None:
    """As for who calls it from a shell."""
    path = tmp_path / "old"
    path.write_text("echo from the shell; exit 5\n")
    path.chmod(0o755)
    assert await run([str(path)]) == Finished(5, "from the shell")


async def test_a_program_that_itself_misses_a_command_was_run(script: Callable[[str], str]) -> None:
    path = script("no-such-command")
    finished = await run([path])
    assert finished.code == 127
    assert "no-such-command: not found" in finished.output


async def test_it_reads_nothing_and_has_a_plain_environment(script: Callable[[str], str], tmp_path: Path) -> None:
    path = script("cat > $here/input; env; pwd")
    finished = await run([path], {"PATH": "/usr/bin:/bin", "HA_DIR": "/etc/ha.d"})
    assert (tmp_path / "input").read_text() == ""
    assert "HA_DIR=/etc/ha.d" in finished.output
    assert "HOME=" not in finished.output
    assert finished.output.endswith(" /")
