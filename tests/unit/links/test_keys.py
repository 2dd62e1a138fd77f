"""Which key files are taken, and what is said of the others."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hamgr.links.keys import KeyFileError, Keys, load_keys, new_key_line, write_key_file

KEY = "ab" * 32


def key_file(path: Path, text: str, mode: int = 0o600) -> Path:
    file = path / "cluster.key"
    file.write_bytes(text.encode())
    file.chmod(mode)
    return file


def test_the_first_key_seals_and_all_are_known(tmp_path: Path) -> None:
    path = key_file(tmp_path, f"# two keys\n\n2 {'cd' * 40}  # new\n1 {KEY}\n")
    assert load_keys(path) == Keys({2: b"\xcd" * 40, 1: b"\xab" * 32}, 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "found no key, allowed at least one line `NUMBER HEX`"),
        ("# nothing\n", "found no key"),
        (f"\n{KEY}\n", "line 2: found 1 word(s), allowed two"),
        (f"1 {KEY} {KEY}", "line 1: found 3 word(s)"),
        (f"256 {KEY}", "line 1: found no key number in front, allowed a number from 0 to 255"),
        (f"{'9' * 5000} {KEY}", "line 1: found no key number"),
        (f"-1 {KEY}", "line 1: found no key number"),
        (f"x {KEY}", "line 1: found no key number"),
        (f"\u0663 {KEY}", "line 1: found no key number"),
        (f"1 {KEY[:-2]}", "line 1: found a key of 31 bytes, allowed 32 bytes or more"),
        (f"1 {KEY[:-1]}", "line 1: found a key that is not hexadecimal"),
        (f"1 {'zz' * 32}", "line 1: found a key that is not hexadecimal"),
        (f"1 {KEY}\n1 {KEY}", "line 2: found key 1 a second time, allowed each number once"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(KeyFileError) as error:
        load_keys(key_file(tmp_path, text))
    assert told in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "cluster.key"))
    assert "\n" not in str(error.value)


def test_a_mistake_never_tells_the_key(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError) as error:
        load_keys(key_file(tmp_path, f"{KEY} 1"))
    assert KEY not in str(error.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_file_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}, allowed 0600: chmod 600"):
        load_keys(key_file(tmp_path, f"1 {KEY}", mode))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_another_users_file_is_refused(tmp_path: Path) -> None:
    path = key_file(tmp_path, f"1 {KEY}")
    os.chown(path, 12345, 12345)
    with pytest.raises(KeyFileError, match="owner 12345"):
        load_keys(path)


def test_a_missing_file_is_told_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"no readable file \(No such file or directory\).*hamgr key"):
        load_keys(tmp_path / "none")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    tmp_path.chmod(0o700)
    for path in (pipe, tmp_path, Path("/dev/zero")):
        with pytest.raises(KeyFileError, match="no regular file"):
            load_keys(path)


def test_a_new_file_is_private_loads_and_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "new.key"
    write_key_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys = load_keys(path)
    assert keys.active == 1
    with pytest.raises(FileExistsError):
        write_key_file(path)
    assert load_keys(path) == keys


def test_no_two_keys_are_the_same() -> None:
    assert new_key_line(3) != new_key_line(3)
