"""Tries a fence device without switching anything: would it work, if it were needed now?"""

from __future__ import annotations

import asyncio
import enum
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hamgr.config.model import Config, FenceDeviceConfig
from hamgr.fencing.metadata import parse
from hamgr.fencing.parameters import problems
from hamgr.fencing.process import AgentNotRun
from hamgr.fencing.runner import METADATA_TIMEOUT, Answer, FenceRunner
from hamgr.fencing.secrets import is_secret
from hamgr.selfdescription import MetadataError

CHECKS = ("agent", "secrets", "metadata", "answers", "status", "plug", "time")
"""What is looked at, in this order; a check that needs an earlier one is skipped when that failed."""

SLOW_SHARE = 0.5
"""Of the time allowed: a device that needs more for a reading may not get an order done in time."""

READINGS = 3
"""An order, between two readings, takes about as long as so many of them at least."""

_SECRET_FILE = re.compile("(pass|secret|token|key|identity).*_(file|path)$")
_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Verdict(enum.Enum):
    GOOD = "good"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Hearing(enum.Enum):
    """What is known of the victim, without its fence device."""

    HEARD = "heard"
    SILENT = "silent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """text: what was found, and what to do about it when that is not good."""

    check: str
    verdict: Verdict
    text: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One device, tried from one node. power: "on", "off" or "" as it said itself."""

    device: str
    victim: str
    tester: str
    level: int
    agent: str
    power: str
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        return any(finding.verdict is Verdict.FAILED for finding in self.findings)

    def finding(self, check: str) -> Finding:
        return next(finding for finding in self.findings if finding.check == check)

    def as_dict(self) -> dict[str, Any]:
        findings = [
            {"check": f.check, "verdict": f.verdict.value, "text": f.text, "seconds": round(f.seconds, 6)}
            for f in self.findings
        ]
        own = {"device": self.device, "node": self.victim, "from": self.tester, "level": self.level}
        return own | {"agent": self.agent, "power": self.power, "good": not self.failed, "findings": findings}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Trial:
        """Raises KeyError, TypeError or ValueError for what is none."""
        findings = tuple(
            Finding(str(f["check"]), Verdict(f["verdict"]), str(f["text"]), float(f["seconds"]))
            for f in value["findings"]
        )
        device, victim, tester = (str(value[key]) for key in ("device", "node", "from"))
        return cls(device, victim, tester, int(value["level"]), str(value["agent"]), str(value["power"]), findings)


async def try_device(
    runner: FenceRunner, config: Config, device: FenceDeviceConfig, tester: str, hearing: Hearing
) -> Trial:
    """Every check of one device. hearing: what the tester knows of the victim."""
    own = device.node == tester
    found = [await asyncio.to_thread(_agent, runner, device)]
    found.append(await asyncio.to_thread(_secrets, config, device))
    power = ""
    if found[0].verdict is Verdict.FAILED:
        found += [Finding(check, Verdict.SKIPPED, "the agent can't be run") for check in CHECKS[2:]]
    else:
        metadata = await runner.ask(device, "metadata", METADATA_TIMEOUT)
        actions, described = _metadata(device, metadata)
        found.append(described)
        monitor = await runner.ask(device, "monitor")
        answers = Finding("answers", Verdict.FAILED if monitor.wrong else Verdict.GOOD, monitor.wrong, monitor.seconds)
        if own and monitor.wrong:
            # A BMC that shares a network card with its machine never answers it; nobody fences himself either.
            answers = Finding("answers", Verdict.SKIPPED, f"not for {tester} itself: no node fences itself")
        found.append(answers)
        if answers.verdict is not Verdict.GOOD:
            found += [Finding(check, Verdict.SKIPPED, "the device does not answer") for check in CHECKS[4:]]
        elif actions is not None and "status" not in actions:
            found += [Finding(check, Verdict.SKIPPED, "the agent has no status action") for check in CHECKS[4:6]]
            found.append(_time(config, tester, device, monitor.seconds))
        else:
            power, more = await _power(runner, config, device, tester, hearing, monitor.seconds)
            found += more
    return Trial(device.name, device.node, tester, device.level, device.agent, power, tuple(found))


def _agent(runner: FenceRunner, device: FenceDeviceConfig) -> Finding:
    try:
        return Finding("agent", Verdict.GOOD, str(runner.locate(device.agent)))
    except AgentNotRun as error:
        return Finding("agent", Verdict.FAILED, str(error))


def _secrets(config: Config, device: FenceDeviceConfig) -> Finding:
    failed = list(_bad_files(device))
    if failed:
        return Finding("secrets", Verdict.FAILED, "; ".join(failed))
    inline = [name for name in device.options if is_secret(name)]
    if inline and _readable_by_others(config.path):
        text = (
            f"option {inline[0]} stands in {config.path}, which everybody can read: chmod 0600 it, or put the "
            "password into a file of its own (password_file)"
        )
        return Finding("secrets", Verdict.WARNING, text)
    return Finding("secrets", Verdict.GOOD)


