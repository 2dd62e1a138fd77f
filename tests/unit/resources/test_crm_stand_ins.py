"""What agents get when they call Pacemaker's programs, which are not there."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hamgr.resources.ocf_calls import STAND_INS

Call = Callable[..., "subprocess.CompletedProcess[str]"]

PROGRAMS = sorted(path.name for path in STAND_INS.iterdir() if path.suffix != ".sh")


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """`call("crm_master", "-v", "10")`, as the agent of the resource g.db on node b of a, b and c."""

    def run(program: str, *words: str, role: str = "") -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{STAND_INS}:/usr/bin:/bin",
            "OCF_RESOURCE_INSTANCE": "g.db",
            "HAMGR_NODE": "b",
            "HAMGR_NODES": "a b c",
            "HAMGR_ROLE": role,
            "HAMGR_ATTRIBUTES": f"{tmp_path}/reboot",
            "HAMGR_ATTRIBUTES_FOREVER": f"{tmp_path}/forever",
        }
        return subprocess.run([program, *words], env=environment, capture_output=True, text=True, check=False)

    return run


def test_they_can_be_run() -> None:
    assert {"crm_attribute", "crm_master", "crm_node", "crm_resource", "crm_mon", "attrd_updater"} <= set(PROGRAMS)
    assert [name for name in PROGRAMS if not (STAND_INS / name).stat().st_mode & 0o100] == []


def test_a_promotion_score_is_set_read_and_deleted(call: Call, tmp_path: Path) -> None:
    assert call("crm_master", "-q", "-l", "reboot", "-G").returncode == 105
    assert call("crm_master", "-Q", "-l", "reboot", "-v", "10000").returncode == 0
    assert (tmp_path / "reboot" / "master-g.db").read_text() == "10000\n"
    assert call("crm_master", "-q", "-l", "reboot", "-G").stdout == "10000\n"
    assert call("crm_attribute", "-p", "-G").stdout == "scope=status  name=master-g.db value=10000\n"
    assert call("crm_attribute", "-p", "-D").returncode == 0
    assert call("crm_master", "-l", "reboot", "-D").returncode == 0
    assert call("crm_master", "-G").returncode == 105


@pytest.mark.parametrize("words", [["-p", "-v", "-INFINITY"], ["--promotion=g.db", "--update=-INFINITY"]])
def test_a_score_may_be_negative(call: Call, tmp_path: Path, words: list[str]) -> None:
    assert call("crm_attribute", *words).returncode == 0
    assert (tmp_path / "reboot" / "master-g.db").read_text() == "-INFINITY\n"


def test_attributes_for_ever_and_until_the_next_boot_lie_apart(call: Call, tmp_path: Path) -> None:
    call("crm_attribute", "-N", "b", "-l", "forever", "--name", "cookie", "--update", "two words")
    call("crm_attribute", "-n", "runs", "-v", "1", "-l", "reboot")
    assert (tmp_path / "forever" / "cookie").read_text() == "two words\n"
    assert call("crm_attribute", "-l", "forever", "--name", "cookie", "-q").stdout == "two words\n"
    assert call("crm_attribute", "-l", "reboot", "--name", "runs", "--query").stdout.endswith("name=runs value=1\n")
    assert call("crm_attribute", "-l", "reboot", "--name", "cookie", "--query", "-d", "none", "-q").stdout == "none\n"


def test_attrd_updater_keeps_the_same_attributes(call: Call) -> None:
    assert call("attrd_updater", "-n", "ping", "-v", "100", "-d", "5s").returncode == 0
    assert call("attrd_updater", "-p", "-n", "ping", "-Q").stdout == 'name="ping" host="b" value="100"\n'
    assert call("crm_attribute", "-l", "reboot", "-n", "ping", "-G", "-q").stdout == "100\n"
    assert call("attrd_updater", "-n", "ping", "--update-delay", "--delay", "0").returncode == 0
    assert call("attrd_updater", "-D", "-n", "ping").returncode == 0
    assert call("attrd_updater", "-n", "ping", "-Q").returncode == 105


def test_nodes_are_told(call: Call) -> None:
    assert call("crm_node", "-n").stdout == "b\n"
    assert call("crm_node", "-i").stdout == "2\n"
    assert call("crm_node", "-l").stdout == "1 a member\n2 b member\n3 c member\n"
    assert call("crm_node", "-N", "3").stdout == "c\n"


def test_where_it_runs_is_told_as_far_as_it_is_known_here(call: Call) -> None:
    where = ["--resource", "g.db", "--locate"]
    assert call("crm_resource", *where).stdout == "resource g.db is NOT running\n"
    assert call("crm_resource", *where, role="running").stdout == "resource g.db is running on: b\n"
    assert call("crm_resource", *where, role="promoted").stdout == "resource g.db is running on: b Master\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["crm_attribute", "-N", "a", "-n", "x"], 105, "hamgr keeps attributes on each node, and knows none of a"),
        (["crm_attribute", "-n", "../x", "-v", "1"], 64, "../x is no name of an attribute"),
        (["crm_attribute", "-v", "1"], 64, "which attribute?"),
        (["crm_attribute", "-n"], 64, "-n needs an argument"),
        (["crm_attribute", "-t", "crm_config", "-n", "x"], 64, "hamgr keeps no attributes of type crm_config"),
        (["attrd_updater", "--frob"], 64, "hamgr's does not know --frob"),
        (["crm_mon", "-1"], 102, "crm_mon -1: hamgr runs this agent, and no Pacemaker"),
        (["crm_node", "-p"], 102, "crm_node -p: hamgr runs this agent, and no Pacemaker"),
        (["crm_resource", "-g", "x"], 102, "crm_resource -g x: hamgr runs this agent, and no Pacemaker"),
        (["cibadmin", "-Q"], 102, "cibadmin -Q: hamgr runs this agent, and no Pacemaker"),
    ],
)
def test_what_can_not_be_answered_is_refused_in_a_sentence(call: Call, words: list[str], code: int, said: str) -> None:
    done = call(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.endswith(f"{said}\n")
