"""What nodes have and groups need: what is read, and the sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from hamgr.config.model import Config
from hamgr.config.toml import ConfigError, load, warnings
from hamgr.core.cluster import Placement

TEXT = """
[cluster]
name = "t"
key_file = "/etc/hamgr/key"
CLUSTER
[link.one]
kind = "broadcast"
interface = "eth1"
[node.a]
capacity = { memory = 64, cpu = 8 }
[node.b]
capacity = { memory = 32 }
[group.web]
GROUP
[[group.web.resource]]
kind = "lsb"
script = "/etc/init.d/web"
"""


def read(tmp_path: Path, group: str, cluster: str = "") -> Config:
    file = tmp_path / "hamgr.toml"
    file.write_text(TEXT.replace("GROUP", group).replace("CLUSTER", cluster))
    return load(file)


def test_numbers_of_whatever_is_scarce(tmp_path: Path) -> None:
    spec = read(tmp_path, "needs = { memory = 4 }").spec
    assert spec.node("a").capacity == (("cpu", 8), ("memory", 64))
    assert spec.group("web").needs == (("memory", 4),)


def test_groups_are_placed_as_the_cluster_says_unless_they_say_otherwise(tmp_path: Path) -> None:
    assert read(tmp_path, "").spec.group("web").placement is Placement.PREFER
    assert read(tmp_path, "", 'placement = "spread"').spec.group("web").placement is Placement.SPREAD
    mixed = read(tmp_path, 'placement = "prefer"', 'placement = "spread"')
    assert mixed.spec.group("web").placement is Placement.PREFER



@pytest.mark.parametrize(
    ("group", "says"),
    [
        (
            "needs = { memroy = 4 }",
            'group.web.needs.memroy: found "memroy", of which no node has any, allowed "cpu" or "memory"'
            ' (did you mean "memory"?)',
        ),
        (
            "needs = { memory = 65 }",
            "group.web.needs.memory: found 65, allowed up to 64, the most that one of its nodes has",
        ),
        (
            'nodes = ["b"]\nneeds = { memory = 33 }',
            "group.web.needs.memory: found 33, allowed up to 32, the most that one of its nodes has",
        ),
        ("needs = 4", "group.web.needs: found 4, allowed a table [group.web.needs]"),
        ("needs = { memory = 0 }", "group.web.needs.memory: found 0, allowed a whole number from 1 to 1000000000"),
        ("needs = { memory = 1.5 }", "group.web.needs.memory: found 1.5, allowed a whole number from 1 to 1000000000"),
        ('placement = "balanced"', 'group.web.placement: found "balanced", allowed "prefer" or "spread"'),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, group: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, group)
    assert [str(problem).removeprefix(f"{tmp_path}/hamgr.toml: ") for problem in caught.value.problems] == [says]


def test_a_group_for_which_one_node_alone_has_room_is_warned_of(tmp_path: Path) -> None:
    config = read(tmp_path, "needs = { memory = 40 }")
    assert any("only node a has room for group web" in str(warning) for warning in warnings(config))
    config = read(tmp_path, "needs = { memory = 30 }")
    assert not any("has room" in str(warning) for warning in warnings(config))
