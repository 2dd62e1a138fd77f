"""The wire between a BMC's script and the power it switches, with the real script in a real shell."""

from __future__ import annotations

import select
import subprocess
from pathlib import Path

import pytest

from hamgr.lab.power import PowerWire


@pytest.mark.parametrize("on", [True, False])
def test_the_script_prints_the_power_as_ipmi_sim_wants_it(tmp_path: Path, on: bool) -> None:
    wire = PowerWire(tmp_path / "wire", "a", lambda wanted: True)
    wire.show(on)
    done = subprocess.run([wire.script, "0x20", "get", "power"], capture_output=True, text=True, timeout=5)
    assert (done.returncode, done.stdout) == (0, f"power:{int(on)}\n")


@pytest.mark.parametrize(("succeeds", "code"), [(True, 0), (False, 1)])
def test_the_script_returns_when_the_power_is_switched(tmp_path: Path, succeeds: bool, code: int) -> None:
    switched = []

    def switch(on: bool) -> bool:
        switched.append(on)
        return succeeds

    wire = PowerWire(tmp_path / "wire", "a", switch)
    script = subprocess.Popen([wire.script, "0x20", "set", "power", "0"])
    assert select.select([wire], [], [], 5)[0], "the script did not ask"
    assert script.poll() is None, "the script did not wait for its answer"
    wire.serve()
    assert script.wait(5) == code
    assert switched == [False]


def test_an_answer_meant_for_a_script_that_ended_is_nobody_elses(tmp_path: Path) -> None:
    wire = PowerWire(tmp_path / "wire", "a", lambda on: not on)
    impatient = subprocess.Popen([wire.script, "0x20", "set", "power", "1"])
    assert select.select([wire], [], [], 5)[0]
    impatient.kill()
    impatient.wait()
    wire.serve()
    patient = subprocess.Popen([wire.script, "0x20", "set", "power", "0"])
    assert select.select([wire], [], [], 5)[0]
    wire.serve()
    assert patient.wait(5) == 0
