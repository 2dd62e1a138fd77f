"""The lab's addresses, options and configuration files."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from hamgr.config.heartbeat.build import config_of
from hamgr.config.heartbeat.here import Here
from hamgr.config.toml import load
from hamgr.lab.files import arbiter_toml, hamgr_toml, write
from hamgr.lab.namespaces import LabError
from hamgr.lab.plan import NODE_NAMES, Fencing, Layout, Options, node_of_mac, ports

LAYOUT = Layout(Path("/tmp/lab"))


def test_every_network_card_has_an_address_and_a_mac_of_its_own() -> None:
    options = Options(nodes=4)
    cards = [port for machine in options.machine_names for port in ports(machine)]
    assert len({port.mac for port in cards}) == len(cards)
    addresses = [address for port in cards for address in port.addresses]
    assert len(set(addresses)) == len(addresses)


def test_interface_names_fit_into_the_kernels_fifteen_characters() -> None:
    names = [port.name for machine in Options(nodes=16).machine_names for port in ports(machine)]
    assert max(len(name) for name in names) <= 15


@pytest.mark.parametrize("node", NODE_NAMES)
def test_a_mac_tells_its_node(node: str) -> None:
    assert {node_of_mac(port.mac) for port in ports(node)} == {node}


@pytest.mark.parametrize("mac", ["02:77:00:00:01:32", "02:78:00:00:01:01", "ff:ff:ff:ff:ff:ff"])
def test_a_mac_of_no_node_tells_none(mac: str) -> None:
    assert node_of_mac(mac) == ""


def test_heartbeats_files_are_the_same_cluster(tmp_path: Path) -> None:
    directory = tmp_path / "lab"
    options = Options(ha_dir=True, reserve=True, links=("lan", "bcast", "mcast"), pings=True)
    write(options, Layout(directory))
    config = config_of(directory / "ha.d", Here(("a",), {}, lambda ip: ip.endswith(".1"), lambda *_: ""))[0]
    assert [(link.name, link.kind) for link in config.links] == [
        ("eth0", "udp"),
        ("eth1", "broadcast"),
        ("eth1-2", "multicast"),
    ]
    assert [group.nodes for group in config.spec.groups] == [("a", "b"), ("b", "a")]
    assert config.fence_devices[0].options["password"] == (directory / "bmc.password").read_text().strip()
    assert config.spec.arbiter
    with pytest.raises(LabError, match=r"link serial has no line of ha\.cf"):
        write(Options(ha_dir=True, links=("serial",)), Layout(tmp_path / "other"))


def test_options_survive_the_way_into_the_world() -> None:
    options = Options(nodes=3, deadtime="150ms", fencing=Fencing.NULL, powered=("b",), scripts={"web": "exit"})
    assert Options.from_json(options.to_json()) == options


@pytest.mark.parametrize("nodes", [1, 17])
def test_a_lab_of_the_wrong_size_is_refused(nodes: int) -> None:
    with pytest.raises(ValueError, match="2 to 16 nodes"):
        Options(nodes=nodes)


def test_the_configuration_names_each_nodes_bmc() -> None:
    parsed = tomllib.loads(hamgr_toml(Options(), LAYOUT))
    assert {device["node"]: device["options"]["ip"] for device in parsed["fence"].values()} == {
        "a": "10.77.9.21",
        "b": "10.77.9.22",
    }


def test_without_fencing_there_is_no_fence_device() -> None:
    assert "fence" not in tomllib.loads(hamgr_toml(Options(fencing=Fencing.NONE), LAYOUT))


def test_two_nodes_without_an_arbiter_are_a_two_node_cluster() -> None:
    assert tomllib.loads(hamgr_toml(Options(arbiter=False), LAYOUT))["cluster"]["two_node"] is True
    assert "two_node" not in tomllib.loads(hamgr_toml(Options(arbiter=False, nodes=3), LAYOUT))["cluster"]


def test_timing_goes_into_the_file_as_it_was_given() -> None:
    timing = tomllib.loads(hamgr_toml(Options(keepalive="20ms", deadtime="150ms"), LAYOUT))["timing"]
    assert (timing["keepalive"], timing["deadtime"]) == ("20ms", "150ms")


def test_the_arbiter_reads_the_clusters_key() -> None:
    assert str(LAYOUT.key) in arbiter_toml(Options(), LAYOUT)
    tomllib.loads(arbiter_toml(Options(), LAYOUT))


@pytest.mark.parametrize("nodes", [2, 3, 4, 16])
@pytest.mark.parametrize("fencing", list(Fencing))
@pytest.mark.parametrize("arbiter", [True, False])
def test_hamgr_accepts_every_configuration_that_a_lab_writes(
    tmp_path: Path, nodes: int, fencing: Fencing, arbiter: bool
) -> None:
    file = tmp_path / "hamgr.toml"
    file.write_text(hamgr_toml(Options(nodes=nodes, fencing=fencing, arbiter=arbiter, service=True), LAYOUT))
    config = load(file)
    assert config.spec.names == NODE_NAMES[:nodes]
    assert config.admin_socket == LAYOUT.here / "admin.sock"
