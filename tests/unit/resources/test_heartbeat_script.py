"""Scripts of Heartbeat's resource.d: found, called and understood as Heartbeat did, and with more doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from hamgr.config.model import ResourceConfig
from hamgr.resources.heartbeat import INIT_DIR, candidates
from hamgr.resources.kinds import RESOURCE_KINDS
from hamgr.resources.resource import Resource, ResourceError, ResourceStatus, Surroundings

RUNNING, STOPPED, FAILED = ResourceStatus.RUNNING, ResourceStatus.STOPPED, ResourceStatus.FAILED

Make = Callable[..., Resource]


@pytest.fixture
def ha_dir(tmp_path: Path) -> Path:
    (tmp_path / "ha.d/resource.d").mkdir(parents=True)
    return tmp_path / "ha.d"


@pytest.fixture
def script(ha_dir: Path, tmp_path: Path) -> Make:
    """`script("case ...")`: a resource with this script in resource.d; the action is $2."""

    def make(body: str, stop_timeout: float = 20.0) -> Resource:
        path = ha_dir / "resource.d/service"
        path.write_text(f'#!/bin/sh\nhere={tmp_path}\necho "$@" >> $here/calls\n{body}\n')
        path.chmod(0o755)
        return build(ha_dir, tmp_path, "service", stop_timeout)

    return make


def build(ha_dir: Path, state: Path, script: str, stop_timeout: float = 20.0) -> Resource:
    options = {"script": script, "args": ["one"], "directory": str(ha_dir)}
    config = ResourceConfig("service", "heartbeat", options, stop_timeout=stop_timeout)
    return RESOURCE_KINDS["heartbeat"].build(config, Surroundings(node="a", group="g", state_dir=state / "state"))


def calls(directory: Path) -> list[str]:
    return (directory / "calls").read_text().splitlines()


STATUS_BY_WORDS = """
case $2 in
  start) touch $here/on;; stop) rm -f $here/on;;
  status) if [ -e $here/on ]; then echo running; else echo stopped; fi;;
