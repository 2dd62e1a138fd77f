"""The ClusterLabs fence agent API, once: an agent declares its options and its device, `run` does the rest.

Source: FenceAgentAPI.md of ClusterLabs' fence-agents. Flags on the command line, or, without any,
`name=value` lines on stdin. Every error ends with exit code 1, bad usage too, because 2 means "is off".
"""

from __future__ import annotations

import argparse
import enum
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol, TextIO

from fence_agents.metadata import metadata_xml
from fence_agents.options import Action, Option, OptionKind, standard_options

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_OFF = 2
"""Of `status` alone: the device answers and says off."""

PASSWORD_ENVIRONMENT = "FENCE_PASSWORD"
OUTCOME_UNKNOWN = "outcome unknown"
"""Begins the error text when nobody can say whether the machine is off."""

_QUIETLY_IGNORED = ("agent", "name", "port")
"""What Pacemaker and fenced hand over to every agent, whether it has such an option or not."""


class Power(enum.Enum):
    ON = "on"
    OFF = "off"


class FenceError(Exception):
    """The action failed; the text is for the administrator."""


class UsageError(FenceError):
    """The options are wrong; nothing was sent to the device."""


class OutcomeUnknown(FenceError):
    """The order may or may not have been carried out, now or later."""


Warn = Callable[[str], None]
"""Tells the administrator something that is no failure."""


