"""How namespaces are entered, and what is said of missing tools."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hamgr.lab.namespaces import (
    LabError,
    enter_machine,
    missing_tools,
    new_world,
    only_child,
    require_tools,
    search_path,
)


def test_our_own_programs_come_first() -> None:
    assert search_path("/opt/hamgr/bin/python").split(":")[0] == "/opt/hamgr/bin"


def test_a_tool_that_is_there_is_not_missing(tmp_path: Path) -> None:
    tool = tmp_path / "ip"
    tool.touch(mode=0o755)
    assert missing_tools(["ip", "nft"], str(tmp_path)) == [("nft", "nftables")]


def test_all_missing_tools_are_named_in_one_line_with_their_packages(tmp_path: Path) -> None:
    with pytest.raises(LabError) as error:
        require_tools(["ip", "ipmi_sim", "unshare", "nsenter"], str(tmp_path))
    assert "\n" not in str(error.value)
    assert "ip, ipmi_sim, unshare, nsenter" in str(error.value)
    assert "apt-get install iproute2 openipmi util-linux" in str(error.value)


def test_without_root_the_world_gets_a_user_namespace() -> None:
    assert "--map-root-user" in new_world(["true"], rootless=True)
    assert "--user" not in new_world(["true"], rootless=False)


def test_a_machine_is_entered_through_its_world() -> None:
    command = enter_machine(100, 7, ["ls"], rootless=True)
    outer, inner = command[: command.index("--")], command[command.index("--") + 1 :]
    assert outer[:3] == ["nsenter", "--target", "100"]
    assert "--preserve-credentials" in outer
    assert inner[:3] == ["nsenter", "--target", "7"]
    assert "--user" not in inner


def test_the_only_child_is_found_while_it_lives() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 30 & echo; wait"], stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        child = only_child(shell.pid)
        assert child is not None
        os.kill(child, 9)
    assert only_child(shell.pid) is None
