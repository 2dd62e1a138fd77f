"""`hamgr quorum` shows who votes, and what must be made sure of before anybody decides in place of a quorum."""

from __future__ import annotations

from dataclasses import replace

from hamgr.cli.quorum import _lines, check_list, lost_nodes
from hamgr.cli.render import render
from hamgr.core.cluster import GroupState
from hamgr.core.status import ArbiterStatus, GroupStatus, NodeStatus, Status

LEFT = Status(
    "office", "a", 7, "candidate", 3, "", False, 1, 2, -2.5, False, ArbiterStatus(True, False, None, True, votes=1),
    (NodeStatus("a", "self", 7, False), NodeStatus("b", "dead", 8, False)),
    (GroupStatus("web", "", GroupState.STOPPED),), (), all_votes=3,
)  # fmt: skip


def test_the_check_list_names_every_node_that_is_not_heard_and_the_arbiter() -> None:
    text = check_list(LEFT)
    assert lost_nodes(LEFT) == ["b"]
    assert "[ ] b: powered off or unplugged, seen with your own eyes (dead here)" in text
    assert "[ ] the arbiter can't be brought back soon" in text
    there = replace(LEFT, arbiter=replace(LEFT.arbiter, connected=True))
    assert "the arbiter" not in check_list(there)


def test_votes_are_told_as_corosync_quorumtool_does() -> None:
    assert _lines(LEFT) == [
        "Quorate:         no",
        "Coordinator:     nobody, epoch 3",
        "Expected votes:  3",
        "Total votes:     1",
        "Quorum:          2",
        "",
        "Votes  Voter",
        "    1  a (self)",
        "    1  b (dead)",
        "    1  the arbiter (does not answer)",
    ]


def test_an_override_is_the_first_that_the_status_says() -> None:
    said = "a goes on without a quorum: eve@a decided in place of b, the arbiter"
    first = render(replace(LEFT, quorate=True, override=said)).splitlines()[0]
    assert first.startswith(f"office: OVERRIDE: {said}; ")
