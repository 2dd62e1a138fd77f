"""What ends a node's groups when its hamgrd can't: the keys, and the mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hamgr.config.change import impossible
from hamgr.config.local import local_warnings
from hamgr.config.model import Config, SelfFence, WatchdogConfig
from hamgr.config.toml import ConfigError, load, warnings

EXAMPLE = (Path(__file__).parents[3] / "docs" / "example.toml").read_text()

NODE_A = "[node.a]\n"
DOG = 'watchdog = "/dev/watchdog"\nwatchdog_timeout = "10s"\n'


def configured(tmp_path: Path, node: str = "", cluster: str = "") -> Config:
    path = tmp_path / "hamgr.toml"
    path.write_text(EXAMPLE.replace(NODE_A, NODE_A + node).replace("[cluster]\n", f"[cluster]\n{cluster}"))
    return load(path)


def mistakes(tmp_path: Path, node: str, cluster: str = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, node, cluster)
    return [str(problem).removeprefix(f"{tmp_path}/hamgr.toml: ") for problem in caught.value.problems]


def test_without_a_word_groups_are_ended_and_no_watchdog_is_relied_on(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert config.self_fence is SelfFence.STOP
    assert [node.watchdog_timeout for node in config.spec.nodes] == [None, None]


def test_a_watchdog_is_of_one_node_and_the_core_knows_its_time_out(tmp_path: Path) -> None:
    config = configured(tmp_path, f'{DOG}watchdog_pretimeout = "2s"\n')
    assert config.watchdogs == {"a": WatchdogConfig(Path("/dev/watchdog"), 10.0, 2.0)}
    assert [node.watchdog_timeout for node in config.spec.nodes] == [10.0, None]


def test_what_can_only_be_written_to_may_have_any_time_out(tmp_path: Path) -> None:
    config = configured(tmp_path, 'watchdog = "/run/dog"\nwatchdog_timeout = "500ms"\nwatchdog_ioctl = false\n')
    assert config.watchdogs == {"a": WatchdogConfig(Path("/run/dog"), 0.5, ioctls=False)}


@pytest.mark.parametrize(
    ("node", "cluster", "sentence"),
    [
        ('watchdog = "/dev/watchdog"\n', "", 'watchdog_timeout: found nothing, allowed a duration, such as "10s"'),
        ('watchdog = "dog"\nwatchdog_timeout = "10s"\n', "", 'watchdog: found "dog", allowed an absolute path'),
        ('watchdog_timeout = "10s"\n', "", 'watchdog_timeout: found "10s", allowed nothing without node.a.watchdog'),
        (DOG.replace("10s", "500ms"), "", 'watchdog_timeout: found "500ms", allowed a duration from 1s up'),
        (DOG.replace("10s", "1500ms"), "", 'watchdog_timeout: found "1500ms", allowed whole seconds'),
        (f"{DOG}watchdog_pretimeout = 10\n", "", "watchdog_pretimeout: found 10, allowed whole seconds under 10s"),
        (DOG, 'on_quorum_loss = "freeze"\n', 'watchdog: found "/dev/watchdog", allowed nothing with on_quorum_loss'),
    ],
)
def test_each_mistake_has_its_sentence(tmp_path: Path, node: str, cluster: str, sentence: str) -> None:
    (found,) = mistakes(tmp_path, node, cluster)
    assert found.startswith(f"node.a.{sentence}")


def test_self_fence_is_one_of_three_words(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, "", 'self_fence = "restart"\n')
    assert found.startswith('cluster.self_fence: found "restart", allowed "none" or "stop" or "reboot"')


def test_that_nothing_ends_a_nodes_groups_is_warned_of(tmp_path: Path) -> None:
    config = configured(tmp_path, cluster='self_fence = "none"\n')
    assert any(warning.key == "cluster.self_fence" for warning in warnings(config))


def test_a_missing_device_or_trigger_is_told_on_the_machine(tmp_path: Path) -> None:
    dog = f'watchdog = "{tmp_path}/dog"\nwatchdog_timeout = "10s"\n'
    config = configured(tmp_path, dog, f'self_fence = "reboot"\nsysrq_trigger = "{tmp_path}/trigger"\n')
    told = {warning.key for warning in local_warnings(config, "a")}
    assert {"node.a.watchdog", "cluster.self_fence"} <= told


def test_a_watchdog_comes_and_goes_only_while_the_cluster_is_stopped(tmp_path: Path) -> None:
    before, after = configured(tmp_path), configured(tmp_path, DOG)
    (problem,) = impossible(before, after)
    assert (problem.key, problem.found) == ("node.a.watchdog", "/dev/watchdog with 10s")
    assert impossible(after, after) == []
