"""Links of every kind, ping targets and certificates in the file: what is read, and the sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from hamgr.config.links import LINK_KINDS as CONFIGURED_KINDS
from hamgr.config.model import Config, LinkConfig, PingConfig
from hamgr.config.toml import ConfigError, load
from hamgr.links.link import LINK_KINDS

HEAD = """
[cluster]
name = "t"
key_file = "/etc/hamgr/key"
[timing]
deadtime = "2s"
"""
NODES = """
[node.a]
[node.b]
"""


def read(tmp_path: Path, text: str, nodes: str = NODES) -> Config:
    file = tmp_path / "hamgr.toml"
    file.write_text(HEAD + text + nodes)
    return load(file)


def mistakes(tmp_path: Path, text: str, nodes: str = NODES) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, nodes)
    return [str(problem).removeprefix(f"{tmp_path}/hamgr.toml: ") for problem in caught.value.problems]


def one_link(tmp_path: Path, text: str, nodes: str = NODES) -> LinkConfig:
    (link,) = read(tmp_path, f"[link.one]\n{text}\n", nodes).links
    return link


def test_the_kinds_that_can_be_configured_are_the_kinds_that_there_are() -> None:
    assert set(CONFIGURED_KINDS) == set(LINK_KINDS)


def test_a_broadcast_link_needs_an_interface_and_no_addresses(tmp_path: Path) -> None:
    link = one_link(tmp_path, 'kind = "broadcast"\ninterface = "eth1"')
    assert (link.port, link.interfaces, link.addresses) == (694, {"a": "eth1", "b": "eth1"}, {})
    assert mistakes(tmp_path, '[link.one]\nkind = "broadcast"\n') == [
        'link.one.interface: found nothing, allowed an interface name of up to 15 characters without space or "/"'
    ]


def test_interfaces_and_devices_may_differ_from_node_to_node(tmp_path: Path) -> None:
    link = one_link(tmp_path, 'kind = "broadcast"\ninterface = { a = "eth1", b = "enp3s0" }')
    assert link.interfaces == {"a": "eth1", "b": "enp3s0"}
    link = one_link(tmp_path, 'kind = "serial"\ndevice = { a = "/dev/ttyS0", b = "/dev/ttyUSB0" }\nbaud = 9600')
    assert (link.devices, link.baud) == ({"a": "/dev/ttyS0", "b": "/dev/ttyUSB0"}, 9600)
    assert mistakes(tmp_path, '[link.one]\nkind = "serial"\ndevice = { a = "/dev/ttyS0" }\n') == [
        "link.one.device.b: found nothing, allowed a text for each node of the link"
    ]


def test_a_multicast_link(tmp_path: Path) -> None:
    link = one_link(tmp_path, 'kind = "multicast"\ninterface = "eth1"\ngroup = "239.0.0.42"\nttl = 3\nloop = true')
    assert (link.group, link.ttl, link.loop) == ("239.0.0.42", 3, True)
    link = one_link(tmp_path, 'kind = "multicast"\ninterface = "eth1"\ngroup = "FF02:0::4242"')
    assert (link.group, link.ttl, link.loop) == ("ff02::4242", 1, False)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            'kind = "multicast"\ninterface = "eth1"\ngroup = "10.0.0.1"',
            'link.one.group: found "10.0.0.1", allowed a multicast group, such as "239.0.0.42" or "ff02::4242"',
        ),
        (
            'kind = "multicast"\ninterface = "eth1"\ngroup = "239.0.0.42"\nttl = 300',
            "link.one.ttl: found 300, allowed a whole number from 0 to 255",
        ),
        (
            'kind = "serial"\ndevice = "ttyS0"',
            'link.one.device: found "ttyS0", allowed a serial device, such as "/dev/ttyS0"',
        ),
        (
            'kind = "serial"\ndevice = "/dev/ttyS0"\nbaud = 300',
            "link.one.baud: found 300, allowed one of 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600",
        ),
        (
            'kind = "serial"\ndevice = "/dev/ttyS0"\nport = 694',
            "link.one.port: found an unknown key, allowed one of kind, nodes, device, baud",
        ),
        (
            'kind = "broadcast"\ninterface = "eth1"\nnodes = ["a", "z"]',
            'link.one.nodes: found "z", allowed "a" or "b"',
        ),
        (
            'kind = "disk"\ndevice = "/dev/sdb1"\npoll = "5s"',
            'link.one.poll: found "5s", allowed up to half of the deadtime, 1s',
        ),
        (
            'kind = "disk"\ndevice = "/dev/sdb1"\nreset = "sysrq"',
            'link.one.reset: found "sysrq", allowed the absolute path of a file that resets the machine: '
            '"/proc/sysrq-trigger"',
        ),
        (
            'kind = "disk"\ndevice = "sdb1"',
            'link.one.device: found "sdb1", allowed a disk that all nodes reach, or a partition of one, such as '
            '"/dev/disk/by-id/..."',
        ),
        (
            'kind = "token-ring"',
            'link.one.kind: found "token-ring", allowed "udp" or "broadcast" or "multicast" or "serial" or "grpc" or '
            '"disk"',
        ),
    ],
)  # fmt: skip
def test_a_mistake_has_its_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    assert sentence in mistakes(tmp_path, f"[link.one]\n{text}\n")


THREE = "\n[node.a]\n[node.b]\n[node.c]\n"


def test_a_serial_line_joins_two_nodes_and_says_which(tmp_path: Path) -> None:
    assert mistakes(tmp_path, '[link.one]\nkind = "serial"\ndevice = "/dev/ttyS0"\n', THREE) == [
        "link.one.nodes: found 3 nodes, allowed the two nodes that the cable joins"
    ]
    text = '[link.one]\nkind = "serial"\ndevice = "/dev/ttyS0"\nnodes = ["a", "c"]\n'
    text += '[link.two]\nkind = "broadcast"\ninterface = "eth1"\n'
    config = read(tmp_path, text, THREE)
    assert config.links[0].peers("a") == ("c",)
    assert config.links[0].peers("b") == ()
    assert config.spec.links_between("a", "c") == ("one", "two")
    assert config.spec.links_between("a", "b") == ("two",)


def test_a_disk_is_looked_at_twice_a_heartbeat_unless_told_otherwise(tmp_path: Path) -> None:
    link = one_link(tmp_path, 'kind = "disk"\ndevice = { a = "/dev/sdb1", b = "/dev/sdc1" }')
    assert link.reset == ""
    assert (link.devices, link.poll) == ({"a": "/dev/sdb1", "b": "/dev/sdc1"}, 0.1)
    assert one_link(tmp_path, 'kind = "disk"\ndevice = "/dev/sdb1"\npoll = "1s"').poll == 1.0


def test_an_address_is_needed_only_on_the_links_that_have_one(tmp_path: Path) -> None:
    text = '[link.one]\nkind = "udp"\nnodes = ["a", "b"]\n'
    text += '[link.two]\nkind = "multicast"\ninterface = "eth1"\ngroup = "239.0.0.1"\n'
    nodes = '\n[node.a]\naddress = { one = "10.0.0.1" }\n[node.b]\naddress = { one = "10.0.0.2" }\n[node.c]\n'
    assert read(tmp_path, text, nodes).links[0].addresses == {"a": "10.0.0.1", "b": "10.0.0.2"}
    assert mistakes(tmp_path, text, nodes.replace('one = "10.0.0.2"', 'two = "10.0.0.2"')) == [
        "node.b.address.one: found nothing, allowed an IPv4 or IPv6 address"
        " (names would need a DNS server when the network fails)",
        "node.b.address.two: found an unknown key, allowed one of one",
    ]


@pytest.mark.parametrize(
    ("one", "two", "clash"),
    [
        ('kind = "broadcast"\ninterface = "eth1"', 'kind = "broadcast"\ninterface = "eth1"', True),
        ('kind = "broadcast"\ninterface = "eth1"', 'kind = "broadcast"\ninterface = "eth2"', False),
        ('kind = "broadcast"\ninterface = "eth1"', 'kind = "broadcast"\ninterface = "eth1"\nport = 695', False),
        (
            'kind = "multicast"\ninterface = "eth1"\ngroup = "239.0.0.1"',
            'kind = "multicast"\ninterface = "eth1"\ngroup = "239.0.0.2"',
            False,
        ),
        (
            'kind = "multicast"\ninterface = "eth1"\ngroup = "239.0.0.1"',
            'kind = "multicast"\ninterface = "eth1"\ngroup = "ff02::1:1"',
            False,
        ),
        ('kind = "broadcast"\ninterface = "eth1"', 'kind = "multicast"\ninterface = "eth1"\ngroup = "239.0.0.1"', True),
        ('kind = "serial"\ndevice = "/dev/ttyS0"', 'kind = "serial"\ndevice = "/dev/ttyS0"', True),
        ('kind = "serial"\ndevice = "/dev/ttyS0"', 'kind = "serial"\ndevice = "/dev/ttyS1"', False),
        ('kind = "disk"\ndevice = "/dev/sdb1"', 'kind = "disk"\ndevice = "/dev/sdb1"', True),
        ('kind = "disk"\ndevice = "/dev/sdb1"', 'kind = "disk"\ndevice = "/dev/sdc1"', False),
    ],
)
def test_two_links_never_share_a_place(tmp_path: Path, one: str, two: str, clash: bool) -> None:
    text = f"[link.one]\n{one}\n[link.two]\n{two}\n"
    if clash:
        (sentence,) = mistakes(tmp_path, text)
        assert sentence.startswith("link.two.")
        assert "link one" in sentence
    else:
        assert len(read(tmp_path, text).links) == 2


LINK = '[link.one]\nkind = "broadcast"\ninterface = "eth1"\n'


def test_ping_targets_are_groups_with_a_weight(tmp_path: Path) -> None:
    text = '[ping.gateway]\ntargets = ["10.0.0.254", "FD00::1"]\nweight = 5\ninterval = "500ms"\ndeadtime = "3s"\n'
    text += '[ping.core]\ntargets = ["10.9.9.9"]\n'
    assert read(tmp_path, LINK + text).pings == (
        PingConfig("gateway", ("10.0.0.254", "fd00::1"), 5, 0.5, 3.0),
        PingConfig("core", ("10.9.9.9",), 1, 0.2, 2.0),
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "ping.g.targets: found nothing, allowed an array of IPv4 or IPv6 addresses"),
        ("targets = []", "ping.g.targets: found [], allowed an array of IPv4 or IPv6 addresses"),
        ('targets = ["gateway"]', 'ping.g.targets: found "gateway", allowed an IPv4 or IPv6 address'),
        ('targets = ["10.0.0.1"]\nweight = 0', "ping.g.weight: found 0, allowed a whole number from 1 to 1000"),
    ],
)
def test_a_mistaken_ping_target(tmp_path: Path, text: str, sentence: str) -> None:
    (found,) = mistakes(tmp_path, f"{LINK}[ping.g]\n{text}\n")
    assert found.startswith(sentence)


def test_certificates_need_all_three_files(tmp_path: Path) -> None:
    text = '[tls]\nca = "/c/ca.pem"\ncertificate = "/c/a.pem"\nkey = "/c/a.key"\n'
    tls = read(tmp_path, LINK + text).tls
    assert tls is not None
    assert tls.ca == Path("/c/ca.pem")
    assert mistakes(tmp_path, LINK + '[tls]\nca = "ca.pem"\n') == [
        'tls.ca: found "ca.pem", allowed an absolute path, which begins with "/"',
        "tls.certificate: found nothing, allowed the absolute path of a PEM file",
        "tls.key: found nothing, allowed the absolute path of a PEM file",
    ]


def test_real_time_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    config = read(tmp_path, LINK)
    assert (config.realtime, config.realtime_priority) == (False, 1)
    file = tmp_path / "hamgr.toml"
    file.write_text(file.read_text().replace('name = "t"', 'name = "t"\nrealtime = true\nrealtime_priority = 100'))
    with pytest.raises(ConfigError, match=r"cluster.realtime_priority: found 100, allowed a whole number from 1 to 99"):
        load(file)
