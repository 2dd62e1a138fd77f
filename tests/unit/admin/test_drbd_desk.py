"""What DRBD is told of its peer: what the peer's own DRBD says, or what the cluster has confirmed; never a guess."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hamgr.admin import drbd
from hamgr.admin.drbd import Answer, DrbdDesk
from hamgr.core.messages import Body, Packet
from hamgr.core.status import ArbiterStatus, NodeStatus, Status

ALONE = Status(
    "office", "a", 7, "coordinator", 3, "a", True, 3, 2, 2.5, False, ArbiterStatus(False, False, None, False),
    (NodeStatus("a", "self", 7, False), NodeStatus("b", "online", 8, False)), (), (),
)  # fmt: skip


class Pair:
    """The desks of a and b, whose packets arrive unless they are lost; `drbdadm` on b is a script."""

    def __init__(self, directory: Path) -> None:
        self._script = directory / "drbdadm"
        self._calls = directory / "calls"
        self.lost = 0
        self.status = ALONE
        command = [str(self._script)]
        self.desks = {name: DrbdDesk(name, lambda: self.status, self._from(name), command) for name in "ab"}

    def _from(self, sender: str) -> drbd.Links:
        pair = self

        class Links:
            def send(self, to: str, to_incarnation: int, body: Body, number: int = 0) -> None:
                if pair.lost > 0:
                    pair.lost -= 1
                    return
                packet = Packet(sender, 7 if sender == "a" else 8, to, to_incarnation, body)
                assert pair.desks[to].takes(packet)

        return Links()

    def drbdadm(self, text: str) -> None:
        self._script.write_text(f'#!/bin/sh\necho "$@" >>{self._calls}\n{text}\n')
        self._script.chmod(0o755)

    def now(self, state: str, quorate: bool = True) -> None:
        nodes = (self.status.nodes[0], dataclasses.replace(self.status.nodes[1], state=state))
        self.status = dataclasses.replace(self.status, nodes=nodes, quorate=quorate)

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    async def fence(self, patience: float = 5.0, host: str = "b", resource: str = "r0") -> drbd.Verdict:
        return await self.desks["a"].fence_peer(resource, host, patience)


@pytest.fixture
async def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr(drbd, "REPEAT", 0.1)
    found = Pair(tmp_path)
    yield found
    for desk in found.desks.values():
        await desk.close()


@pytest.mark.parametrize(
    ("code", "answer"), [(0, Answer.OUTDATED), (5, Answer.INCONSISTENT), (17, Answer.PRIMARY), (10, Answer.UNKNOWN)]
)
async def test_a_node_that_is_heard_is_asked_and_its_drbd_answers(pair: Pair, code: int, answer: Answer) -> None:
    pair.drbdadm(f"exit {code}")
    assert (await pair.fence(patience=0.0)).answer is answer
    assert pair.calls == ["outdate r0"]


async def test_a_lost_request_is_repeated_and_carried_out_once(pair: Pair) -> None:
    pair.drbdadm("sleep 0.25")
    pair.lost = 1
    assert (await pair.fence()).answer is Answer.OUTDATED
    assert pair.calls == ["outdate r0"]


async def test_a_failure_that_passes_is_tried_again(pair: Pair, tmp_path: Path) -> None:
    pair.drbdadm(f"[ -e {tmp_path}/second ] && exit 0; touch {tmp_path}/second; exit 20")
    assert (await pair.fence()).answer is Answer.OUTDATED
    assert pair.calls == ["outdate r0"] * 2


async def test_a_drbd_that_is_not_there_is_no_answer(pair: Pair) -> None:
    verdict = await pair.fence(patience=0.0)
    assert verdict.answer is Answer.UNKNOWN
    assert "can't be run: No such file or directory" in verdict.text


@pytest.mark.parametrize(
    ("state", "answer"),
    [
        ("fenced", Answer.OFF),
        ("acknowledged", Answer.OFF),
        ("left", Answer.UNREACHABLE),
        ("dead", Answer.UNKNOWN),
        ("unseen", Answer.UNKNOWN),
    ],
)
async def test_of_a_silent_node_only_what_the_cluster_has_confirmed_counts(
    pair: Pair, state: str, answer: Answer
) -> None:
    pair.now(state)
    assert (await pair.fence(patience=0.0)).answer is answer
    assert pair.calls == []


@pytest.mark.parametrize("state", ["fenced", "acknowledged", "left"])
async def test_without_quorum_an_old_record_is_no_knowledge(pair: Pair, state: str) -> None:
    pair.now(state, quorate=False)
    verdict = await pair.fence(patience=0.0)
    assert verdict.answer is Answer.UNKNOWN
    assert "no quorum" in verdict.text


async def test_it_waits_until_a_dying_node_is_fenced(pair: Pair) -> None:
    pair.lost = 10**6
    asked = asyncio.create_task(pair.fence())
    await asyncio.sleep(0)
    pair.now("dead")
    await asyncio.sleep(0)
    assert not asked.done()
    pair.now("fenced")
    assert (await asked).answer is Answer.OFF


@pytest.mark.parametrize("resource", ["", "--force", "-c/etc/x", "a b", "all;reboot"])
async def test_what_is_no_name_reaches_no_command_line(pair: Pair, resource: str) -> None:
    pair.drbdadm("exit 0")
    assert (await pair.fence(resource=resource)).answer is Answer.UNKNOWN
    assert pair.calls == []


@pytest.mark.parametrize(("host", "known"), [("B.example.org", True), ("", True), ("c", False), ("a", False)])
async def test_the_peer_is_found_by_its_host_name(pair: Pair, host: str, known: bool) -> None:
    pair.now("fenced")
    assert ((await pair.fence(host=host)).answer is Answer.OFF) is known
