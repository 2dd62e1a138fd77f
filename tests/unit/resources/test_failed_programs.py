"""The same misdeeds of a program, with each kind of resource that runs programs: a clear end, and a clear word."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hamgr.config.model import OptionValue, ResourceConfig
from hamgr.resources.kinds import RESOURCE_KINDS
from hamgr.resources.processes import all_alive
from hamgr.resources.resource import Explaining, Resource, ResourceError, ResourceStatus, Surroundings

KINDS: dict[str, Callable[[str], dict[str, OptionValue]]] = {
    "lsb": lambda script: {"script": script, "args": []},
    "heartbeat": lambda script: {"script": script, "args": [], "directory": "/etc/ha.d"},
    "command": lambda script: {
        "start": [script, "start"],
        "stop": [script, "stop"],
        "check": [script, "status"],
        "stopped_code": 3,
        "environment": {},
    },
}

HEALTHY = """
case $1 in
  start) touch $here/on ;;
  stop) rm -f $here/on ;;
  status) if [ -e $here/on ]; then echo running; else echo stopped; exit 3; fi ;;
esac
"""

kinds = pytest.mark.parametrize("kind", KINDS)


class Service:
    """A resource whose script is rewritten while it runs."""

    def __init__(self, here: Path, kind: str) -> None:
        self.here = here
        self.script = here / "script"
        self.becomes(HEALTHY)
        config = ResourceConfig("service", kind, KINDS[kind](str(self.script)), stop_timeout=1.0)
        surroundings = Surroundings(group="g", state_dir=here / "state")
        self.resource: Resource = RESOURCE_KINDS[kind].build(config, surroundings)

    def becomes(self, body: str) -> None:
        self.script.unlink(missing_ok=True)
        self.script.write_text(f"#!/bin/sh\nhere={self.here}\n{body}\n")
        self.script.chmod(0o755)

    def left(self) -> list[str]:
        """Processes of the script that still run."""
        found = []
        for process in all_alive():
            try:
                command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            except OSError:
                continue
            if str(self.here).encode() in command:
                found.append(str(process))
        return found


@pytest.fixture
def service(tmp_path: Path) -> Callable[[str], Service]:
    return lambda kind: Service(tmp_path, kind)


@kinds
@pytest.mark.parametrize("operation", ["start", "stop", "status"])
async def test_one_that_hangs_and_ignores_sigterm_is_ended(
    service: Callable[[str], Service], kind: str, operation: str
) -> None:
    made = service(kind)
    made.becomes(f"[ $1 = {operation} ] || exit 3; trap '' TERM HUP INT; while :; do sleep 0.1; done")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await getattr(made.resource, operation)()
    assert made.left() == []
    made.becomes(HEALTHY)
    await made.resource.stop()
    assert await made.resource.status() is ResourceStatus.STOPPED


@kinds
async def test_one_that_is_killed_names_the_signal(service: Callable[[str], Service], kind: str) -> None:
    made = service(kind)
    await made.resource.start()
    made.becomes("kill -SEGV $$")
    assert await made.resource.status() is ResourceStatus.FAILED
    assert isinstance(made.resource, Explaining)
    assert "was killed by SIGSEGV" in made.resource.reason
    with pytest.raises(ResourceError, match="was killed by SIGSEGV"):
        await made.resource.stop()


@kinds
async def test_one_that_prints_megabytes_does_its_work(service: Callable[[str], Service], kind: str) -> None:
    made = service(kind)
    made.becomes(f"{HEALTHY}\n[ $1 = status ] || head -c 50000000 /dev/zero; echo the end")
    await made.resource.start()
    assert await made.resource.status() is ResourceStatus.RUNNING
    made.becomes("head -c 50000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1")
    with pytest.raises(ResourceError, match=r"the end$") as failed:
        await made.resource.stop()
    assert len(str(failed.value)) < 1000


@kinds
async def test_one_that_leaves_children_with_its_output_ends(service: Callable[[str], Service], kind: str) -> None:
    made = service(kind)
    made.becomes(HEALTHY.replace("touch $here/on", "touch $here/on; sleep 1000 & echo $! >$here/child"))
    async with asyncio.timeout(30):
        await made.resource.start()
        assert await made.resource.status() is ResourceStatus.RUNNING
    os.kill(int((made.here / "child").read_text()), 9)


SPOILT: dict[str, Callable[[Path], object]] = {
    "No such file or directory": lambda script: None,
    "it is a directory": lambda script: script.mkdir(),
    "it is not executable": lambda script: script.write_text("#!/bin/sh\n"),
    "it is empty": lambda script: script.touch(0o755),
    "it is a link to /nowhere, which is missing": lambda script: script.symlink_to("/nowhere"),
    "its interpreter '/nowhere/sh', in its first line, is missing": lambda script: (
        script.write_text("#!/nowhere/sh\n"),
        script.chmod(0o755),
    ),
}


@kinds
@pytest.mark.parametrize("why", SPOILT)
async def test_one_that_can_no_longer_be_run_is_neither_running_nor_stopped(
    service: Callable[[str], Service], kind: str, why: str
) -> None:
    made = service(kind)
    await made.resource.start()
    made.script.unlink()
    SPOILT[why](made.script)
    for operation in ("status", "stop"):
        with pytest.raises(ResourceError, match=f"script can't be run: .*{why}"):
            await getattr(made.resource, operation)()
    made.script.rmdir() if made.script.is_dir() else made.script.unlink(missing_ok=True)
    made.becomes(HEALTHY)
    await made.resource.stop()
    assert await made.resource.status() is ResourceStatus.STOPPED


@kinds
async def test_a_start_that_fails_says_so_and_is_stopped_after(service: Callable[[str], Service], kind: str) -> None:
    made = service(kind)
    made.becomes(HEALTHY.replace("touch $here/on", "echo half; touch $here/on; exit 5"))
    with pytest.raises(ResourceError, match=r"start ended with 5: half$"):
        await made.resource.start()
    assert await made.resource.status() is ResourceStatus.RUNNING
    await made.resource.stop()
    assert await made.resource.status() is ResourceStatus.STOPPED


START_AND_DIE = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_failed_programs import Service
async def main():
    service = Service(Path({here!r}), {kind!r})
    service.becomes({slow!r})
    asyncio.get_running_loop().call_later(0.5, os.kill, os.getpid(), 9)
    await service.resource.start()
asyncio.run(main())
"""


@kinds
@pytest.mark.parametrize("first", ["status", "stop", "start"])
async def test_a_start_that_outlives_its_hamgrd_is_ended_by_the_next(tmp_path: Path, kind: str, first: str) -> None:
    """It would come up after the service was said to be stopped."""
    slow = HEALTHY.replace("touch $here/on", "touch $here/begun; sleep 3; touch $here/on")
    code = START_AND_DIE.format(tests=str(Path(__file__).parent), here=str(tmp_path), kind=kind, slow=slow)
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], check=False)
    assert (tmp_path / "begun").exists()
    made = Service(tmp_path, kind)
    if first == "status":
        assert await made.resource.status() is ResourceStatus.FAILED
        assert isinstance(made.resource, Explaining)
        assert "a start that an earlier hamgrd began is still on its way: script (pid " in made.resource.reason
    if first == "start":
        await made.resource.start()
        assert await made.resource.status() is ResourceStatus.RUNNING
    await made.resource.stop()
    assert await made.resource.status() is ResourceStatus.STOPPED
    assert made.left() == []
