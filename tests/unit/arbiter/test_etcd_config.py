"""The table [etcd], and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from arbiter.config import load, load_all_keys
from hamgr.config.problems import ConfigError
from hamgr.links.issuing import new_authority, private_pem, public_pem
from hamgr.links.keyfile import write_key_file
from hamgr.links.private import write_private

GOOD = """
listen = "10.0.9.10:5410"
store = "etcd"
[etcd]
endpoints = ["10.0.9.11:2379", "etcd2.example:2379"]
[cluster.office]
key_file = "/etc/hamgr/office.key"
"""


def written(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "arbiter.toml"
    path.write_text(text)
    return path


def test_what_is_not_said_has_a_sensible_value(tmp_path: Path) -> None:
    etcd = load(written(tmp_path)).etcd
    assert etcd is not None
    assert etcd.endpoints == ("10.0.9.11:2379", "etcd2.example:2379")
    assert (etcd.advertise, etcd.prefix, etcd.timeout) == ("10.0.9.10:5410", "/hamgr-arbiter/", 1.0)
    assert (
        load(
            written(tmp_path, ('store = "etcd"\n[etcd]\nendpoints = ["10.0.9.11:2379", "etcd2.example:2379"]', ""))
        ).etcd
        is None
    )


ENDPOINTS = 'the members of one etcd cluster, as ["10.0.9.11:2379", "10.0.9.12:2379", "10.0.9.13:2379"]'
ADVERTISE = 'where the other arbiter processes reach this one, as "10.0.9.10:5410"'


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('store = "etcd"', 'store = "redis"', 'store: found "redis", allowed "sqlite" or "etcd"'),
        ('store = "etcd"', "", 'etcd: found a table, allowed this table only with store = "etcd"'),
        ('[etcd]\nendpoints = ["10.0.9.11:2379", "etcd2.example:2379"]', "", "etcd: found no table [etcd], allowed"),
        ('["10.0.9.11:2379", "etcd2.example:2379"]', "[]", f"etcd.endpoints: found [], allowed {ENDPOINTS}"),
        ('"etcd2.example:2379"', '"etcd2"', f'etcd.endpoints: found ["10.0.9.11:2379", "etcd2"], allowed {ENDPOINTS}'),
        ("10.0.9.10", "0.0.0.0", f"etcd.advertise: found nothing, and listen is 0.0.0.0:5410, allowed {ADVERTISE}"),
        ("[etcd]", '[etcd]\nadvertise = "here"', f'etcd.advertise: found "here", allowed {ADVERTISE}'),
        ("[etcd]", '[etcd]\ncertificate = "/c.pem"', "allowed certificate and key both, with a ca, or neither"),
        (
            "[etcd]",
            '[etcd]\nuser = "hamgr"',
            'etcd.user: found "hamgr", allowed user and password_file both, or neither',
        ),
        ("[etcd]", '[etcd]\nprefix = "/here"', 'etcd.prefix: found "/here", allowed a text that ends with "/"'),
        ("[etcd]", '[etcd]\ntimeout = "1ms"', 'etcd.timeout: found "1ms", allowed'),
        ("[etcd]", "[etcd]\ncolour = 1", "etcd.colour: found an unknown key"),
    ],
)
def test_each_mistake_is_told(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    path = written(tmp_path, (old, new))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert sentence in str(caught.value)


def files_for_etcd(directory: Path) -> Path:
    """A configuration whose files are all good."""
    certificate, secret = new_authority("ours")
    for name in ("ca.pem", "client.pem"):
        (directory / name).write_bytes(public_pem(certificate))
    write_private(directory / "client.key", private_pem(secret).decode())
    write_private(directory / "password", "secret\n")
    write_key_file(directory / "office.key")
    wanted = (
        f'[etcd]\nca = "{directory}/ca.pem"\ncertificate = "{directory}/client.pem"\nkey = "{directory}/client.key"\n'
        f'user = "hamgr"\npassword_file = "{directory}/password"'
    )
    return written(directory, ("[etcd]", wanted), ("/etc/hamgr/office.key", f"{directory}/office.key"))


@pytest.mark.parametrize(
    ("file", "content", "mode", "sentence"),
    [
        ("ca.pem", None, 0o644, "etcd.ca: found HERE/ca.pem: No such file or directory, allowed a file that"),
        ("ca.pem", "rubbish", 0o644, "etcd.ca: found HERE/ca.pem, without a certificate in it, allowed PEM, as"),
        ("client.pem", "rubbish", 0o644, "etcd.certificate: found HERE/client.pem, without a certificate in it"),
        (
            "client.key",
            "rubbish",
            0o600,
            "etcd.key: found HERE/client.key, which is no such key, allowed a private key",
        ),
        (
            "client.key",
            "ANOTHER",
            0o600,
            "etcd.key: found HERE/client.key, allowed the key of the first certificate in",
        ),
        ("client.key", "SAME", 0o640, "etcd.key: found HERE/client.key with mode 0640, allowed 0600: chmod 600 HERE"),
        ("password", "SAME", 0o644, "etcd.password_file: found HERE/password with mode 0644, allowed 0600: chmod"),
        (
            "password",
            "\n",
            0o600,
            "etcd.password_file: found HERE/password, which is empty, allowed the password of hamgr",
        ),
    ],
)
def test_each_file_that_will_not_do_is_told(
    tmp_path: Path, file: str, content: str | None, mode: int, sentence: str
) -> None:
    config = load(files_for_etcd(tmp_path))
    load_all_keys(config)
    changed = tmp_path / file
    if content is None:
        changed.unlink()
    else:
        if content != "SAME":
            changed.write_text(private_pem(new_authority("other")[1]).decode() if content == "ANOTHER" else content)
        changed.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        load_all_keys(config)
    (problem,) = caught.value.problems
    assert sentence.replace("HERE", str(tmp_path)) in str(problem)
