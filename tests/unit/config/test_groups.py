"""Groups that look at other groups: what is read, and the sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from hamgr.config.model import Config
from hamgr.config.toml import ConfigError, load

HEAD = """
[cluster]
name = "t"
key_file = "/etc/hamgr/key"
[link.one]
kind = "broadcast"
interface = "eth1"
[node.a]
[node.b]
"""


def group(name: str, more: str = "") -> str:
    return f'[group.{name}]\n{more}\n[[group.{name}.resource]]\nkind = "lsb"\nscript = "/etc/init.d/{name}"\n'


def read(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "hamgr.toml"
    file.write_text(HEAD + text)
    return load(file)


def mistakes(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    return [str(problem).removeprefix(f"{tmp_path}/hamgr.toml: ") for problem in caught.value.problems]


def test_groups_can_look_at_groups_that_stand_below(tmp_path: Path) -> None:
    text = group("web", 'together_with = ["db"]\nafter = ["db"]\napart_from = ["log"]') + group("db") + group("log")
    web = read(tmp_path, text).spec.group("web")
    assert (web.together_with, web.after, web.apart_from) == (("db",), ("db",), ("log",))


def test_a_group_that_is_not_there(tmp_path: Path) -> None:
    assert mistakes(tmp_path, group("web", 'after = ["dbs"]') + group("db")) == [
        'group.web.after: found "dbs", allowed "db" (did you mean "db"?)'
    ]
    assert mistakes(tmp_path, group("web", 'after = ["web"]')) == [
        'group.web.after: found "web", allowed nothing, there is no other group'
    ]


def test_together_and_apart_at_once(tmp_path: Path) -> None:
    text = group("web", 'together_with = ["db"]\napart_from = ["db"]') + group("db")
    assert mistakes(tmp_path, text) == [
        "group.web: found db in together_with and in apart_from, allowed one or the other"
    ]


def test_a_circle(tmp_path: Path) -> None:
    text = group("web", 'after = ["db"]') + group("db", 'together_with = ["web"]')
    assert mistakes(tmp_path, text) == [
        "group: found a circle: web and db look at each other (together_with, apart_from, after),"
        " allowed groups of which one comes first"
    ]


def test_a_group_is_not_named_like_a_word_of_takeover(tmp_path: Path) -> None:
    (sentence,) = mistakes(tmp_path, group("local"))
    assert sentence.startswith('group.local: found "local", allowed a name that is no word of `hamgr takeover`')


def test_a_window_for_the_failback(tmp_path: Path) -> None:
    found = read(tmp_path, group("web", 'failback_window = "22:00-05:30"') + group("db"))
    assert [g.failback_window for g in found.groups] == [(1320, 330), None]


@pytest.mark.parametrize("text", ['"22-5"', '"24:00-05:00"', '"22:00"', '"22:00-22:00"', "7"])
def test_a_mistaken_window(tmp_path: Path, text: str) -> None:
    (sentence,) = mistakes(tmp_path, group("web", f"failback_window = {text}"))
    assert sentence.endswith('allowed a time of day from and to, such as "22:00-05:30"')


def test_a_window_without_a_failback(tmp_path: Path) -> None:
    (sentence,) = mistakes(tmp_path, group("web", 'auto_failback = false\nfailback_window = "22:00-05:30"'))
    assert sentence.endswith("allowed none with auto_failback = false")


def test_migration_threshold_is_one_more_than_restarts(tmp_path: Path) -> None:
    (spec,) = read(tmp_path, group("web", "migration_threshold = 3")).spec.groups
    assert spec.restarts == 2
    (sentence,) = mistakes(tmp_path, group("web", "migration_threshold = 3\nrestarts = 2"))
    assert sentence.endswith("found 3, allowed restarts or migration_threshold (one more than restarts), not both")
    (sentence,) = mistakes(tmp_path, group("web", "migration_threshold = 0"))
    assert sentence.endswith("allowed a whole number from 1 to 1001")


def test_stickiness_and_enabled_are_read(tmp_path: Path) -> None:
    (spec,) = read(tmp_path, group("web", "stickiness = 5\nenabled = false")).spec.groups
    assert (spec.stickiness, spec.enabled) == (5, False)
    (sentence,) = mistakes(tmp_path, group("web", 'enabled = "no"'))
    assert sentence.endswith("allowed true or false")
