"""A node comes into the file, or goes out of it, and everything else stays as it was written."""

from __future__ import annotations

import pytest

from hamgr.config.edit import EditError, NewNode, with_node, without_node

TEXT = """# Our cluster.
[cluster]
name = "office"   # as in DNS
two_node = true

[link.lan]
kind = "grpc"

[link.cable]
kind = "udp"
nodes = ["a", "b"]
interface = "eth1"  # crossed

[node.a]
address = { lan = "10.0.0.1", cable = "10.0.1.1" }
# The old one.
[node.b]
address = { lan = "10.0.0.2", cable = "10.0.1.2" }

[fence.bmc-a]
node = "a"
agent = "fence_x"

[group.web]
nodes = ["b", "a"]
"""


def test_a_node_is_added_behind_the_others_and_two_node_goes() -> None:
    new = with_node(TEXT, NewNode("c", {"lan": "10.0.0.3"}, {}, "fence_ipmilan", {"ip": "10.0.9.3"}))
    added = '[node.c]\naddress = {lan = "10.0.0.3"}\n'
    device = '[fence.c]\nnode = "c"\nagent = "fence_ipmilan"\noptions = {ip = "10.0.9.3"}\n'
    assert added in new
    assert device in new
    assert new.index("[node.b]") < new.index("[node.c]")
    kept = new.replace(added, "").replace(device, "").split("\n")
    assert [line for line in kept if line] == [line for line in TEXT.split("\n") if line and "two_node" not in line]


def test_an_own_interface_makes_a_table_of_one_for_all() -> None:
    new = with_node(TEXT, NewNode("c", {"cable": "10.0.1.3"}, {"cable": "enp3s0"}))
    assert 'nodes = ["a", "b", "c"]' in new
    assert 'interface = {a = "eth1", b = "eth1", c = "enp3s0"}' in new
    same = with_node(TEXT, NewNode("c", {"cable": "10.0.1.3"}, {"cable": "eth1"}))
    assert 'interface = "eth1"  # crossed' in same


def test_a_node_goes_wherever_it_is_named() -> None:
    three = with_node(TEXT, NewNode("c", {"lan": "10.0.0.3", "cable": "10.0.1.3"}, {"cable": "x"}, "fence_y"))
    arbiter = '[arbiter]\naddress = "1.2.3.4"\ntie_breaker = "c"\n'
    two = without_node(three.replace('["b", "a"]', '["b", "c", "a"]') + arbiter, "c")
    assert '"c"' not in two
    assert ".c]" not in two
    assert "c =" not in two.replace("address", "")
    assert "# The old one." in two


def test_what_can_not_be_done_is_one_sentence() -> None:
    three = with_node(TEXT, NewNode("c"))
    for act, sentence in (
        (lambda: with_node(TEXT, NewNode("b")), "node b is in the file already"),
        (lambda: with_node(TEXT, NewNode("c", {"wan": "1.1.1.1"})), "there is no link 'wan'; there are lan, cable"),
        (lambda: without_node(TEXT, "b"), "b is one of the last two nodes"),
        (lambda: without_node(three, "d"), "there is no node 'd'; there are a, b, c"),
        (lambda: without_node(three.replace('["b", "a"]', '["b"]'), "b"), "group web may run on b alone"),
        (lambda: with_node("= 1", NewNode("c")), "the file is no TOML"),
    ):
        with pytest.raises(EditError) as refused:
            act()
        assert sentence in str(refused.value)
