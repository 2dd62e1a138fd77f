"""fence_hamgr_stonith: switches a machine by a plug-in of Cluster Glue, through its `stonith` command.

What Heartbeat's ha.cf names in `stonith_host` works on. The plug-ins have no way to read a machine's state back, so
their word is all there is. Parameters go by the environment or by stdin: a command line can be read by everybody.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from fence_agents.agent import Agent, FenceError, OutcomeUnknown, Power, UsageError, Warn, run_from_process
from fence_agents.options import Action, Option, OptionKind

PROGRAM = "stonith"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LONGEST_WORDS = 300
_SHORTEST_SECRET = 4
"""Characters; blotting out shorter values would leave no text."""


class Plugin:
    """One configured stonith plug-in."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._plugin = values["plugin"]
        self._host = values.get("plug") or values.get("nodename") or ""
        self._off = values["method"]
        self._timeout = float(values["power_timeout"])
        self._parameters = _named("parameters", values.get("parameters", ""))
        if file := values.get("parameters_file"):
            try:
                self._parameters |= _named("parameters_file", Path(file).read_text())
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not text"
                raise UsageError(f"option parameters_file: {file}: {reason}") from None
        self._positional = values.get("positional", "")
        if self._parameters and self._positional:
            raise UsageError("parameters have names (parameters, parameters_file) or an order (positional), not both")
        program = shutil.which(PROGRAM, path=f"{os.environ.get('PATH', '')}:{_PATH}")
        if program is None:
            raise UsageError(f"{PROGRAM} is not here: apt-get install cluster-glue")
        self._program = program

    def validate(self) -> None:
        """Whether the plug-in is here, and takes these parameters. Talks to no device."""
        plugins = self._run("-L").split()
        if self._plugin not in plugins:
            raise UsageError(f"option plugin: found {self._plugin!r}; allowed: {', '.join(plugins)}")
        # `stonith -n` names the optional ones too, so that nobody can tell which are missing.
        known = self._run("-t", self._plugin, "-n").split()
        unknown = [name for name in self._parameters if name not in known]
        given = len(self._positional.split()) or len(self._parameters)
        if unknown or given > len(known) or (known and not given):
            found = f"unknown {', '.join(unknown)}" if unknown else f"{given} parameters"
            raise UsageError(f"parameters of {self._plugin}: found {found}; allowed: {', '.join(known) or 'none'}")

    def status(self) -> Power:
        raise AssertionError("not an action of this agent")

    def monitor(self) -> None:
        self._ask("-S")
        if self._host:
            self._check_host()

    def on(self) -> None:
        self._switch("on")

    def off(self) -> str:
        self._switch(self._off)
        return f"{self._plugin} says {self._off}; it can't be read back"

    def reboot(self, warn: Warn) -> str:
        self._switch("reset")
        return f"{self._plugin} says reset; it can't be read back"

    def _switch(self, order: str) -> None:
        if not self._host:
            raise UsageError("option plug is missing: the machine's name, as the plug-in knows it")
        self._check_host()
        self._ask("-T", order, self._host)

    def _check_host(self) -> None:
        """Some plug-ins say yes to a machine that they never heard of."""
        hosts = self._ask("-l").split()
        if self._host.lower() not in (host.lower() for host in hosts):
            known = ", ".join(hosts) or "none"
            raise FenceError(f"{self._plugin} does not know a machine {self._host!r}; it has: {known}")

    def _ask(self, *words: str) -> str:
        return self._run("-t", self._plugin, *(["-F", "/dev/stdin"] if self._positional else ["-E"]), *words)

    def _run(self, *words: str) -> str:
        what = f"{PROGRAM} {' '.join(words)}"
        try:
            done = subprocess.run(
                [self._program, *words], input=f"{self._positional}\n", env={**os.environ, **self._parameters},
                capture_output=True, text=True, errors="replace", timeout=self._timeout, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise OutcomeUnknown(f"{what}: no end within {self._timeout:g} s") from None
        if done.returncode != 0:
            said = self._without_secrets(" ".join((done.stderr or done.stdout).split()))[-_LONGEST_WORDS:]
            raise FenceError(f"{what}: exit {done.returncode}" + (f": {said}" if said else ""))
        return done.stdout

    def _without_secrets(self, text: str) -> str:
        """Without any parameter's value: who could tell which of them are secrets?"""
        for value in (*self._parameters.values(), *self._positional.split()):
            if len(value) >= _SHORTEST_SECRET and value.lower() != self._host.lower():
                text = text.replace(value, "***")
        return text


def _named(option: str, text: str) -> dict[str, str]:
    """name=value words, quoted as in a shell. Raises UsageError, and shows none of them."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        raise UsageError(f"option {option}: found a mistake in the quotes ({error})") from None
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f'option {option}: found a word that is no name=value; allowed: a=1 b="2 3"')
        found[name] = value
    return found


def _validate(device: object) -> None:
    assert isinstance(device, Plugin)
    device.validate()


AGENT = Agent(
    name="fence_hamgr_stonith",
    shortdesc="Fences a machine by a stonith plug-in of Cluster Glue",
    longdesc=(
        "Calls `stonith -t PLUGIN -T off PLUG`. For devices that Heartbeat used and that have no agent of their own; "
        "`stonith -L` lists the plug-ins and `stonith -t PLUGIN -h` tells about one. Nothing is read back: what the "
        "plug-in says is believed. Parameters are taken from stdin or a file, never from the command line."
    ),
    options=(
        Option(
            "plugin", OptionKind.STRING, "Name of the plug-in, such as external/riloe", ("-t", "--plugin"),
            required=True,
        ),
        Option(
            "plug", OptionKind.STRING, "The machine, as the plug-in knows it; else the cluster's name for it",
            ("-n", "--plug"), aliases=("port",),
        ),
        Option(
            "parameters", OptionKind.STRING, 'Of the plug-in: a=1 b="2 3"; not as a flag', secret=True
        ),
        Option(
            "parameters_file", OptionKind.STRING, "File with them, for passwords", ("--parameters-file",)
        ),
        Option(
            "positional", OptionKind.STRING, "Instead, their values in order, as in ha.cf; not as a flag", secret=True
        ),
        Option(
            "method", OptionKind.SELECT, "What off does: off, or reset where the plug-in knows no off",
            ("-m", "--method"), default="off", choices=("off", "reset"),
        ),
        Option(
            "power_timeout", OptionKind.SECOND, "Seconds for one call of the plug-in", ("--power-timeout",),
            default="15",
        ),
    ),
    actions=(Action.ON, Action.OFF, Action.REBOOT, Action.MONITOR, Action.METADATA, Action.VALIDATE_ALL),
    open=Plugin,
    validate=_validate,
)  # fmt: skip


def main() -> int:
    return run_from_process(AGENT)
