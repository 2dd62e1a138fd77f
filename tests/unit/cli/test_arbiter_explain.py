"""`hamgr arbiter explain`: what a node with a disk as its arbiter kept, without a hamgrd; and where else to ask."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from arbiter.choice import Side
from arbiter.decide import Explain
from arbiter.explanations import Explanations
from hamgr.cli.main import main
from hamgr.links.keyfile import write_key_file

CONFIG = """
[cluster]
name = "office"
key_file = "{dir}/key"
state_dir = "{dir}/state"
[link.lan]
kind = "udp"
[node.a]
address = {{ lan = "10.0.0.1" }}
[node.b]
address = {{ lan = "10.0.0.2" }}
{arbiter}
"""

Capture = pytest.CaptureFixture[str]


def explained(tmp_path: Path, arbiter: str, *more: str) -> int:
    config = tmp_path / "hamgr.toml"
    config.write_text(CONFIG.format(dir=tmp_path, arbiter=arbiter))
    (tmp_path / "state").mkdir(exist_ok=True)
    if not (tmp_path / "key").exists():
        write_key_file(tmp_path / "key")
    return main(["--config", str(config), "arbiter", "explain", *more])


async def keep(tmp_path: Path, said: Explain) -> None:
    kept = Explanations(tmp_path / "state")
    kept.keep("office", said)
    await kept.close()


def test_what_was_decided_here_is_told_as_an_arbiter_on_a_host_tells_it(tmp_path: Path, capsys: Capture) -> None:
    disk = '[arbiter]\ndisk = "/dev/none"'
    assert explained(tmp_path, disk) == 0
    assert capsys.readouterr().out == "nothing was decided for cluster office here\n"
    side = Side("a", ("a",), 1, 0, 3, True, 0, 0)
    asyncio.run(keep(tmp_path, Explain("a gets the vote of epoch 5: a runs more", "voted", "a", 5, (side,))))
    assert explained(tmp_path, disk) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("  voted      a gets the vote of epoch 5: a runs more")
    assert second == "    side of a: a: votes 1, health 0, load 3, has the tie-breaker"
    assert explained(tmp_path, disk, "--json") == 0
    assert json.loads(capsys.readouterr().out)["rule"] == "voted"


@pytest.mark.parametrize(
    ("arbiter", "told"),
    [
        ("", "cluster office has no arbiter"),
        ('[arbiter]\naddress = "10.0.0.9"', "the arbiter of office is a host: say there `hamgr-arbiter explain"),
    ],
)
def test_where_no_disk_votes_it_is_said_whom_to_ask(tmp_path: Path, capsys: Capture, arbiter: str, told: str) -> None:
    assert explained(tmp_path, arbiter) == 1
    assert f"hamgr arbiter explain: {told}" in capsys.readouterr().err


def test_who_may_not_read_it_is_told_so(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(state_dir: Path, cluster: str) -> None:
        raise PermissionError(13, "Permission denied", str(state_dir))

    monkeypatch.setattr("arbiter.explaining.read", refused)
    assert explained(tmp_path, '[arbiter]\ndisk = "/dev/none"') == 1
    assert capsys.readouterr().err == f"hamgr arbiter explain: {tmp_path}/state: explanations: Permission denied\n"


def test_a_file_of_explanations_that_is_damaged_is_told(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "explanations.db").write_bytes(b"x" * 5000)
    assert explained(tmp_path, '[arbiter]\ndisk = "/dev/none"') == 1
    assert "explanations: file is not a database" in capsys.readouterr().err
