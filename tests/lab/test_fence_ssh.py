"""fence_hamgr_ssh against a real sshd on a machine that really dies of it, or does not."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
from clusters import FAST, kinds, watched
from servers import needs
from victims import BOOT, Keys, fences, make_keys, scripts, set_mood

from hamgr.lab.lab import Lab
from hamgr.lab.plan import client_address, node_address, node_address6

pytestmark = [pytest.mark.lab, pytest.mark.root]

VICTIM = "a"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    needs(("sshd", "openssh-server"), ("ssh", "openssh-client"))
    return make_keys(tmp_path)


@pytest.fixture
def machines(lab, keys: Keys) -> Lab:
    """Two machines with sshd, and no cluster on them."""
    return lab(daemons=False, arbiter=False, boot=BOOT, scripts=scripts(keys))


class Agent:
    """fence_hamgr_ssh on b, aimed at a."""

    def __init__(self, machines: Lab, keys: Keys) -> None:
        self._lab = machines
        self._flags = {
            "ip": node_address(VICTIM, "mgmt"),
            "identity-file": str(machines.layout.here / "id"),
            "host-key": keys.hosts[VICTIM],
            "proof-time": "1",
        }

    def command(self, action: str, **more: str) -> list[str]:
        given = self._flags | {name.replace("_", "-"): value for name, value in more.items()}
        flags = [word for name, value in given.items() if value for word in (f"--{name}", value)]
        return ["fence_hamgr_ssh", "--action", action, *flags]

    def __call__(self, action: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self._lab.node("b").exec(self.command(action, **more), check=False)


@pytest.fixture
def agent(machines: Lab, keys: Keys) -> Agent:
    return Agent(machines, keys)


def was_told(lab: Lab) -> bool:
    return (lab.layout.disk(VICTIM) / "ordered").exists()


def was_visited(lab: Lab) -> bool:
    return (lab.layout.disk(VICTIM) / "visited").exists()


@pytest.mark.parametrize("method", ["sysrq", "poweroff"])
def test_a_victim_that_dies_is_off_by_its_word_and_its_silence(machines: Lab, agent: Agent, method: str) -> None:
    lan = node_address(VICTIM, "lan")
    began = time.monotonic()
    done = agent("off", method=method, proof_addresses=f"{lan}, {lan}:22")
    assert done.returncode == 0, done.stderr
    assert not machines.node(VICTIM).is_on()
    assert f"{lan} (ping), {lan}:22" in done.stdout
    assert time.monotonic() - began > 1.0, "it was silent for less than proof_time"


def test_a_victim_at_an_ipv6_address(machines: Lab, agent: Agent) -> None:
    six = node_address6(VICTIM)
    done = agent("off", ip=six, proof_addresses=f"[{six}]:22")
    assert done.returncode == 0, done.stderr
    assert f"[{six}]:22, {six} (ping) and its session" in done.stdout
    assert not machines.node(VICTIM).is_on()


def test_status_is_on_or_unknown_and_never_off(machines: Lab, agent: Agent) -> None:
    assert agent("status").returncode == 0
    assert agent("monitor").returncode == 0
    assert agent("off").returncode == 0
    after = agent("status", login_timeout="1")
    assert after.returncode == 1
    assert "no login" in after.stderr


def test_a_victim_that_says_so_and_lives_on_is_not_fenced(machines: Lab, agent: Agent) -> None:
    set_mood(machines, VICTIM, "ignores")
    done = agent("off", power_timeout="1")
    assert done.returncode == 1
    assert "outcome unknown" in done.stderr
    assert "still lives after 1 s" in done.stderr
    assert was_told(machines)
    assert machines.node(VICTIM).is_on()


def test_a_victim_whose_sshd_hangs_at_the_order_is_not_fenced(machines: Lab, agent: Agent) -> None:
    """Its session is silent then, but its kernel answers."""
    set_mood(machines, VICTIM, "hangs")
    done = agent("off", power_timeout="1")
    assert done.returncode == 1
    assert "outcome unknown" in done.stderr
    assert "(ping)" in done.stderr


def test_a_frozen_victim_is_told_nothing_and_not_fenced(machines: Lab, agent: Agent) -> None:
    pid = (machines.layout.disk(VICTIM) / "sshd.pid").read_text().strip()
    machines.node(VICTIM).exec(["kill", "-STOP", pid])
    done = agent("off", login_timeout="1")
    assert done.returncode == 1
    assert "no login" in done.stderr
    assert not was_told(machines)


def test_an_address_that_still_answers_keeps_it_from_being_fenced(machines: Lab, agent: Agent) -> None:
    """A router, or a second machine with the victim's address: whatever answers there may be the victim."""
    done = agent("off", power_timeout="2", proof_addresses=client_address())
    assert done.returncode == 1
    assert f"{client_address()} (ping)" in done.stderr


