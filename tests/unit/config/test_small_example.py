"""The smallest file that makes a cluster: what the README promises to an administrator with nginx and two machines."""

from __future__ import annotations

from pathlib import Path

from hamgr.config.toml import load, warnings
from hamgr.resources.kinds import RESOURCE_KINDS

SMALL = Path(__file__).parents[3] / "docs" / "example-small.toml"


def test_ten_lines_are_a_cluster() -> None:
    lines = [line for line in SMALL.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 10
    config = load(SMALL, RESOURCE_KINDS)
    assert config.spec.names == ("a", "b")
    assert config.spec.two_node, "without an arbiter two nodes decide by fencing"
    (group,) = config.groups
    assert [(one.kind, one.name) for one in group.resources] == [("vip", "vip"), ("systemd", "systemd")]
    assert [len(config.devices(node, 0)) for node in config.spec.names] == [1, 1]


def test_what_ten_lines_leave_out_is_warned_of_and_nothing_else() -> None:
    told = [warning.key for warning in warnings(load(SMALL, RESOURCE_KINDS))]
    assert told == ["arbiter", "link"]
