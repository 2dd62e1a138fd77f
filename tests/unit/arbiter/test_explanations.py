"""Why the arbiter decided as it did is kept, bounded, and never in the way of a vote."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from pathlib import Path

import pytest

import arbiter.explanations as module
from arbiter.choice import Side
from arbiter.decide import VOTED, Explain, NodeView
from arbiter.explaining import shown
from arbiter.explanations import DATABASE, KEPT, Explanations, read
from hamgr.core.messages import ArbiterReport

REPORT = ArbiterReport(1, 4, "b", claim=5, alive=("a",), nodes=("a", "b"), health=2)
VOTE = Explain(
    "a gets the vote of epoch 5: a is the only claimant",
    VOTED,
    "a",
    5,
    (Side("a", ("a",), 1, 2, 0, True, 0, 0),),
    (NodeView("a", 255, True, 0.02, REPORT),),
)


async def kept(directory: Path, *said: tuple[str, Explain]) -> None:
    writer = Explanations(directory)
    for cluster, one in said:
        writer.keep(cluster, one)
    await writer.close()


async def test_an_explanation_says_what_was_chosen_why_and_what_was_known(tmp_path: Path) -> None:
    await kept(tmp_path, ("office", VOTE))
    (found,) = read(tmp_path, "office")
    assert (found.rule, found.node, found.epoch, found.text) == (VOTED, "a", 5, VOTE.text)
    assert found.knew["sides"][0]["health"] == 2
    assert found.knew["nodes"][0]["hears"] == ["a"]
    lines = shown(found).splitlines()
    assert lines[0].endswith(VOTE.text)
    assert lines[1].strip() == "side of a: a: votes 1, health 2, load 0, has the tie-breaker"
    assert lines[2].strip() == "a: heard 20 ms ago, hears a, asks for epoch 5, follows b in epoch 4"


async def test_the_newest_hundred_of_each_cluster_are_kept(tmp_path: Path) -> None:
    many = [("busy", Explain(f"number {number}", "held")) for number in range(KEPT + 40)]
    await kept(tmp_path, ("quiet", VOTE), *many)
    await kept(tmp_path, ("busy", Explain("the last", "held")))
    found = [one.text for one in read(tmp_path, "busy")]
    assert (len(found), found[0], found[-1]) == (KEPT, "number 41", "the last")
    assert [one.text for one in read(tmp_path, "quiet")] == [VOTE.text]


async def test_a_slow_disk_has_no_endless_queue_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 10)
    writer, goes_on = Explanations(tmp_path), threading.Event()
    writer._disk.submit(goes_on.wait)
    for number in range(50):
        writer.keep("office", Explain(str(number), "held"))
        await asyncio.sleep(0)
    goes_on.set()
    await writer.close()
    assert 10 <= len(read(tmp_path, "office")) <= 20


async def test_a_file_that_can_not_be_written_is_told_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / DATABASE).write_text("this is no database, " * 100)
    await kept(tmp_path, ("office", VOTE))
    assert "why votes are given can't be kept" in caplog.text
    with pytest.raises(sqlite3.Error):
        read(tmp_path, "office")


async def test_of_a_cluster_that_nobody_knows_nothing_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, "office") == []
    await kept(tmp_path, ("office", VOTE))
    assert read(tmp_path, "other") == []
    assert json.dumps(read(tmp_path, "office")[0].knew)


async def test_a_cluster_that_is_forgotten_leaves_no_explanation(tmp_path: Path) -> None:
    writer = Explanations(tmp_path)
    writer.keep("office", VOTE)
    writer.keep("other", VOTE)
    await writer.forget("office")
    await writer.close()
    assert (read(tmp_path, "office"), len(read(tmp_path, "other"))) == ([], 1)
