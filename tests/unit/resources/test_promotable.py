"""Promotable OCF agents: started on every node, promoted by the group; each call is a real process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hamgr.config.model import ResourceConfig
from hamgr.core.effects import Kind
from hamgr.guard import ending
from hamgr.resources import ocf_calls
from hamgr.resources.kinds import RESOURCE_KINDS
from hamgr.resources.promotable import Promotable
from hamgr.resources.resource import ResourceError, ResourceStatus, Surroundings

AGENT = """#!/bin/sh
# Its state is a file: "started", "promoted", or none. What is in $here/ACTION is run in place of that action.
here={here}
role=$OCF_RESKEY_CRM_meta_notify_type/$OCF_RESKEY_CRM_meta_notify_operation
[ $1 = notify ] && echo "notify $role" >>$here/calls || echo $1 >>$here/calls
env >$here/env-$1
[ ! -e $here/$1 ] || . $here/$1
state=$(cat $here/state 2>/dev/null)
case $1 in
meta-data) echo '<resource-agent><actions><action name="promote"/><action name="demote"/><action name="notify"/>
</actions></resource-agent>' ;;
start) echo started >$here/state; crm_master -l reboot -v 10 ;;
promote) [ "$state" = started ] && echo promoted >$here/state ;;
demote) [ "$state" = promoted ] && echo started >$here/state ;;
stop) rm -f $here/state; crm_master -l reboot -D ;;
monitor) case $state in started) exit 0 ;; promoted) exit 8 ;; *) exit 7 ;; esac ;;
notify) ;;
*) exit 3 ;;
esac
"""

Make = Callable[..., Promotable]


class Machine:
    """What the agent did and found, and what is to go wrong."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.told: list[str] = []
        self.maintenance = False
        self.objections: list[str] = []
        self.looks = 0
        self._read = 0

    @property
    def state(self) -> str:
        path = self.here / "state"
        return path.read_text().strip() if path.exists() else ""

    @state.setter
    def state(self, state: str) -> None:
        (self.here / "state").write_text(f"{state}\n")

    def calls(self) -> list[str]:
        """What the agent was called for since the last time, without the monitors."""
        path = self.here / "calls"
        every = path.read_text().split("\n")[:-1] if path.exists() else []
        lines, self._read = every[self._read :], len(every)
        return [line for line in lines if line not in ("monitor", "meta-data")]

    async def called(self, action: str) -> list[str]:
        """Wait for this call; it and those before it, since the last time."""
        seen: list[str] = []
        async with asyncio.timeout(10):
            while action not in seen:
                seen += self.calls()
                await asyncio.sleep(0.01)
        return seen

    def break_(self, action: str, body: str) -> None:
        (self.here / action).write_text(body)

    def mend(self, action: str) -> None:
        (self.here / action).unlink()

    def environment(self, action: str) -> dict[str, str]:
        pairs = (line.partition("=") for line in (self.here / f"env-{action}").read_text().splitlines())
        return {name: value for name, _, value in pairs}

    def hands_off(self) -> bool:
        """Asked before each look in the background."""
        self.looks += 1
        return self.maintenance

    async def some_looks(self) -> None:
        """Until a few chances to do something were had, and not taken."""
        asked = self.looks
        async with asyncio.timeout(10):
            while self.looks < asked + 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def tell(self, kind: Kind, text: str) -> None:
        assert kind is Kind.WARNING
        self.told.append(text)

    async def until(self, state: str) -> None:
        async with asyncio.timeout(10):
            while self.state != state:  # noqa: ASYNC110 - another process does it
                await asyncio.sleep(0.01)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(ocf_calls, "RUN_DIRECTORY", tmp_path / "run")
    return Machine(tmp_path)


@pytest.fixture
async def make(machine: Machine) -> AsyncIterator[Make]:
    """`make()`: the resource as hamgrd builds it; nothing is done in the background before `prepare`."""
    made: list[Promotable] = []

    def build(candidate: bool = True, interval: float = 0.05, patience: float = 20.0) -> Promotable:
        agent = machine.here / "ocf" / "resource.d" / "test" / "db"
        agent.parent.mkdir(parents=True, exist_ok=True)
        agent.write_text(AGENT.format(here=machine.here))
        agent.chmod(0o755)
        options = {"agent": "test:db", "promotable": True, "ocf_root": str(machine.here / "ocf")}
        around = Surroundings(
            node="a",
            nodes=("a", "b", "c"),
            group="g",
            state_dir=machine.here,
            tell=machine.tell,
            group_nodes=("a", "b"),
            candidate=candidate,
            hands_off=machine.hands_off,
            unready=lambda name, reason, soon: machine.objections.append(reason),
        )
        config = ResourceConfig("db", "ocf", options, start_timeout=patience, monitor_interval=interval)
        resource = RESOURCE_KINDS["ocf"].build(config, around)
        assert isinstance(resource, Promotable)
        made.append(resource)
        return resource

    yield build
    for one in made:
        await one.close()


