"""The process that reads and writes the arbiter's part of a disk, on real loop devices."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from arbiter.ballot import Slip
from hamgr.cli.main import main
from hamgr.disk.device import Device, header_for
from hamgr.disk.examine import faults
from hamgr.disk.making import make, renew_votes
from hamgr.disk.records import NOBODY, encode_header
from hamgr.disk.votes import slip_place
from hamgr.disk.voteworker import Voter

NODES = ("a", "b")
SLIP = {"epoch": 5, "ballot": 16, "accepted": 16, "value": "a", "life": 1, "decided": True}


@pytest.fixture
def voters(two_ends: tuple[str, str], tmp_path: Path) -> tuple[Voter, Voter]:
    with Device(two_ends[0]) as device:
        make(device, "office", NODES, 2000, force=False)
    a, b = (Voter(end, "office", node, str(tmp_path / node)) for end, node in zip(two_ends, NODES, strict=True))
    return a, b


def look(voter: Voter, states: bool = False) -> dict[str, Any]:
    return voter.answer({"do": "look", "states": states})


def do(voter: Voter, what: str, **values: Any) -> dict[str, Any]:
    return voter.answer({"do": what, "votes": look(voter)["votes"], **values})


def test_what_one_machine_writes_the_other_reads(voters: tuple[Voter, Voter]) -> None:
    a, b = voters
    assert [slot["slip"] for slot in look(b)["slots"]] == [None, None]
    assert "failed" not in do(a, "slip", slip=SLIP)
    assert "failed" not in do(a, "claim", life=1, beat=2, stored=[4, 1], report="00ff")
    assert "failed" not in do(a, "state", stamp=[4, 1], content="beef")
    assert "failed" not in do(a, "state", stamp=[4, 2], content="cafe")
    found = look(b, states=True)
    assert found["slots"][0] == {
        "node": "a",
        "slip": SLIP,
        "claim": {"life": 1, "beat": 2, "stored": [4, 1], "report": "00ff"},
        "damage": "",
    }
    assert found["state"] == {"content": "cafe"}


def test_a_disk_that_was_made_without_votes_says_what_to_do(two_ends: tuple[str, str], tmp_path: Path) -> None:
    with Device(two_ends[0]) as device:
        header, _ = make(device, "office", NODES, 2000, force=False)
        for place in (0, 1):
            device.write(place, encode_header(dataclasses.replace(header, votes=NOBODY), place))
    voter = Voter(two_ends[0], "office", "a", str(tmp_path / "lock"))
    wanted = f"{two_ends[0]} was made without the arbiter's vote: `hamgr disk init {two_ends[0]}` once, on one node"
    assert look(voter) == {"failed": wanted}
    with Device(two_ends[0]) as device:
        _, done = make(device, "office", NODES, 2000, force=False)
    assert "room for the arbiter's vote" in done
    assert "failed" not in look(voter)


def test_nobody_writes_beside_an_earlier_process_of_the_same_node(
    voters: tuple[Voter, Voter], two_ends: tuple[str, str], tmp_path: Path
) -> None:
    assert "failed" not in look(voters[0])
    second = Voter(two_ends[0], "office", "a", str(tmp_path / "a"))
    assert "an earlier process of a still waits for it" in look(second)["failed"]


def test_a_new_process_writes_above_whatever_an_earlier_one_may_have_written_unseen(
    voters: tuple[Voter, Voter], two_ends: tuple[str, str], tmp_path: Path
) -> None:
    def serials() -> list[int]:
        return [int.from_bytes(block[25:33], "little") for block in _slip_blocks(two_ends[0])]

    do(voters[0], "slip", slip=SLIP)
    do(voters[0], "slip", slip=SLIP)
    first = serials()
    do(Voter(two_ends[0], "office", "a", str(tmp_path / "another")), "slip", slip=SLIP)
    assert first[0] == first[1]
    assert min(serials()) > first[0] + 100


def _slip_blocks(path: str) -> list[bytes]:
    with Device(path) as device:
        return [device.read(slip_place(0, copy)) for copy in (0, 1)]


def test_a_slip_that_is_damaged_in_both_copies_is_told_of_until_the_votes_are_renewed(
    voters: tuple[Voter, Voter], two_ends: tuple[str, str]
) -> None:
    a, b = voters
    do(a, "slip", slip=SLIP)
    with Device(two_ends[1]) as device:
        device.write(slip_place(0, 0), b"\xff" * 8192)
    assert "nobody knows how a voted" in look(b)["slots"][0]["damage"]
    assert "damaged slip" in do(a, "slip", slip=SLIP)["failed"], "nor does a itself write over it"
    assert "nobody knows how a voted" in faults(two_ends[0], "office", ["a", "b"])[0]
    with Device(two_ends[0]) as device:
        renew_votes(device, header_for(device, "office"))
    assert "initialised anew" in look(b)["failed"]
    assert [slot["slip"] for slot in look(b)["slots"]] == [None, None]


def test_a_request_of_before_the_votes_were_renewed_is_not_done(
    voters: tuple[Voter, Voter], two_ends: tuple[str, str]
) -> None:
    a, _ = voters
    before = look(a)["votes"]
    with Device(two_ends[1]) as device:
        renew_votes(device, header_for(device, "office"))
    look(a)
    assert "initialised anew" in a.answer({"do": "slip", "votes": before, "slip": SLIP})["failed"]
    assert look(a)["slots"][0]["slip"] is None


CONFIG = """
[cluster]
name = "office"
key_file = "{here}/key"
state_dir = "{here}/state"
[arbiter]
disk = "{device}"
tie_breaker = "a"
[link.ha]
kind = "broadcast"
interface = "lo"
[node.a]
[node.b]
[fence.human-a]
node = "a"
agent = "fence_hamgr_manual"
[fence.human-b]
node = "b"
agent = "fence_hamgr_manual"
"""


def test_check_looks_at_the_arbiters_disk_and_show_tells_who_has_the_vote(
    two_ends: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device = two_ends[0]
    key = tmp_path / "key"
    key.write_text("x")
    key.chmod(0o600)
    file = tmp_path / "hamgr.toml"
    file.write_text(CONFIG.format(here=tmp_path, device=device))
    assert main(["check", str(file), "--node", "a"]) == 2
    assert "arbiter.disk: found " + device + " has no hamgr header" in capsys.readouterr().err
    assert main(["--config", str(file), "disk", "init", device]) == 0
    assert main(["check", str(file), "--node", "a"]) == 0
    do(Voter(device, "office", "a", str(tmp_path / "lock")), "slip", slip=SLIP)
    capsys.readouterr()
    assert main(["disk", "show", device]) == 0
    assert "arbiter: the vote of epoch 5 is a's" in capsys.readouterr().out
    assert main(["--config", str(file), "disk", "init", device, "--new-votes"]) == 0
    assert "all votes are forgotten" in capsys.readouterr().out


def test_a_slip_is_the_same_after_a_journey_through_the_process() -> None:
    assert dataclasses.asdict(Slip(**SLIP)) == SLIP  # type: ignore[arg-type]
