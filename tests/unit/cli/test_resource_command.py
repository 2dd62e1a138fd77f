"""`hamgr resource`, the installed command, on a machine without a hamgrd; and what a hamgrd's status forbids."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hamgr.cli.resource import _why_not
from hamgr.core.cluster import GroupState
from hamgr.core.status import ArbiterStatus, GroupStatus, Status

BIN = Path(sys.executable).parent

CONFIG = """
[cluster]
name = "c"
key_file = "{here}/key"
state_dir = "{here}/state"
admin_socket = "{here}/admin.sock"
[link.one]
kind = "udp"
[node.a]
address = {{ one = "127.0.0.1" }}
[node.b]
address = {{ one = "127.0.0.2" }}
[group.web]
nodes = ["a"]
[[group.web.resource]]
kind = "lsb"
name = "disk"
script = "{here}/disk"
[[group.web.resource]]
kind = "lsb"
name = "web"
script = "{here}/web"
[[group.web.resource]]
kind = "check"
command = ["test", "-e", "{here}/web.on"]
"""

SCRIPT = """#!/bin/sh
case $1 in
  start) touch {here}/{name}.on; {start} ;;
  stop) rm -f {here}/{name}.on ;;
  status) [ -e {here}/{name}.on ] || exit {stopped} ;;
