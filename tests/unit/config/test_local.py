"""What only the machine itself can see before its daemon starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from hamgr.config.local import check_local, find_agent, local_warnings, other_manager
from hamgr.config.model import Config
from hamgr.config.toml import load
from hamgr.links.keyfile import write_key_file
from hamgr.resources.kinds import RESOURCE_KINDS

CONFIG = """
[cluster]
name = "t"
key_file = "{dir}/key"
state_dir = "{dir}/state"
[link.one]
kind = "udp"
interface = "lo"
[link.two]
kind = "grpc"
port = 5411
[node.a]
address = {{ one = "127.0.0.1", two = "127.0.0.1" }}
[node.b]
address = {{ one = "127.0.0.2", two = "127.0.0.2" }}
[fence.b]
node = "b"
agent = "fence_hamgr_ipmi"
[group.web]
[[group.web.resource]]
kind = "lsb"
script = "{dir}/script"
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_key_file(tmp_path / "key")
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    return tmp_path


def problems(directory: Path, node: str = "a", old: str = "", new: str = "") -> list[str]:
    """What is wrong here with the configuration, in which `old` was replaced by `new`."""
    path = directory / "hamgr.toml"
    text = CONFIG.format(dir=directory)
    assert old in text
    path.write_text(text.replace(old, new) if old else text)
    return [str(problem).removeprefix(f"{path}: ") for problem in check_local(load(path), node, RESOURCE_KINDS)]


def test_a_machine_with_all_that_it_needs_may_start(directory: Path) -> None:
    assert problems(directory) == []


def test_a_node_that_is_not_configured(directory: Path) -> None:
    (problem,) = problems(directory, "c")
    assert problem == 'node: found no [node.c], allowed "a" or "b"'


def test_a_missing_key(directory: Path) -> None:
    (directory / "key").unlink()
    (problem,) = problems(directory)
    assert problem.startswith(f"cluster.key_file: found {directory}/key: No such file or directory, allowed a key file")


def test_a_key_that_others_can_read(directory: Path) -> None:
    (directory / "key").chmod(0o640)
    (problem,) = problems(directory)
    assert "mode 0640, allowed mode 0600" in problem


def warned(directory: Path, old: str, new: str) -> list[str]:
    """What is only told of: it may come later."""
    assert problems(directory, "a", old, new) == []
    path = directory / "hamgr.toml"
    return [str(warning).removeprefix(f"{path}: ") for warning in local_warnings(load(path), "a")]


def test_what_is_here_is_not_told_of(directory: Path) -> None:
    assert warned(directory, "", "") == []


def test_an_interface_that_is_not_here_is_waited_for(directory: Path) -> None:
    (warning,) = warned(directory, 'interface = "lo"', 'interface = "nope7"')
    assert warning.startswith("link.one.interface: warning: nope7 is not here (there is ")
    assert warning.endswith("): hamgrd waits for it")


def test_an_address_that_this_machine_does_not_have_is_waited_for(directory: Path) -> None:
    (warning,) = warned(directory, 'two = "127.0.0.1"', 'two = "203.0.113.7"')
    assert warning == "node.a.address.two: warning: this machine does not have 203.0.113.7: hamgrd waits for it"


def test_a_serial_line_that_is_not_here_is_waited_for(directory: Path) -> None:
    (warning,) = warned(directory, "[node.a]", '[link.wire]\nkind = "serial"\ndevice = "/dev/ttyNONE"\n[node.a]')
    assert "link.wire.device: warning: /dev/ttyNONE is not here: hamgrd waits for it" in warning


def test_a_state_dir_that_is_a_file(directory: Path) -> None:
    (directory / "state").write_text("")
    (problem,) = problems(directory)
    assert problem == f"cluster.state_dir: found {directory}/state, which is not a directory, allowed a directory"


def test_a_script_that_can_not_be_executed(directory: Path) -> None:
    (directory / "script").chmod(0o644)
    (problem,) = problems(directory)
    assert problem.startswith("group.web.resource.lsb.script: found ")


def test_a_script_on_a_file_system_that_the_group_mounts_may_be_on_the_other_node_now(directory: Path) -> None:
    disk = f'kind = "filesystem"\ndevice = "/dev/x"\ndirectory = "{directory}"\n[[group.web.resource]]\n'
    lsb, gone = 'kind = "lsb"\n', disk + 'kind = "lsb"\n'
    (directory / "script").unlink()
    assert problems(directory, old=lsb, new=gone) == []
    other = gone.replace(f'"{directory}"', f'"{directory}-other"')
    (found,) = problems(directory, old=lsb, new=other)
    assert found.startswith('group.web.resource.lsb.script: found "/')


def test_an_agent_that_is_not_there(directory: Path) -> None:
    (problem,) = problems(directory, "a", '"fence_hamgr_ipmi"', '"fence_hamgr_impi"')
    assert problem.startswith('fence.b.agent: found "fence_hamgr_impi", allowed an executable on the PATH')


def test_an_agent_is_found_beside_our_python_and_by_its_path(directory: Path) -> None:
    problems(directory)
    config = load(directory / "hamgr.toml")
    found = find_agent(config, "fence_hamgr_ipmi")
    assert found is not None
    assert find_agent(config, str(found)) == found
    assert find_agent(config, f"{directory}/key") is None


def test_no_daemon_starts_beside_a_heartbeat(directory: Path) -> None:
    config = load_here(directory)
    pid_file, program = directory / "heartbeat.pid", directory / "heartbeat"
    shutil.copy(shutil.which("sleep") or "", program)
    assert other_manager(config, pid_file) == []
    with subprocess.Popen([program, "60"]) as heartbeat:
        pid_file.write_text(f"   {heartbeat.pid}\n")
        deadline = time.monotonic() + 10
        # The kernel names a process a moment after it closed the files of the old program, which Popen waits for.
        while Path(f"/proc/{heartbeat.pid}/comm").read_text() != "heartbeat\n" and time.monotonic() < deadline:
            pass
        (problem,) = other_manager(config, pid_file)
        heartbeat.kill()
    assert f"found Heartbeat, which runs here (process {heartbeat.pid}), allowed one manager" in str(problem)
    assert other_manager(config, pid_file) == [], "an old file says nothing"
    pid_file.write_text(f"{os.getpid()}\n")
    assert other_manager(config, pid_file) == [], "its number may be another program's now"


def load_here(directory: Path) -> Config:
    path = directory / "hamgr.toml"
    path.write_text(CONFIG.format(dir=directory))
    return load(path)