NEVER = 1000.0
"""A monitor interval, in seconds, after which no test runs anymore: one look in the background at most."""


async def test_for_the_group_it_runs_while_it_is_promoted(make: Make, machine: Machine) -> None:
    resource = make(interval=NEVER)
    assert await resource.status() is ResourceStatus.STOPPED
    assert "not running (7)" in resource.reason
    await resource.start()
    await resource.start()
    assert machine.state == "promoted"
    assert await resource.status() is ResourceStatus.RUNNING
    assert machine.environment("monitor")["OCF_RESKEY_CRM_meta_role"] == "Master"
    await resource.stop()
    await resource.stop()
    assert machine.state == "started"
    assert await resource.status() is ResourceStatus.STOPPED
    assert resource.reason == "ocf:test:db is not promoted"


async def test_changes_are_notified_before_and_after(make: Make, machine: Machine) -> None:
    resource = make(candidate=False)
    await resource.prepare()
    await resource.start()
    assert machine.calls() == ["start", "notify post/start", "notify pre/promote", "promote", "notify post/promote"]
    seen = machine.environment("promote")
    prefix = "OCF_RESKEY_CRM_meta_"
    expected = {
        "notify": "true",
        "notify_promote_uname": "a",
        "notify_master_uname": "",
        "notify_slave_uname": "a b",
        "notify_all_uname": "a b",
        "promotable": "true",
        "master_max": "1",
        "clone_max": "2",
        "clone_node_max": "1",
    }
    assert {name: seen.get(prefix + name) for name in expected} == expected
    assert machine.environment("start")[f"{prefix}notify"] == "true", "DRBD's agent insists on it"
    await resource.stop()
    assert machine.calls() == ["notify pre/demote", "demote", "notify post/demote"]
    seen = machine.environment("notify")
    assert (seen[f"{prefix}notify_master_uname"], seen[f"{prefix}notify_demote_uname"]) == ("a", "a")
    assert seen[f"{prefix}notify_slave_uname"] == seen[f"{prefix}notify_unpromoted_uname"] == "b"


async def test_it_is_started_in_the_background_on_a_node_of_the_group(make: Make, machine: Machine) -> None:
    await make().prepare()
    await machine.until("started")


async def test_and_on_no_other_node(make: Make, machine: Machine) -> None:
    resource = make(candidate=False)
    await resource.prepare()
    assert await resource.status() is ResourceStatus.STOPPED
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert machine.calls() == []


async def test_nothing_is_touched_in_maintenance(make: Make, machine: Machine) -> None:
    machine.maintenance = True
    await make().prepare()
    await machine.some_looks()
    assert machine.calls() == []
    machine.maintenance = False
    await machine.until("started")


async def test_what_does_not_start_is_tried_again_and_told_of_once(make: Make, machine: Machine) -> None:
    machine.break_("start", "echo 'ocf-exit-reason:no disk' >&2; exit 1")
    await make().prepare()
    await machine.called("start")
    await machine.called("start")
    assert machine.told == ["db: ocf:test:db start: failed (1): no disk"]
    machine.mend("start")
    await machine.until("started")


async def test_one_that_fails_unpromoted_is_stopped_and_started_again(make: Make, machine: Machine) -> None:
    await make().prepare()
    await machine.called("notify post/start")
    machine.break_("monitor", "[ -e $here/stopped ] || exit 1")
    machine.break_("stop", "touch $here/stopped")
    assert (await machine.called("start"))[:2] == ["stop", "start"]
    assert machine.told == ["db: ocf:test:db monitor: failed (1); it was stopped, and is started again"]


async def test_what_runs_promoted_is_adopted(make: Make, machine: Machine) -> None:
    """hamgrd was killed, and comes back."""
    machine.state = "promoted"
    resource = make()
    await resource.prepare()
    assert await resource.status() is ResourceStatus.RUNNING
    await resource.start()
    await machine.some_looks()
    assert (machine.state, machine.calls(), machine.told) == ("promoted", [], [])


async def test_what_someone_else_promoted_is_told_of_and_left(make: Make, machine: Machine) -> None:
    await make().prepare()
    await machine.until("started")
    machine.state = "promoted"
    async with asyncio.timeout(10):
        while not machine.told:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert machine.told == [
        "db: ocf:test:db monitor: running promoted (8), though group g does not run here",
    ]
    assert machine.state == "promoted"


async def test_the_end_of_the_daemon_leaves_it_started(make: Make, machine: Machine) -> None:
    resource = make()
    await resource.prepare()
    await machine.until("started")
    await resource.close()
    assert machine.state == "started"


@pytest.mark.parametrize(
    ("score", "said"),
    [
        ("crm_master -D", "no promotion score"),
        ("crm_master -v -INFINITY", "the promotion score -1000000"),
        ("crm_master -v -5", "the promotion score -5"),
        ("crm_master -v soon", "no promotion score"),
    ],
)
async def test_who_has_no_good_score_is_not_promoted(make: Make, machine: Machine, score: str, said: str) -> None:
    machine.break_("start", f"echo started >$here/state; {score}; exit 0")
    with pytest.raises(ResourceError) as refused:
        await make(patience=1.0).start()
    assert str(refused.value) == (
        f"ocf:test:db can't be promoted on a: it gave itself {said}, so its data here may be older than another node's"
    )
    assert machine.state == "started"


