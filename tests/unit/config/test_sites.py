"""`[site.NAME]`: what is read, the sentence for each mistake, and what the loss of a site would lead to."""

from __future__ import annotations

from pathlib import Path

import pytest

from hamgr.config.model import Config
from hamgr.config.toml import ConfigError, load, warnings

HEAD = """
[cluster]
name = "t"
key_file = "/etc/hamgr/key"
[link.one]
kind = "broadcast"
interface = "eth1"
[group.web]
[[group.web.resource]]
kind = "lsb"
script = "/etc/init.d/web"
"""
ARBITER = '[arbiter]\naddress = "10.0.0.9"\ntie_breaker = "n1"\n'
SITES = '[site.north]\nnodes = ["n1", "n2"]\n[site.south]\nnodes = ["s1", "s2"]\n'
WATCHDOG = 'watchdog = "/dev/watchdog"\nwatchdog_timeout = "10s"\n'


def node(name: str, more: str = "") -> str:
    fence = f'[fence.bmc-{name}]\nnode = "{name}"\nagent = "fence_hamgr_ipmi"\n'
    return f"[node.{name}]\n{more}{fence}"


def nodes(more: str = "") -> str:
    return "".join(node(name, more) for name in ("n1", "n2", "s1", "s2"))


def read(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "hamgr.toml"
    file.write_text(HEAD + text)
    return load(file)


def warned(tmp_path: Path, text: str) -> list[str]:
    found = [str(warning) for warning in warnings(read(tmp_path, text))]
    return [text.partition("warning: ")[2] for text in found if "site" in text.partition("warning: ")[2]]


def test_a_site_that_is_lost_with_its_devices_needs_watchdogs(tmp_path: Path) -> None:
    (north, south) = warned(tmp_path, nodes() + ARBITER + SITES)
    assert north.startswith("when site north is lost with its devices, nothing confirms that n1 and n2 are off")
    assert "s1 and s2" in south
    assert warned(tmp_path, nodes(WATCHDOG) + ARBITER + SITES) == []


def test_or_devices_that_stand_elsewhere_one_level_of_which_is_enough(tmp_path: Path) -> None:
    pdus = "".join(
        f'[fence.pdu-{name}]\nnode = "{name}"\nlevel = 2\nagent = "fence_apc"\n' for name in ("n1", "n2", "s1", "s2")
    )
    third = '[site.third]\ndevices = ["pdu-n1", "pdu-n2", "pdu-s1", "pdu-s2"]\n'
    assert warned(tmp_path, nodes() + pdus + ARBITER + SITES + third) == []


def test_without_an_arbiter_elsewhere_no_site_goes_on_alone(tmp_path: Path) -> None:
    found = warned(tmp_path, nodes(WATCHDOG) + SITES)
    assert "without site north 2 of 4 votes are left, and 3 are a quorum: the others run nothing" in found[0]
    assert "add [arbiter] on a third site" in found[0]
    assert len(found) == 2


def test_a_group_with_all_its_nodes_in_one_site_is_lost_with_it(tmp_path: Path) -> None:
    text = HEAD.replace("[group.web]\n", '[group.web]\nnodes = ["n1", "n2"]\n')
    file = tmp_path / "hamgr.toml"
    file.write_text(text + nodes(WATCHDOG) + ARBITER + SITES)
    assert [str(warning).partition("warning: ")[2] for warning in warnings(load(file)) if "site" in str(warning)] == [
        "all nodes of group web are in site north: it is lost with it"
    ]


@pytest.mark.parametrize(
    ("sites", "says"),
    [
        ('[site.n]\nnodes = ["n1", "n2", "s1"]\n', "site: found node s2 in no site, allowed every node in one"),
        ('[site.n]\nnodes = ["x"]\n', 'site.n.nodes: found "x", allowed "n1" or "n2" or "s1" or "s2"'),
        (SITES + '[site.x]\nnodes = ["n1"]\n', 'site.x.nodes: found "n1", which is in site north, allowed one'),
        (SITES + '[site.x]\ndevices = ["pdu"]\n', 'site.x.devices: found "pdu", allowed "bmc-n1" or'),
        (SITES + "[site.x]\nname = 1\n", "site.x.name: found an unknown key, allowed one of nodes, devices"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, sites: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, nodes() + ARBITER + sites)
    found = [str(problem).removeprefix(f"{tmp_path}/hamgr.toml: ") for problem in caught.value.problems]
    assert any(one.startswith(says) for one in found), found
