"""haresources: what each resource becomes, where groups run, and what is said of a line that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hadir import TWO_NODES, ha_dir, machine, mistakes, read

from hamgr.config.heartbeat.build import config_of

VIP = {"address": "10.0.0.77"}


def groups(path: Path, haresources: str) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """Name -> kind, name and options of each resource as they are written, without the directory of scripts."""
    read(ha_dir(path, TWO_NODES, haresources))  # each kind takes its options
    config, _ = config_of(path, machine())
    return {
        group.name: [
            (one.kind, one.name, {key: value for key, value in one.options.items() if value != str(path)})
            for one in group.resources
        ]
        for group in config.groups
    }


@pytest.mark.parametrize(
    ("resource", "kind", "options"),
    [
        ("10.0.0.77", "vip", VIP),
        ("10.0.0.77/24", "vip", {"address": "10.0.0.77/24"}),
        ("10.0.0.77/24/eth0", "vip", {"address": "10.0.0.77/24", "interface": "eth0"}),
        ("IPaddr::10.0.0.77", "vip", VIP),
        ("IPaddr::10.0.0.77/24/eth0", "vip", {"address": "10.0.0.77/24", "interface": "eth0"}),
        ("IPaddr::10.0.0.77/24/eth0:1", "vip", {"address": "10.0.0.77/24", "interface": "eth0"}),
        ("IPaddr::10.0.0.77/24/eth0/10.0.0.255", "vip", {"address": "10.0.0.77/24", "interface": "eth0"}),
        ("IPaddr::10.0.0.77/24/10.0.0.255", "vip", {"address": "10.0.0.77/24"}),
        ("IPaddr::10.0.0.77/24/10.0.0.80", "vip", {"address": "10.0.0.77/24", "broadcast": "10.0.0.80"}),
        ("IPaddr::10.0.0.77//eth0/10.0.0.255", "vip", {**VIP, "interface": "eth0", "broadcast": "10.0.0.255"}),
        ("IPaddr::10.0.0.77/255.255.255.0", "vip", {"address": "10.0.0.77/24"}),
        ("IPaddr2::10.0.0.77/28/bond0", "vip", {"address": "10.0.0.77/28", "interface": "bond0"}),
        ("IPv6addr::fd00::77/64/eth0", "vip", {"address": "fd00::77/64", "interface": "eth0"}),
        ("IPv6addr::fd00:0:0:0:0:0:0:77", "vip", {"address": "fd00::77"}),
        ("fd00::77/64/eth0", "vip", {"address": "fd00::77/64", "interface": "eth0"}),
        (
            "Filesystem::/dev/sda1::/data::ext4::noatime",
            "filesystem",
            {"device": "/dev/sda1", "directory": "/data", "fstype": "ext4", "options": "noatime"},
        ),
        ("Filesystem::LABEL=data::/data", "filesystem", {"device": "LABEL=data", "directory": "/data"}),
        ("httpd", "heartbeat", {"script": "httpd"}),
        ("drbddisk::r0", "heartbeat", {"script": "drbddisk", "args": ["r0"]}),
        ("LVM::vg0::x", "heartbeat", {"script": "LVM", "args": ["vg0", "x"]}),
        ("IPsrcaddr::10.0.0.99", "heartbeat", {"script": "IPsrcaddr", "args": ["10.0.0.99"]}),
    ],
)
def test_what_a_resource_becomes(tmp_path: Path, resource: str, kind: str, options: dict[str, Any]) -> None:
    ((found,),) = groups(tmp_path, f"a {resource}\n").values()
    assert (found[0], found[2]) == (kind, options)


def test_a_script_is_looked_for_in_the_directory_itself_and_may_take_its_time(tmp_path: Path) -> None:
    config, _ = read(ha_dir(tmp_path, TWO_NODES, "a httpd\n"))
    (resource,) = config.groups[0].resources
    assert resource.options["directory"] == str(tmp_path)
    assert (resource.start_timeout, resource.stop_timeout) == (120.0, 120.0)


def test_a_source_address_is_a_property_of_its_vip(tmp_path: Path) -> None:
    (found,) = groups(tmp_path, "a 10.0.0.77/24/eth0 IPsrcaddr::10.0.0.77 httpd\n").values()
    assert [kind for kind, _, _ in found] == ["vip", "heartbeat"]
    assert found[0][2]["source"] is True


def test_a_line_is_a_group_in_the_order_of_its_resources(tmp_path: Path) -> None:
    text = """
        # the web
        a  IPaddr::10.0.0.77/24/eth0 \\
           Filesystem::/dev/drbd0::/srv::ext4 \\ # a comment
           httpd  MailTo::root

        B  10.0.0.88 mysql
    """
    config, _ = read(ha_dir(tmp_path, TWO_NODES, text))
    assert [(spec.name, spec.nodes) for spec in config.spec.groups] == [("httpd", ("a", "b")), ("mysql", ("b", "a"))]
    assert [one.name for one in config.groups[0].resources] == ["vip", "filesystem", "httpd", "MailTo"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("a drbddisk::r0 Filesystem::/dev/drbd0::/srv::ext4 10.0.0.1 smb", "smb"),
        ("a 10.0.0.1", "ip-10-0-0-1"),
        ("a fd00::1", "ip-fd00--1"),
        ("a Filesystem::/dev/sda1::/srv/data", "data"),
        ("a drbddisk::r0", "drbddisk"),
        ("a php5.6-fpm", "php5-6-fpm"),
        ("a all", "all-2"),
        ("a x\nb x", "x"),
    ],
)
def test_a_group_is_named_after_what_it_is_for(tmp_path: Path, line: str, name: str) -> None:
    assert next(iter(groups(tmp_path, line + "\n"))) == name


def test_two_groups_of_one_service_have_two_names(tmp_path: Path) -> None:
    assert list(groups(tmp_path, "a 10.0.0.1 httpd\nb 10.0.0.2 httpd\n")) == ["httpd", "httpd-2"]


def test_two_resources_of_one_kind_have_two_names(tmp_path: Path) -> None:
    (found,) = groups(tmp_path, "a 10.0.0.1 10.0.0.2 httpd httpd::x\n").values()
    assert [name for _, name, _ in found] == ["vip", "vip-2", "httpd", "httpd-2"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("c 10.0.0.1", 'allowed a node of ha.cf in front: "a" or "b"'),
        ("10.0.0.1 httpd", "allowed a node of ha.cf in front"),
        ("a", "allowed a node and the resources that it prefers to run"),
        ("a 10.0.0.1/33", "allowed a prefix such as 24 after the address"),
        ("a 10.0.0.300", "allowed an IPv4 or IPv6 address"),
        ("a 10.0.0.1/24/eth0/10.0.0.255/x", "allowed ADDRESS/PREFIX/INTERFACE/BROADCAST"),
        ("a IPaddr::10.0.0.1::x", "allowed ADDRESS/PREFIX/INTERFACE/BROADCAST"),
        ("a Filesystem::/dev/sda1", "allowed Filesystem::DEVICE::DIRECTORY[::TYPE[::OPTIONS]]"),
        ("a IPv6addr::fd00::1/64/eth0/10.0.0.1", "allowed no BROADCAST with IPv6"),
        ("a Filesystem", "allowed Filesystem::DEVICE::DIRECTORY"),
        ("a ::x", "allowed the name of a script, an address, or SCRIPT::ARGUMENT"),
        ("a ../x", "allowed the name of a script"),
    ],
)
def test_each_mistake_has_its_line_and_its_sentence(tmp_path: Path, line: str, sentence: str) -> None:
    (found,) = mistakes(ha_dir(tmp_path, TWO_NODES, f"\na 10.9.9.9 \\\n  x\n{line}\n"))
    assert found.startswith(f"haresources: line 4 ({line.split()[0]}): found ")
    assert sentence in found


def test_an_address_belongs_to_one_group(tmp_path: Path) -> None:
    (found,) = mistakes(ha_dir(tmp_path, TWO_NODES, "a 10.0.0.1\nb IPaddr::10.0.0.1/24\n"))
    assert found.startswith("haresources: line 2 (b): found")
    assert "allowed an address that nobody else has" in found
