"""`hamgr rebalance` when something comes between: what it says, and how it ends. (tests/lab shows how it goes well.)"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hamgr.cli import rebalance as command
from hamgr.cli.rebalance import rebalance
from hamgr.v1 import admin_pb2 as pb

MOVES = [
    pb.Move(group="g1", source="a", target="b", why="a has 4 groups, b 0"),
    pb.Move(group="g2", source="a", target="c", why="a has 3 groups, c 0", along=["g3"], halted=["shop"]),
]

Capture = pytest.CaptureFixture[str]


class Daemon:
    """What a hamgrd would say, as far as the command asks. ends: group -> where it is, in what state, when asked."""

    def __init__(self, *moves: pb.Move) -> None:
        self.plan = pb.RebalancePlan(moves=moves, fixed=["mail stays"])
        self.hindrances: list[str] = []
        self.refusals: dict[str, str] = {}
        self.ends: dict[str, list[tuple[str, str, str]]] = {
            "g1": [("a", "stopping", "b"), ("b", "started", "b")],
            "g2": [("c", "started", "c")],
        }
        self.asked: list[str] = []

    def PlanRebalance(self, request: pb.PlanRebalanceRequest, timeout: float) -> pb.RebalancePlan:
        hindrance = self.hindrances.pop(0) if self.hindrances else ""
        return pb.RebalancePlan(moves=self.plan.moves, fixed=self.plan.fixed, hindrance=hindrance)

    def Rebalance(self, request: pb.RebalanceRequest, timeout: float) -> pb.Answer:
        self.asked.append(f"{request.group} {request.node}")
        refusal = self.refusals.get(request.group, "")
        return pb.Answer(done=not refusal, text=refusal)

    def Explain(self, request: pb.ExplainRequest, timeout: float) -> pb.ExplainReply:
        owner, state, target = self.ends[request.group].pop(0)
        if state == "Ctrl-C":
            raise KeyboardInterrupt
        waits = [f"waits for {owner}"]
        group = pb.GroupStatus(name=request.group, owner=owner, state=state, target=target, waits=waits)
        return pb.ExplainReply(group=group, by="a")

    def GetStatus(self, request: pb.StatusRequest, timeout: float) -> Any:
        return SimpleNamespace(cluster="office")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "LOOK", 0.001)
    monkeypatch.setattr(command, "TELL", 0.0)


def run(monkeypatch: pytest.MonkeyPatch, daemon: Daemon, **options: bool) -> int:
    @contextmanager
    def admin(path: Path) -> Iterator[Daemon]:
        yield daemon

    monkeypatch.setattr("hamgr.cli.client.admin", admin)
    wanted = {"yes": True, "dry_run": False, "json": False, **options}
    return rebalance(argparse.Namespace(groups=[], socket="/none", config=None, **wanted))


def test_one_after_the_other_each_when_nothing_else_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    daemon = Daemon(*MOVES)
    daemon.hindrances = ["", "db is starting", "db is starting", ""]
    assert run(monkeypatch, daemon) == 0
    assert daemon.asked == ["g1 b", "g2 c"]
    told = capsys.readouterr()
    assert told.out == "g1 runs on b\ng2 runs on c\n"
    assert told.err == "waiting: db is starting\nwaiting: waits for a\n"


def test_a_group_that_does_not_come_to_the_other_node_ends_it_and_what_was_moved_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    daemon = Daemon(*MOVES)
    daemon.ends["g2"] = [("c", "starting", "c"), ("", "stopped", "a")]
    assert run(monkeypatch, daemon) == 1
    told = capsys.readouterr()
    assert told.out == "g1 runs on b\n"
    assert told.err.splitlines()[-1] == (
        "hamgr rebalance: g2 did not come to c: it is stopped, to run on a; 1 of 2 moves are done, and stay"
    )


def test_another_move_than_the_one_that_was_shown_is_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    daemon = Daemon(*MOVES)
    daemon.refusals["g1"] = "meanwhile another move comes first (g3: b -> c: ...): look again"
    assert run(monkeypatch, daemon) == 1
    assert daemon.asked == ["g1 b"]
    assert "g1 is not moved: meanwhile another move comes first" in capsys.readouterr().err


def test_an_interrupt_leaves_what_was_moved_and_what_is_on_its_way(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    daemon = Daemon(*MOVES)
    daemon.ends["g2"] = [("", "Ctrl-C", "")]
    assert run(monkeypatch, daemon, json=True) == 130
    told = capsys.readouterr()
    text = "interrupted; g2 is still on its way to c"
    moved = {"group": "g1", "source": "a", "target": "b", "along": [], "halted": [], "why": "a has 4 groups, b 0"}
    assert json.loads(told.out) == {"done": False, "moved": [moved], "left": 1, "text": text}
    assert told.err.splitlines()[-1] == f"hamgr rebalance: {text}; 1 of 2 moves are done, and stay"


def test_a_dry_run_shows_the_moves_who_goes_along_and_who_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    daemon = Daemon(*MOVES)
    daemon.hindrances = ["db is starting"]
    assert run(monkeypatch, daemon, dry_run=True, yes=False) == 0
    assert daemon.asked == []
    assert capsys.readouterr().out.splitlines() == [
        "g1: a -> b: a has 4 groups, b 0",
        "g2: a -> c (with g3): a has 3 groups, c 0; shop stops meanwhile",
        "mail stays",
        "but not now: db is starting",
    ]


def test_without_a_terminal_it_shows_the_moves_and_wants_a_yes(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    daemon = Daemon(*MOVES)
    assert run(monkeypatch, daemon, yes=False) == 2
    assert daemon.asked == []
    assert capsys.readouterr().err.endswith("without one, say --yes\n")
    assert run(monkeypatch, daemon, yes=False, json=True) == 2
    assert "--json goes with --dry-run or --yes" in capsys.readouterr().err
