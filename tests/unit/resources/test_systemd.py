"""Units of a real systemd, booted for this module in namespaces of its own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from booted import Booted, NotBooted, why_not

from hamgr.config.model import GroupConfig, ResourceConfig
from hamgr.core.cluster import GroupState
from hamgr.resources.group import GroupRunner
from hamgr.resources.resource import ResourceError, ResourceKind, ResourceStatus
from hamgr.resources.systemd import Systemd

pytestmark = [pytest.mark.root, pytest.mark.skipif(why_not() != "", reason=why_not())]

RUNNING, STOPPED, FAILED = ResourceStatus.RUNNING, ResourceStatus.STOPPED, ResourceStatus.FAILED
Make = Callable[..., Systemd]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    booted = Booted(tmp_path_factory.mktemp("systemd"))
    try:
        booted.boot()
        booted.write("good.service", "[Service]\nExecStart=sleep 1000")
        booted.write("good@.service", "[Service]\nExecStart=sleep 1000%i")
        booted.write("unhurried.service", "[Service]\nExecStartPre=sleep 0.5\nExecStart=sleep 1000")
        # Another that is active looks at it: so systemd keeps it, and its count of starts, in memory.
        booted.write("kept.service", "[Service]\nExecStart=sleep 1000")
        booted.write("keeper.target", "After=kept.service")
        booted.write("restarts.service", "[Service]\nExecStart=sleep 1000\nRestart=always\nRestartSec=0")
        booted.write("bad.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=sh -c 'exit 7'")
        booted.write("oneshot.service", "[Service]\nType=oneshot\nExecStart=true")
        booted.write("choosy.service", "ConditionPathExists=/nowhere\n[Service]\nExecStart=sleep 1000")
        # Comes up only when the file is there, which may take for ever.
        wait = "sh -c 'until [ -e /run/go ]; do sleep 0.02; done'"
        booted.write(
            "slow.service",
            f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={wait}\nExecStart=touch /run/came-up\n"
            "TimeoutStartSec=1000",
        )
        booted.write("stubborn.service", "[Service]\nExecStart=sleep 1000\nExecStop=sleep 1000\nTimeoutStopSec=1000")
        booted.write(
            "leaves.service",
            "[Service]\nType=forking\nKillMode=process\nExecStart=sh -c 'sleep 1001 & sleep 1002 & true'\n"
            "ExecStop=true",
        )
        booted.write("some.target", "Requires=good.service\nAfter=good.service")
        booted.write("door.socket", "[Socket]\nListenStream=/run/door\nAccept=yes")
        booted.write("door@.service", "[Service]\nExecStart=cat\nStandardInput=socket")
        booted.run("systemctl", "daemon-reload")
        booted.run("systemctl", "start", "keeper.target")
        booted.run("systemctl", "mask", "--runtime", "masked.service")
        yield booted
    except NotBooted as error:
        pytest.skip(f"no systemd can be booted here: {error}")
    finally:
        booted.end()


@pytest.fixture
async def unit(machine: Booted) -> AsyncIterator[Make]:
    """`unit("good")`: a resource, which is stopped in the end."""
    made: list[Systemd] = []

    def make(name: str, **options: str) -> Systemd:
        config = ResourceConfig(name, "systemd", {"unit": name, **options}, monitor_timeout=4.0)
        made.append(Systemd(config, machine.places))
        return made[-1]

    (machine.root / "run/go").unlink(missing_ok=True)
    (machine.root / "run/came-up").unlink(missing_ok=True)
    yield make
    for one in made:
        machine._enter("systemctl", "kill", "--signal=KILL", one._name)
        machine._enter("systemctl", "stop", one._name)
        machine._enter("systemctl", "reset-failed", one._name)
        await one.close()


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.01)


def state(machine: Booted, name: str) -> str:
    return machine.run("systemctl", "show", "--property=ActiveState", "--value", name).strip()


@pytest.mark.parametrize("name", ["good", "good.service", "good@1.service", "some.target", "door.socket"])
async def test_a_unit_starts_and_stops_as_often_as_one_likes(machine: Booted, unit: Make, name: str) -> None:
    one = unit(name)
    await one.prepare()
    assert await one.status() is STOPPED
    for _ in range(2):
        await one.start()
        assert await one.status() is RUNNING
    assert state(machine, name) == "active"
    for _ in range(2):
        await one.stop()
        assert await one.status() is STOPPED
    assert state(machine, name) == "inactive"


ALONE = """
import asyncio
from pathlib import Path
from hamgr.config.model import ResourceConfig
from hamgr.resources.systemd import Systemd
from hamgr.resources.units import Places

