"""fence_hamgr_stonith with the real stonith command and plug-ins of Debian's cluster-glue."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

AGENT = str(Path(sys.executable).parent / "fence_hamgr_stonith")
pytestmark = pytest.mark.skipif(
    shutil.which("stonith", path=f"{os.environ['PATH']}:/usr/sbin") is None, reason="needs stonith (cluster-glue)"
)


def agent(env: dict[str, str] | None = None, **options: str) -> subprocess.CompletedProcess[str]:
    stdin = "".join(f"{name}={value}\n" for name, value in options.items())
    return subprocess.run(
        [AGENT], input=stdin, capture_output=True, text=True, timeout=20, env=os.environ | (env or {})
    )


@pytest.mark.parametrize("given", [{"parameters": "hostlist=b"}, {"positional": "b"}])
@pytest.mark.parametrize("action", ["off", "on", "reboot", "monitor", "validate-all"])
def test_the_null_plugin_does_what_it_is_told(given: dict[str, str], action: str) -> None:
    done = agent(plugin="null", nodename="b", action=action, **given)
    assert done.returncode == 0, done.stderr


def test_it_says_that_nothing_was_read_back() -> None:
    assert "can't be read back" in agent(plugin="null", plug="b", parameters="hostlist=b", action="off").stdout


def test_a_machine_that_the_plugin_does_not_know_is_not_fenced() -> None:
    """The null plug-in would say yes."""
    done = agent(plugin="null", nodename="c", parameters='hostlist="a b"', action="off")
    assert done.returncode == 1
    assert "does not know a machine 'c'; it has: a, b" in done.stderr


def test_an_order_that_the_plugin_can_not_give_has_failed() -> None:
    done = agent(plugin="external/ssh", nodename="b", parameters="hostlist=b", action="off")
    assert done.returncode == 1
    assert "-T off b: exit" in done.stderr


def test_an_unknown_plugin_is_told_with_those_that_are_here() -> None:
    done = agent(plugin="external/sssh", parameters="hostlist=b", action="validate-all")
    assert done.returncode == 1
    assert "external/ssh" in done.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"parameters": "hostlist=b ilo_hostnam=x"}, "unknown ilo_hostnam"),
        ({"parameters": "b"}, "no name=value"),
        ({"parameters": 'hostlist="b'}, "a mistake in the quotes"),
        ({"parameters": "hostlist=b", "positional": "b"}, "not both"),
        ({"positional": "1 2 3 4 5 6 7 8 9 10"}, "found 10 parameters"),
        ({}, "found 0 parameters"),
        ({"parameters_file": "/nowhere"}, "No such file"),
    ],
)
def test_wrong_parameters_are_refused_and_right_ones_named(given: dict[str, str], words: str) -> None:
    done = agent(plugin="external/riloe", action="validate-all", **given)
    assert done.returncode == 1
    assert words in done.stderr


def test_parameters_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "parameters"
    file.write_text("# of the power switch\nhostlist='a b'\n")
    assert agent(plugin="null", nodename="b", parameters_file=str(file), action="off").returncode == 0


@pytest.mark.parametrize("form", ["parameters", "positional"])
def test_no_parameter_is_seen_on_a_command_line_or_in_an_error(tmp_path: Path, form: str) -> None:
    spy = tmp_path / "stonith"
    seen = tmp_path / "seen"
    spy.write_text(
        f"#!/bin/sh\ntr '\\0' ' ' </proc/$$/cmdline >>{seen}\ncase \"$*\" in *-l) echo b; exit;; esac\n"
        'read -r words; echo "login with ${password-$words} failed" >&2; exit 1\n'
    )
    spy.chmod(0o755)
    value = {"parameters": "password=hush-hush", "positional": "hush-hush"}[form]
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = agent({"PATH": path}, plugin="external/x", nodename="b", action="off", **{form: value})
    assert done.returncode == 1
    assert "login with *** failed" in done.stderr
    assert "hush-hush" not in seen.read_text()


def test_a_plugin_that_hangs_has_an_unknown_outcome(tmp_path: Path) -> None:
    slow = tmp_path / "stonith"
    slow.write_text('#!/bin/sh\ncase "$*" in *-l) echo b; exit;; esac\nexec sleep 60\n')
    slow.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = agent({"PATH": path}, plugin="x", nodename="b", action="off", power_timeout="0.5")
    assert done.returncode == 1
    assert "outcome unknown" in done.stderr
