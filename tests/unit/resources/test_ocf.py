"""OCF agents, good and bad ones; each a real process with what Pacemaker would tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from hamgr.config.model import ResourceConfig
from hamgr.core.effects import Kind
from hamgr.resources import ocf_calls
from hamgr.resources.kinds import RESOURCE_KINDS
from hamgr.resources.ocf import Ocf
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings

Make = Callable[..., Ocf]

SERVICE = """case $1 in
start) touch $here/on ;;
stop) rm -f $here/on ;;
monitor) [ -e $here/on ] || exit 7 ;;
esac"""


@pytest.fixture(autouse=True)
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(ocf_calls, "RUN_DIRECTORY", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def told() -> list[tuple[Kind, str]]:
    return []


@pytest.fixture
def service(tmp_path: Path, told: list[tuple[Kind, str]]) -> Make:
    """`service("case $1 in ...")`: a resource with this agent; without a body, one whose agent is missing."""

    def make(body: str = "", mode: int = 0o755, **parameters: str) -> Ocf:
        agent = tmp_path / "ocf" / "resource.d" / "test" / "service"
        agent.parent.mkdir(parents=True, exist_ok=True)
        if body:
            agent.write_text(f"#!/bin/sh\nhere={tmp_path}\n{body}\n")
            agent.chmod(mode)
        options = {"agent": "test:service", "parameters": parameters, "ocf_root": str(tmp_path / "ocf")}
        config = ResourceConfig("db", "ocf", options, start_timeout=7.0, monitor_interval=3.0)
        tell = lambda kind, text: told.append((kind, text))  # noqa: E731
        around = Surroundings(node="a", group="g", state_dir=tmp_path, tell=tell)
        resource = RESOURCE_KINDS["ocf"].build(config, around)
        assert isinstance(resource, Ocf)
        return resource

    return make


async def test_a_well_behaved_service(service: Make) -> None:
    resource = service(SERVICE)
    await resource.prepare()
    assert await resource.status() is ResourceStatus.STOPPED
    await resource.start()
    await resource.start()
    assert await resource.status() is ResourceStatus.RUNNING
    await resource.stop()
    await resource.stop()
    assert await resource.status() is ResourceStatus.STOPPED
    assert resource.reason == "ocf:test:service monitor: not running (7)"


async def environment(resource: Ocf, tmp_path: Path) -> dict[str, str]:
    """What the agent was told last."""
    pairs = (line.partition("=") for line in (tmp_path / "env").read_text().splitlines())
    return {name: value for name, _, value in pairs}


async def test_an_agent_is_told_what_pacemaker_tells_it(service: Make, tmp_path: Path) -> None:
    resource = service("env >$here/env", ip="10.0.0.1", spare="two words")
    await resource.prepare()
    await resource.start()
    seen = await environment(resource, tmp_path)
    expected = {
        "OCF_ROOT": f"{tmp_path}/ocf",
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_RESOURCE_INSTANCE": "g.db",
        "OCF_RESOURCE_TYPE": "service",
        "OCF_RESOURCE_PROVIDER": "test",
        "OCF_RESKEY_ip": "10.0.0.1",
        "OCF_RESKEY_spare": "two words",
        "OCF_RESKEY_CRM_meta_name": "start",
        "OCF_RESKEY_CRM_meta_timeout": "7000",
        "OCF_RESKEY_CRM_meta_on_node": "a",
        "HA_RSCTMP": f"{tmp_path}/run",
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert "OCF_CHECK_LEVEL" not in seen


async def test_a_monitor_is_a_probe_until_the_resource_should_run(service: Make, tmp_path: Path) -> None:
    """Agents are milder to a probe (ocf_is_probe): what they miss need not be there."""
    resource = service("env >$here/env; [ $1 != monitor ] || [ -e $here/on ] || exit 7")
    interval = "OCF_RESKEY_CRM_meta_interval"
    await resource.status()
    seen = await environment(resource, tmp_path)
    assert (seen[interval], seen["OCF_CHECK_LEVEL"]) == ("0", "0")
    await resource.start()
    await resource.status()
    assert (await environment(resource, tmp_path))[interval] == "3000"
    await resource.stop()
    await resource.status()
    assert (await environment(resource, tmp_path))[interval] == "0"
    (tmp_path / "on").touch()
    await resource.status()  # it runs: adopted
    await resource.status()
    assert (await environment(resource, tmp_path))[interval] == "3000"


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (1, "failed (1)"),
        (2, "wrong parameters (2)"),
        (3, "this action is not implemented (3)"),
        (4, "permission denied (4)"),
        (6, "not configured (6)"),
        (8, "running promoted (8)"),
        (9, "failed while promoted (9)"),
        (77, "an exit code that OCF does not know (77)"),
        (191, "running promoted, but degraded (191)"),
    ],
)
async def test_no_other_answer_says_that_nothing_runs(service: Make, code: int, meaning: str) -> None:
    with pytest.raises(ResourceError) as failed:
        await service(f"exit {code}").status()
    assert str(failed.value) == f"ocf:test:service monitor: {meaning}"


async def test_the_agents_own_reason_is_told(service: Make) -> None:
    with pytest.raises(ResourceError, match=r"^ocf:test:service start: not configured \(6\): no such database$"):
        await service("echo noise; echo 'ocf-exit-reason:no such database' >&2; exit 6").start()
    with pytest.raises(ResourceError, match=r"^ocf:test:service stop: failed \(1\): ERROR: it will not$"):
        await service("echo ' ERROR: it will not' >&2; exit 1").stop()


async def test_a_degraded_service_runs_and_is_told_of_once(service: Make, told: list[tuple[Kind, str]]) -> None:
    resource = service("echo 'ocf-exit-reason:one disk of two' >&2; exit 190")
    assert await resource.status() is ResourceStatus.RUNNING
    assert await resource.status() is ResourceStatus.RUNNING
    sentence = "ocf:test:service monitor: running, but degraded (190): one disk of two"
    assert told == [(Kind.WARNING, sentence)]


@pytest.mark.parametrize("body", ["exit 5", ""])
async def test_what_is_not_installed_can_not_be_running(service: Make, body: str) -> None:
    """An agent that is missing is as good as one that says "not installed"."""
    resource = service(body)
    assert await resource.status() is ResourceStatus.STOPPED
    await resource.stop()
    with pytest.raises(ResourceError, match=r"start: (not installed \(5\)|.*No such file or directory)"):
        await resource.start()


async def test_what_was_started_here_may_run_on_without_its_program(service: Make, tmp_path: Path) -> None:
    """An upgrade removed the program, or its file system is gone: the process may live, until a stop succeeds."""
    resource = service("[ $1 = start ] || exit 5")
    await resource.prepare()
    await resource.start()
    for one in (resource, service("exit 5")):  # the second: hamgrd was restarted
        await one.prepare()
        with pytest.raises(ResourceError, match=r"monitor: not installed \(5\)"):
            await one.status()
        with pytest.raises(ResourceError, match=r"stop: not installed \(5\)"):
            await one.stop()
    await service("exit 0").stop()
    assert await service("exit 5").status() is ResourceStatus.STOPPED


async def test_what_was_found_running_may_run_on_without_its_program(service: Make) -> None:
    assert await service("exit 0").status() is ResourceStatus.RUNNING
    with pytest.raises(ResourceError, match=r"monitor: not installed \(5\)"):
        await service("exit 5").status()


async def test_an_agent_that_is_there_and_can_not_be_run_says_nothing(service: Make) -> None:
    for operation in ("start", "stop", "status"):
        with pytest.raises(ResourceError, match="can't be run: Permission denied"):
            await getattr(service("exit 0", mode=0o644), operation)()


async def test_the_directory_of_the_agents_state_is_made(service: Make, run_directory: Path) -> None:
    run_directory.rmdir()
    await service("exit 0").prepare()
    assert run_directory.is_dir()


async def test_who_may_not_make_it_has_one_of_its_own(
    service: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocf_calls, "RUN_DIRECTORY", Path("/proc/resource-agents"))
    resource = service("env >$here/env")
    await resource.prepare()
    await resource.start()
    assert (await environment(resource, tmp_path))["HA_RSCTMP"] == f"{tmp_path}/resource-agents"


async def test_two_groups_with_resources_of_one_name_do_not_meet(service: Make, tmp_path: Path) -> None:
    options = {"agent": "test:service", "ocf_root": str(tmp_path / "ocf")}
    config = ResourceConfig("ip", "ocf", options)
    names = [ocf_calls.Calls(config, Surroundings(group=group)).instance for group in ("web", "mail")]
    assert names == ["web.ip", "mail.ip"]


async def test_an_agent_that_hangs_is_killed_with_its_children(service: Make, tmp_path: Path) -> None:
    resource = service("sleep 1000 & echo $! >$here/child; wait")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await resource.status()
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    async with asyncio.timeout(10):
        while child.exists() and child.read_text().split()[2] != "Z":  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.01)