class Device(Protocol):
    """What an agent switches. All raise FenceError; an action that the agent doesn't declare is never called.

    off, reboot: return only when the machine's life has ended for sure, and how that is known, in a few words.
    """

    def status(self) -> Power: ...
    def on(self) -> None: ...
    def off(self) -> str: ...
    def reboot(self, warn: Warn) -> str: ...
    def monitor(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent's declaration. open: makes the device of checked options, and talks to nobody yet.

    validate: what validate-all does beyond that, on this machine alone. lets_in: its `on` is called by the machine that
    it lets in, before that one is used.
    """

    name: str
    shortdesc: str
    longdesc: str
    options: tuple[Option, ...]
    actions: tuple[Action, ...]
    open: Callable[[Mapping[str, str]], Device]
    validate: Callable[[Device], None] | None = None
    lets_in: bool = False

    @property
    def default_action(self) -> Action:
        """FenceAgentAPI.md: reboot, where an agent can do it."""
        return Action.REBOOT if Action.REBOOT in self.actions else Action.OFF

    @property
    def all_options(self) -> tuple[Option, ...]:
        return (*standard_options(self.default_action), *self.options)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _from_flags(agent: Agent, argv: Sequence[str]) -> dict[str, str]:
    parser = _Parser(prog=agent.name, description=agent.shortdesc, allow_abbrev=False)
    for option in agent.all_options:
        if not option.flags:
            continue
        text = f"{option.shortdesc} (stdin: {option.name})".replace("%", "%%")
        if option.kind is OptionKind.BOOLEAN:
            parser.add_argument(*option.flags, dest=option.name, action="store_const", const="1", help=text)
        else:
            parser.add_argument(*option.flags, dest=option.name, metavar=option.name.upper(), help=text)
    found, unknown = parser.parse_known_args(argv)
    if unknown:
        # Only the flag itself: its value may be a password that somebody tried to give.
        first = unknown[0]
        flag = first.split("=", 1)[0] if first.startswith("--") else first[:2]
        shown = flag if first.startswith("-") else "an argument without a flag"
        raise UsageError(
            f"unknown: {shown}. Passwords are taken from stdin, password_file or ${PASSWORD_ENVIRONMENT} only;"
            f" see {agent.name} --help"
        )
    return {name: value for name, value in vars(found).items() if value is not None}


def _from_stdin(agent: Agent, lines: Iterable[str], stderr: TextIO) -> dict[str, str]:
    names = {name: option.name for option in agent.all_options for name in (option.name, *option.aliases)}
    values: dict[str, str] = {}
    for line in lines:
        text = line.rstrip("\r\n").lstrip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals:
            # The text is not shown: a line without a name may well be a password.
            print(f"{agent.name}: warning: ignored a line on stdin without '='", file=stderr)
        elif name not in names:
            if name in _QUIETLY_IGNORED:
                continue
            # The API asks for this: what is not known is no mistake.
            print(f"{agent.name}: warning: ignored unknown option {name!r}", file=stderr)
        else:
            values[names[name]] = value
    return values


def _password(values: Mapping[str, str], environ: Mapping[str, str]) -> str | None:
    if "password" in values:
        return values["password"]
    if "password_file" in values:
        path = Path(values["password_file"])
        try:
            return path.read_text().split("\n", 1)[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not text"
            raise UsageError(f"password_file {path}: {reason}") from None
    return environ.get(PASSWORD_ENVIRONMENT)


def _checked(agent: Agent, given: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """All options with their defaults. Raises UsageError with every mistake at once."""
    values = dict(given)
    if any(option.name == "password" for option in agent.options):
        password = _password(values, environ)
        if password is not None:
            values["password"] = password
    mistakes = []
    for option in agent.all_options:
        if option.name not in values and option.default is not None:
            values[option.name] = option.default
        if option.name in values:
            problem = option.problem(values[option.name])
            if problem:
                mistakes.append(problem)
        elif option.required:
            mistakes.append(f"option {option.name} is missing")
    if mistakes:
        raise UsageError("; ".join(mistakes))
    return values


def off_then_on(device: Device, warn: Warn) -> str:
    """The usual reboot."""
    known = device.off()
    try:
        device.on()
    except FenceError as error:
        # FenceAgentAPI.md: a reboot succeeded when its off did; the cluster is safe without the on.
        warn(f"is off, but did not go on again: {error}")
    return known


def _perform(agent: Agent, action: Action, values: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> int:
    device = agent.open(values)
    if action is Action.VALIDATE_ALL:
        if agent.validate is not None:
            agent.validate(device)
        return EXIT_OK
    if action in (Action.ON, Action.OFF, Action.REBOOT):
        time.sleep(float(values["delay"]))
    match action:
        case Action.ON:
            device.on()
        case Action.OFF:
            print(f"Off: {device.off()}", file=stdout)
        case Action.REBOOT:
            known = device.reboot(lambda text: print(f"{agent.name}: warning: {text}", file=stderr))
            print(f"Rebooted: {known}", file=stdout)
        case Action.MONITOR:
            # 0 also when the machine is off: the device works, and that is what monitor asks.
            device.monitor()
        case Action.STATUS:
            power = device.status()
            print(f"Status: {power.value.upper()}", file=stdout)
            return EXIT_OFF if power is Power.OFF else EXIT_OK
        case _:
            raise AssertionError(f"{action} is handled before a device is opened")
    return EXIT_OK


def run(
    agent: Agent,
    argv: Sequence[str],
    stdin: Iterable[str],
    stdout: TextIO,
    stderr: TextIO,
    environ: Mapping[str, str],
) -> int:
    """One call of the agent: returns its exit code, never raises FenceError."""
    try:
        given = _from_flags(agent, argv) if argv else _from_stdin(agent, stdin, stderr)
        wanted = given.get("action", agent.default_action.value).lower()
        action = next((action for action in agent.actions if action.value == wanted), None)
        if action is None:
            allowed = ", ".join(action.value for action in agent.actions)
            raise UsageError(f"unknown action {wanted!r}; allowed: {allowed}")
        if action is Action.METADATA:
            stdout.write(
                metadata_xml(
                    agent.name, agent.shortdesc, agent.longdesc, agent.all_options, agent.actions, agent.lets_in
                )
            )
            return EXIT_OK
        return _perform(agent, action, _checked(agent, given, environ), stdout, stderr)
    except OutcomeUnknown as error:
        print(f"{agent.name}: {OUTCOME_UNKNOWN}: {error}", file=stderr)
    except FenceError as error:
        print(f"{agent.name}: failed: {error}", file=stderr)
    return EXIT_ERROR


def run_from_process(agent: Agent) -> int:
    """`run` with this process's arguments and streams: what an agent's `main` calls."""
    return run(agent, sys.argv[1:], sys.stdin, sys.stdout, sys.stderr, os.environ)