async def test_a_node_says_that_it_is_not_ready_until_it_has_a_good_score(make: Make, machine: Machine) -> None:
    """Before that the group is not brought back to it from where it runs."""
    machine.break_("start", "echo started >$here/state; exit 0")
    await make().prepare()
    async with asyncio.timeout(10):
        while len(machine.objections) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert machine.objections[0] == "ocf:test:db is not started yet"
        assert "it gave itself no promotion score" in machine.objections[1]
        machine.break_("monitor", "crm_master -l reboot -v 7")
        while machine.objections[-1]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert len(machine.objections) == 3


async def test_a_node_that_can_not_start_it_is_not_ready(make: Make, machine: Machine) -> None:
    machine.break_("start", "echo 'ocf-exit-reason:no disk' >&2; exit 1")
    await make().prepare()
    async with asyncio.timeout(10):
        while machine.objections[-1] != "ocf:test:db start: failed (1): no disk":  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_is_promoted_is_ready(make: Make, machine: Machine) -> None:
    machine.state = "promoted"
    resource = make()
    await resource.prepare()
    await resource.status()
    assert machine.objections == ["ocf:test:db is not started yet", ""]


async def test_a_score_may_come_with_the_first_monitor_that_is_no_probe(make: Make, machine: Machine) -> None:
    machine.break_("start", "echo started >$here/state; exit 0")
    machine.break_("monitor", "[ $OCF_RESKEY_CRM_meta_interval = 0 ] || crm_master -l reboot -v 7")
    await make(interval=NEVER).start()
    assert machine.state == "promoted"


async def test_the_background_leaves_alone_what_was_promoted_while_it_waited(make: Make, machine: Machine) -> None:
    """Its look comes after the promotion that it waited for, and what it then sees is the group's."""
    resource = make()
    await resource.prepare()
    await machine.called("notify post/start")
    machine.break_("promote", "sleep 0.5")
    await resource.start()
    await machine.some_looks()
    assert machine.told == []
    assert set(machine.calls()) == {"notify pre/promote", "promote", "notify post/promote"}


async def test_what_can_not_be_demoted_is_stopped(make: Make, machine: Machine) -> None:
    resource = make(candidate=False)
    await resource.start()
    machine.break_("demote", "exit 1")
    await resource.stop()
    assert machine.state == ""
    assert await resource.status() is ResourceStatus.STOPPED


async def test_what_can_be_neither_demoted_nor_stopped_is_told(make: Make, machine: Machine) -> None:
    resource = make(candidate=False)
    await resource.start()
    machine.break_("demote", "echo busy >&2; exit 1")
    machine.break_("stop", "exit 1")
    with pytest.raises(ResourceError) as failed:
        await resource.stop()
    assert str(failed.value) == (
        "ocf:test:db monitor: running promoted (8); ocf:test:db demote: failed (1): busy; ocf:test:db stop: failed (1)"
    )


@pytest.mark.parametrize("code", [1, 2, 4, 6, 9])
async def test_no_other_answer_says_that_nothing_is_promoted(make: Make, machine: Machine, code: int) -> None:
    machine.break_("monitor", f"exit {code}")
    resource = make(candidate=False)
    for operation in (resource.status, resource.start):
        with pytest.raises(ResourceError, match=rf"monitor: .* \({code}\)"):
            await operation()


async def test_while_it_is_being_started_it_is_not_promoted(make: Make, machine: Machine) -> None:
    """A start may take minutes; the node's answer to a new coordinator must not."""
    machine.break_("start", "sleep 1000")
    resource = make()
    await resource.prepare()
    await machine.called("start")
    assert await resource.status() is ResourceStatus.STOPPED
    assert resource.reason == "ocf:test:db is being started"


async def test_a_stop_waits_for_no_start(make: Make, machine: Machine) -> None:
    machine.break_("start", "sleep 1000")
    resource = make()
    await resource.prepare()
    await machine.called("start")
    async with asyncio.timeout(10):
        await resource.stop()


async def test_an_order_ends_a_monitor_that_hangs_in_the_background(make: Make, machine: Machine) -> None:
    resource = make()
    await resource.prepare()
    await machine.until("started")
    machine.break_("monitor", "[ -e $here/hung ] || { touch $here/hung; sleep 1000; }")
    async with asyncio.timeout(10):
        while not (machine.here / "hung").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await resource.start()
    assert machine.state == "promoted"


async def test_the_guard_demotes_it_and_leaves_it_started(machine: Machine, make: Make) -> None:
    resource = make()
    await resource.start()
    assert machine.state == "promoted"
    (said,) = await asyncio.to_thread(ending.end, resource.emergency())
    assert said.endswith("db demote ended with 0")
    assert machine.state == "started"
