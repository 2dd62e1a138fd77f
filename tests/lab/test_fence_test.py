"""`fence-test` in a real cluster: devices that are good, dead, hanging, locked, or another machine's."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

import pytest
from clusters import FAST, insist, kinds, watched
from conftest import LabFactory

from hamgr.lab.lab import Lab

pytestmark = pytest.mark.lab


def fence_test(lab: Lab, node: str, *words: str, config: str = "") -> tuple[int, dict[tuple[str, str], Any]]:
    """Exit code, and the findings by device and by who tried it: check -> (verdict, text)."""
    file = config or str(lab.layout.config)
    done = lab.node(node).exec(["fence-test", "--config", file, "--node", node, "--json", *words], check=False)
    shown = json.loads(done.stdout)
    found = {
        (trial["device"], trial["from"]): {f["check"]: (f["verdict"], f["text"]) for f in trial["findings"]}
        for trial in shown["trials"]
    }
    return done.returncode, found


def test_devices_are_told_by_what_is_wrong_with_them(lab: LabFactory) -> None:
    cluster = lab(**FAST)
    cluster.wait_for_owner("a")
    code, found = fence_test(cluster, "a")
    assert code == 0, found
    assert found["bmc-b", "a"]["plug"] == ("good", "on, and b runs")
    assert found["bmc-a", "a"]["plug"] == ("good", "on, and a runs")
    assert found["bmc-a", "b"]["plug"] == ("good", "on, and a runs")
    assert set(fence_test(cluster, "a", "--here")[1]) == {("bmc-a", "a"), ("bmc-b", "a")}

    # Only b can't reach the device of a; that is told on a.
    cluster.cut("b", "mgmt")
    code, found = fence_test(cluster, "a")
    assert code == 1
    assert found["bmc-a", "b"]["answers"][0] == "failed"
    assert found["bmc-b", "a"]["answers"][0] == found["bmc-a", "a"]["answers"][0] == "good"
    cluster.heal()

    cluster.bmc("b").hang()
    code, found = fence_test(cluster, "a", "--here")
    assert code == 1
    assert "cannot be reached" in found["bmc-b", "a"]["answers"][1]
    assert found["bmc-a", "a"]["answers"][0] == "good"
    cluster.bmc("b").normal()

    password = cluster.layout.bmc_password.read_text()
    cluster.layout.bmc_password.write_text("another-one\n")
    code, found = fence_test(cluster, "a", "--here")
    assert code == 1
    assert "refused the login" in found["bmc-b", "a"]["answers"][1]
    cluster.layout.bmc_password.write_text(password)


def test_hamgrd_itself_notices_a_device_that_stops_answering(lab: LabFactory) -> None:
    cluster = lab(**FAST, fence_check_interval="1s")
    cluster.wait_for_owner("a")

    def devices() -> list[bool]:
        return [one["good"] for one in cluster.status("a")["devices"]]

    cluster.wait(lambda: devices() == [True], 20, "a to try the BMC of b")
    cluster.bmc("b").hang()
    cluster.wait(lambda: devices() == [False], 30, "a to notice that the BMC of b hangs")
    (event,) = [event for event in cluster.events("a") if event.kind == "fence-device-failed"]
    assert (event.reporter, event.node) == ("a", "b")
    assert "a can't use fence device bmc-b of b: answers: " in event.text
    shown = cluster.node("a").exec(["hamgr", "--config", str(cluster.layout.config), "status"]).stdout
    assert "fence device bmc-b of b does not work from a" in shown.splitlines()[0]
    cluster.bmc("b").normal()
    cluster.wait(lambda: devices() == [True], 30, "a to notice that the BMC of b is good again")
    assert kinds(cluster, "a").count("fence-device-ok") == 1
    assert cluster.owners() == ["a"]
    assert "fence-device-failed" not in kinds(cluster, "b")


def test_a_node_that_is_shot_is_seen_to_be_replaced(lab: LabFactory) -> None:
    cluster = lab(**FAST)
    cluster.wait_for_owner("a")
    words = ["fence-test", "--config", str(cluster.layout.config), "--node", "b", "--live"]

    def shot(*more: str) -> subprocess.CompletedProcess[str]:
        return cluster.node("b").exec([*words, *more], check=False)

    assert "no node shoots itself" in shot("b", "--yes").stderr
    assert shot("z", "--yes").returncode == 2
    assert "asks for a confirmation" in shot("a").stderr
    assert cluster.node("a").is_on()
    cluster.bmc("a").refuse()
    refused = shot("a", "--yes", "--timeout", "20")
    assert refused.returncode == 1
    assert "NOT RECOVERED: " in refused.stdout
    cluster.bmc("a").normal()
    cluster.wait(lambda: cluster.status("b")["nodes"][0]["state"] == "online", 20, "b to hear a")
    with watched(cluster) as prober:
        prober.wait_for_answer("a")
        done = shot("a", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        prober.wait_for_answer("b")
    assert not cluster.node("a").is_on()
    assert "ms  b  fence-confirmed  a is off" in done.stdout
    assert "group web runs on b" in done.stdout
    assert "no group had two owners\na is off: switch it on again\n" in done.stdout

    # b coordinates now, and shoots by its own plan.
    cluster.node("a").power_on()
    cluster.wait_for_owner("a")
    cluster.wait(lambda: cluster.status("b")["coordinator"] == "b", 10, "b to be the coordinator")
    told = json.loads(shot("a", "--yes", "--json").stdout)
    assert (told["good"], told["wrong"], told["reason"]) == (True, [], "")
    story = [row["what"] for row in told["timeline"]]
    assert story.index("fence-asked") < story.index("fence-confirmed") < story.index("group-starting")
    assert any(row["text"] == "a is off" for row in told["timeline"] if row["what"] == "answer")


def test_a_node_that_is_switched_off_from_within_proves_its_device(lab: LabFactory) -> None:
    cluster = lab(**FAST)
    cluster.wait_for_owner("a")
    text = cluster.layout.config.read_text()
    swapped = text.replace("10.77.9.21", "there").replace("10.77.9.22", "10.77.9.21").replace("there", "10.77.9.22")
    (cluster.layout.disk("a") / "swapped.toml").write_text(swapped)
    insist(cluster, "a", "standby", "b")
    for file, expected in ((cluster.layout.here / "swapped.toml", 1), (cluster.layout.config, 0)):
        words = ["fence-test", "--config", str(file), "--node", "a", "--identify", "b", "--yes", "--timeout", "20"]
        with subprocess.Popen(
            cluster.node("a").command(words),
            env=cluster.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as test:
            assert test.stderr is not None
            assert "Now switch b off" in test.stderr.readline()
            cluster.node("b").kill_daemon(signal.SIGTERM)
            cluster.wait(lambda: cluster.status("a")["nodes"][1]["state"] == "left", 10, "b to leave")
            cluster.node("b").power_off()
            out, _ = test.communicate(timeout=40)
        assert test.returncode == expected, out
        if expected == 0:
            assert "bmc-b switches b: it went off with it\n" in out
            assert cluster.node("b").is_on()
            continue
        assert "bmc-a is to switch a, and went off with b: WRONG PLUG" in out
        assert "bmc-b is to switch b, which is off now, and reads on: WRONG PLUG" in out
        assert cluster.node("a").is_on()
        assert not cluster.node("b").is_on()
        # Now that b is off, its readings give the wrong device away too.
        code, found = fence_test(cluster, "a", config=str(file))
        assert code == 1
        assert found["bmc-a", "a"]["plug"][0] == "failed"
        assert "ANOTHER MACHINE" in found["bmc-a", "a"]["plug"][1]
        assert found["bmc-b", "a"]["plug"][0] == "warning"
        cluster.node("b").power_on()
        cluster.wait(lambda: cluster.status("a")["nodes"][1]["state"] == "online", 20, "b to come back")
    assert cluster.owners() == ["a"]
    assert "fence-asked" not in kinds(cluster, "a")
