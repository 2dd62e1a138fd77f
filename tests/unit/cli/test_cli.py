"""The command line as a process: exit codes and what it says."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from hamgr.cli.render import event_line, explained, render
from hamgr.core.cluster import GroupState
from hamgr.core.effects import Announce, Kind
from hamgr.core.status import ArbiterStatus, FenceStatus, GroupStatus, GuardStatus, NodeStatus, Status

HAMGR = str(Path(sys.executable).parent / "hamgr")
EXAMPLE = Path(__file__).parents[3] / "docs" / "example.toml"


def hamgr(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HAMGR, *words], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)


def status(owner: str, state: GroupState, fences: tuple[FenceStatus, ...] = ()) -> Status:
    return Status(
        "office", "a", 7, "coordinator", 3, "a", True, 2, 2, 2.5, False, ArbiterStatus(False, False, None, False),
        (NodeStatus("a", "self", 7, False), NodeStatus("b", "online", 8, False)),
        (GroupStatus("web", owner, state),), fences,
    )  # fmt: skip


def test_no_daemon_is_one_clear_line_and_exit_1(tmp_path: Path) -> None:
    done = hamgr("--socket", str(tmp_path / "none.sock"), "status")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "hamgrd is not running here" in done.stderr


def test_wrong_usage_is_exit_2() -> None:
    assert hamgr("nonsense").returncode == 2
    assert hamgr("fence", "a", "b").returncode == 2
    assert hamgr("quorum", "overide").returncode == 2


def test_an_acknowledgement_without_a_terminal_needs_yes(tmp_path: Path) -> None:
    done = hamgr("--socket", str(tmp_path / "none.sock"), "fence", "ack", "b")
    assert (done.returncode, "--yes" in done.stderr) == (2, True)


def test_check_says_good_or_each_mistake(tmp_path: Path) -> None:
    assert hamgr("check", str(EXAMPLE)).returncode == 0
    bad = tmp_path / "bad.toml"
    bad.write_text(EXAMPLE.read_text().replace("port = 694", "port = 0"))
    done = hamgr("check", str(bad))
    assert done.returncode == 2
    assert f"{bad}: link.ha.port: found 0, allowed a whole number from 1 to 65535" in done.stderr


def test_the_first_line_says_that_all_is_well() -> None:
    assert render(status("a", GroupState.STARTED)).splitlines()[0] == "office: all is well"


def test_the_first_line_names_who_runs_another_configuration_file() -> None:
    found = status("a", GroupState.STARTED)
    nodes = [replace(node, config=config) for node, config in zip(found.nodes, ("0a", "0b"), strict=True)]
    text = render(replace(found, nodes=tuple(nodes)))
    assert text.splitlines()[0] == "office: node b runs another configuration file"


def test_a_guard_that_is_missing_is_said_first_and_why() -> None:
    found = replace(status("a", GroupState.STARTED), guard=GuardStatus(0, "/dev/watchdog", 10.0, "no memory"))
    text = render(found)
    assert text.splitlines()[0] == "office: nothing guards what a runs"
    assert "guard of a  MISSING: no memory, watchdog /dev/watchdog (10 s)" in text
    text = render(replace(found, guard=GuardStatus(812)))
    assert text.splitlines()[0] == "office: all is well"
    assert "guard of a  runs (process 812)\n" in text
def test_votes_are_shown_with_what_is_needed_and_for_each_node_where_they_differ() -> None:
    found = replace(status("a", GroupState.STARTED), votes=2, majority=2, all_votes=3)
    assert "(2 of 3 votes, 2 needed)" in render(found)
    assert "1 vote" not in render(found)
    a, b = found.nodes
    assert "b  online  3 votes" in render(replace(found, nodes=(a, replace(b, votes=3))))


def test_who_decides_by_the_arbiters_vote_says_why_it_got_it() -> None:
    group = status("a", GroupState.STARTED).groups[0]
    assert "arbiter" not in " ".join(explained(group, "a", 3, ""))
    told = explained(group, "a", 3, "a runs more than b (1, 0)")[-1].strip()
    assert told == "a decides, by the arbiter's vote of epoch 3: a runs more than b (1, 0)"


def test_a_push_is_told_from_a_maintenance_that_somebody_must_end() -> None:
    found = replace(status("a", GroupState.STARTED), maintenance=True)
    assert "hamgr maintenance off" in render(found)
    pushed = render(replace(found, pushing=True))
    assert pushed.startswith("office: a configuration is pushed, nothing is started, stopped or fenced")
    assert "hamgr maintenance off" not in pushed


def test_a_failed_fence_leads_to_the_whole_command() -> None:
    text = render(status("", GroupState.STOPPED, (FenceStatus("b", "failed", 0, 3, "silent"),)))
    assert text.splitlines()[0] == "office: group web is stopped; node b could not be fenced"
    assert "hamgr fence ack b" in text


def test_an_event_line_names_reporter_kind_and_text() -> None:
    line = event_line(0.123, "b", Announce(Kind.FENCE_CONFIRMED, "a is off"))
    assert line.endswith(".123 b  fence-confirmed  a is off")
