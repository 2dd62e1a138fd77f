"""`fence-test`, the installed command, on a machine without a hamgrd; and its table and JUnit XML."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hamgr.cli.fences.junit import junit_xml
from hamgr.cli.fences.matrix import render
from hamgr.fencing.trial import CHECKS, Finding, Trial, Verdict

BIN = Path(sys.executable).parent
SCHEMA = Path(__file__).parent / "junit.xsd"

CONFIG = """
[cluster]
name = "c"
key_file = "{here}/key"
admin_socket = "{here}/admin.sock"
[link.one]
kind = "udp"
[node.a]
address = {{ one = "127.0.0.1" }}
[node.b]
address = {{ one = "127.0.0.2" }}
"""
DEVICE = """
[fence.bmc-{node}]
node = "{node}"
agent = "{here}/fence_{node}"
timeout = "5s"
"""
AGENT = """#!/bin/sh
while read -r line; do case $line in action=*) action=${{line#action=}};; esac; done
case $action in
  metadata) echo '<resource-agent><actions><action name="off"/><action name="status"/></actions></resource-agent>' ;;
  monitor|status) {answer} ;;
  *) touch {here}/ordered ;;
esac
"""


class Machine:
    def __init__(self, here: Path) -> None:
        self.here = here
        self.config = here / "hamgr.toml"
        self.config.write_text(CONFIG.format(here=here) + "".join(DEVICE.format(here=here, node=n) for n in "ab"))
        for node in "ab":
            self.answers(node, "exit 0")

    def answers(self, node: str, answer: str) -> None:
        path = self.here / f"fence_{node}"
        path.write_text(AGENT.format(here=self.here, answer=answer))
        path.chmod(0o755)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [BIN / "fence-test", "--config", str(self.config), "--node", "a", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


@pytest.fixture
def here(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_good_devices_are_good_and_who_must_try_the_rest_is_said(here: Machine) -> None:
    done = here.run()
    assert done.returncode == 0, done.stderr
    head, own, other = done.stdout.splitlines()[:3]
    assert head.split() == ["node", "level", "device", "from", *CHECKS]
    assert own.split()[:10] == ["a", "1", "bmc-a", "a", "ok", "ok", "ok", "ok", "on", "ok"]
    assert other.split()[:10] == ["b", "1", "bmc-b", "a", "ok", "ok", "ok", "ok", "on", "-"]
    assert "run fence-test there too: b" in done.stdout
    assert "hamgrd does not run here" in done.stdout
    assert done.stdout.splitlines()[-1] == "c: all 2 trials are good; not tried: from b"
    assert "\x1b" not in done.stdout
    assert not (here.here / "ordered").exists()


def test_a_device_that_fails_is_told_and_ends_with_one(here: Machine) -> None:
    here.answers("b", "echo no route >&2; exit 1")
    done = here.run()
    assert done.returncode == 1
    assert "bmc-b from a: FAIL: answers: " in done.stdout
    assert "monitor: exit 1: no route" in done.stdout
    assert done.stdout.splitlines()[-1] == "c: 1 of 2 trials FAILED"


def test_json_has_every_finding(here: Machine) -> None:
    here.answers("b", "exit 1")
    done = here.run("--json")
    shown = json.loads(done.stdout)
    assert (done.returncode, shown["good"], shown["node"], shown["untried"]) == (1, False, "a", ["b"])
    own, other = shown["trials"]
    assert (own["device"], own["node"], own["from"], own["power"], own["good"]) == ("bmc-a", "a", "a", "on", True)
    assert [found["check"] for found in own["findings"]] == list(CHECKS)
    assert other["good"] is False


def test_a_node_without_a_device_is_told(here: Machine) -> None:
    here.config.write_text(CONFIG.format(here=here.here) + DEVICE.format(here=here.here, node="b"))
    assert "a has no fence device: it can't be fenced" in here.run().stdout


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("[cluster", (), "hamgr.toml: the file"),
        ("", ("--node", "z"), "no [node.z]"),
        ("none", (), "has no [fence.NAME]: nothing can be fenced"),
        ("", ("--frob",), "unrecognized arguments: --frob"),
        ("", ("--junit", "/nowhere/at/all"), "/nowhere/at/all: No such file"),
    ],
)
def test_wrong_usage_ends_with_two(here: Machine, text: str, words: tuple[str, ...], said: str) -> None:
    if text:
        here.config.write_text(CONFIG.format(here=here.here) if text == "none" else text)
    done = here.run(*words)
    assert done.returncode == 2
    assert said in done.stderr


def made(**verdicts: Verdict) -> Trial:
    findings = tuple(
        Finding(check, verdicts.get(check, Verdict.GOOD), "a <text> & a \x01" if check in verdicts else "", 0.5)
        for check in CHECKS
    )
    return Trial("bmc-b", "b", "a", 1, "fence_x", "on", findings)


def test_the_table_is_aligned_and_coloured_only_when_asked() -> None:
    trials = [made(), made(answers=Verdict.FAILED, status=Verdict.SKIPPED, metadata=Verdict.WARNING)]
    lines = render(trials).splitlines()
    column = lines[0].index("answers")
    assert lines[1][column:].startswith("ok ")
    assert lines[2][column:].startswith("FAIL ")
    assert "\x1b" not in render(trials)
    assert "\x1b[31mFAIL\x1b[0m" in render(trials, colour=True)


@pytest.mark.skipif(shutil.which("xmllint") is None, reason="needs xmllint (libxml2-utils)")
def test_junit_xml_keeps_the_schema_whatever_devices_say(here: Machine) -> None:
    here.answers("b", "printf 'a\\001<b>&' >&2; exit 1")
    file = here.here / "junit.xml"
    assert here.run("--junit", str(file)).returncode == 1
    other = here.here / "other.xml"
    trials = [made(), made(plug=Verdict.FAILED, secrets=Verdict.WARNING, time=Verdict.SKIPPED)]
    other.write_text(junit_xml(trials, datetime.now(UTC)))
    for one in (file, other):
        done = subprocess.run(["xmllint", "--noout", "--schema", SCHEMA, one], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    suite = ElementTree.parse(file).getroot()[0]
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("from a", "14", "1")
    (failed,) = [case for case in suite if case.find("failure") is not None]
    assert (failed.get("classname"), failed.get("name")) == ("b.bmc-b", "answers")
