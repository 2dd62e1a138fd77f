"""cl_status, as scripts know it: its words and its exit codes (cl_status(1), and heartbeat 3.0.6's own program)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hamgr.cli import clstatus
from hamgr.cli.clstatus import Cluster
from hamgr.core.cluster import GroupState
from hamgr.core.status import ArbiterStatus, GroupStatus, LinkStatus, NodeStatus, Status

BIN = Path(sys.executable).parent

NODES = (
    NodeStatus("a", "self", 1, False),
    NodeStatus("b", "online", 1, False, (LinkStatus("eth1", True, 0.1), LinkStatus("ttyS0", False, None))),
    NodeStatus("c", "dead", 1, False, (LinkStatus("eth1", False, None),)),
)
CLUSTER = Cluster(
    Status(
        "t", "a", 1, "follower", 1, "b", True, 2, 2, 1.0, False, ArbiterStatus(False, False, None, False), NODES,
        tuple(GroupStatus(name, node, GroupState.STARTED, home=node) for name, node in (("web", "a"), ("mail", "b"))),
        (),
    ),
    {"10-0-0-254": True, "upstream": False},
)  # fmt: skip


@pytest.fixture(autouse=True)
def _running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clstatus, "_ask", lambda quiet: CLUSTER)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("hbstatus", 0, "Heartbeat is running on this machine.\n"),
        ("listnodes", 0, "a\nb\nc\n10-0-0-254\nupstream\n"),
        ("listnodes -n", 0, "a\nb\nc\n"),
        ("listnodes -p", 0, "10-0-0-254\nupstream\n"),
        ("listnodes -p -m", 0, "The nodes are as follow:\n10-0-0-254\nupstream\n"),
        ("nodestatus b", 0, "active\n"),
        ("nodestatus B", 0, "active\n"),
        ("nodestatus c", 1, "dead\n"),
        ("nodestatus -m c", 1, "The cluster node c is dead\n"),
        ("nodestatus c -m", 1, "The cluster node c is dead\n"),
        ("nodestatus 10.0.0.254", 0, "ping\n"),
        ("nodestatus upstream", 1, "dead\n"),
        ("nodestatus x", 11, ""),
        ("nodestatus", 11, ""),
        ("nodetype b", 0, "normal\n"),
        ("nodetype -m upstream", 0, "The node upstream's type: ping\n"),
        ("listhblinks b", 0, "\teth1\n\tttyS0\n"),
        ("listhblinks -v b", 0, "\teth1\tup\n\tttyS0\tdead\n"),
        ("listhblinks -m c", 0, "\tthis node has the following heartbeat links:\n\teth1\n"),
        ("listhblinks 10.0.0.254 -v", 0, "\t10-0-0-254\tup\n"),
        ("hblinkstatus b eth1", 0, "up\n"),
        ("hblinkstatus b /dev/ttyS0", 1, "dead\n"),
        ("hblinkstatus -m b eth1", 0, "The node b's heartbeat link eth1 is up\n"),
        ("hblinkstatus b eth7", 13, ""),
        ("hblinkstatus x eth1", 13, ""),
        ("clientstatus b ccm 100", 1, "offline\n"),
        ("rscstatus", 0, "local\n"),
        ("rscstatus -m", 0, "This node is holding local resources.\n"),
        ("nonsense", 11, ""),
        ("listnodes -x", 11, ""),
        ("hbparameter", 11, ""),
    ],
)
def test_what_it_says_and_how_it_ends(capsys: pytest.CaptureFixture[str], words: str, code: int, said: str) -> None:
    try:
        ended = clstatus.main(words.split())
    except SystemExit as leaving:
        ended = int(leaving.code or 0)
    told = capsys.readouterr()
    assert (ended, told.out) == (code, said)
    assert bool(told.err) == (code in (11, 13) or words.startswith("clientstatus"))


def test_more_about_the_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    assert clstatus.main(["hbstatus", "-v"]) == 0
    said = capsys.readouterr().out
    assert "Heartbeat is running on this machine.\nversion:\thamgr " in said
    assert "b\tactive\t(nodetype: normal)\n\teth1\tup\n\tttyS0\tdead\n\n" in said
    assert "upstream\tdead\t(nodetype: ping)\n\tupstream\tdead\n" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keepalive", "500ms"),
        ("deadtime", "30s"),
        ("logfacility", "local0"),
        ("udpport", "695"),
        ("auto_failback", "legacy"),
        ("nice_failback", "off"),
        ("node", "a b"),
        ("watchdog", None),
        ("nonsense", None),
    ],
)
def test_parameters_are_as_they_are_written_or_as_they_come_out(tmp_path: Path, name: str, value: str | None) -> None:
    text = "keepalive 500ms\nlogfacility local0\nudpport 695\nbcast eth0\nnode a b # both\nauto_failback legacy\n"
    (tmp_path / "ha.cf").write_text(text + "stonith_host * null a b\n")
    (tmp_path / "haresources").write_text("")
    (tmp_path / "authkeys").write_text("auth 1\n1 sha1 x\n")
    (tmp_path / "authkeys").chmod(0o600)
    assert clstatus.parameter(tmp_path, name) == value


@pytest.mark.parametrize(
    ("words", "code", "out"),
    [
        (["cl_status", "hbstatus"], 1, "Heartbeat is stopped on this machine.\n"),
        (["cl_status", "nodestatus", "a"], 1, ""),
        (["cl_status", "nonsense"], 11, ""),
        (["hb_standby", "nonsense"], 1, ""),
        (["hb_standby", "all", "more"], 1, ""),
        (["hb_takeover", "--help"], 1, ""),
        (["hb_takeover"], 1, ""),
    ],
)
def test_the_programs_where_no_daemon_runs(tmp_path: Path, words: list[str], code: int, out: str) -> None:
    done = subprocess.run(
        [BIN / words[0], *words[1:]],
        capture_output=True, text=True, timeout=30, check=False, env={"HAMGR_SOCKET": str(tmp_path / "none")},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (code, out)
    assert bool(done.stderr) == (words[1:] != ["hbstatus"])


def test_without_a_command_it_says_how_to_call_it() -> None:
    done = subprocess.run([BIN / "cl_status"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: cl_status")
