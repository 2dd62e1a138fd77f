"""A device that only shuts a node out of its disks is believed when the node's addresses are gone as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from hamgr.config.problems import ConfigError
from hamgr.config.toml import load, warnings

EXAMPLE = (Path(__file__).parents[3] / "docs" / "example.toml").read_text()
BMC_B = """[fence.bmc-b]
node = "b"
"""
SCSI = """[fence.disk-b]
node = "b"
agent = "fence_hamgr_scsi"
level = 2
unfence = true
options = { devices = "/dev/sdb", cluster = "t", proof_time = "6" }
"""
"""The example's lease is 3 s."""


def loaded(tmp_path: Path, device: str = SCSI, cluster: str = "") -> list[str]:
    """The warnings. Raises ConfigError."""
    path = tmp_path / "hamgr.toml"
    text = EXAMPLE.replace(BMC_B, device + BMC_B)
    path.write_text(text.replace("[cluster]", f"[cluster]\n{cluster}"))
    return [str(warning).removeprefix(f"{path}: ") for warning in warnings(load(path))]


def test_what_waits_long_enough_is_warned_of_alone(tmp_path: Path) -> None:
    (found,) = loaded(tmp_path)
    assert found.startswith("fence.disk-b.agent: warning: fence_hamgr_scsi is weaker than a power switch")
    assert load(tmp_path / "hamgr.toml").devices("b", 1)[0].unfence_check == 2.0


@pytest.mark.parametrize(
    ("old", "new", "cluster", "problem"),
    [
        ("unfence = true\n", "", "", "fence.disk-b.unfence: found false, allowed true: b registers its key by it"),
        ('proof_time = "6"', 'proof_time = "5.9"', "", "fence.disk-b.options.proof_time: found 5.9, allowed 6 or more"),
        (', proof_time = "6"', "", "", "fence.disk-b.options.proof_time: found 0, allowed 6 or more"),
        ('"6"', '"18"', "", "fence.disk-b.timeout: found 20s, allowed 23s or more"),
        ("true\n", "true\nunfence_check = 0\n", "", "fence.disk-b.unfence_check: found 0, allowed 500ms or more"),
        ("true\n", 'true\nunfence_check = "3s"\n', "", "fence.disk-b.options.proof_time: found 6, allowed 7 or more"),
        ("true\n", 'true\nunfence_check = "10ms"\n', "", 'fence.disk-b.unfence_check: found "10ms", allowed 500ms'),
        ("", "", 'on_quorum_loss = "freeze"', 'cluster.on_quorum_loss: found "freeze", allowed "stop" with disk-b'),
        ("", "", 'self_fence = "none"', 'cluster.self_fence: found "none", allowed "stop" or "reboot" with disk-b'),
    ],
)
def test_what_would_leave_an_address_is_refused(tmp_path: Path, old: str, new: str, cluster: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, SCSI.replace(old, new, 1), cluster)
    assert problem in str(caught.value)


def test_beside_a_power_switch_nothing_has_to_be_waited_for(tmp_path: Path) -> None:
    device = SCSI.replace("level = 2\n", "").replace(', proof_time = "6"', "")
    device = device.replace("true\n", "true\nunfence_check = 0\n")
    assert loaded(tmp_path, device) == []


def test_debians_agent_is_warned_of_too(tmp_path: Path) -> None:
    (found,) = loaded(tmp_path, SCSI.replace("fence_hamgr_scsi", "fence_scsi"))
    assert "fence_scsi is weaker than a power switch" in found
    assert "nothing waits until its addresses and services have ended there" in found


def test_a_check_without_unfence_is_a_mistake(tmp_path: Path) -> None:
    device = SCSI.replace("fence_hamgr_scsi", "fence_apc").replace("unfence = true", 'unfence_check = "2s"')
    with pytest.raises(ConfigError, match=r"fence.disk-b.unfence_check: found \"2s\", allowed nothing without unfence"):
        loaded(tmp_path, device)