esac"""

NO_STATUS = "case $2 in start) touch $here/on;; stop) rm -f $here/on;; esac"
NO_STATUS_BUT_A_USAGE = "case $2 in start) :;; stop) :;; *) echo 'Usage: service {start|stop}' >&2; exit 1;; esac"


async def test_a_script_is_started_only_if_it_does_not_run(script: Make, tmp_path: Path) -> None:
    """As Heartbeat did; its scripts need not bear a second start."""
    service = script(STATUS_BY_WORDS)
    assert await service.status() is STOPPED
    await service.start()
    await service.start()
    assert await service.status() is RUNNING
    await service.stop()
    assert await service.status() is STOPPED
    assert [call for call in calls(tmp_path) if "status" not in call] == ["one start", "one stop"]


@pytest.mark.parametrize(
    ("code", "said", "status"),
    [
        (0, "service is running...", RUNNING),
        (0, "INFO: apache Running OK", RUNNING),
        (0, "[ OK ]", RUNNING),
        (0, "not running", STOPPED),
        (0, "Not currently Running", STOPPED),
        (0, "stopped", STOPPED),
        (3, "", STOPPED),
        (3, "stopped (Secondary)", STOPPED),
        (7, "INFO: apache Resource is stopped", STOPPED),
        (3, "running", FAILED),
        (4, "cannot determine status, may be running (Unknown)", FAILED),
        (1, "ERROR: apache Generic error", FAILED),
        (1, "not running, but its pid file is there", FAILED),
        (2, "", FAILED),
    ],
)
async def test_words_and_exit_code_must_agree(script: Make, code: int, said: str, status: ResourceStatus) -> None:
    service = script(f"echo '{said}'; exit {code}")
    assert await service.status() is status
    if status is FAILED:
        assert f"service one status ended with {code}" in service.reason
        assert said in service.reason


async def test_words_of_standard_error_are_no_answer(script: Make) -> None:
    assert await script("echo 'is it running?' >&2; exit 3").status() is STOPPED


@pytest.mark.parametrize("body", [NO_STATUS, NO_STATUS_BUT_A_USAGE])
async def test_a_script_without_a_status_runs_from_its_start_to_its_stop(
    script: Make, ha_dir: Path, tmp_path: Path, body: str
) -> None:
    service = script(body)
    assert await service.status() is STOPPED
    await service.start()
    assert await service.status() is RUNNING
    later = build(ha_dir, tmp_path, "service")
    assert await later.status() is RUNNING, "a restart of hamgrd does not forget it"
    await later.stop()
    assert await later.status() is STOPPED


async def test_what_was_started_before_the_boot_does_not_run(script: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    service = script(NO_STATUS)
    await service.start()
    monkeypatch.setattr("hamgr.resources.mark.machine_life", lambda: "another")
    assert await service.status() is STOPPED


async def test_a_start_without_an_end_leaves_doubt(script: Make, tmp_path: Path) -> None:
    service = script("[ $2 != start ] || exit 1")
    with pytest.raises(ResourceError, match="service one start ended with 1"):
        await service.start()
    assert await service.status() is FAILED
    await service.stop()
    assert await service.status() is STOPPED


async def test_a_start_that_can_not_be_noted_does_not_happen(script: Make, tmp_path: Path) -> None:
    """Else a restarted hamgrd would say that it is stopped."""
    (tmp_path / "state").write_text("no directory")
    service = script(NO_STATUS)
    with pytest.raises(ResourceError, match=r"marks/g\.service can't be read: Not a directory"):
        await service.start()
    assert not (tmp_path / "on").exists()


async def test_a_stop_that_fails_of_what_does_not_run_has_not_failed(script: Make) -> None:
    await script("[ $2 = stop ] && exit 1; echo stopped").stop()


async def test_a_stop_that_fails_is_tried_again(script: Make, tmp_path: Path) -> None:
    service = script("[ $2 = status ] && echo running && exit; [ -e $here/tried ] || { touch $here/tried; exit 1; }")
    await service.stop()
    assert calls(tmp_path).count("one stop") == 2


async def test_a_stop_that_goes_on_failing_says_why(script: Make) -> None:
    service = script("[ $2 = status ] && echo running && exit; echo 'it is busy'; exit 9", stop_timeout=2.0)
    async with asyncio.timeout(10):
        with pytest.raises(ResourceError, match="service one stop ended with 9: it is busy"):
            await service.stop()


async def test_scripts_have_heartbeats_environment(script: Make, tmp_path: Path, ha_dir: Path) -> None:
    await script("[ $2 != start ] || env > $here/env").start()
    environment = (tmp_path / "env").read_text().splitlines()
    assert f"HA_DIR={ha_dir}" in environment
    assert f"HA_RESOURCEDIR={ha_dir}/resource.d" in environment
    assert "HA_CURHOST=a" in environment


def test_resource_d_comes_before_init_d() -> None:
    assert list(candidates("apache", "/etc/ha.d")) == [Path("/etc/ha.d/resource.d/apache"), INIT_DIR / "apache"]
    assert list(candidates("/opt/service", "/etc/ha.d")) == [Path("/opt/service")]


async def test_a_script_of_init_d_is_found_there(ha_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init = tmp_path / "init.d"
    init.mkdir()
    monkeypatch.setattr("hamgr.resources.heartbeat.INIT_DIR", init)
    (init / "service").write_text("#!/bin/sh\nexit 0\n")
    (init / "service").chmod(0o755)
    service = build(ha_dir, tmp_path, "service")
    assert await service.status() is RUNNING, "an init script may say it by the exit code alone"
    (ha_dir / "resource.d/service").write_text("#!/bin/sh\necho stopped\n")
    assert await service.status() is RUNNING, "what is not executable is passed over, as Heartbeat did"
    (ha_dir / "resource.d/service").chmod(0o755)
    assert await service.status() is STOPPED


async def test_a_script_that_is_nowhere_is_said_with_the_places(ha_dir: Path, tmp_path: Path) -> None:
    gone = build(ha_dir, tmp_path, "gone")
    with pytest.raises(ResourceError, match=r"resource\.d/gone can't be run: No such file or directory.*init\.d"):
        await gone.start()
    assert await gone.status() is STOPPED, "nothing of it was started since the boot"
    await gone.stop()


async def test_a_script_that_vanishes_while_it_runs_is_no_stopped_one(
    script: Make, ha_dir: Path, tmp_path: Path
) -> None:
    service = script(STATUS_BY_WORDS)
    await service.start()
    (ha_dir / "resource.d/service").unlink()
    with pytest.raises(ResourceError, match="can't be run"):
        await service.status()
    with pytest.raises(ResourceError, match="can't be run"):
        await service.stop()


def test_what_is_missing_here_is_told_before_the_start(ha_dir: Path) -> None:
    kind = RESOURCE_KINDS["heartbeat"]
    facts = list(kind.problems_here({"script": "gone", "directory": str(ha_dir)}))
    assert [(key, found) for key, found, _ in facts] == [("script", '"gone"')]
    assert str(ha_dir / "resource.d/gone") in facts[0][2]
    assert list(kind.problems_here({"script": "/bin/true", "directory": str(ha_dir)})) == []
