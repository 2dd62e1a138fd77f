"""The lab itself: its power really ends a machine, its faults cut what they name, and nothing is left of it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import LabFactory, why_no_lab

from hamgr.lab.lab import Lab, LabError
from hamgr.lab.namespaces import missing_tools, search_path
from hamgr.lab.plan import VIP, Fencing, Options, bmc_address, node_address

pytestmark = pytest.mark.lab

BARE = {"fencing": Fencing.NONE, "daemons": False}
"""Machines, networks and responders, without hamgr."""


def reaches(lab: Lab, machine: str, address: str) -> bool:
    done = lab.node(machine).exec(["ping", "-c", "1", "-w", "1", address], check=False)
    return done.returncode == 0


def give_vip(lab: Lab, node: str) -> None:
    lab.node(node).exec(["ip", "address", "add", f"{VIP}/24", "dev", "eth0"])


def test_nodes_reach_one_another_on_both_networks_and_the_arbiter_on_the_third(lab: LabFactory) -> None:
    one = lab(**BARE)
    assert all(reaches(one, "a", node_address("b", network)) for network in ("lan", "ha", "mgmt"))
    assert reaches(one, "a", "10.77.9.10")
    assert reaches(one, "client", "fd77:1::2")


def test_a_power_off_ends_every_process_even_a_stopped_one(lab: LabFactory) -> None:
    one = lab(**BARE)
    stopped = subprocess.Popen(one.node("a").command(["sh", "-c", "kill -STOP 1 $$"]), env=one.environment)
    os.waitpid(stopped.pid, os.WUNTRACED)
    one.node("a").power_off()
    assert not one.node("a").is_on()
    assert not reaches(one, "b", node_address("a", "lan"))
    stopped.send_signal(signal.SIGCONT)
    assert stopped.wait(5) != 0


def test_a_machine_comes_back_with_its_disk_and_addresses_and_as_another_boot(lab: LabFactory) -> None:
    one = lab(**BARE)
    boots = []
    for _ in range(2):
        one.node("a").exec(["sh", "-c", f"cat /proc/1/stat >>{one.layout.here}/boots"])
        boots = (one.layout.disk("a") / "boots").read_text().splitlines()
        one.node("a").power_off()
        one.node("a").power_on()
    assert len(set(boots)) == 2
    assert reaches(one, "client", node_address("a", "lan"))


def test_a_cut_takes_one_network_of_one_node_and_heal_gives_it_back(lab: LabFactory) -> None:
    one = lab(**BARE)
    one.cut("a", "ha")
    assert not reaches(one, "b", node_address("a", "ha"))
    assert reaches(one, "b", node_address("a", "lan"))
    assert "LOWER_UP" in one.node("a").exec(["ip", "link", "show", "eth1"]).stdout, "a cut must not be told"
    one.node("a").power_off()
    one.node("a").power_on()
    assert not reaches(one, "b", node_address("a", "ha")), "a cut cable stays cut over a reboot"
    one.heal("a", "ha")
    one.wait(lambda: reaches(one, "b", node_address("a", "ha")), 5, "the healed link")


def test_separated_nodes_are_still_reached_by_all_others(lab: LabFactory) -> None:
    one = lab(**BARE)
    one.separate("a", "b")
    assert not any(reaches(one, "a", node_address("b", network)) for network in ("lan", "ha", "mgmt"))
    assert all(reaches(one, "client", node_address(node, "lan")) for node in "ab")
    one.heal()
    one.wait(lambda: reaches(one, "a", node_address("b", "lan")), 5, "the healed nodes")


def test_the_prober_sees_who_answers_and_how_long_nobody_did(lab: LabFactory) -> None:
    one = lab(**BARE)
    give_vip(one, "a")
    with one.watch_vip() as prober:
        prober.wait_for_answer("a", 5)
        one.cut("a", "lan")
        cut = time.monotonic()
        one.wait(lambda: time.monotonic() > cut + 0.1, 5)
        one.heal()
        prober.wait_for_answer("a", 5)
    (outage,) = [outage for outage in prober.outages() if outage.end is not None]
    assert 0.1 <= outage.duration(now=0.0) < 2
    assert prober.owners_overlapping() == []


def test_the_prober_sees_two_owners(lab: LabFactory) -> None:
    one = lab(**BARE)
    give_vip(one, "a")
    with one.watch_vip() as prober:
        prober.wait_for_answer("a", 5)
        give_vip(one, "b")
        one.wait(lambda: bool(prober.owners_overlapping()), 5, "two owners to be seen")
    assert one.owners() == ["a", "b"]


def ipmi(lab: Lab, node: str, *command: str) -> subprocess.CompletedProcess[str]:
    """What ipmitool says to the node's BMC from the client: a real IPMI 2.0 session."""
    password = lab.layout.bmc_password.read_text().strip()
    session = ["-I", "lanplus", "-C", "3", "-N", "1", "-R", "1", "-H", bmc_address(node), "-U", "hamgr"]
    return lab.client.exec(["ipmitool", *session, "-P", password, *command], check=False)


