"""`[route.NAME]`: each node's own routes, and one exact sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from hamgr.config.model import RouteConfig
from hamgr.config.toml import ConfigError, load

HEAD = """
[cluster]
name = "office"
key_file = "/etc/hamgr/cluster.key"
[link.lan]
kind = "udp"
[node.a]
address = { lan = "10.0.0.1" }
[node.b]
address = { lan = "10.0.0.2" }
[group.web]
[[group.web.resource]]
kind = "lsb"
script = "/etc/init.d/web"
"""


def read(tmp_path: Path, text: str) -> tuple[RouteConfig, ...]:
    path = tmp_path / "hamgr.toml"
    path.write_text(f"{HEAD}[route.peer]\n{text}\n")
    return load(path).routes


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    return [str(problem).removeprefix(f"{tmp_path}/hamgr.toml: ") for problem in caught.value.problems]


def test_each_node_has_its_own_target(tmp_path: Path) -> None:
    assert read(tmp_path, 'to = { a = "10.0.0.2", b = "10.0.0.1" }\ninterface = "eth1"\nmetric = 5') == (
        RouteConfig("peer", "a", "10.0.0.2", interface="eth1", metric=5),
        RouteConfig("peer", "b", "10.0.0.1", interface="eth1", metric=5),
    )


def test_a_link_stands_for_its_peers(tmp_path: Path) -> None:
    assert read(tmp_path, 'link = "lan"\ninterface = "eth1"') == (
        RouteConfig("peer", "a", "10.0.0.2", interface="eth1"),
        RouteConfig("peer", "b", "10.0.0.1", interface="eth1"),
    )


def test_one_target_may_be_for_some_nodes_with_ways_of_their_own(tmp_path: Path) -> None:
    text = 'to = "default"\nnodes = ["b"]\nvia = { b = "10.0.0.254" }\nsource = "10.0.0.2"\ntable = 7\nreplace = true'
    assert read(tmp_path, text) == (
        RouteConfig("peer", "b", "default", "10.0.0.254", "", "10.0.0.2", 0, 7, True),
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            'interface = "eth1"',
            'route.peer.to: found nothing, allowed "default", a network as "10.0.0.0/8", or an address; or `link`, for'
            " its peers",
        ),
        ('to = "10.0.0.2"\nlink = "lan"\ninterface = "eth1"', "route.peer.to: found both, allowed one of the two"),
        (
            'to = { a = "10.0.0.2" }',
            "route.peer.interface: found nothing for node a, allowed an interface, or `via` with a gateway",
        ),
        (
            'to = { a = "10.0.0.2" }\nvia = "fd00::1"',
            'route.peer.to: found "10.0.0.2" for node a, allowed IPv4 or IPv6 in `to`, `via` and `source` alike',
        ),
        (
            'to = "10.0.0.2/8"\ninterface = "eth1"',
            'route.peer.to: found "10.0.0.2/8", allowed "default", a network as "10.0.0.0/8", or an address;'
            ' "10.0.0.0/8" is the network',
        ),
        ('to = { x = "10.0.0.2" }\ninterface = "e"', 'route.peer.to: found a table, allowed "a" or "b" as keys'),
        ('to = "10.0.0.2"\ninterface = "e"\nvai = "x"', "route.peer.vai: found an unknown key"),
    ],
)
def test_a_mistake_has_one_exact_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    assert [problem for problem in problems(tmp_path, text) if problem.startswith(sentence)]
