"""What is allowed and will hurt: each warning, by the change of the example that provokes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hamgr.config.toml import load, warnings

EXAMPLE = (Path(__file__).parents[3] / "docs" / "example.toml").read_text()

ARBITER = 'address = "10.77.9.10"'


def warned(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "hamgr.toml"
    path.write_text(text)
    return [str(warning).removeprefix(f"{path}: ") for warning in warnings(load(path))]


def without(text: str, section: str) -> str:
    """The example without one section."""
    before, after = text.split(f"[{section}]", 1)
    return before + after[after.index("\n[") :]


def test_the_example_gives_no_warning(tmp_path: Path) -> None:
    assert warned(tmp_path, EXAMPLE) == []


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ('deadtime = "1s"', 'deadtime = "550ms"', "timing.deadtime: warning: deadtime 550ms is under 3 keepalives"),
        ('initdead = "10s"', 'initdead = "1s"', "timing.initdead: warning: initdead 1s is under twice the deadtime"),
        ('lease = "3s"', 'lease = "1700ms"', "timing.lease: warning: lease 1.7s is under twice the deadtime"),
        ('tie_breaker = "a"', "", "arbiter.tie_breaker: warning: no tie-breaker"),
        (ARBITER, 'address = "10.77.2.1"', "arbiter.address: warning: 10.77.2.1 is node a: when that is lost, so"),
        (ARBITER, 'address = "127.0.0.1"', "arbiter.address: warning: 127.0.0.1 is another machine on each node"),
        (ARBITER, 'address = "10.77.1.100"', "arbiter.address: warning: 10.77.1.100 is the address of group web"),
        (ARBITER, 'addresses = ["10.77.9.10", "10.77.1.2"]', "arbiter.addresses: warning: 10.77.1.2 is node b"),
        (
            'ip = "10.77.9.21"',
            'ip = "10.77.1.21"',
            "fence.bmc-a.options: warning: the fence device on the node's own link",
        ),
        ('nodes = ["a", "b"]', 'nodes = ["a"]', "group.web.nodes: warning: only node a may run group web"),
        (
            'node = "b"\nagent = "fence_hamgr_ipmi"',
            'node = "b"\nagent = "fence_hamgr_null"',
            "fence.bmc-b.agent: warning: fence_hamgr_null turns nothing off",
        ),
        ('ha = "10.77.2.1"', 'ha = "10.77.1.91"', ""),
    ],
)
def test_what_will_hurt_is_said(tmp_path: Path, old: str, new: str, warning: str) -> None:
    assert old in EXAMPLE
    found = warned(tmp_path, EXAMPLE.replace(old, new))
    assert [text for text in found if text.startswith(warning)] if warning else found == []


BMC_B = """[fence.bmc-b]
node = "b"
agent = "fence_hamgr_ipmi"
"""


def with_device(keys: str) -> str:
    return EXAMPLE.replace(BMC_B, f'[fence.more]\nnode = "b"\nlevel = 2\n{keys}\n{BMC_B}')


def test_ssh_is_weaker_and_watches_every_address(tmp_path: Path) -> None:
    keys = 'agent = "fence_hamgr_ssh"\noptions = { ip = "10.77.1.2", proof_addresses = "PROOF" }'
    found = warned(tmp_path, with_device(keys))
    assert len(found) == 2
    assert found[0].startswith("fence.more.agent: warning: fence_hamgr_ssh is weaker than a power switch")
    assert found[1].startswith("fence.more.options.proof_addresses: warning: 10.77.2.2 of link ha is not among them")
    assert len(warned(tmp_path, with_device(keys.replace("PROOF", "10.77.2.2:22")))) == 1


def test_a_pill_needs_a_node_that_dies_of_it(tmp_path: Path) -> None:
    text = with_device('agent = "fence_hamgr_disk"\noptions = { device = "/dev/sdb1", cluster = "office" }')
    weaker, nothing = warned(tmp_path, text)
    assert weaker.startswith("fence.more.agent: warning: fence_hamgr_disk is weaker than a power switch")
    assert "node b would do nothing for a poison pill" in nothing
    link = '[link.array]\nkind = "disk"\ndevice = "/dev/sdb1"\nreset = "/proc/sysrq-trigger"\n'
    assert warned(tmp_path, text.replace("[fence.more]", f"{link}[fence.more]")) == [weaker]


def test_a_stonith_plugin_is_believed(tmp_path: Path) -> None:
    (found,) = warned(tmp_path, with_device('agent = "fence_hamgr_stonith"\noptions = { plugin = "null" }'))
    assert "believes what the plug-in says" in found


def test_a_human_as_the_last_level_is_no_mistake(tmp_path: Path) -> None:
    assert warned(tmp_path, with_device('agent = "fence_hamgr_manual"')) == []


def test_a_human_beside_a_device_makes_its_level_useless(tmp_path: Path) -> None:
    (found,) = warned(tmp_path, with_device('agent = "fence_hamgr_manual"').replace("level = 2", "level = 1"))
    assert found.startswith("fence.more.level: warning: level 1 of node b never succeeds")


@pytest.mark.parametrize("agent", ["fence_hamgr_disk", "fence_hamgr_ssh", "fence_hamgr_manual"])
def test_a_reboot_by_an_agent_that_switches_nothing_on_is_told_of(tmp_path: Path, agent: str) -> None:
    text = with_device(f'agent = "{agent}"\noptions = {{}}')
    wanted = f'fence.more.agent: warning: fence_action = "reboot" switches nothing on with {agent}: '
    assert not any(found.startswith(wanted) for found in warned(tmp_path, text))
    text = text.replace("[cluster]", '[cluster]\nfence_action = "reboot"', 1)
    assert any(found.startswith(wanted) for found in warned(tmp_path, text))


def test_a_human_alone_is_told_of(tmp_path: Path) -> None:
    text = without(EXAMPLE, "fence.bmc-b") + '\n[fence.human]\nnode = "b"\nagent = "fence_hamgr_manual"\n'
    (found,) = warned(tmp_path, text)
    assert found.startswith("fence.human.agent: warning: only a human fences node b")


def test_one_link_only(tmp_path: Path) -> None:
    text = without(EXAMPLE, "link.lan").replace('lan = "10.77.1.1", ', "").replace('lan = "10.77.1.2", ', "")
    assert any(text.startswith("link: warning: only one link (ha)") for text in warned(tmp_path, text))


def test_all_links_in_one_network(tmp_path: Path) -> None:
    text = EXAMPLE.replace("10.77.2.1", "10.77.1.91").replace("10.77.2.2", "10.77.1.92")
    assert any("all links are in the same subnet" in warning for warning in warned(tmp_path, text))


def test_no_fence_device(tmp_path: Path) -> None:
    found = warned(tmp_path, without(EXAMPLE, "fence.bmc-b"))
    assert len(found) == 1
    assert found[0].startswith("node.b: warning: no fence device for node b")
    assert "hamgr fence ack b" in found[0]


def test_votes_that_leave_no_quorum_or_need_nobody_else(tmp_path: Path) -> None:
    heavy = EXAMPLE.replace("[node.b]\n", "[node.b]\nvotes = 3\n")
    (warning,) = warned(tmp_path, heavy)
    assert warning.startswith("node.b.votes: warning: 3 of 5 votes are a quorum alone: without b the others run")
    (warning,) = warned(tmp_path, without(heavy, "arbiter"))
    assert "3 of 4 votes are a quorum alone" in warning


def test_an_arbiter_for_an_odd_number_of_votes_is_more_to_lose(tmp_path: Path) -> None:
    (warning,) = warned(tmp_path, EXAMPLE.replace("[node.b]\n", "[node.b]\nvotes = 2\n"))
    assert warning.startswith("arbiter: warning: no split cuts 3 votes of nodes into halves")
    assert "needs 3 of 4 also while it is away, where 2 of 3 would do" in warning


def test_many_votes_of_the_arbiter_are_missed_while_it_is_away(tmp_path: Path) -> None:
    text = EXAMPLE.replace("[arbiter]", '[quorum]\nalgorithm = "lms"\n[arbiter]')
    assert warned(tmp_path, text) == [], "of two nodes each is the other's last"
    (warning,) = warned(tmp_path, text.replace("[node.b]\n", "[node.b]\nvotes = 2\n"))
    assert warning.startswith('quorum.algorithm: warning: with "lms" the arbiter has 2 of 5 votes')


def test_no_arbiter_with_two_nodes(tmp_path: Path) -> None:
    assert "whoever fences first wins" in warned(tmp_path, without(EXAMPLE, "arbiter"))[0]


def test_two_nodes_whose_devices_are_slower_than_the_delay_shoot_each_other(tmp_path: Path) -> None:
    two = without(EXAMPLE, "arbiter")
    key, delay = "fence.bmc-b: warning: an off takes at least", '[cluster]\nfence_delay = "DELAY"'
    slow = two.replace('ip = "10.77.9.22"', 'ip = "10.77.9.22", power_wait = 2.5')
    assert not [text for text in warned(tmp_path, two) if text.startswith(key)]
    (text,) = [text for text in warned(tmp_path, slow) if text.startswith(key)]
    assert text.startswith(f"{key} 2.5s, and b waits 2s before it shoots: when the nodes lose each other")
    patient = slow.replace("[cluster]", delay.replace("DELAY", "3s"))
    assert not [text for text in warned(tmp_path, patient) if text.startswith(key)]


def test_the_proof_of_ssh_takes_longer_than_the_delay(tmp_path: Path) -> None:
    keys = 'agent = "fence_hamgr_ssh"\noptions = { ip = "10.77.1.2", proof_addresses = "10.77.2.2" }'
    two = with_device(keys).split("[arbiter]")
    text = two[0] + two[1][two[1].index("\n[") :]
    assert [line for line in warned(tmp_path, text) if line.startswith("fence.more: warning: an off takes at least 4s")]


def test_a_delay_that_holds_nobody_back_is_said(tmp_path: Path) -> None:
    text = EXAMPLE.replace("[cluster]", '[cluster]\nfence_delay = "5s"')
    (line,) = warned(tmp_path, text)
    assert line.startswith("cluster.fence_delay: warning: has no effect: only one side of this cluster")


def test_two_nodes_that_shoot_at_once_are_said(tmp_path: Path) -> None:
    text = without(EXAMPLE, "arbiter").replace("[cluster]", '[cluster]\nfence_delay = "0s"')
    assert [line for line in warned(tmp_path, text) if line.startswith("cluster.fence_delay: warning: nobody waits")]
    apart = text.replace('node = "a"\nagent', 'node = "a"\ndelay = "3s"\nagent')
    assert not [line for line in warned(tmp_path, apart) if "nobody waits" in line]
