"""`hamgr join`: what it writes, and that nothing is half done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hamgr.cli.main import main
from hamgr.config.edit import with_arbiter
from hamgr.config.toml import load
from hamgr.links import joining
from hamgr.links.identity import Identity, read_identity
from hamgr.links.token import SECRET_BYTES, Token

Capsys = pytest.CaptureFixture[str]
TOKEN = str(Token("office", ("192.0.2.9:5413",), b"f" * 32, b"s" * SECRET_BYTES))

CONFIG = """
# ours
[cluster]
name = "office"
key_file = "/etc/hamgr/cluster.key"
two_node = true

[link.ha]
kind = "udp"

[node.a]
address = { ha = "10.0.0.1" }

[node.b]
address = { ha = "10.0.0.2" }
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's configuration; an arbiter that lets everybody in."""

    def join(token: Token, node: str, key: str) -> Identity:
        return Identity(token.cluster, node, "C", key, "A", "ab" * 32, 9e9, ("192.0.2.9:5412",), token.joining)

    monkeypatch.setattr(joining, "join", join)
    path = tmp_path / "hamgr.toml"
    path.write_text(CONFIG)
    return path


def run(config: Path, *words: str) -> int:
    return main(["--config", str(config), "join", "--identity", str(config.with_name("id")), *words])


def test_it_writes_the_identity_and_says_what_to_configure(config: Path, capsys: Capsys) -> None:
    assert run(config, TOKEN, "--node", "a") == 0
    found = read_identity(config.with_name("id"))
    assert (found.cluster, found.node) == ("office", "a")
    out = capsys.readouterr().out
    assert 'address = "192.0.2.9:5412"' in out
    assert f'identity = "{config.parent}/id"' in out
    assert config.read_text() == CONFIG
    assert sorted(path.name for path in config.parent.iterdir()) == ["hamgr.toml", "id"]


def test_it_can_put_the_arbiter_into_the_configuration_itself(config: Path, capsys: Capsys) -> None:
    assert run(config, TOKEN, "--node", "a", "--write") == 0
    written = load(config)
    assert written.arbiter is not None
    assert (written.arbiter.address, written.arbiter.port) == ("192.0.2.9", 5412)
    assert written.arbiter.identity == config.with_name("id")
    assert written.spec.arbiter
    assert not written.spec.two_node
    assert "# ours" in config.read_text()


def test_the_token_of_another_cluster_or_for_no_node_of_ours_changes_nothing(config: Path, capsys: Capsys) -> None:
    other = str(Token("shop", ("192.0.2.9:5413",), b"f" * 32, b"s" * SECRET_BYTES))
    assert run(config, other, "--node", "a") == 1
    assert "the token is for cluster shop" in capsys.readouterr().err
    assert run(config, TOKEN, "--node", "x") == 2
    assert run(config, "nonsense", "--node", "a") == 2
    assert [path.name for path in config.parent.iterdir()] == ["hamgr.toml"]


def test_after_a_lost_answer_the_same_key_is_shown_again(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys
) -> None:
    keys = []

    def lost(token: Token, node: str, key: str) -> Identity:
        keys.append(key)
        raise joining.NotReached("192.0.2.9:5413: the connection broke")

    with monkeypatch.context() as broken:
        broken.setattr(joining, "join", lost)
        assert run(config, TOKEN, "--node", "a") == 1
        assert "the connection broke" in capsys.readouterr().err
        assert run(config, TOKEN, "--node", "a") == 1
    assert keys[0] == keys[1]
    assert run(config, TOKEN, "--node", "a") == 0
    assert read_identity(config.with_name("id")).key == keys[0]


def test_renew_tells_whether_it_did(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    assert run(config, "--renew") == 2
    assert "no readable file" in capsys.readouterr().err
    run(config, TOKEN, "--node", "a")
    monkeypatch.setattr(joining, "renew", lambda _identity, _force: joining.StillGood(9e9))
    capsys.readouterr()
    assert run(config, "--renew", "--json") == 0
    assert json.loads(capsys.readouterr().out)["renewed"] is False
    assert run(config, "--show") == 0
    assert "a of cluster office at 192.0.2.9:5412" in capsys.readouterr().out


@pytest.mark.parametrize("words", [(), (TOKEN, "--renew"), ("--renew", "--show")])
def test_it_wants_one_thing_at_a_time(config: Path, words: tuple[str, ...], capsys: Capsys) -> None:
    assert run(config, *words) == 2
    assert "allowed TOKEN" in capsys.readouterr().err


def test_another_arbiter_takes_the_place_of_the_old_one() -> None:
    old = 'a = 1\n[arbiter]\naddress = "10.0.0.1"\nport = 5\nsettle = "1s"  # slow\n'
    new = with_arbiter(old, ["10.0.0.9:5412"], "/id")
    assert new == 'a = 1\n[arbiter]\naddress = "10.0.0.9:5412"\nsettle = "1s"  # slow\nidentity = "/id"\n'
    several = with_arbiter(new, ["10.0.0.9:5412", "10.0.0.8:5412"], "/id")
    assert (
        several
        == 'a = 1\n[arbiter]\nsettle = "1s"  # slow\nidentity = "/id"\naddresses = ["10.0.0.9:5412", "10.0.0.8:5412"]\n'
    )


def test_a_configuration_that_can_not_take_it_is_told_before_the_token_is_used(
    config: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "join", lambda *_: pytest.fail("it was used"))
    config.write_text(CONFIG + '[arbiter]\naddress = "10.0.0.9"\ntie_breaker = "a"\n[cluster.x]\n')
    assert run(config, TOKEN, "--node", "a", "--write") == 2
    assert "cluster.x" in capsys.readouterr().err
    assert sorted(path.name for path in config.parent.iterdir()) == ["hamgr.toml"]
