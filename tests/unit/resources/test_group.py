"""Groups of real scripts: order, time-outs, what supersedes what, and monitoring."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import ClassVar

import pytest

from hamgr.config.model import GroupConfig, ResourceConfig
from hamgr.core.cluster import GroupState
from hamgr.resources.group import GroupRunner
from hamgr.resources.resource import ResourceKind, ResourceStatus, Surroundings

Reports = asyncio.Queue[tuple[GroupState, str]]

SCRIPT = """#!/bin/sh
here={here}
name=$1
[ "$2" = status ] || echo "$name $2" >> $here/log
[ -e "$here/$name.$2.hangs" ] && sleep 1000
[ -e "$here/$name.$2.fails" ] && exit 1
case $2 in
  start) touch $here/$name.on ;;
  stop) rm -f $here/$name.on ;;
  status) [ -e $here/$name.on ] || exit 3 ;;
esac
"""


class Group:
    """A group of two services "disk" and "web", and what it reported."""

    def __init__(self, here: Path, monitor_interval: float = 1000.0) -> None:
        self.here = here
        script = here / "script"
        script.write_text(SCRIPT.format(here=here))
        script.chmod(0o755)
        resources = tuple(
            ResourceConfig(name, "lsb", {"script": str(script), "args": [name]}, 5.0, 1.0, monitor_interval, 1.0)
            for name in ("disk", "web")
        )
        self.reports: Reports = asyncio.Queue()
        self.runner = GroupRunner(
            GroupConfig("g", resources),
            lambda _group, state, detail: self.reports.put_nowait((state, detail)),
            Surroundings(group="g", state_dir=here / "state"),
        )

    async def reported(self) -> tuple[GroupState, str]:
        return await asyncio.wait_for(self.reports.get(), 20)

    async def started(self) -> None:
        self.runner.start()
        assert await self.reported() == (GroupState.STARTED, "")

    def set(self, mark: str) -> None:
        (self.here / mark).touch()

    @property
    def log(self) -> list[str]:
        return (self.here / "log").read_text().splitlines()


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Group]]]:
    groups: list[Group] = []

    async def build(**options: float) -> Group:
        group = Group(tmp_path, **options)
        groups.append(group)
        await group.runner.prepare()
        return group

    yield build
    for group in groups:
        await group.runner.close()


async def test_it_starts_in_order_and_stops_in_reverse(make) -> None:
    group = await make()
    await group.started()
    group.runner.stop()
    assert await group.reported() == (GroupState.STOPPED, "")
    assert group.log == ["disk start", "web start", "web stop", "disk stop"]


async def test_a_start_that_fails_names_the_resource_and_starts_nothing_further(make) -> None:
    group = await make()
    group.set("disk.start.fails")
    group.runner.start()
    state, detail = await group.reported()
    assert state is GroupState.FAILED
    assert detail.startswith("disk: ")
    assert group.log == ["disk start"]


async def test_a_stop_that_hangs_keeps_nothing_else_from_being_stopped(make) -> None:
    group = await make()
    await group.started()
    group.set("web.stop.hangs")
    group.runner.stop()
    assert await group.reported() == (GroupState.STOP_FAILED, "web: stop did not end within 1 s")
    assert not (group.here / "disk.on").exists()


async def test_a_stop_ends_a_start_that_is_under_way_and_only_the_stop_is_reported(make) -> None:
    group = await make()
    group.set("web.start.hangs")
    group.runner.start()
    async with asyncio.timeout(10):
        while "web start" not in (group.log if (group.here / "log").exists() else []):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    group.runner.stop()
    assert await group.reported() == (GroupState.STOPPED, "")
    assert group.reports.empty()
    assert not list(group.here.glob("*.on"))


@pytest.mark.parametrize(
    ("running", "state"),
    [((), GroupState.STOPPED), (("disk", "web"), GroupState.STARTED), (("disk",), GroupState.FAILED)],
)
async def test_a_probe_tells_what_is_there_and_changes_nothing(make, running, state: GroupState) -> None:
    group = await make()
    for name in running:
        group.set(f"{name}.on")
    group.runner.probe()
    found, detail = await group.reported()
    assert found is state
    assert detail == ("disk is running, web is stopped" if state is GroupState.FAILED else "")
    assert not (group.here / "log").exists()


@pytest.mark.parametrize("adopt", [False, True])
async def test_a_service_that_dies_is_found_and_reported_once(make, adopt: bool) -> None:
    group = await make(monitor_interval=0.05)
    if adopt:
        group.set("disk.on")
        group.set("web.on")
        group.runner.probe()
        assert await group.reported() == (GroupState.STARTED, "")
    else:
        await group.started()
    (group.here / "web.on").unlink()
    (group.here / "disk.on").unlink()
    state, detail = await group.reported()
    assert state is GroupState.FAILED
    assert detail in ("web: is stopped", "disk: is stopped")
    group.runner.stop()
    assert await group.reported() == (GroupState.STOPPED, ""), "no second report of the same failure before it"


async def test_a_monitor_that_hangs_is_a_failure(make) -> None:
    group = await make(monitor_interval=0.05)
    await group.started()
    group.set("web.status.hangs")
    assert await group.reported() == (GroupState.FAILED, "web: status did not end within 1 s")


async def test_the_report_itself_may_ask_for_the_next_operation(make) -> None:
    group = await make()
    reports: Reports = asyncio.Queue()

    def report(_group: str, state: GroupState, detail: str) -> None:
        reports.put_nowait((state, detail))
        if state is GroupState.STARTED:
            group.runner.stop()

    group.runner._report = report
    group.runner.start()
    assert (await asyncio.wait_for(reports.get(), 20))[0] is GroupState.STARTED
    assert (await asyncio.wait_for(reports.get(), 20))[0] is GroupState.STOPPED


@pytest.mark.parametrize("operation", ["start", "stop", "probe"])
async def test_a_machine_out_of_file_descriptors_is_a_failure_that_is_reported(make, operation: str) -> None:
    """Nobody may wait for ever for a report because the machine is at its end."""
    group = await make()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        getattr(group.runner, operation)()
        state, detail = await group.reported()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert state is (GroupState.STOP_FAILED if operation == "stop" else GroupState.FAILED)
    assert "Too many open files" in detail


async def test_closing_stops_no_service(make) -> None:
    group = await make()
    await group.started()
    await group.runner.close()
    assert (group.here / "web.on").exists()
    assert group.reports.empty()


class Noticing:
    """A resource of this process that says by itself when it ended."""

    def __init__(self) -> None:
        self.failed: Callable[[str], None] = lambda why: None
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    def watch(self, failed: Callable[[str], None]) -> None:
        self.failed = failed

    async def prepare(self) -> None:
        return

    async def start(self) -> None:
        self.begun.set()
        await self.may_end.wait()

    async def stop(self) -> None:
        self.failed("was stopped")

    async def status(self) -> ResourceStatus:
        return ResourceStatus.RUNNING

    async def close(self) -> None:
        return


class SlowToClearUp(Noticing):
    """A start that, when it is ended, needs a while until nothing of it goes on."""

    log: ClassVar[list[str]] = []

    async def start(self) -> None:
        self.begun.set()
        self.log.append("start")
        try:
            await asyncio.sleep(1000)
        finally:
            await self.may_end.wait()
            self.log.append("start is over")

    async def stop(self) -> None:
        self.log.append("stop")


@pytest.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[GroupRunner, SlowToClearUp, Reports]]:
    resource = SlowToClearUp()
    resource.log.clear()
    resource.may_end.clear()
    monkeypatch.setattr("hamgr.resources.group.RESOURCE_KINDS", {"slow": ResourceKind((), lambda *_: resource)})
    reports: Reports = asyncio.Queue()
    group = GroupConfig("g", (ResourceConfig("web", "slow", {}, 50.0, 1.0, 1000.0, 1.0),))
    runner = GroupRunner(group, lambda _group, state, why: reports.put_nowait((state, why)))
    runner.start()
    await resource.begun.wait()
    yield runner, resource, reports
    resource.may_end.set()
    await runner.close()


async def test_no_stop_counts_before_the_last_of_a_start_is_over_however_often_it_is_asked_for(slow) -> None:
    """The second stop ends the first; it must not therefore run beside the start that the first waited for."""
    runner, resource, reports = slow
    for _ in range(3):
        runner.stop()
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert resource.log == ["start"]
    assert reports.empty()
    resource.may_end.set()
    assert await asyncio.wait_for(reports.get(), 20) == (GroupState.STOPPED, "")
    assert resource.log == ["start", "start is over", "stop"]
    assert reports.empty()


async def test_what_never_clears_up_is_reported_and_not_waited_for_without_end(slow, monkeypatch) -> None:
    monkeypatch.setattr("hamgr.resources.group.CLEARING_UP", 0.05)
    runner, resource, reports = slow
    runner.stop()
    state, why = await asyncio.wait_for(reports.get(), 20)
    assert (state, why) == (GroupState.STOP_FAILED, "an earlier operation did not end within 0.05 s")
    assert resource.log == ["start"]


async def test_a_probe_tells_why_something_has_failed(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    reports: Reports = asyncio.Queue()
    group = GroupConfig("g", (ResourceConfig("web", "lsb", {"script": str(script)}),))
    runner = GroupRunner(group, lambda _group, state, why: reports.put_nowait((state, why)))
    runner.probe()
    state, why = await asyncio.wait_for(reports.get(), 20)
    assert state is GroupState.FAILED
    assert why == f"web is failed; web: {script} status ended with 1 (dead, and its pid file is still there)"
    await runner.close()


@pytest.mark.parametrize(("on", "found"), [(False, GroupState.STOPPED), (True, GroupState.STARTED)])
async def test_a_check_alone_makes_no_owner(tmp_path: Path, on: bool, found: GroupState) -> None:
    """What it asks may run on every node from the boot on, with the address alone in the group."""
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\nexit {0 if on else 3}\n")
    script.chmod(0o755)
    reports: Reports = asyncio.Queue()
    resources = (
        ResourceConfig("alive", "check", {"command": ["true"]}),
        ResourceConfig("address", "lsb", {"script": str(script)}),
    )
    runner = GroupRunner(GroupConfig("g", resources), lambda _group, state, why: reports.put_nowait((state, why)))
    runner.probe()
    assert await asyncio.wait_for(reports.get(), 20) == (found, "")
    await runner.close()


async def test_what_runs_with_a_check_that_fails_has_failed(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    reports: Reports = asyncio.Queue()
    resources = (
        ResourceConfig("web", "lsb", {"script": str(script)}),
        ResourceConfig("alive", "check", {"command": ["false"]}),
    )
    runner = GroupRunner(GroupConfig("g", resources), lambda _group, state, why: reports.put_nowait((state, why)))
    runner.probe()
    state, _why = await asyncio.wait_for(reports.get(), 20)
    assert state is GroupState.FAILED
    await runner.close()


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[GroupRunner, list[Noticing], Reports]]:
    """A group of "disk" and "web" that notice their end by themselves, and are not asked within this test."""
    resources: list[Noticing] = []

    def build(config: ResourceConfig, surroundings: Surroundings) -> Noticing:
        resources.append(Noticing())
        return resources[-1]

    monkeypatch.setattr("hamgr.resources.group.RESOURCE_KINDS", {"noticing": ResourceKind((), build)})
    configs = tuple(ResourceConfig(name, "noticing", {}, 5.0, 1.0, 1000.0, 1.0) for name in ("disk", "web"))
    reports: Reports = asyncio.Queue()
    runner = GroupRunner(GroupConfig("g", configs), lambda _group, state, why: reports.put_nowait((state, why)))
    yield runner, resources, reports
    await runner.close()


@pytest.mark.parametrize("operation", ["start", "probe"])
async def test_a_death_that_the_resource_notices_is_reported_at_once_and_once(watched, operation: str) -> None:
    runner, (disk, web), reports = watched
    getattr(runner, operation)()
    assert await reports.get() == (GroupState.STARTED, "")
    web.failed("was killed")
    disk.failed("lost its disk")
    assert reports.get_nowait() == (GroupState.FAILED, "web: was killed")
    assert reports.empty()


async def test_a_death_while_the_next_one_still_starts_is_not_forgotten(watched) -> None:
    runner, (disk, web), reports = watched
    web.may_end.clear()
    runner.start()
    await web.begun.wait()
    disk.failed("was killed")
    web.may_end.set()
    assert await reports.get() == (GroupState.FAILED, "disk: was killed")


async def test_what_ended_before_its_start_has_not_failed(watched) -> None:
    runner, (disk, web), reports = watched
    disk.may_end.clear()
    runner.start()
    await disk.begun.wait()
    web.failed("was killed long ago")
    disk.failed("comes and goes while it starts")
    disk.may_end.set()
    assert await reports.get() == (GroupState.STARTED, "")


async def test_the_end_that_a_stop_brings_is_no_failure(watched) -> None:
    runner, _resources, reports = watched
    for state in (GroupState.STARTED, GroupState.STOPPED, GroupState.STARTED):
        runner.stop() if state is GroupState.STOPPED else runner.start()
        assert await reports.get() == (state, "")
    assert reports.empty()
