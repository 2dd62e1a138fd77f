"""The table [etcd], and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from arbiter.config import load
from hamgr.config.problems import ConfigError

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