@pytest.mark.parametrize("pin", ["line", "fingerprint"])
def test_another_host_key_is_refused_before_anything_is_said(
    machines: Lab, agent: Agent, keys: Keys, pin: str
) -> None:
    other = {"line": keys.hosts["b"], "fingerprint": keys.fingerprints["b"]}[pin]
    done = agent("off", host_key=other)
    assert done.returncode == 1
    assert "Host key verification failed" in done.stderr
    assert not was_visited(machines)


def test_a_fingerprint_is_as_good_as_the_key(machines: Lab, agent: Agent, keys: Keys) -> None:
    assert agent("status", host_key=keys.fingerprints[VICTIM]).returncode == 0


def test_known_hosts_pins_too(machines: Lab, agent: Agent, keys: Keys) -> None:
    known = machines.layout.directory / "known"
    known.write_text(f"{node_address(VICTIM, 'mgmt')} {keys.hosts[VICTIM]}\n")
    assert agent("status", host_key="", known_hosts=str(known)).returncode == 0
    known.write_text(f"{node_address(VICTIM, 'mgmt')} {keys.hosts['b']}\n")
    assert agent("status", host_key="", known_hosts=str(known)).returncode == 1


def test_the_file_of_the_user_who_runs_it_vouches_for_nobody(machines: Lab, agent: Agent, keys: Keys) -> None:
    known = machines.layout.directory / "empty"
    known.touch()
    done = agent("status", host_key="", known_hosts=str(known))
    assert done.returncode == 1
    assert "Host key verification failed" in done.stderr


def test_a_cut_of_our_own_network_is_no_death(machines: Lab, agent: Agent) -> None:
    """The victim lives on, and we hear nobody: the witness tells."""
    set_mood(machines, VICTIM, "ignores")
    command = agent.command("off", power_timeout="10", witness_addresses="10.77.9.50")
    with subprocess.Popen(
        machines.node("b").command(command), env=machines.environment, stderr=subprocess.PIPE, text=True
    ) as off:
        try:
            machines.wait(lambda: was_told(machines), 10, "the victim to be told")
            machines.cut("b", "mgmt")
            _, said = off.communicate(timeout=20)
        finally:
            off.kill()
    assert off.returncode == 1
    assert "our own network may be what is cut" in said


def test_a_key_that_the_victim_does_not_know_is_refused(machines: Lab, agent: Agent, tmp_path: Path) -> None:
    stranger = machines.layout.directory / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)], check=True)
    done = agent("off", identity_file=str(stranger))
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    assert not was_told(machines)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host_key": ""}, "one of the options host_key and known_hosts"),
        ({"host_key": "ssh-ed25519 AAAA"}, "option host_key"),
        ({"host_key": "SHA256:short"}, "option host_key"),
        ({"ip": "node-a"}, "allowed: an IPv4 or IPv6 address"),
        ({"proof_addresses": "10.0.0.1, nonsense"}, "option proof_addresses: found 'nonsense'"),
        ({"proof_time": "0.2"}, "option proof_time"),
        ({"identity_file": "/nowhere"}, "option identity_file"),
    ],
)
def test_wrong_options_are_refused(machines: Lab, agent: Agent, options: dict[str, str], words: str) -> None:
    done = agent("validate-all", **options)
    assert done.returncode == 1
    assert words in done.stderr


def test_a_dead_daemon_on_a_living_machine_is_fenced_by_ssh_and_its_address_taken_over(lab, keys: Keys) -> None:
    cluster: Lab = lab(**FAST, boot=BOOT, scripts=scripts(keys), fences=fences(keys))
    cluster.wait_for_owner("a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        cluster.node("a").kill_daemon(signal.SIGSTOP)
        prober.wait_for_answer("b")
    assert not cluster.node("a").is_on()
    confirmed = next(event for event in cluster.events("b") if event.kind == "fence-confirmed")
    assert "by its own word, then silent" in confirmed.text


def test_a_victim_without_power_is_not_believed_to_be_off(lab, keys: Keys) -> None:
    """Nobody can log in to it: the address stays down until somebody says so."""
    cluster: Lab = lab(**FAST, boot=BOOT, scripts=scripts(keys), fences=fences(keys, login_timeout="1"))
    cluster.wait_for_owner("a")
    cluster.node("a").power_off()
    cluster.wait(lambda: "fence-failed" in kinds(cluster, "b"), 20, "the fencing to fail")
    assert cluster.owners() == []
    socket = str(cluster.layout.here / "admin.sock")
    cluster.node("b").exec(["hamgr", "--socket", socket, "fence", "ack", "a", "--yes"])
    cluster.wait_for_owner("b")
