"""Whose the addresses of `ucast` lines are, on one file for all nodes and on one for each."""

from __future__ import annotations

from pathlib import Path

import pytest
from hadir import ha_dir, machine, mistakes, read

from hamgr.config.heartbeat.here import Here, this_machine
from hamgr.config.problems import ConfigError, NotYet

NODES = "node a b\nauto_failback on\nstonith_host * null a b\n"
THREE = "node a b c\nauto_failback on\nstonith_host * null a b c\n"
BOTH = "ucast eth1 10.0.1.1\nucast eth1 10.0.1.2\n"
A = machine("a", ("10.0.1.1",), interfaces={"eth1": "10.0.1.1"})
B = machine("b", ("10.0.1.2",), interfaces={"eth1": "10.0.1.2"})


def addresses(directory: Path, here: Here) -> dict[str, dict[str, str]]:
    return {link.name: link.addresses for link in read(directory, here)[0].links}


def test_one_file_serves_both_nodes(tmp_path: Path) -> None:
    directory = ha_dir(tmp_path, BOTH + NODES)
    expected = {"eth1": {"a": "10.0.1.1", "b": "10.0.1.2"}}
    assert addresses(directory, A) == addresses(directory, B) == expected
    assert read(directory, A)[0] == read(directory, B)[0]


def test_files_that_only_name_the_peer_make_the_same_model(tmp_path: Path) -> None:
    ha_dir(tmp_path, "ucast eth1 10.0.1.2\n" + NODES)
    on_a = read(tmp_path, A)[0]
    ha_dir(tmp_path, "ucast eth1 10.0.1.1\n" + NODES)
    assert read(tmp_path, B)[0] == on_a
    assert on_a.links[0].addresses == {"a": "10.0.1.1", "b": "10.0.1.2"}
    assert on_a.links[0].interfaces == {"a": "eth1", "b": "eth1"}


def test_a_link_of_each_interface_and_port(tmp_path: Path) -> None:
    lines = "ucast eth1 10.0.1.1\nucast eth0 10.0.0.2\nucast eth1 10.0.1.2\nudpport 700\nucast eth0 10.0.0.2\n"
    here = machine("a", ("10.0.1.1", "10.0.0.1"), interfaces={"eth0": "10.0.0.1"})
    config, _ = read(ha_dir(tmp_path, lines + NODES), here)
    assert [(link.name, link.port) for link in config.links] == [("eth1", 694), ("eth0", 694), ("eth0-2", 700)]


def test_two_addresses_of_each_node_on_one_interface_are_two_links(tmp_path: Path) -> None:
    lines = BOTH + "ucast eth1 10.0.5.1\nucast eth1 10.0.5.2\n"
    here = machine("a", ("10.0.1.1", "10.0.5.1"))
    found = addresses(ha_dir(tmp_path, lines + NODES), here)
    assert found == {"eth1": {"a": "10.0.1.1", "b": "10.0.1.2"}, "eth1-2": {"a": "10.0.5.1", "b": "10.0.5.2"}}


def test_three_nodes_are_told_apart_by_etc_hosts(tmp_path: Path) -> None:
    lines = "ucast eth1 10.0.1.1\nucast eth1 10.0.1.2\nucast eth1 10.0.1.3\n"
    hosts = {"10.0.1.1": ("a-eth1",), "10.0.1.2": ("b.example.org", "b")}
    expected = {"eth1": {"a": "10.0.1.1", "b": "10.0.1.2", "c": "10.0.1.3"}}
    directory = ha_dir(tmp_path, lines + THREE)
    assert addresses(directory, machine("a", ("10.0.1.1",), hosts)) == expected
    assert addresses(directory, machine("c", ("10.0.1.3",), hosts)) == expected
    # On a machine that is none of the nodes, the last address is the last node's.
    assert addresses(directory, machine("laptop", (), hosts)) == expected


def test_of_three_nodes_two_addresses_that_nobody_knows_are_a_mistake_each(tmp_path: Path) -> None:
    lines = "ucast eth1 10.0.1.1\nucast eth1 10.0.1.2\nucast eth1 10.0.1.3\n"
    found = mistakes(ha_dir(tmp_path, lines + THREE), A)
    assert found == [
        f'ha.cf: line {line} (ucast): found "10.0.1.{line}", allowed an address of this machine, or one that '
        f"/etc/hosts gives to one of a, b, c, as in `10.0.1.{line} a-eth1`"
        for line in (2, 3)
    ]


