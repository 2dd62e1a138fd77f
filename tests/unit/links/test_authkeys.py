"""Heartbeat's authkeys: which are taken, what becomes of the secrets, and what is said of the others."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hamgr.links.keyfile import KeyChangeError, activate_key, add_key, read_keys, retire_key, write_keys
from hamgr.links.keys import KeyFileError, load_keys
from hamgr.links.seal import Key, Method


def authkeys(path: Path, text: str, mode: int = 0o600) -> Path:
    file = path / "authkeys"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_a_key_is_derived_as_the_documentation_says(tmp_path: Path) -> None:
    keys = load_keys(authkeys(tmp_path, "# ours\nauth 2\n1 md5 old\n2 sha1 HI!#1 behind\n"))
    expected = hashlib.scrypt(b"HI!#1", salt=b"hamgr authkeys sha1", n=16384, r=8, p=1, dklen=32)
    assert keys.keys[2] == Key(expected, Method.HMAC_SHA256)
    assert (keys.active, sorted(keys.keys)) == (2, [1, 2])


def test_one_secret_by_two_methods_is_two_keys(tmp_path: Path) -> None:
    keys = load_keys(authkeys(tmp_path, "auth 1\n1 md5 same\n2 sha1 same\n3 crc\n")).keys
    assert len({key.secret for key in keys.values()}) == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("auth 1\n", "line 1: found auth 1, but no key 1, allowed a key that the file has"),
        ("auth\n1 sha1 x\n", "line 1: found no key number"),
        ("auth 1\nauth 1\n1 sha1 x\n", "line 2: found a second `auth` line, allowed one"),
        ("auth 1\n1 sha1\n", "line 2: found sha1 without a secret, allowed `1 sha1 SECRET`"),
        ("auth 1\n1 sha1 # topsecret\n", "line 2: found sha1 without a secret"),
        ("auth 1\n1 topsecret\n", "line 2: found no known method after the number, allowed sha1 or md5 or crc"),
        ("auth 1\n99 sha1 topsecret\n", "line 2: found no key number"),
        ("auth 1\ntopsecret\n", "line 2: found no key number"),
        ("auth 1\n1 sha1 x\n1 md5 y\n", "line 3: found key 1 a second time, allowed each number once"),
    ],
)
def test_a_mistake_is_told_without_telling_a_secret(tmp_path: Path, text: str, told: str) -> None:
    file = authkeys(tmp_path, text)
    with pytest.raises(KeyFileError) as caught:
        load_keys(file)
    assert str(caught.value).startswith(f"{file}, {told}")
    assert "topsecret" not in str(caught.value)


def test_others_may_not_read_it(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="found mode 0644, allowed 0600: chmod 600"):
        load_keys(authkeys(tmp_path, "auth 1\n1 sha1 x\n", 0o644))


def test_hamgr_does_not_change_it(tmp_path: Path) -> None:
    file = authkeys(tmp_path, "auth 1\n1 sha1 x\n2 sha1 y\n")
    for change in (lambda: add_key(file, Method.SHA1), lambda: activate_key(file, 2), lambda: retire_key(file, 2)):
        with pytest.raises(KeyChangeError, match="change it by hand, and `hamgr key reload`"):
            change()
    assert file.read_text() == "auth 1\n1 sha1 x\n2 sha1 y\n"


def test_a_key_file_of_hamgrs_own_has_the_same_keys(tmp_path: Path) -> None:
    keys = load_keys(authkeys(tmp_path, "auth 3\n1 sha1 x\n3 crc\n"))
    write_keys(tmp_path / "cluster.key", keys)
    assert read_keys(tmp_path / "cluster.key") == keys
    assert (tmp_path / "cluster.key").stat().st_mode & 0o777 == 0o600
