"""A backup brings back who may speak, and no vote."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from arbiter_host import REPORT, Member, command, hosting, joined, speaking, token, write_config

from arbiter.decide import VoteBook
from arbiter.records import put_back
from arbiter.store import SqliteStore
from hamgr.core.messages import ClusterState, Stamp

Capsys = pytest.CaptureFixture[str]


async def test_a_lost_host_is_restored_and_votes_again_once_a_majority_has_told_it(
    tmp_path: Path, capsys: Capsys
) -> None:
    path, file = write_config(tmp_path), tmp_path / "backup"
    async with hosting(path) as host:
        text = await token(path, capsys, "office")
        identities = [await joined(text, node) for node in ("a", "b")]
        a, b = (Member(tmp_path, identity) for identity in identities)
        async with speaking(a, b):
            await a.answer()
            await b.answer(replace(REPORT, alive=("b",)))
            assert await command(path, "backup", str(file)) == 0
            store = host._service.keeper.identity
            quick = replace(REPORT, deadtime=0.1, settle=0.0, claim=9)
            voted = await a.answer(quick)
            for _ in range(200):
                if voted.voted_for:
                    break
                voted = await a.answer(quick)
            assert (voted.vote_epoch, voted.voted_for) == (9, "a")
    assert file.stat().st_mode & 0o777 == 0o600
    (tmp_path / "state").rename(tmp_path / "lost")
    assert await command(path, "restore", str(file)) == 0
    assert "must never serve again" in capsys.readouterr().out
    async with hosting(path) as host:
        assert host._service.keeper.identity == store
        a, b = (Member(tmp_path, identity, life=2) for identity in identities)
        async with speaking(a, b):
            # The vote of epoch 9 came after the backup: b may not have it, and doesn't before a was heard.
            asks = replace(REPORT, alive=("b",), deadtime=0.1, settle=0.0, claim=9)
            assert not (await b.answer(asks)).voter
            told = await a.answer(replace(REPORT, epoch=9, coordinator="a", vote_seen=9))
            assert (told.voter, told.vote_epoch, told.voted_for) == (True, 9, "")
            assert "claim a newer one" in (await b.answer(asks)).refused


async def test_a_restore_needs_the_server_stopped_and_a_word_when_there_is_something(
    tmp_path: Path, capsys: Capsys
) -> None:
    path, file = write_config(tmp_path), tmp_path / "backup"
    async with hosting(path):
        await token(path, capsys, "office")
        assert await command(path, "backup", str(file)) == 0
        assert await command(path, "restore", str(file), "--yes") == 2
        assert "another hamgr-arbiter uses it" in capsys.readouterr().err
    assert await command(path, "restore", str(file)) == 1
    assert "say --yes" in capsys.readouterr().err
    before = identity_of(tmp_path)
    assert await command(path, "restore", str(file), "--yes", "--new-store") == 0
    assert "`hamgr arbiter accept` in each cluster" in capsys.readouterr().out
    assert identity_of(tmp_path) == before


def identity_of(tmp_path: Path) -> str:
    store = SqliteStore(tmp_path / "state", shared=True)
    try:
        return store.identity
    finally:
        store.close()


async def test_a_file_that_is_none_or_was_changed_is_refused_and_changes_nothing(
    tmp_path: Path, capsys: Capsys
) -> None:
    path, file = write_config(tmp_path), tmp_path / "backup"
    store = SqliteStore(tmp_path / "state")
    store.save("office", VoteBook(True, 7, "a"))
    store.close()
    assert await command(path, "backup", str(file)) == 0
    found = json.loads(file.read_text())
    found["content"]["records"]["office"]["vote_epoch"] = 3
    for text in ("", "nonsense", "{}", json.dumps(found)):
        file.write_text(text)
        assert await command(path, "restore", str(file), "--yes") == 1
        assert str(file) in capsys.readouterr().err
    store = SqliteStore(tmp_path / "state")
    assert store.load("office") == VoteBook(True, 7, "a")
    store.close()


def test_of_a_record_and_its_backup_the_later_epoch_stays_and_neither_votes() -> None:
    old = VoteBook(True, 4, "a", ClusterState(Stamp(4, 1)))
    new = VoteBook(True, 6, "b", ClusterState(Stamp(6, 2)))
    for kept, present in ((old, new), (new, old)):
        assert put_back(kept, present) == replace(new, voter=False)
