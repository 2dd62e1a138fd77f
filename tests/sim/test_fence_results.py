"""What comes of a fence device that lies, and of two nodes that want to shoot each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from hamgr.core.cluster import ClusterSpec
from hamgr.sim.conditions import CALM
from hamgr.sim.faults import Fault, apply
from hamgr.sim.scenario import play, read
from hamgr.sim.shape import read_spec
from hamgr.sim.trace import Trace
from hamgr.sim.world import World


def scenario(directory: Path, cluster: str, timeline: str) -> str:
    """The failure, if any."""
    (directory / "cluster.toml").write_text(cluster)
    (directory / "timeline.txt").write_text(timeline)
    return play(read(directory)).failure


LOST = """10s expect web a
fence-mode a {mode}
cut a b
cut a arbiter
60s expect web {owner}
"""


def test_a_device_that_lies_breaks_safety_and_it_is_laid_to_the_device(tmp_path: Path) -> None:
    failure = scenario(tmp_path, 'nodes = ["a", "b"]\narbiter = true\n', LOST.format(mode="lie", owner="b"))
    assert "lying-device: b starts web while it is active on a; the fence device of a says that it is off" in failure


@pytest.mark.parametrize("mode", ["fail", "hang"])
def test_a_device_that_does_not_say_off_breaks_nothing_and_nothing_starts(tmp_path: Path, mode: str) -> None:
    assert scenario(tmp_path, 'nodes = ["a", "b"]\narbiter = true\n', LOST.format(mode=mode, owner="none")) == ""


def two_nodes(directory: Path) -> ClusterSpec:
    (directory / "cluster.toml").write_text('nodes = ["a", "b"]\ntwo_node = true\nfence_delay_random = 1.0\n')
    spec, _run, _conditions = read_spec(directory / "cluster.toml")
    return spec


def test_of_two_nodes_that_lose_each_other_always_exactly_one_survives_and_is_not_shot_by_the_other(
    tmp_path: Path,
) -> None:
    spec = two_nodes(tmp_path)
    for seed in range(100):
        world = World(spec, CALM, seed, Trace(None))
        world.begin((), spec.names)
        world.engine.run_until(10.0 + seed * 0.037)
        assert world.checker.owners("web") == ["a"]
        apply(world, Fault(world.engine.now, ("cut", "a", "b")))
        world.engine.run_until(world.engine.now + 60.0)
        assert (world.power.fenced, world.checker.owners("web")) == ({"b"}, ["a"]), f"seed {seed}"
        assert world.trace.counts["fenced"] == 1, "the loser came back, and shot nobody"