async def main():
    told = asyncio.Queue()
    one = Systemd(ResourceConfig("good", "systemd", {"unit": "good"}), Places(bus=Path("/nowhere/socket")))
    one.watch(told.put_nowait)
    await one.prepare()
    await one.start()
    print((await one.status()).value)
    await (await asyncio.create_subprocess_exec("systemctl", "kill", "--signal=KILL", "good.service")).wait()
    print(await asyncio.wait_for(told.get(), 10))
    await one.stop()
    print((await one.status()).value)
    await one.close()

asyncio.run(main())
"""


def test_without_the_bus_systemd_is_asked_by_its_private_socket(machine: Booted) -> None:
    """(Which lets in nobody from outside of its namespace of process ids, unlike the bus.)"""
    said = machine.run(sys.executable, "-c", ALONE).splitlines()
    assert said == ["running", "good.service is failed: signal, status 9", "stopped"]


async def test_without_systemd_it_is_said(tmp_path: Path) -> None:
    from hamgr.resources import units
    from hamgr.resources.units import Places

    places = Places(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    one = Systemd(ResourceConfig("x", "systemd", {"unit": "x"}), places)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units, "PATIENCE", 0.2)
        await one.prepare()
        assert not places.drop_ins.exists(), "which would be the sign of a systemd"
        with pytest.raises(ResourceError, match=r"systemd does not answer: .*/a: No such file or directory; .*/b: No"):
            await one.stop()
    await one.close()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("bad", r"bad.service did not start: exit-code, status 7; see journalctl -u bad.service"),
        ("oneshot", r"it did its work and ended \(a oneshot counts as running with RemainAfterExit=yes only\)"),
        ("choosy", r"a Condition of its unit file does not hold"),
        ("unknown", r"unknown.service can't be started: systemd knows no such unit"),
        ("masked", r"masked.service can't be started: it is masked"),
    ],
)
async def test_what_can_not_start_says_why_and_is_stopped(unit: Make, name: str, why: str) -> None:
    one = unit(name)
    await one.prepare()
    with pytest.raises(ResourceError, match=why):
        await one.start()
    await one.stop()
    assert await one.status() is STOPPED


async def test_twenty_starts_in_a_row_are_no_reason_to_refuse_the_next(unit: Make) -> None:
    """StartLimitBurst is 5 in 10 s; twenty failovers may be as quick."""
    one = unit("kept")
    for _ in range(20):
        await one.start()
        await one.stop()


async def test_a_death_is_told_within_a_second_with_its_reason(machine: Booted, unit: Make) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    one = unit("restarts")
    one.watch(told.put_nowait)
    await one.prepare()
    await one.start()
    began = time.monotonic()
    machine.run("systemctl", "kill", "--signal=KILL", "restarts.service")
    assert await asyncio.wait_for(told.get(), 30) == "restarts.service is failed: signal, status 9"
    assert time.monotonic() - began < 1
    assert await one.status() is STOPPED, "hamgr restarts it, not systemd"
    assert one.reason == "signal, status 9"


async def test_a_group_reports_a_death_without_waiting_for_its_monitor(machine: Booted, monkeypatch) -> None:
    kind = ResourceKind((), lambda config, _surroundings: Systemd(config, machine.places))
    monkeypatch.setattr("hamgr.resources.group.RESOURCE_KINDS", {"systemd": kind})
    config = ResourceConfig("web", "systemd", {"unit": "good"}, monitor_interval=1000.0)
    reports: asyncio.Queue[tuple[GroupState, str]] = asyncio.Queue()
    runner = GroupRunner(GroupConfig("g", (config,)), lambda _group, now, why: reports.put_nowait((now, why)))
    try:
        await runner.prepare()
        runner.start()
        assert await asyncio.wait_for(reports.get(), 20) == (GroupState.STARTED, "")
        machine.run("systemctl", "stop", "good.service")
        assert await asyncio.wait_for(reports.get(), 30) == (GroupState.FAILED, "web: good.service is inactive")
        runner.start()
        assert await asyncio.wait_for(reports.get(), 20) == (GroupState.STARTED, "")
        runner.stop()
        assert await asyncio.wait_for(reports.get(), 20) == (GroupState.STOPPED, "")
        assert reports.empty()
    finally:
        await runner.close()


async def test_a_restart_by_hand_is_no_death(machine: Booted, unit: Make) -> None:
    told: list[str] = []
    one = unit("unhurried")
    one.watch(told.append)
    await one.prepare()
    await one.start()
    machine.run("systemctl", "restart", "unhurried.service")
    assert await one.status() is RUNNING
    assert told == []


@pytest.mark.parametrize("turns", [0, 1, 2, 5, None])
async def test_nothing_of_a_cancelled_start_comes_up_later(machine: Booted, unit: Make, turns: int | None) -> None:
    one = unit("slow")
    await one.prepare()
    start = asyncio.create_task(one.start())
    if turns is None:
        await until(lambda: state(machine, "slow.service") == "activating")
    else:
        for _ in range(turns):
            await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    (machine.root / "run/go").touch()
    await one.stop()
    assert await one.status() is STOPPED
    assert machine.run("systemctl", "list-jobs", "--no-legend") == ""
    assert not (machine.root / "run/came-up").exists()


async def test_a_cancelled_start_is_withdrawn_without_a_stop_too(machine: Booted, unit: Make) -> None:
    one = unit("slow")
    await one.prepare()
    start = asyncio.create_task(one.start())
    await until(lambda: state(machine, "slow.service") == "activating")
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await until(lambda: state(machine, "slow.service") in ("inactive", "failed"))
    assert not (machine.root / "run/came-up").exists()


async def test_a_cancelled_start_of_what_runs_leaves_it_running(machine: Booted, unit: Make) -> None:
    one = unit("good")
    await one.start()
    start = asyncio.create_task(one.start())
    await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert await one.status() is RUNNING


async def test_a_stop_that_hangs_can_be_given_up_and_is_a_failure(machine: Booted, unit: Make) -> None:
    one = unit("stubborn")
    await one.start()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await one.stop()
    assert await one.status() is FAILED
    assert one.reason == "stubborn.service is deactivating (stop)"


async def test_processes_that_outlive_their_unit_are_a_failure(machine: Booted, unit: Make) -> None:
    one = unit("leaves")
    await one.start()
    with pytest.raises(ResourceError, match=r"leaves.service is stopped, but 2 of its processes still run \(\d+ sleep"):
        await one.stop()
    assert await one.status() is FAILED
    careless = unit("leaves", leftovers="ignore")
    await careless.stop()
    assert await careless.status() is STOPPED


async def test_systemd_may_be_executed_anew_at_any_time(machine: Booted, unit: Make) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    slow, good = unit("slow"), unit("good")
    good.watch(told.put_nowait)
    await slow.prepare()
    await good.prepare()
    await good.start()
    start = asyncio.create_task(slow.start())
    await until(lambda: state(machine, "slow.service") == "activating")
    await asyncio.to_thread(machine.run, "systemctl", "daemon-reexec")
    assert await good.status() is RUNNING
    (machine.root / "run/go").touch()
    await asyncio.wait_for(start, 20)
    assert await slow.status() is RUNNING
    machine.run("systemctl", "kill", "--signal=KILL", "good.service")
    assert await asyncio.wait_for(told.get(), 10) == "good.service is failed: signal, status 9"


async def test_a_bus_that_is_restarted_delays_nothing_and_hides_no_death(machine: Booted, unit: Make) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    one = unit("good")
    one.watch(told.put_nowait)
    await one.prepare()
    await one.start()
    machine.run("systemctl", "kill", "--signal=KILL", "dbus.service")
    machine.run("systemctl", "kill", "--signal=KILL", "good.service")
    assert await asyncio.wait_for(told.get(), 10) == "good.service is failed: signal, status 9"
    await one.start()
    await one.stop()
    machine.run("systemctl", "start", "dbus.service")
    await until(lambda: machine._up())


async def test_all_units_share_one_connection_which_ends_with_the_last(unit: Make) -> None:
    one, other = unit("good"), unit("slow")
    await one.prepare()
    await other.prepare()
    assert one._units is other._units
    shared = one._units
    assert shared is not None
    await one.close()
    assert shared._connection is not None
    await other.close()
    assert shared._connection is None


async def test_more_units_than_the_bus_takes_calls_from_one_client_start_at_once(machine: Booted, unit: Make) -> None:
    """The bus refuses the 129th call that is still unanswered."""
    machine.write("many@.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true")
    many = [Systemd(ResourceConfig("m", "systemd", {"unit": f"many@{i}"}), machine.places) for i in range(150)]
    for one in many:
        await one.prepare()
    for operation in ("start", "stop"):
        await asyncio.gather(*(getattr(one, operation)() for one in many))
    for one in many:
        await one.close()


async def test_at_a_shutdown_hamgrd_stops_its_units_itself_and_is_not_waited_for_by_them(
    machine: Booted, unit: Make
) -> None:
    """hamgrd.service here is a stand-in that, told to end, waits until the unit was stopped by hamgr."""
    one = unit("good")
    await one.prepare()
    await one.start()
    machine.write(
        "hamgrd.service",
        "[Service]\nExecStart=sleep 1000\nTimeoutStopSec=100\n"
        "ExecStop=sh -c 'touch /run/leaving; until [ -e /run/left ]; do sleep 0.02; done'",
    )
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "hamgrd.service")
    machine.run("systemctl", "stop", "--no-block", "hamgrd.service", "good.service")
    await until(lambda: (machine.root / "run/leaving").exists())
    assert state(machine, "good.service") == "active", "systemd leaves it to hamgrd"
    await asyncio.wait_for(one.stop(), 10)
    assert state(machine, "good.service") == "inactive"
    (machine.root / "run/left").touch()
    await until(lambda: state(machine, "hamgrd.service") in ("inactive", "failed"))


CHECKED = """
[cluster]
name = "c"
key_file = "/run/key"
[link.ha]
kind = "udp"
[node.a]
address = {{ ha = "127.0.0.1" }}
[node.b]
address = {{ ha = "127.0.0.2" }}
[group.g]
[[group.g.resource]]
kind = "systemd"
unit = "{unit}"
"""


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("good", 0, ""),
        ("good@1", 0, ""),
        ("unknown", 2, "unit: found unknown.service, which systemd does not know, allowed a unit that is installed"),
        ("masked", 2, "unit: found masked.service, which is masked, allowed a unit that is not masked"),
        ("atboot", 0, "unit: warning: atboot.service is enabled: it starts at boot on every node"),
        ("door.socket", 0, ""),
        ("byclock", 0, "unit: warning: byclock.service is started by byclock.timer too, even after hamgrd stopped it"),
    ],
)
def test_check_on_a_node_knows_which_units_will_not_do(machine: Booted, name: str, code: int, said: str) -> None:
    machine.write("atboot.service", "[Service]\nExecStart=sleep 1000\n[Install]\nWantedBy=test.target")
    machine.write("byclock.service", "[Service]\nExecStart=sleep 1000")
    machine.write("byclock.timer", "[Timer]\nOnCalendar=2099-01-01")
    (machine.root / "run/hamgr.toml").write_text(CHECKED.format(unit=name))
    (machine.root / "run/key").touch(0o600)
    machine.run("systemctl", "enable", "atboot.service")
    machine.run("systemctl", "start", "byclock.timer")
    hamgr = [sys.executable, "-m", "hamgr.cli.main", "check", "/run/hamgr.toml", "--node", "a"]
    done = machine._enter(*hamgr)
    about_units = [line for line in done.stderr.splitlines() if "group.g.resource" in line]
    assert done.returncode == code
    assert len(about_units) == (1 if said else 0)
    assert said in "".join(about_units)


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("good", 0, "g: good on a"),
        ("oneshot", 1, "BROKEN: a start must succeed"),
        ("leaves", 1, "leaves.service is stopped, but 2 of its processes still run"),
        ("unknown", 1, "which systemd does not know"),
    ],
)
def test_resource_check_knows_units_that_can_not_be_kept(machine: Booted, name: str, code: int, said: str) -> None:
    (machine.root / "run/hamgr.toml").write_text(CHECKED.format(unit=name))
    hamgr = [sys.executable, "-m", "hamgr.cli.main", "--config", "/run/hamgr.toml"]
    done = machine._enter(*hamgr, "resource", "check", "g", "--node", "a", "--yes")
    machine._enter("systemctl", "kill", "--signal=KILL", f"{name}.service")
    assert done.returncode == code, done.stderr
    assert said in done.stdout
