"""Which key files are taken, and what is said of the others."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hamgr.links.keyfile import (
    KeyChangeError,
    activate_key,
    add_key,
    new_key_line,
    read_keys,
    retire_key,
    write_key_file,
)
from hamgr.links.keys import KeyFileError, Keys, load_keys
from hamgr.links.seal import Key, Method

KEY = "ab" * 32


def key_file(path: Path, text: str, mode: int = 0o600) -> Path:
    file = path / "cluster.key"
    file.write_bytes(text.encode())
    file.chmod(mode)
    return file


def test_the_first_key_seals_and_all_are_known(tmp_path: Path) -> None:
    path = key_file(tmp_path, f"# two keys\n\n2 {'cd' * 40}  # new\n1 {KEY}\n")
    assert load_keys(path) == Keys({2: Key(b"\xcd" * 40), 1: Key(b"\xab" * 32)}, 2)


@pytest.mark.parametrize("method", Method)
def test_a_key_is_bound_to_the_method_in_its_line(tmp_path: Path, method: Method) -> None:
    assert load_keys(key_file(tmp_path, f"7 {method.value} {KEY}\n")).keys == {7: Key(b"\xab" * 32, method)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "found no key, allowed at least one line `NUMBER [METHOD] HEX`"),
        ("# nothing\n", "found no key"),
        (f"\n{KEY}\n", "line 2: found 1 word(s), allowed two or three"),
        (f"1 sha1 {KEY} {KEY}", "line 1: found 4 word(s)"),
        (f"1 {KEY} {KEY}", "line 1: found no known method after the key number, allowed one of hmac-sha256, blake2s, "),
        (f"1 md5 {KEY}", "line 1: found no known method"),
        (f"1 SHA1 {KEY}", "line 1: found no known method"),
        (f"1 blake2s {KEY}00", "line 1: found a blake2s key of 33 bytes, allowed 32 bytes"),
        (f"1 chacha20-poly1305 {KEY}00", "line 1: found a chacha20-poly1305 key of 33 bytes, allowed 32 bytes"),
        (f"256 {KEY}", "line 1: found no key number in front, allowed a number from 0 to 255"),
        (f"{'9' * 5000} {KEY}", "line 1: found no key number"),
        (f"-1 {KEY}", "line 1: found no key number"),
        (f"x {KEY}", "line 1: found no key number"),
        (f"\u0663 {KEY}", "line 1: found no key number"),
        (f"1 {KEY[:-2]}", "line 1: found a hmac-sha256 key of 31 bytes, allowed 32 bytes or more"),
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


@pytest.mark.parametrize("text", [f"{KEY} 1", f"1 {KEY} sha1", f"1 {KEY}x", f"1 sha1{KEY}", f"1 {KEY} {KEY}"])
def test_a_mistake_never_tells_the_key(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeyFileError) as error:
        load_keys(key_file(tmp_path, text))
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


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="more than 1048576 bytes"):
        load_keys(key_file(tmp_path, "#" * (2 << 20)))


# -- changes ----------------------------------------------------------------------------------------------------------


COMMENTED = f"# head: \u00e9\n\n1 {KEY}  # of spring\n\n# more to come\n5 sha1 {'cd' * 32} # of summer"


def test_a_new_key_is_the_last_and_does_not_seal(tmp_path: Path) -> None:
    path = key_file(tmp_path, COMMENTED)
    assert add_key(path, Method.CHACHA20_POLY1305) == 6
    keys = load_keys(path)
    assert (keys.active, list(keys.keys), keys.keys[6].method) == (1, [1, 5, 6], Method.CHACHA20_POLY1305)
    assert path.read_text().startswith(COMMENTED + "\n6 ")


def test_activation_moves_the_line_to_the_front_and_keeps_every_comment(tmp_path: Path) -> None:
    path = key_file(tmp_path, COMMENTED)
    assert activate_key(path, 5).active == 5
    assert path.read_text() == (
        f"# head: \u00e9\n\n5 sha1 {'cd' * 32} # of summer\n1 {KEY}  # of spring\n\n# more to come\n"
    )
    assert load_keys(path).active == 5
    again = path.read_text()
    activate_key(path, 5)
    assert path.read_text() == again


def test_a_retired_key_is_gone_and_the_one_that_seals_can_not_be_retired(tmp_path: Path) -> None:
    path = key_file(tmp_path, COMMENTED)
    with pytest.raises(KeyChangeError, match=r"key 1 of .* seals: activate another one first"):
        retire_key(path, 1)
    assert list(retire_key(path, 5).keys) == [1]
    assert path.read_text() == f"# head: \u00e9\n\n1 {KEY}  # of spring\n\n# more to come\n"


@pytest.mark.parametrize("change", [activate_key, retire_key])
def test_a_number_that_is_not_in_the_file_is_told_with_those_that_are(tmp_path: Path, change: Any) -> None:
    path = key_file(tmp_path, COMMENTED)
    with pytest.raises(KeyChangeError, match="has no key 9, only 1, 5"):
        change(path, 9)
    assert path.read_text() == COMMENTED


def test_the_number_of_a_retired_key_is_not_given_away_at_once(tmp_path: Path) -> None:
    path = key_file(tmp_path, f"255 {KEY}\n1 {KEY}\n")
    assert add_key(path, Method.SHA1) == 2
    retire_key(path, 1)
    assert add_key(path, Method.SHA1) == 1


def test_a_full_file_takes_no_more(tmp_path: Path) -> None:
    path = key_file(tmp_path, "".join(f"{number} {KEY}\n" for number in range(1, 256)))
    with pytest.raises(KeyChangeError, match="has 255 keys and no number is free"):
        add_key(path, Method.SHA1)


def test_a_mistaken_file_is_told_and_never_rewritten(tmp_path: Path) -> None:
    path = key_file(tmp_path, f"1 {KEY}\nx\n")
    with pytest.raises(KeyFileError, match="line 2"):
        add_key(path, Method.SHA1)
    assert path.read_text() == f"1 {KEY}\nx\n"


def test_a_change_replaces_the_file_privately_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = key_file(tmp_path, COMMENTED)
    link = tmp_path / "link"
    link.symlink_to(path)
    before = path.stat().st_ino
    add_key(link, Method.BLAKE2S)
    assert link.is_symlink()
    assert path.stat().st_ino != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["cluster.key", "link"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_roots_changes_leave_the_file_to_its_owner(tmp_path: Path) -> None:
    path = key_file(tmp_path, COMMENTED)
    os.chown(path, 12345, 54321)
    add_key(path, Method.BLAKE2S)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)
    assert list(read_keys(path).keys) == [1, 5, 6]


def test_changes_at_the_same_time_are_all_made(tmp_path: Path) -> None:
    path = key_file(tmp_path, f"1 {KEY}\n")
    with ProcessPoolExecutor(4) as pool:
        numbers = list(pool.map(add_key, [path] * 20, [Method.SHA1] * 20))
    assert sorted(numbers) == list(range(2, 22))
    assert list(load_keys(path).keys) == list(range(1, 22))