def test_the_bmc_switches_the_machine_and_tells_the_truth(lab: LabFactory) -> None:
    one = lab(daemons=False)
    assert ipmi(one, "a", "power", "status").stdout.strip() == "Chassis Power is on"
    assert ipmi(one, "a", "power", "off").returncode == 0
    one.wait(lambda: "off" in ipmi(one, "a", "power", "status").stdout, 5, "the BMC to say off")
    assert not one.node("a").is_on()
    assert one.node("b").is_on()
    assert ipmi(one, "a", "power", "on").returncode == 0
    one.wait(lambda: one.node("a").is_on(), 5, "a to boot")


def test_a_pulled_plug_shows_in_the_bmc(lab: LabFactory) -> None:
    one = lab(daemons=False)
    one.node("a").power_off()
    assert ipmi(one, "a", "power", "status").stdout.strip() == "Chassis Power is off"


def test_a_bmc_that_refuses_or_hangs_switches_nothing(lab: LabFactory) -> None:
    one = lab(daemons=False)
    one.bmc("a").refuse()
    assert ipmi(one, "a", "power", "off").returncode != 0
    one.bmc("a").hang()
    assert ipmi(one, "a", "power", "status").returncode != 0
    assert one.node("a").is_on()
    one.bmc("a").normal()
    assert ipmi(one, "a", "power", "off").returncode == 0
    one.wait(lambda: not one.node("a").is_on(), 5, "a to be off")


def test_the_labs_nginx_is_a_service_as_lsb_wants_it(lab: LabFactory) -> None:
    if missing_tools(["nginx"], search_path(sys.executable)):
        pytest.skip("no nginx here (nginx-light)")
    one = lab(**BARE)
    script = str(one.layout.nginx_script)

    def code(action: str) -> int:
        return one.node("a").exec([script, action], check=False).returncode

    assert code("status") == 3
    assert code("start") == code("start") == code("status") == 0
    page = f"from urllib.request import urlopen; print(urlopen('http://{node_address('a', 'lan')}/').read())"
    assert "b'a" in one.client.exec([sys.executable, "-c", page]).stdout
    assert code("stop") == code("stop") == 0
    assert code("status") == 3


def test_two_labs_at_once_do_not_meet(lab: LabFactory) -> None:
    one, other = lab(**BARE), lab(**BARE)
    give_vip(one, "a")
    assert one.owners() == ["a"]
    assert other.owners() == []


def test_nothing_of_a_lab_is_left_even_if_its_maker_is_killed(tmp_path: Path) -> None:
    if why_no_lab():
        pytest.skip(why_no_lab())
    directory = Path("/tmp") / f"hamgr-lab-killed-{os.getpid()}"
    code = (
        "import signal; from pathlib import Path; from hamgr.lab.lab import *; from hamgr.lab.plan import *\n"
        f"lab = Lab(Options(fencing=Fencing.NONE, daemons=False), Path({str(directory)!r})); lab.up()\n"
        "print(lab.world_pid, flush=True); signal.pause()"
    )
    maker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert maker.stdout is not None
        world = os.pidfd_open(int(maker.stdout.readline()))
        maker.send_signal(signal.SIGKILL)
        maker.wait()
        assert select.select([world], [], [], 5)[0], "the lab outlived the process that made it"
    finally:
        maker.kill()
        maker.wait()
        Lab.remove(directory)
    assert not directory.exists()


def test_a_lab_that_does_not_come_up_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    if why_no_lab():
        pytest.skip(why_no_lab())
    broken = Lab(Options(**BARE))
    broken.environment["PYTHONPATH"] = "/nonexistent"
    broken.environment["PYTHONHOME"] = "/nonexistent"
    with pytest.raises(LabError, match="did not come up"):
        broken.up()
    assert not broken.layout.directory.exists()


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hamgr.lab.namespaces._SYSTEM_PATH", "/nonexistent")
    with pytest.raises(LabError, match=r"needs .*ip.*: .*apt-get install .*iproute2"):
        Lab(Options(**BARE)).up()