def _bad_files(device: FenceDeviceConfig) -> Iterator[str]:
    for name, value in device.options.items():
        if not _SECRET_FILE.search(name) or not value.startswith("/"):
            continue
        try:
            with open(value, "rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        except OSError as error:
            yield f"option {name}: {value}: {error.strerror}"
            continue
        if mode & _FOR_OTHERS:
            yield f"option {name}: {value} has mode {mode:04o}, so that others can read it: chmod 0600 {value}"


def _readable_by_others(path: Path) -> bool:
    try:
        return path.is_file() and bool(path.stat().st_mode & _FOR_OTHERS)
    except OSError:
        return False


def _metadata(device: FenceDeviceConfig, answer: Answer) -> tuple[set[str] | None, Finding]:
    """The actions that the agent names (None: not known), and what is to be said of its metadata."""
    if answer.wrong:
        return None, Finding("metadata", Verdict.FAILED, answer.wrong, answer.seconds)
    try:
        metadata = parse(answer.stdout)
    except MetadataError as error:
        return None, Finding("metadata", Verdict.FAILED, str(error), answer.seconds)
    mistakes = [
        f"option {option}: found {found}, allowed {allowed}"
        for option, found, allowed in problems(metadata, device.options)
    ]
    if "off" not in metadata.actions:
        mistakes.append("it has no action off, which is all that hamgr asks of it")
    if mistakes:
        return metadata.actions, Finding("metadata", Verdict.FAILED, "; ".join(mistakes), answer.seconds)
    if "status" not in metadata.actions:
        text = "it has no status action: an off is believed, and is not read back"
        return metadata.actions, Finding("metadata", Verdict.WARNING, text, answer.seconds)
    return metadata.actions, Finding("metadata", Verdict.GOOD, "", answer.seconds)


async def _power(
    runner: FenceRunner, config: Config, device: FenceDeviceConfig, tester: str, hearing: Hearing, longest: float
) -> tuple[str, list[Finding]]:
    """Two readings, what they mean, and how long the longest call took."""
    first, second = await runner.ask(device, "status"), await runner.ask(device, "status")
    longest = max(longest, first.seconds, second.seconds)
    if wrong := first.wrong or second.wrong:
        status = Finding("status", Verdict.FAILED, wrong, longest)
    elif first.power != second.power:
        text = f"said {first.power}, then {second.power}: was {device.node} switched now? Else it can't be believed"
        status = Finding("status", Verdict.FAILED, text, longest)
    else:
        status = Finding("status", Verdict.GOOD, f"{first.power}, twice", longest)
    if status.verdict is Verdict.FAILED:
        plug = Finding("plug", Verdict.SKIPPED, "its power state is not known")
        return "", [status, plug, _time(config, tester, device, longest)]
    hearing = Hearing.HEARD if device.node == tester else hearing
    return first.power, [status, _plug(device, first.power, hearing), _time(config, tester, device, longest)]


def _plug(device: FenceDeviceConfig, power: str, hearing: Hearing) -> Finding:
    """Does it switch the machine that it is meant for? A machine that is heard is on."""
    match hearing, power:
        case Hearing.HEARD, "on":
            return Finding("plug", Verdict.GOOD, f"on, and {device.node} runs")
        case Hearing.HEARD, _:
            text = (
                f"it says off, and {device.node} runs: it switches ANOTHER MACHINE. Look at its address and plug; "
                f"until that is mended, {device.node} can't be fenced, and another may be shot in its place"
            )
            return Finding("plug", Verdict.FAILED, text)
        case Hearing.SILENT, "on":
            text = (
                f"it says on, and {device.node} is not heard: its hamgrd does not run, or the device switches another "
                f"machine (fence-test --identify {device.node} proves it)"
            )
            return Finding("plug", Verdict.WARNING, text)
        case Hearing.SILENT, _:
            return Finding("plug", Verdict.GOOD, f"off, and {device.node} is not heard")
        case _:
            return Finding("plug", Verdict.SKIPPED, f"says {power}; whether {device.node} runs is not known here")


def _time(config: Config, tester: str, device: FenceDeviceConfig, longest: float) -> Finding:
    """Calls that had no end in time failed before."""
    text = f"{longest * 1000:.0f} ms of {device.timeout:g} s"
    if longest > SLOW_SHARE * device.timeout:
        return Finding("time", Verdict.WARNING, f"{text}: more than half; set a longer timeout", longest)
    lead = config.spec.lead(tester, device.node) if tester != device.node else 0.0
    if 0 < lead <= READINGS * longest:
        text = (
            f"{text}: an off takes about {READINGS} times as long, and {device.node} waits {lead:g} s before it shoots:"
            " two nodes that lose each other would both be switched off; make fence_delay longer, or add an arbiter"
        )
        return Finding("time", Verdict.WARNING, text, longest)
    return Finding("time", Verdict.GOOD, text, longest)