def test_a_link_of_some_nodes_joins_those(tmp_path: Path) -> None:
    hosts = {"10.0.1.2": ("b",)}
    here = machine("a", ("10.0.1.1",), hosts, {"eth1": "10.0.1.1"})
    config, _ = read(ha_dir(tmp_path, "bcast eth0\nucast eth1 10.0.1.2\n" + THREE), here)
    assert config.links[1].nodes == ("a", "b")


def test_a_node_whose_name_begins_with_another_s_is_not_taken_for_it(tmp_path: Path) -> None:
    hosts = {"10.0.1.1": ("web",), "10.0.1.2": ("web-2-eth1",)}
    lines = BOTH + "node web web-2\nauto_failback on\nstonith_host * null web web-2\n"
    found = addresses(ha_dir(tmp_path, lines), machine("laptop", (), hosts))
    assert found == {"eth1": {"web": "10.0.1.1", "web-2": "10.0.1.2"}}


def test_a_name_of_this_machine_means_its_address_on_the_interface(tmp_path: Path) -> None:
    """Debian has `127.0.1.1 a` in /etc/hosts."""
    hosts = {"127.0.1.1": ("a",), "10.0.1.2": ("b",)}
    here = machine("a", ("127.0.1.1", "10.0.1.1"), hosts, {"eth1": "10.0.1.1"})
    found = addresses(ha_dir(tmp_path, "ucast eth1 a\nucast eth1 b\n" + NODES), here)
    assert found == {"eth1": {"a": "10.0.1.1", "b": "10.0.1.2"}}


def test_link_local_addresses_have_the_interface_as_their_scope(tmp_path: Path) -> None:
    lines = "ucast6 eth1 fe80::1\nucast6 eth1 fe80::2%eth1\n"
    found = addresses(ha_dir(tmp_path, lines + NODES), machine("a", ("fe80::1%eth1",)))
    assert found == {"eth1": {"a": "fe80::1%eth1", "b": "fe80::2%eth1"}}


def test_an_interface_that_is_not_up_yet_is_waited_for(tmp_path: Path) -> None:
    directory = ha_dir(tmp_path, BOTH + NODES)
    with pytest.raises(NotYet, match="eth1 has none yet that would tell"):
        read(directory, machine("a"))
    with pytest.raises(NotYet, match=r"no address of this machine on eth1 that leads to 10\.0\.1\.2"):
        read(ha_dir(tmp_path, "ucast eth1 10.0.1.2\n" + NODES), machine("a", hosts={"10.0.1.2": ("b",)}))
    three = "".join(f"ucast eth1 10.0.1.{number}\n" for number in (1, 2, 3))
    with pytest.raises(NotYet, match="eth1 has none yet that would tell"):
        read(ha_dir(tmp_path, three + THREE), machine("a", hosts={"10.0.1.3": ("c",)}))
    # /etc/hosts is there before the network is.
    hosts = {"10.0.1.1": ("a",), "10.0.1.2": ("b",)}
    assert addresses(ha_dir(tmp_path, BOTH + NODES), machine("a", hosts=hosts))["eth1"]["b"] == "10.0.1.2"


def test_another_mistake_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(ha_dir(tmp_path, BOTH + NODES + "keepalive x\n"), machine("a"))
    assert not isinstance(caught.value, NotYet)
    assert len(caught.value.problems) == 3


def test_a_machine_that_is_no_node_says_so(tmp_path: Path) -> None:
    found = mistakes(ha_dir(tmp_path, BOTH + NODES), machine("laptop"))
    assert all("this machine (laptop) is none of them" in problem for problem in found)


def test_an_address_of_this_node_alone_is_no_link(tmp_path: Path) -> None:
    (found,) = mistakes(ha_dir(tmp_path, "bcast eth0\nucast eth1 10.0.1.1\n" + NODES), A)
    assert "found addresses of one node alone, allowed an address of each other node of the link" in found


def test_the_machine_itself_knows_its_addresses_and_its_way_to_others() -> None:
    here = this_machine("")
    assert here.has("127.0.0.1")
    assert not here.has("192.0.2.1")
    assert here.towards("lo", "127.0.0.9") == "127.0.0.1"
    assert here.towards("no-such-device", "10.0.0.1") == ""
    assert 1 <= here.port <= 65535