esac
"""


class Machine:
    def __init__(self, here: Path) -> None:
        self.here = here
        (here / "hamgr.toml").write_text(CONFIG.format(here=here))
        self.script("disk")
        self.script("web")

    def script(self, name: str, start: str = ":", stopped: int = 3) -> None:
        path = self.here / name
        path.write_text(SCRIPT.format(here=self.here, name=name, start=start, stopped=stopped))
        path.chmod(0o755)

    @property
    def command(self) -> list[str]:
        return [str(BIN / "hamgr"), "--config", str(self.here / "hamgr.toml"), "resource", "check"]

    def check(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*self.command, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)

    @property
    def running(self) -> list[str]:
        return sorted(path.name for path in self.here.glob("*.on"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_good_group_is_good(machine: Machine) -> None:
    done = machine.check("web", "--node", "a", "--yes")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("web: good on a, ")
    assert "disk   start after a start" in done.stdout
    assert "ms of 20 s" in lines[0]
    assert machine.running == []


def test_a_broken_rule_is_told_with_what_was_found_and_the_exit_code(machine: Machine) -> None:
    machine.script("web", stopped=1)
    done = machine.check("web", "web", "--node", "a", "--yes")
    assert done.returncode == 1
    assert "failed: " in done.stdout
    assert "status ended with 1" in done.stdout
    assert "BROKEN: while it is stopped, status must say so (LSB: exit code 3, OCF: 7)" in done.stdout
    assert done.stdout.splitlines()[-1] == "web: 5 times a rule was broken"


def test_a_script_that_is_missing_is_told(machine: Machine) -> None:
    (machine.here / "disk").unlink()
    shown = json.loads(machine.check("web", "--node", "a", "--yes", "--json").stdout)
    (objection,) = [step["found"] for step in shown["steps"] if step["action"] == "options"]
    assert objection.startswith("script: found ")
    assert objection.endswith(", allowed a file that can be executed on this machine")
    assert shown["halted"] == "disk did not start: what comes after it was not tried"


def test_json_has_every_step_with_its_time(machine: Machine) -> None:
    done = machine.check("web", "web", "--node", "a", "--yes", "--json")
    shown = json.loads(done.stdout)
    assert (shown["group"], shown["node"], shown["good"], shown["halted"]) == ("web", "a", True, "")
    step = next(step for step in shown["steps"] if step["resource"] == "web" and step["action"] == "start")
    assert step["found"] == "done"
    assert step["allowed"] == 20.0
    assert 0 < step["seconds"] < 20


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("wbe",), "found group 'wbe', allowed \"web\""),
        (("web", "dsk"), "found resource 'dsk', allowed \"disk\" or \"web\" or \"check\""),
        (("web", "--node", "b"), "found node 'b', allowed \"a\": where group web may run"),
        (("web",), "asks for a confirmation on a terminal; without one, say --yes"),
    ],
)
def test_wrong_usage_starts_nothing(machine: Machine, words: tuple[str, ...], said: str) -> None:
    done = machine.check(*words, *(() if "--node" in words else ("--node", "a")))
    assert done.returncode == 2
    assert said in done.stderr
    assert not machine.running


def test_what_runs_is_not_touched(machine: Machine) -> None:
    (machine.here / "web.on").touch()
    done = machine.check("web", "--node", "a", "--yes")
    assert done.returncode == 1
    assert "not finished: web says that it runs, and nothing was started" in done.stdout
    assert machine.running == ["web.on"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_check_leaves_everything_stopped(machine: Machine, number: signal.Signals) -> None:
    machine.script("web", start="sleep 1000")
    with subprocess.Popen(
        [*machine.command, "web", "--node", "a", "--yes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as check:
        deadline = time.monotonic() + 20
        while machine.running != ["disk.on", "web.on"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        check.send_signal(number)
        check.send_signal(number)
        out, err = check.communicate(timeout=30)
    assert check.returncode == 130
    assert "not finished: interrupted" in out
    assert "stopping what was started" in err
    assert machine.running == []


def test_a_reader_that_has_enough_keeps_nothing_from_being_stopped(machine: Machine) -> None:
    command = " ".join([*machine.command, "web", "--node", "a", "--yes"])
    subprocess.run(["sh", "-c", f"{command} | head -n 3"], timeout=60, check=True, capture_output=True)
    assert machine.running == []


def test_on_a_terminal_the_name_of_the_group_confirms_and_anything_else_does_not(machine: Machine) -> None:
    def typed(answer: str) -> int:
        ours, theirs = pty.openpty()
        words = [*machine.command, "web", "--node", "a"]
        with subprocess.Popen(words, stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as asking:
            os.close(theirs)
            os.write(ours, f"{answer}\n".encode())
            code = asking.wait(timeout=60)
        os.close(ours)
        return code

    assert typed("yes") == 1
    assert typed("web") == 0


def test_the_kinds_tell_their_options() -> None:
    words = [str(BIN / "hamgr"), "resource", "kinds"]
    text = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout
    assert "systemd\n  unit                     text           required\n" in text
    kinds = json.loads(subprocess.run([*words, "--json"], capture_output=True, timeout=30, check=True).stdout)
    assert {"name": "script", "type": "text", "required": True, "default": None} in kinds["lsb"]


def describe(agent: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "hamgr"), "resource", "describe", agent, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


@pytest.mark.skipif(not Path("/usr/lib/ocf/resource.d/heartbeat/IPaddr2").exists(), reason="needs resource-agents")
def test_an_agent_is_described_by_its_meta_data() -> None:
    said = describe("heartbeat:IPaddr2").stdout.splitlines()
    assert said[0] == "ocf:heartbeat:IPaddr2"
    assert any(line.split() == ["ip", "string", "required"] for line in said)
    assert "  start                    timeout 20 s" in said
    assert json.loads(describe("ocf:heartbeat:IPaddr2", "--json").stdout)["parameters"]["ip"]["required"]


def test_what_is_no_agent_is_one_clear_line() -> None:
    missing = describe("ocf:nobody:Nothing")
    assert missing.returncode == 1
    assert "ocf:nobody:Nothing is not here: /usr/lib/ocf/resource.d/nobody/Nothing: No such file" in missing.stderr
    assert describe("a b c").returncode == 2


def status(maintenance: bool = True, owner: str = "", **states: str) -> Status:
    group = GroupStatus("web", owner, GroupState.STOPPED, states=states)
    none = ArbiterStatus(False, False, None, False)
    return Status(
        "c", "a", 1, "follower", 1, "a", True, 2, 2, 1.0, False, none, (), (group,), (), maintenance=maintenance
    )


def test_beside_a_hamgrd_it_needs_maintenance_and_a_group_that_is_stopped_everywhere() -> None:
    assert _why_not(status(a="stopped", b="stopped"), "web") == ""
    assert "`hamgr maintenance on`" in _why_not(status(False, a="stopped", b="stopped"), "web")
    assert _why_not(status(a="stopped", b="started"), "web") == "group web is started on b"
    assert _why_not(status(a="unknown", b="stopped"), "web") == "group web is unknown on a"
    assert _why_not(status(owner="b", a="stopped"), "web") == "group web belongs to b"
