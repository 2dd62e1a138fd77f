"""From the announced event to the program that is told of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hamgr.admin.events import EventLog
from hamgr.alerts.alerts import LAST_WORDS, Alerts
from hamgr.config.toml import load
from hamgr.core.effects import Announce, Kind

CONFIG = """
[cluster]
name = "office"
key_file = "/etc/hamgr/cluster.key"
[timing]
deadtime = "100ms"
[link.lan]
kind = "udp"
[node.a]
address = {{ lan = "10.0.0.1" }}
[node.b]
address = {{ lan = "10.0.0.2" }}
[group.web]
[[group.web.resource]]
kind = "lsb"
script = "/etc/init.d/web"
[alert.ours]
program = "{dir}/note"
environment = {{ FILE = "{dir}/ours" }}
[alert.everybodys]
program = "{dir}/note"
environment = {{ FILE = "{dir}/everybodys" }}
events = ["node-dead", "view"]
sent_by = "all"
"""

NOTE = '#!/bin/sh\necho "$HAMGR_EVENT" >>"$FILE"\n'
PATIENCE = 10.0


class Told:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.log = EventLog("a")
        self.coordinator = "b"
        self.said: list[str] = []
        self.alerts = Alerts(load(directory / "hamgr.toml"), "a", lambda: self.coordinator, self.said.append)

    def announce(self, kind: Kind, node: str = "b") -> None:
        self.log.append(Announce(kind, f"{kind.value} of {node}", node), time.time(), time.monotonic())

    def of(self, alert: str) -> list[str]:
        file = self._directory / alert
        return file.read_text().split() if file.exists() else []

    async def wait_for(self, alert: str, *kinds: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.of(alert) != list(kinds):  # noqa: ASYNC110 - a program writes it
                await asyncio.sleep(0.005)


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[Told]:
    (tmp_path / "hamgr.toml").write_text(CONFIG.format(dir=tmp_path))
    note = tmp_path / "note"
    note.write_text(NOTE)
    note.chmod(0o755)
    found = Told(tmp_path)
    found.alerts.start(found.log)
    yield found
    await found.alerts.close()


async def test_only_the_events_that_were_asked_for_are_told(told: Told) -> None:
    told.coordinator = "a"
    for kind in (Kind.VIEW, Kind.HEALTH, Kind.FENCE_FAILED):
        told.announce(kind)
    await told.wait_for("everybodys", "view")
    await told.wait_for("ours", "fence-failed")


async def test_a_follower_tells_what_all_see_only_once_it_is_coordinator(told: Told) -> None:
    told.announce(Kind.NODE_DEAD)
    await told.wait_for("everybodys", "node-dead")
    assert told.of("ours") == []
    told.coordinator = "a"
    told.announce(Kind.COORDINATOR, "a")
    await told.wait_for("ours", "node-dead")


async def test_what_was_said_last_gets_through_when_the_daemon_ends(told: Told) -> None:
    told.coordinator = "a"
    told.announce(Kind.FENCE_FAILED)
    await asyncio.sleep(0)
    await told.alerts.close()
    assert told.of("ours") == ["fence-failed"]


async def test_an_alert_that_hangs_does_not_keep_the_daemon_from_ending(told: Told, tmp_path: Path) -> None:
    (tmp_path / "note").write_text(f"#!/bin/sh\necho began >>{tmp_path}/ours\nsleep 600\n")
    told.announce(Kind.FENCE_FAILED)
    await told.wait_for("ours", "began")
    began = time.monotonic()
    await told.alerts.close()
    assert time.monotonic() - began < LAST_WORDS + 1.0


async def test_what_does_not_get_through_is_known_until_it_does(told: Told, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("#!/bin/sh\nexit 4\n")
    told.announce(Kind.FENCE_FAILED)
    async with asyncio.timeout(PATIENCE):
        while not told.alerts.faults():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert told.alerts.faults() == ("alert ours does not get through: ended with 4",)
    (tmp_path / "note").write_text(NOTE)
    await told.alerts.test("ours", "me@here")
    assert told.alerts.faults() == ()


async def test_a_test_says_of_each_how_it_went(told: Told, tmp_path: Path) -> None:
    results = (await told.alerts.test("", "me@here")).results
    assert [(one.alert, one.way, one.done) for one in results] == [
        ("ours", f"program {tmp_path}/note", True),
        ("everybodys", f"program {tmp_path}/note", True),
    ]
    (tmp_path / "note").write_text("#!/bin/sh\necho no paper; exit 4\n")
    (failed,) = (await told.alerts.test("ours", "me@here")).results
    assert (failed.done, failed.text) == (False, "ended with 4: no paper")
    assert not (await told.alerts.test("nobodys", "me@here")).results


async def test_a_program_gets_the_sentence_that_a_watcher_sees(told: Told, tmp_path: Path) -> None:
    (tmp_path / "note").write_text(f'#!/bin/sh\necho "$HAMGR_TEXT" >>{tmp_path}/text\n')
    told.announce(Kind.FENCE_FAILED)
    async with asyncio.timeout(PATIENCE):
        while not (tmp_path / "text").exists() or not (tmp_path / "text").read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert (tmp_path / "text").read_text() == "fence-failed of b\n"
