"""Real daemons, real sockets, real BMCs: what each fault does to the address, asked from the client all the time.

Every test watches the VIP with client requests and with ARP questions; two owners at once fail any of them.
"""

from __future__ import annotations

import json
import signal
import sys

import pytest
from clusters import FAST, kinds, watched

from hamgr.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.root]


def heard_on(lab: Lab, reporter: str, node: str, link: str) -> bool:
    found = next(entry for entry in lab.status(reporter)["nodes"] if entry["name"] == node)
    return next(entry["up"] for entry in found["links"] if entry["link"] == link)


def coordinator(lab: Lab) -> str:
    return lab.status("b")["coordinator"] or "b"


def waits(lab: Lab, reporter: str) -> str:
    return " ".join(lab.status(reporter)["groups"][0]["waits"])


def awaited(lab: Lab, reporter: str, words: str) -> bool:
    return words in waits(lab, reporter)


def test_a_dead_machine_is_fenced_and_its_address_taken_over_and_given_back(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").power_off()
        prober.wait_for_answer("b")
        events = kinds(cluster, "b")
        order = ["node-suspected", "node-dead", "vote-asked", "coordinator", "fence-asked", "fence-confirmed"]
        assert [kind for kind in events if kind in order][-len(order) :] == order
        assert events.index("fence-confirmed") < len(events) - 1 - events[::-1].index("group-starting")
        cluster.node("a").power_on()
        prober.wait_for_answer("a")
    assert cluster.owners() == ["a"]
    told = cluster.node("a").exec(["hamgr", "--config", str(cluster.layout.config), "fence", "history", "a", "--json"])
    (fence,) = json.loads(told.stdout)["fences"]
    assert (fence["by"], fence["outcome"], fence["devices"]) == ("b", "confirmed", ["bmc-a"]), "b told the victim of it"


def test_a_killed_daemon_on_a_living_machine_is_fenced(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").kill_daemon(signal.SIGKILL)
        prober.wait_for_answer("b")
    assert not cluster.node("a").is_on()


def test_a_daemon_that_comes_back_at_once_adopts_what_runs(lab) -> None:
    cluster: Lab = lab(**FAST | {"deadtime": "2s", "lease": "5s"})
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").kill_daemon(signal.SIGKILL)
        cluster.node("a").start_daemon()
        cluster.wait(lambda: "coordinator" in kinds(cluster, "a"), 10, "a to find its cluster again")
        cluster.wait(lambda: cluster.status("a")["groups"][0]["owner"] == "a", 10, "a to own the group")
    assert [outage for outage in prober.outages() if outage.end is None] == []
    assert {answer.node for answer in prober.answers()} == {"a"}
    assert "fence-asked" not in kinds(cluster, "b")


def test_a_stopped_owner_that_wakes_after_its_lease_is_never_a_second_owner(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    cluster.bmc("a").refuse()
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").kill_daemon(signal.SIGSTOP)
        # The second try comes after fence_retry, 5 s: long after a's lease, 1.5 s, has ended.
        cluster.wait(lambda: kinds(cluster, "b").count("fence-failed") == 2, 20, "the fencing of a to fail twice")
        assert awaited(cluster, "b", "hamgr fence ack a") or awaited(cluster, "b", "waits for a to be off")
        cluster.node("a").kill_daemon(signal.SIGCONT)
        cluster.wait(lambda: "paused" in kinds(cluster, "a"), 10, "a to notice its pause")
        cluster.wait(lambda: "quorum-lost" in kinds(cluster, "a"), 10, "a to give its groups up")
        cluster.wait(lambda: cluster.status(coordinator(cluster))["groups"][0]["owner"] == "a", 15, "a to own it again")
        cluster.wait_for_owner("a")
    assert cluster.node("a").is_on()


def test_a_stopped_owner_is_fenced_when_its_bmc_works(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").kill_daemon(signal.SIGSTOP)
        prober.wait_for_answer("b")
    assert not cluster.node("a").is_on()


def test_with_both_links_cut_exactly_one_wins_and_the_other_is_fenced(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    with watched(cluster):
        cluster.cut("a", "ha")
        cluster.separate("a", "b")
        cluster.wait(
            lambda: [cluster.node(name).is_on() for name in "ab"].count(True) == 1, 20, "one of the two to be fenced"
        )
        (winner,) = [name for name in "ab" if cluster.node(name).is_on()]
        cluster.wait_for_owner(winner)
    assert winner == "a", "the side that runs the group wins"


def test_one_cut_link_moves_nothing_and_is_named(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.cut("b", "ha")
        cluster.wait(lambda: not heard_on(cluster, "a", "b", "ha"), 10, "the link ha to be reported")
        assert any(e.kind == "link-down" and e.link == "ha" for e in cluster.events("a"))
        cluster.heal()
        cluster.wait(lambda: heard_on(cluster, "a", "b", "ha"), 10, "the link ha to come back")
    assert {answer.node for answer in prober.answers()} == {"a"}
    assert "node-dead" not in kinds(cluster, "a")


def test_without_the_arbiter_a_lost_peer_leaves_the_survivor_stopped(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    cluster.arbiter.kill()
    cluster.wait(lambda: not cluster.status("b")["arbiter"]["connected"], 10, "b to miss the arbiter")
    assert cluster.owners() == ["a"]
    with watched(cluster):
        cluster.node("a").power_off()
        cluster.wait(lambda: "node-dead" in kinds(cluster, "b"), 10, "b to miss a")
        cluster.wait(lambda: not cluster.status("b")["quorate"], 10, "b to lose its quorum")
        assert cluster.owners() == []
        assert "fence-asked" not in kinds(cluster, "b")
        cluster.arbiter.start()
        cluster.wait_for_owner("b")
    assert "fence-confirmed" in kinds(cluster, "b")


def test_an_arbiter_killed_in_the_middle_of_a_decision_votes_once(lab) -> None:
    cluster: Lab = lab(**FAST | {"settle": "500ms", "lease": "2s"})
    cluster.wait_for_owner("a")
    with watched(cluster):
        cluster.separate("a", "b")
        cluster.wait(lambda: "vote-asked" in kinds(cluster, "b"), 10, "b to ask for the votes")
        cluster.arbiter.kill()
        cluster.arbiter.start()
        cluster.wait(
            lambda: [cluster.node(name).is_on() for name in "ab"].count(True) == 1, 20, "one of the two to be fenced"
        )
        (winner,) = [name for name in "ab" if cluster.node(name).is_on()]
        cluster.wait_for_owner(winner)


@pytest.mark.parametrize("mood", ["refuse", "hang"])
def test_nothing_starts_while_the_bmc_does_not_confirm_and_an_operator_can_release_it(lab, mood: str) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    getattr(cluster.bmc("a"), mood)()
    socket = str(cluster.layout.admin_socket("b"))
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").kill_daemon()
        cluster.wait(lambda: awaited(cluster, "b", "waits for a to be off"), 10, "the takeover to wait")
        if mood == "refuse":
            cluster.wait(lambda: "fence-failed" in kinds(cluster, "b"), 15, "the fencing to fail")
        assert cluster.owners() == ["a"], "a's daemon is dead, its address is not; b must not touch it"
        refused = cluster.node("b").exec(["hamgr", "--socket", socket, "fence", "ack", "b", "--yes"], check=False)
        assert refused.returncode == 1, "a node that is heard is not off"
        cluster.node("a").power_off()
        assert cluster.owners() == [], "only a confirmation lets b start it"
        assert cluster.node("b").exec(["hamgr", "--socket", socket, "fence", "ack", "a", "--yes"]).returncode == 0
        prober.wait_for_answer("b")
    assert "fence-acknowledged" in kinds(cluster, "b")


def test_a_node_that_starts_alone_fences_the_other_and_starts(lab) -> None:
    cluster: Lab = lab(**FAST | {"powered": ("a", "b")})
    cluster.wait_for_owner("a")
    for name in "ab":
        cluster.node(name).power_off()
    with watched(cluster):
        cluster.node("b").power_on()
        cluster.wait_for_owner("b", 30)
        assert "fence-confirmed" in kinds(cluster, "b")


def test_both_started_together_fence_nobody(lab) -> None:
    cluster: Lab = lab(**FAST)
    with watched(cluster):
        cluster.wait_for_owner("a")
    for name in "ab":
        assert "fence-asked" not in kinds(cluster, name)


def test_standby_moves_the_group_and_online_brings_it_back(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    socket = str(cluster.layout.admin_socket("b"))
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        assert cluster.node("b").exec(["hamgr", "--socket", socket, "standby", "a"]).returncode == 0
        prober.wait_for_answer("b")
        assert cluster.node("b").exec(["hamgr", "--socket", socket, "standby", "b"], check=False).returncode == 1
        assert cluster.node("b").exec(["hamgr", "--socket", socket, "online", "a"]).returncode == 0
        prober.wait_for_answer("a")


def test_a_clean_end_of_the_daemon_moves_the_group_and_fences_nobody(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").kill_daemon(signal.SIGTERM)
        prober.wait_for_answer("b")
        cluster.wait(lambda: "node-left" in kinds(cluster, "b"), 10, "a to say farewell")
    assert cluster.node("a").is_on()
    assert "fence-asked" not in kinds(cluster, "b")


def test_a_service_that_dies_is_restarted_then_moved(lab) -> None:
    cluster: Lab = lab(**FAST, service=True)
    cluster.wait_for_owner("a")
    cluster.wait(lambda: cluster.status("a")["groups"][0]["state"] == "started", 10, "web to run on a")
    with watched(cluster):
        cluster.node("a").exec(["pkill", "-9", "nginx"])
        cluster.wait(lambda: kinds(cluster, "a").count("group-started") == 2, 20, "nginx to be started again on a")
        assert cluster.owners() == ["a"]
        cluster.node("a").exec(["pkill", "-9", "nginx"])
        cluster.wait_for_owner("b")
    assert any("stays away from a" in event.text for event in cluster.events("a"))
    for name in "ab":
        assert "fence-asked" not in kinds(cluster, name)


def test_takeover_holds_until_its_node_leaves(lab) -> None:
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    socket = str(cluster.layout.admin_socket("b"))
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        assert cluster.node("b").exec(["hamgr", "--socket", socket, "takeover", "web"]).returncode == 0
        prober.wait_for_answer("b")
        cluster.wait_for_owner("b")
        cluster.node("b").kill_daemon(signal.SIGTERM)
        prober.wait_for_answer("a")
        cluster.wait(lambda: not cluster.layout.daemon_pid("b").exists(), 10, "the daemon of b to end")
        cluster.node("b").start_daemon()
        cluster.wait(lambda: cluster.status("b")["quorate"], 20, "b to be back")
    assert cluster.owners() == ["a"]


def test_a_cluster_without_an_arbiter_lets_the_side_that_runs_more_shoot_first(lab) -> None:
    cluster: Lab = lab(**FAST | {"lease": "3s"}, arbiter=False)
    cluster.wait_for_owner("a")
    with watched(cluster):
        cluster.separate("a", "b")
        cluster.wait(lambda: not cluster.node("b").is_on(), 20, "b to be fenced by a, which runs the group")
    assert cluster.node("a").is_on()
    assert cluster.owners() == ["a"]


def test_strangers_change_nothing(lab) -> None:
    """Random bytes, and a heartbeat of this cluster sealed with another key, at the link's own port."""
    cluster: Lab = lab(**FAST)
    cluster.wait_for_owner("a")
    attack = (
        "import os, socket\n"
        "from hamgr.core.messages import Heartbeat, Packet\n"
        "from hamgr.links.codec import Codec\n"
        "codec = Codec('lab', 'a', {1: bytes(32)}, 1, 99)\n"
        "out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for number in range(2000):\n"
        "    forged = codec.seal('ha', Packet('a', 99, 'b', 0, Heartbeat(number, 9, 'a')))\n"
        "    out.sendto(os.urandom(number % 300) if number % 2 else forged, ('10.77.2.2', 694))\n"
    )
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        before = kinds(cluster, "b")
        cluster.node("a").exec([sys.executable, "-c", attack])
        cluster.wait(lambda: "dropped" in cluster.node("b").log(), 10, "b to say what it drops")
    assert kinds(cluster, "b") == before
    assert cluster.node("b").log().count("dropped") < 10, "the log is rate-limited"
    assert {answer.node for answer in prober.answers()} == {"a"}


def test_in_maintenance_a_daemon_is_restarted_and_a_machine_is_not_fenced(lab) -> None:
    cluster: Lab = lab(**FAST, service=True)
    cluster.wait_for_owner("a")
    cluster.wait(lambda: cluster.status("a")["groups"][0]["state"] == "started", 10, "web to run on a")
    config = str(cluster.layout.config)
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        assert cluster.node("b").exec(["hamgr", "--config", config, "maintenance", "on"]).returncode == 0
        assert "MAINTENANCE" in cluster.node("a").exec(["hamgr", "--config", config, "status"]).stdout
        cluster.node("a").kill_daemon(signal.SIGTERM)
        cluster.wait(lambda: not cluster.layout.daemon_pid("a").exists(), 10, "the daemon of a to end")
        cluster.wait(lambda: "node-dead" in kinds(cluster, "b"), 10, "b to miss a")
        refused = cluster.node("b").exec(["hamgr", "--config", config, "maintenance", "off"], check=False)
        assert refused.returncode == 1
        assert "a would be fenced" in refused.stderr
        cluster.node("a").start_daemon()
        cluster.wait(lambda: cluster.status("a")["quorate"], 20, "a to be back")
        off = ["hamgr", "--config", config, "maintenance", "off"]
        cluster.wait(lambda: cluster.node("b").exec(off, check=False).returncode == 0, 20, "the maintenance to end")
        cluster.wait(lambda: cluster.status("a")["groups"][0]["owner"] == "a", 10, "a to own the group")
        assert cluster.owners() == ["a"]
    assert {answer.node for answer in prober.answers()} == {"a"}
    assert all(outage.end is not None for outage in prober.outages())
    assert "fence-asked" not in kinds(cluster, "b")
    assert cluster.node("a").is_on()


def test_a_service_that_lives_but_answers_errors_is_restarted_then_moved(lab) -> None:
    cluster: Lab = lab(**FAST, service=True, check=True)
    cluster.wait_for_owner("a")
    cluster.wait(lambda: cluster.status("a")["groups"][0]["state"] == "started", 10, "web to run on a")
    spoil = ["touch", f"{cluster.layout.here}/nginx/broken"]
    with watched(cluster):
        cluster.node("a").exec(spoil)
        cluster.wait(lambda: kinds(cluster, "a").count("group-started") == 2, 20, "nginx to be started again on a")
        cluster.node("a").exec(spoil)
        cluster.wait_for_owner("b")
    assert any("http: it answers 500" in event.text for event in cluster.events("a"))
    for name in "ab":
        assert "fence-asked" not in kinds(cluster, name)
