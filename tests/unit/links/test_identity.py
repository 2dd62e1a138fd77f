"""A node's identity file, and tokens."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hamgr.links.identity import Identity, IdentityError, fault_of, read_identity, write_identity
from hamgr.links.token import SECRET_BYTES, Token, TokenError, parse_token

ME = Identity("office", "a", "CERT", "KEY", "CAS", "ab" * 32, 5.0, ("10.0.0.9:5412",), ("10.0.0.9:5413",))


def test_it_comes_back_as_it_was_and_is_private(tmp_path: Path) -> None:
    write_identity(tmp_path / "id", ME)
    assert read_identity(tmp_path / "id") == ME
    assert (tmp_path / "id").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["id"]


def test_no_secret_is_shown(tmp_path: Path) -> None:
    assert "KEY" not in repr(ME)
    assert ME.seal not in repr(ME)


@pytest.mark.parametrize("key", ["cluster", "certificate", "key", "authorities", "seal", "ends", "format"])
def test_a_part_that_is_missing_is_one_clear_error(tmp_path: Path, key: str) -> None:
    write_identity(tmp_path / "id", ME)
    found = json.loads((tmp_path / "id").read_text())
    del found[key]
    (tmp_path / "id").write_text(json.dumps(found))
    with pytest.raises(IdentityError, match="allowed what `hamgr join TOKEN` writes"):
        read_identity(tmp_path / "id")


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '{"format": 1}', '{"format": 1, "seal": "zz"}'])
def test_anything_else_is_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "id").write_text(text)
    (tmp_path / "id").chmod(0o600)
    with pytest.raises(IdentityError, match=str(tmp_path)):
        read_identity(tmp_path / "id")


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write_identity(tmp_path / "id", ME)
    (tmp_path / "id").chmod(0o644)
    with pytest.raises(IdentityError, match="mode 0644"):
        read_identity(tmp_path / "id")


def test_a_token_is_one_word_and_comes_back(tmp_path: Path) -> None:
    token = Token("office", ("10.0.0.9:5413", "[fd00::9]:5413"), b"f" * 32, b"s" * SECRET_BYTES)
    assert parse_token(f" {token}\n") == token
    assert str(token).isascii()
    assert " " not in str(token)
    assert "ssss" not in repr(token)


@pytest.mark.parametrize(
    "text", ["", "hamgr-join-", "hamgr-join-W10", "hamgr-join-%%%", "office", "hamgr-join-" + "A" * 99]
)
def test_half_a_token_is_none_and_is_not_repeated(text: str) -> None:
    with pytest.raises(TokenError, match="allowed the whole text hamgr-join-") as error:
        parse_token(text)
    assert "AAAA" not in str(error.value)


@pytest.mark.parametrize(
    ("cluster", "node", "days", "told"),
    [
        ("office", "a", 60, ""),
        ("office", "b", 60, "is the identity of a of cluster office"),
        ("shop", "a", 60, "is the identity of a of cluster office"),
        ("office", "a", 3, "ends in 3.0 days and was not renewed"),
        ("office", "a", -1, "has expired"),
    ],
)
def test_a_check_says_what_is_wrong_with_it(tmp_path: Path, cluster: str, node: str, days: int, told: str) -> None:
    write_identity(tmp_path / "id", replace(ME, ends=1000.0 + days * 86400))
    fault = fault_of(tmp_path / "id", cluster, node, 1000.0)
    assert told in fault
    assert bool(told) == bool(fault)
