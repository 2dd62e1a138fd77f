"""`hamgr lab up` with services of one's own: what is wrong is said before anything is started."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from hamgr.lab import cli


def up(tmp_path: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return cli.run(parser.parse_args(["up", "--dir", str(tmp_path / "lab"), *words]))


def test_a_mistake_in_the_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups = tmp_path / "groups.toml"
    groups.write_text('[group.web]\n[[group.web.resource]]\nkind = "filesytem"\ndevice = "@DISK@"\n')
    assert up(tmp_path, "--groups", str(groups)) == 1
    said = capsys.readouterr().err
    assert f'hamgr lab up: {tmp_path}/lab/hamgr.toml: group.web.resource[1].kind: found "filesytem", allowed' in said
    assert not (tmp_path / "lab").exists()


@pytest.mark.parametrize("option", ["--groups", "--boot"])
def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert up(tmp_path, option, "/nowhere/groups.toml") == 1
    assert "/nowhere/groups.toml can't be read: No such file or directory" in capsys.readouterr().err
    assert not (tmp_path / "lab").exists()
