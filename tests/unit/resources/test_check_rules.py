"""Init scripts that keep the rules, and each way in which they break them; each a real process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from hamgr.config.model import ResourceConfig
from hamgr.resources.check_rules import Halted, Step, Trial, Tried
from hamgr.resources.lsb import Lsb
from hamgr.resources.resource import Surroundings

SCRIPT = """#!/bin/sh
on={here}/{name}.on
case $1 in
  start) {start} ;;
  stop) {stop} ;;
  status) {status} ;;
esac
"""
GOOD = {"start": "touch $on", "stop": "rm -f $on", "status": "[ -e $on ] || exit 3"}

Service = Callable[..., Tried]


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """`service("web", start="exit 1")`: a good one, but for what is named."""

    def make(name: str = "web", only_looks: bool = False, **parts: str) -> Tried:
        script = tmp_path / name
        script.write_text(SCRIPT.format(here=tmp_path, name=name, **{**GOOD, **parts}))
        script.chmod(0o755)
        config = ResourceConfig(name, "lsb", {"script": str(script), "args": []}, 2.0, 2.0, 10.0, 2.0)
        return Tried(config, Lsb(config, Surroundings(state_dir=tmp_path)), only_looks)

    return make


async def tried(*members: Tried, wanted: tuple[str, ...] = ()) -> list[Step]:
    steps: list[Step] = []
    await Trial(members, steps.append).run(wanted or tuple(member.config.name for member in members))
    return steps


def said(steps: list[Step]) -> list[str]:
    return [f"{step.resource} {step.action}: {step.rule}" for step in steps if step.rule]


def actions(steps: list[Step], resource: str) -> str:
    return " ".join(step.action for step in steps if step.resource == resource)


async def test_a_good_service_breaks_nothing_and_is_asked_everything_twice(service: Service, tmp_path: Path) -> None:
    steps = await tried(service())
    assert said(steps) == []
    assert actions(steps, "web") == (
        "status status start status start status stop status stop status start status stop status"
    )
    assert all(0 < step.seconds < step.allowed == 2.0 for step in steps)
    assert not (tmp_path / "web.on").exists()


@pytest.mark.parametrize(
    ("part", "script", "rules"),
    [
        ("start", "[ ! -e $on ] || exit 1; touch $on", ["start: a start of what is started already must succeed"]),
        ("stop", "[ -e $on ] || exit 1; rm $on", ["stop: a stop of what is stopped already must succeed"]),
        ("status", "[ -e $on ] || exit 1", ["status: while it is stopped, status must say so"] * 5),
        ("status", "[ -e $on ] && exit 4; exit 3", ["status: while it is started, status must say that it runs"] * 3),
        ("stop", "true", ["status: while it is stopped, status must say so"] * 3),
        (
            "start",
            "touch $on; sleep 3 & exit 0",
            ["start: what it leaves in the background must not hold its output"] * 3,
        ),
        ("stop", "rm -f $on; exit 5", [f"stop: a stop {rest}" for rest in ("must succeed", "of what", "must succeed")]),
    ],
)
async def test_each_rule_that_is_broken_is_named(service: Service, part: str, script: str, rules: list[str]) -> None:
    found = said(await tried(service(**{part: script})))
    assert len(found) == len(rules), found
    for one, rule in zip(found, rules, strict=True):
        assert one.startswith(f"web {rule}")


async def test_the_exit_code_of_a_status_is_told(service: Service) -> None:
    steps = await tried(service(status="[ -e $on ] || exit 1"))
    assert "status ended with 1 (dead, and its pid file is still there)" in steps[0].found


async def test_what_takes_longer_than_allowed_is_ended_and_said(service: Service, tmp_path: Path) -> None:
    steps = await tried(service(start="sleep 100; touch $on"))
    (start,) = [step for step in steps if step.action == "start" and step.after == ""]
    assert start.found == "start did not end within 2 s"
    assert start.rule == "a start must succeed"
    assert not (tmp_path / "web.on").exists()


async def test_a_resource_is_tried_with_those_before_it_started_and_without_those_behind(
    service: Service, tmp_path: Path
) -> None:
    web = service("web", start=f"[ -e {tmp_path}/disk.on ] || exit 1; touch $on")
    disk = service("disk", stop=f"[ ! -e {tmp_path}/web.on ] || exit 1; rm -f $on")
    steps = await tried(disk, web, service("mail"), wanted=("web",))
    assert said(steps) == []
    assert actions(steps, "disk") == "status status start stop status"
    assert actions(steps, "mail") == ""
    assert said(await tried(disk, web)) == []
    assert not list(tmp_path.glob("*.on"))


async def test_nothing_is_tried_on_top_of_what_does_not_start(service: Service) -> None:
    steps: list[Step] = []
    trial = Trial([service("disk", start="exit 1"), service("web")], steps.append)
    await trial.run(("disk", "web"))
    assert trial.unstarted == "disk"
    assert actions(steps, "web") == "status status"


async def test_objections_are_asked_for_when_what_comes_before_is_started(service: Service, tmp_path: Path) -> None:
    """An agent's validate-all looks for its data, which may lie on the group's own file system."""
    web = service("web")

    def objections() -> list[str]:
        return [] if (tmp_path / "disk.on").exists() else ["data: found nothing"]

    web = Tried(web.config, web.resource, False, objections)
    assert said(await tried(service("disk"), web)) == []
    assert said(await tried(web)) == [
        "web options: its options must suit this machine, once what comes before it is started"
    ]


async def test_what_runs_already_is_not_touched(service: Service, tmp_path: Path) -> None:
    (tmp_path / "web.on").touch()
    with pytest.raises(Halted, match="web says that it runs, and nothing was started; if it does, stop it first"):
        await tried(service("disk"), service("web"))
    assert (tmp_path / "web.on").exists()


async def test_a_health_check_need_not_stop(service: Service, tmp_path: Path) -> None:
    looks = service("look", True, start="exit 0", stop="exit 0", status=f"[ -e {tmp_path}/web.on ] || exit 3")
    steps = await tried(service("web"), looks)
    assert said(steps) == []
    assert actions(steps, "look") == "start status start status"


async def test_a_trial_that_is_cancelled_stops_what_it_started(service: Service, tmp_path: Path) -> None:
    steps: list[Step] = []
    web = service("web", start="touch $on; sleep 1000")
    trial = asyncio.create_task(Trial([service("disk"), web], steps.append).run(("web",)))
    async with asyncio.timeout(20):
        while not (tmp_path / "web.on").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    assert not list(tmp_path.glob("*.on"))
    assert [step.resource for step in steps if step.action == "stop"] == ["web", "disk"]


async def test_a_hindrance_halts_it_and_all_is_stopped(service: Service, tmp_path: Path) -> None:
    async def hindrance() -> str:
        return "hamgrd was started meanwhile" if (tmp_path / "web.on").exists() else ""

    with pytest.raises(Halted, match="hamgrd was started meanwhile"):
        await Trial([service()], lambda step: None, hindrance).run(("web",))
    assert not (tmp_path / "web.on").exists()


async def test_a_stop_that_fails_keeps_the_others_from_nothing(service: Service, tmp_path: Path) -> None:
    steps = await tried(service("disk"), service("web", stop="exit 1"))
    assert not (tmp_path / "disk.on").exists()
    assert "web stop: a stop must succeed, or else its node is fenced" in said(steps)


@pytest.mark.parametrize("end", [True, False])
async def test_what_goes_on_after_a_stop_is_ended_unless_a_daemon_has_it(
    service: Service, tmp_path: Path, end: bool
) -> None:
    class Keeps(Lsb):
        """As a promotable resource, which is stopped when it is no longer promoted."""

        async def stop(self) -> None:
            await super().stop()
            (tmp_path / "standby").touch()

        async def end(self) -> None:
            (tmp_path / "standby").unlink()

    web = service()
    kept = Tried(web.config, Keeps(web.config, Surroundings(state_dir=tmp_path)))
    await Trial([kept], lambda step: None).run(("web",), end=end)
    assert (tmp_path / "standby").exists() is not end
