"""What a new configuration changes in a running cluster, and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hamgr.config.change import change, impossible
from hamgr.config.model import Config
from hamgr.config.toml import parse

BEFORE = """
[cluster]
name = "office"
key_file = "/etc/hamgr/cluster.key"
[arbiter]
address = "10.0.9.10"
tie_breaker = "a"
[link.lan]
kind = "grpc"
port = 5411
[link.cable]
kind = "udp"
interface = "eth1"
[node.a]
address = { lan = "10.0.0.1", cable = "10.0.1.1" }
[node.b]
address = { lan = "10.0.0.2", cable = "10.0.1.2" }
[group.web]
[[group.web.resource]]
kind = "vip"
address = "10.0.0.100/24"
interface = "eth0"
[[group.web.resource]]
kind = "lsb"
name = "nginx"
script = "/etc/init.d/nginx"
"""

C = """[node.c]
address = { lan = "10.0.0.3", cable = "10.0.1.3" }
"""
PING = '[[group.web.resource]]\nkind = "tcp"\nport = 80\n'
MAIL = '[group.mail]\n[[group.mail.resource]]\nkind = "lsb"\nscript = "/etc/init.d/mail"\n'


def config(text: str) -> Config:
    return parse(text.encode(), Path("/etc/hamgr/hamgr.toml"))


def refusals(*changes: tuple[str, str], more: str = "") -> list[str]:
    text = BEFORE + more
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return [f"{problem.key}: {problem.found}" for problem in impossible(config(BEFORE), config(text))]


def test_most_things_change_while_the_cluster_runs() -> None:
    assert refusals(('name = "nginx"', 'name = "nginx"\nmonitor_interval = "1s"'), more=MAIL) == []
    found = change(config(BEFORE), config(BEFORE.replace("[group.web]", "[group.web]\npriority = 5") + MAIL))
    assert (found.idle, found.restarted) == ((), ())


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('name = "office"', 'name = "home"', "cluster.name"),
        ('key_file = "/etc/hamgr/cluster.key"', 'key_file = "/etc/other.key"', "cluster.key_file"),
        ("[arbiter]", 'state_dir = "/srv/hamgr"\n[arbiter]', "cluster.state_dir"),
        ("[arbiter]", 'admin_socket = "/run/other.sock"\n[arbiter]', "cluster.admin_socket"),
    ],
)
def test_what_a_daemon_finds_its_past_and_its_peers_with_stays(old: str, new: str, key: str) -> None:
    (refusal,) = refusals((old, new))
    assert refusal.startswith(key)


def test_one_voter_comes_or_goes_at_a_time() -> None:
    assert refusals(more=C) == []
    two = C + C.replace("node.c", "node.d").replace(".3", ".4")
    assert refusals(more=two) == ["node: node c is added, node d is added"]
    assert refusals(("10.0.9.10", "10.0.9.11"), more=C) == [], "whose vote counts is in the cluster state"
    no_arbiter = ('[arbiter]\naddress = "10.0.9.10"\ntie_breaker = "a"\n', "")
    assert refusals(no_arbiter) == []
    assert refusals(no_arbiter, more=C) == ["node: node c is added, the arbiter goes"]


def test_votes_change_as_they_like_since_old_and_new_voters_decide_that() -> None:
    for votes in (0, 2, 4):
        assert refusals(("[node.b]\n", f"[node.b]\nvotes = {votes}\n")) == []
    many = 'algorithm = "lms"\n'
    assert refusals(("[arbiter]", f"[quorum]\n{many}[arbiter]"), more=C) == []


def test_two_nodes_alone_must_meet_those_of_before_by_their_files() -> None:
    alone = config(BEFORE.replace('[arbiter]\naddress = "10.0.9.10"\ntie_breaker = "a"\n', ""))
    three = config(BEFORE.replace('[arbiter]\naddress = "10.0.9.10"\ntie_breaker = "a"\n', "") + C)
    heavy = BEFORE.replace('[arbiter]\naddress = "10.0.9.10"\ntie_breaker = "a"\n', "") + C + "votes = 5\n"
    assert [*impossible(alone, three)] == []
    (refusal,) = impossible(alone, config(heavy))
    assert refusal.found == "votes a 1, b 1, c 5"


def test_the_arbiter_that_goes_is_told_of_since_its_vote_goes_first() -> None:
    without = config(BEFORE.replace('[arbiter]\naddress = "10.0.9.10"\ntie_breaker = "a"\n', ""))
    assert change(config(BEFORE), without).without_arbiter
    assert not change(without, config(BEFORE)).without_arbiter


def test_one_link_between_any_two_nodes_stays_as_it_is() -> None:
    other_port = ("port = 5411", "port = 5412")
    assert refusals(other_port) == []
    assert refusals(other_port, ("10.0.1.2", "10.0.1.22")) == ["link: another one, or none, between a and b"]


def test_a_group_whose_resources_change_or_go_must_be_stopped_and_one_that_gets_more_starts_anew() -> None:
    def of(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found = change(config(BEFORE), config(text))
        return found.idle, found.restarted

    assert of(BEFORE.replace("10.0.0.100", "10.0.0.101")) == (("web",), ())
    assert of(BEFORE.partition("[group.web]")[0]) == (("web",), ())
    assert of(BEFORE + PING) == ((), ("web",))
    assert of(BEFORE.replace("[group.web]", "[group.web]\nenabled = false")) == ((), ())


def test_a_node_may_come_to_a_cluster_whose_arbiter_is_a_disk() -> None:
    before = BEFORE.replace('address = "10.0.9.10"', 'disk = "/dev/disk/by-id/one"')
    assert [*impossible(config(before), config(before + C))] == []
